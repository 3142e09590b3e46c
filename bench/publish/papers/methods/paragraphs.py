"""The methods section of a results folder."""

from __future__ import annotations

from collections.abc import Sequence

from bench.base.errors import BadInput
from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.methods.data import data_paragraph
from bench.publish.papers.methods.encoders import encoder_paragraph, feature_paragraph
from bench.publish.papers.methods.protocols import protocol_paragraph
from bench.publish.papers.methods.scores import score_paragraph
from bench.publish.papers.methods.software import software_paragraph
from bench.publish.papers.methods.text import Paragraph
from bench.scores.records import require_one_data
from bench.scores.schema import Record


def methods(records: Sequence[Record], references: Bibliography) -> tuple[Paragraph, ...]:
    """Paragraphs on data, encoders, features, protocols, scores and software; those with nothing to say are left out.

    Parameters
    ----------
    records
        Of any number of tasks.
    references
        Theirs (``bench.publish.papers.citations.bibliography.bibliography``).

    Raises
    ------
    BadInput
        For no records, and for records of one task on different data.
    """
    if not records:
        raise BadInput("methods", "there are no records", "make some with bench.evaluate or `respbench run`")
    require_one_data(records)
    ordered = sorted(records, key=lambda record: (record.spec["task"], record.spec["encoder"], record.key))
    writers = (
        data_paragraph,
        encoder_paragraph,
        feature_paragraph,
        protocol_paragraph,
        score_paragraph,
        software_paragraph,
    )
    paragraphs = (write(ordered, references) for write in writers)
    return tuple(paragraph for paragraph in paragraphs if paragraph.sentences)
