"""What a copy lacks of a corpus whose recordings are known by name."""

from __future__ import annotations

from collections.abc import Container, Iterable

from bench.types import Finding, TaskCard


def missing_annotations(card: TaskCard, where: str, known: Iterable[str], there: Container[str]) -> list[Finding]:
    """One warning for all recordings of the published corpus that this copy has no annotation of, none if it has all.

    A half-copied corpus, or one without a whole test, is thus told from a complete one. ``where`` is its folder.
    """
    known = list(known)
    absent = sorted(name for name in known if name not in there)
    if not absent:
        return []
    problem = f"{len(absent)} of the {len(known)} published recordings have no annotation here (first: {absent[0]})"
    remedy = f"results are marked subset; the whole corpus is at {card.url}"
    return [Finding("warning", "missing-annotations", where, problem, remedy)]
