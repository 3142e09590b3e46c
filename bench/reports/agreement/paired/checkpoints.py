"""Checkpoints of one's own against what they began as: the rows of a run that differ in their weights alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.base.errors import RespBenchError
from bench.base.paths import file_name
from bench.reports.agreement.paired import rows
from bench.reports.agreement.paired.difference import DRAWS, compared
from bench.reports.agreement.paired.page import PairedReport
from bench.runs.choices import EncoderChoice
from bench.scores.schema import Record

FOLDER = "paired"  # below the results folder


def comparisons(
    found: Sequence[Record], encoders: Sequence[EncoderChoice], say: Callable[[str], None]
) -> Iterator[tuple[str, PairedReport]]:
    """Iterate over (name of a file, paired difference) of every encoder that was asked for with several weights.

    Each is compared with the one that is named first under its id, by pooling, layer and protocol, on all that both
    have: A is the one named later, so that a positive difference speaks for it. What cannot be compared is told.

    Parameters
    ----------
    found
        The records of one run.
    encoders
        As it was asked for.
    say
        Takes a line on what was not compared, and why: weights that are absent or the same, records without a
        counterpart. The run itself is done by then.
    """
    by_id: dict[str, list[EncoderChoice]] = {}
    for choice in encoders:
        by_id.setdefault(choice.id, []).append(choice)
    for choices in by_id.values():
        if len({choice.weights for choice in choices}) < 2:
            continue
        known = []
        for choice in choices:
            try:
                known.append((choice, choice.weights_digest()))
            except RespBenchError as error:
                say(f"{_told(choice)}: not compared: {error}")
        for other in known[1:]:
            if other[0].weights != known[0][0].weights:
                yield from _compared(found, other, known[0], say)


def _compared(
    found: Sequence[Record],
    a: tuple[EncoderChoice, str],
    b: tuple[EncoderChoice, str],
    say: Callable[[str], None],
) -> Iterator[tuple[str, PairedReport]]:
    """The comparisons of two (encoder as asked for, digest of its weights) that share an id."""
    id, both = a[0].id, f"{_told(a[0])} and {_told(b[0])}"
    if a[1] == b[1]:
        say(f"{both}: not compared, they are the same weights (SHA-256 {a[1]})")
        return
    common = sorted(_rows(found, *a) & _rows(found, *b))
    if not common:
        say(f"{both}: not compared, they have no pooling, layer and protocol in common")
    ends = [digest[:8] for _, digest in (a, b)]
    for pooling, layer, protocol in common:
        at = f"{id}:{pooling}:{layer}"
        try:
            matched, notes = rows.matched(found, (f"{at}={ends[0]}", f"{at}={ends[1]}"), protocols=(protocol,))
            tests = tuple(compared(matched, "", DRAWS))
        except RespBenchError as error:
            say(f"{both}: not compared under {protocol}: {error}")
            continue
        notes += [note for each in matched for note in each.notes if note not in notes]
        told = (f"{at}={a[0].weights}" if a[0].weights else at, f"{at}={b[0].weights}" if b[0].weights else at)
        report = PairedReport(told, tests, matched[0].unit, DRAWS, tuple(notes))
        yield file_name(",".join([id, pooling, str(layer), protocol, *ends])) + ".md", report


def _rows(found: Sequence[Record], choice: EncoderChoice, digest: str) -> set[tuple[str, int, str]]:
    """(pooling, layer, protocol) of the records of an encoder with weights of that digest."""
    specs = (record.spec for record in found)
    return {
        (spec["pooling"], spec["layer"], spec["protocol"])
        for spec in specs
        if spec["encoder"] == choice.id and spec["weights"] == digest
    }


def _told(choice: EncoderChoice) -> str:
    """An encoder with its weights, as on the command line."""
    return f"{choice.id}={choice.weights}" if choice.weights else choice.id
