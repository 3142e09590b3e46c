"""What stands under a figure: clips, patients, intervals, protocol, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.probe.protocols import PEEKING
from bench.reports.tables import DISCLAIMER
from bench.scores import per_test
from bench.scores.schema import Record

NO_INTERVAL = "no interval"


def sentence(*parts: str) -> str:
    """Parts as sentences of one paragraph; empty ones are left out."""
    texts = (part.strip() for part in parts)
    return " ".join(text if text.endswith((".", "!", "?")) else text + "." for text in texts if text)


def caption(title: str, *parts: str) -> str:
    """The caption of a figure: its title, what it shows, and the disclaimer."""
    return sentence(title, *parts, DISCLAIMER)


def tests(cells: Iterable[Mapping[str, Any]]) -> str:
    """``Clips: icbhi.cycles4, test corrected: 696 clips of 32 patients; …``.

    Of cells with task, test, n, groups and unit.
    """
    sizes: dict[tuple[str, str], set[tuple[int, int, str]]] = {}
    for cell in cells:
        size = int(cell["n"]), int(cell["groups"]), cell["unit"]
        sizes.setdefault((cell["task"], cell["test"]), set()).add(size)
    texts = []
    for (task, test), counted in sorted(sizes.items()):
        numbers = " or ".join(f"{n} clips of {groups} {unit}s" for n, groups, unit in sorted(counted))
        texts.append(f"{task}, test {test}: {numbers}")
    return "Clips: " + "; ".join(texts)


def protocols(records: Iterable[Record], without: Sequence[str] = ("control",)) -> str:
    """``Protocol linear (version 3)``, of the records whose protocol is not among ``without``."""
    found = {(r.spec["protocol"], r.spec["protocol_version"]) for r in records if r.spec["protocol"] not in without}
    peeked = dict.fromkeys(PEEKING, ", the epoch chosen on the test: no result")
    names = [f"{name} (version {version}{peeked.get(name, '')})" for name, version in sorted(found)]
    return f"Protocol{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def intervals(methods: Iterable[str]) -> str:
    """How the intervals that are drawn were made, from the ``method`` of the scores."""
    heads = {re.split(r" for |; ", method)[0] for method in methods if method}
    heads = {head for head in heads if not head.startswith(("undefined", NO_INTERVAL))}
    return f"Intervals: 95 %, {' or '.join(sorted(heads))}" if heads else "No intervals"


def data_state(records: Iterable[Record]) -> str:
    """Which tasks are of simulated recordings, and which of a part of their corpus; empty where all is complete."""
    simulated, parts = set(), set()
    for record in records:
        if "simulated" in record.data["state"]:
            simulated.add(record.spec["task"])
        elif record.data["incomplete"]:
            parts.add(record.spec["task"])
    said = [f"Simulated recordings, no result: {', '.join(sorted(simulated))}"] if simulated else []
    if parts:
        said.append(f"A subset of the corpus's recordings: {', '.join(sorted(parts))}")
    return ". ".join(said)


def headline_methods(records: Iterable[Record]) -> list[str]:
    """How the interval of each record's main metric on its headline test was made."""
    found = []
    for record in records:
        task = record.data["task"]
        score = record.scores.get(per_test.headline(task), {}).get(task["main_metric"])
        found += [score["method"]] if score else []
    return found
