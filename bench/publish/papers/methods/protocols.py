"""What a probe or a fine-tuning run did, protocol by protocol, at the version that the records name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bench.probe.protocols import PEEKING, PROTOCOLS
from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.methods.recipes import recipe_sentences
from bench.publish.papers.methods.text import Paragraph, cited, free
from bench.publish.papers.tables.captions import listed
from bench.scores.schema import Record

_NO_HYPERPARAMETERS = ("score", "share", "label")  # entries of a candidate that are none


def protocol_paragraph(records: Sequence[Record], references: Bibliography) -> Paragraph:
    """Sentences for every protocol and version, and for every recipe of fine-tuning."""
    members: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        if record.spec["kind"] != "control":
            members.setdefault((record.spec["protocol"], record.spec["protocol_version"]), []).append(record)
    sentences = []
    for (name, version), own in sorted(members.items()):
        sentences += _protocol(name, version, own, references)
    return Paragraph("Protocols", (*sentences, *recipe_sentences(records, references)))


def _protocol(name: str, version: int, records: Sequence[Record], references: Bibliography) -> list[str]:
    """What is said of a version that is not today's comes from the records alone: today's description is another's."""
    head = f"Protocol {free(name)}, version {version}{cited(references.of(f'protocol/{name}'))}"
    today = PROTOCOLS.get(name)
    sentences = [f"{head}."]
    if today is not None and today.version == version:
        sentences = [f"{head}: {today.description.rstrip('.')}."]
    if rules := sorted({_rule(record) for record in records} - {"none"}):
        sentences.append(f"Selection: {'; or '.join(rules)}.")
    folds = sorted({max(f.values()) + 1 for record in records if (f := record.selection.get("folds"))})
    if folds:
        sentences.append(f"Groups were held out in {listed(folds)} folds.")
    frozen = [record for record in records if "recipe" not in record.spec]
    if candidates := _candidates(frozen):
        sentences.append(candidates)
    if edge := sum(bool(record.selection.get("at_edge")) for record in records):
        sentences.append(f"In {edge} of {len(records)} results the choice lay at the edge of the search.")
    if name in PEEKING:
        sentences.append("This protocol looks at the test to choose, so that its scores are no results.")
    seeds = sorted({record.spec["seed"] for record in records})
    sentences.append(f"{'Seed' if len(seeds) == 1 else 'Seeds'}: {listed(seeds)}.")
    return sentences


def _rule(record: Record) -> str:
    """A rule of selection in words, without the task's own metric and test, so that equal rules are told once."""
    words = free(record.selection["method"]).replace(record.data["task"]["main_metric"], "main metric")
    return re.sub(r"the test `[^`]*` itself", "the test itself", words)


def _candidates(records: Sequence[Record]) -> str:
    """``46 candidates: C from 1e-06 to 100000, class_weight None or balanced``, where all records compared the same."""
    found = set()
    for record in records:
        path = record.selection["path"]
        values: dict[str, list[Any]] = {}
        for candidate in path:
            for name, value in candidate.items():
                if name not in _NO_HYPERPARAMETERS and value not in values.setdefault(name, []):
                    values[name].append(value)
        if values:
            found.add((len(path), "; ".join(f"{free(name)} {_range(each)}" for name, each in sorted(values.items()))))
    if len(found) != 1:
        return ""
    ((count, words),) = found
    return f"{count} candidates were compared: {words}."


def _range(values: Sequence[Any]) -> str:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(values) > 3:
        return f"from {min(numbers):g} to {max(numbers):g} ({len(values)} values)"
    return " or ".join("none" if value is None else free(str(value)) for value in values)
