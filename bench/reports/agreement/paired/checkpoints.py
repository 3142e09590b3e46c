"""Checkpoints of one's own against what they began as: the rows of a run that differ in their weights alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.base.paths import file_name
from bench.encoders.weights.find import digest_of
from bench.reports.agreement.paired import rows
from bench.reports.agreement.paired.difference import DRAWS, compared
from bench.reports.agreement.paired.page import PairedReport
from bench.runs.choices import EncoderChoice
from bench.scores.schema import Record

FOLDER = "paired"  # below the results folder


def comparisons(found: Sequence[Record], encoders: Sequence[EncoderChoice]) -> Iterator[tuple[str, PairedReport]]:
    """Iterate over (name of a file, paired difference) of every encoder that was asked for with several weights.

    Each is compared with the one that is named first under its id, by pooling, layer and protocol, on all that both
    have: A is the one named later, so that a positive difference speaks for it.

    Parameters
    ----------
    found
        The records of one run.
    encoders
        As it was asked for.
    """
    by_id: dict[str, list[EncoderChoice]] = {}
    for choice in encoders:
        by_id.setdefault(choice.id, []).append(choice)
    for id, (first, *others) in by_id.items():
        for other in others:
            if other.weights == first.weights:
                continue
            ends = [_digest(each)[:8] for each in (other, first)]
            for pooling, layer, protocol in sorted(_rows(found, other) & _rows(found, first)):
                at = f"{id}:{pooling}:{layer}"
                matched, notes = rows.matched(found, (f"{at}={ends[0]}", f"{at}={ends[1]}"), protocols=(protocol,))
                notes += [note for each in matched for note in each.notes if note not in notes]
                told = [f"{at}={each.weights}" if each.weights else at for each in (other, first)]
                tests = tuple(compared(matched, "", DRAWS))
                report = PairedReport((told[0], told[1]), tests, matched[0].unit, DRAWS, tuple(notes))
                yield file_name(",".join([id, pooling, str(layer), protocol, *ends])) + ".md", report


def _rows(found: Sequence[Record], choice: EncoderChoice) -> set[tuple[str, int, str]]:
    """(pooling, layer, protocol) of the records of an encoder with its weights."""
    own = _digest(choice)
    specs = (record.spec for record in found)
    return {
        (spec["pooling"], spec["layer"], spec["protocol"])
        for spec in specs
        if spec["encoder"] == choice.id and spec["weights"] == own
    }


def _digest(choice: EncoderChoice) -> str:
    return digest_of(choice.card, choice.weights)
