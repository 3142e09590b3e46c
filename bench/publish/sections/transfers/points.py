"""The numbers of one metric of a transfer as points of charts, in the unit that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.reports.names import CONTROL_FAMILIES, row_name
from bench.reports.out_of_domain.bandwidth import under
from bench.reports.out_of_domain.transfer_table import (
    AT_BEST,
    AT_SOURCE,
    DROP,
    FEW,
    FITTED,
    FLOOR,
    IN,
    OUT,
    PROBE,
    WITHIN_DECILES,
    Shown,
)
from bench.scores.printed import missing

Point = dict[str, Any]
_KINDS = {"random": "untrained twin", "meta": "control", "control": "control"}


class Rows:
    """The rows of one metric (``each``) of one task, by what they are.

    Attributes
    ----------
    names : dict
        {row's identity: its name}, the best out of domain first, controls last.
    whats : set of str
        The kinds of number that there are.
    """

    def __init__(self, part: pd.DataFrame, each: Shown):
        self.each = each
        self._scale = 100.0 if each.unit == "%" else 1.0
        keys = list(zip(part["encoder"], part["pooling"], part["layer"]))
        self.cells = {(key, row["what"]): row for key, row in zip(keys, part.to_dict("records"))}
        self.names = {
            key: f"{row_name(key[0], key[2])} {key[1]}" for key in sorted(dict.fromkeys(keys), key=self._order)
        }
        self.whats = {what for _, what in self.cells}

    @property
    def suffix(self) -> str:
        """What follows a metric's title on an axis."""
        return ", %" if self.each.unit == "%" else ""

    def cell(self, key: tuple, what: str) -> Mapping[str, Any] | None:
        """A row of the table of numbers; None where there is none or it has no value."""
        row = self.cells.get((key, what))
        return None if row is None or missing(row["value"]) else row

    def matrix(self, source: str, target: str) -> list[Point]:
        """The source's own test and the target's, of every row."""
        return self._heat({IN: (source, source), OUT: (source, target)})

    def alone(self, target: str) -> list[Point]:
        """One test without a source's own, of every row."""
        return self._heat({OUT: ("all others", target)})

    def scatter(self) -> list[Point]:
        """In-domain and out-of-domain of every row, but for the floor, which has lines of its own."""
        points = []
        for key, name in self.names.items():
            own, out = self.cell(key, IN), self.cell(key, OUT)
            if own and out and key[0] != FLOOR:
                axes = {**self._axis("x", own), **self._axis("y", out)}
                kind = _KINDS.get(key[0].partition(".")[0], "encoder")
                points.append({"row": name, "base": name.removeprefix("random."), "kind": kind, **axes})
        return points

    def floor(self) -> dict[str, float] | None:
        """The floor of both tests."""
        for key in self.names:
            own, out = self.cell(key, IN), self.cell(key, OUT)
            if key[0] == FLOOR and own and out:
                return {"x": self._scale * own["value"], "y": self._scale * out["value"]}
        return None

    def durations(self) -> list[Point]:
        """AUROC beside that within duration deciles, a panel per test; empty where there is none."""
        panels = [what for what in (IN, OUT, PROBE) if what + WITHIN_DECILES in self.whats]
        return [
            {**point, "panel": panel}
            for panel in panels
            for name, kind in ((panel, "all clips"), (panel + WITHIN_DECILES, "within duration deciles"))
            for point in self._points(name, kind)
        ]

    def bandwidth(self, clip: str) -> list[Point]:
        """The drop on clips as they are and under a policy, of rows that have both."""
        both = {key for key in self.names if self.cell(key, DROP) and self.cell(key, under(DROP, clip))}
        kinds = ((DROP, "as they are"), (under(DROP, clip), clip))
        return [point for name, kind in kinds for point in self._points(name, kind, both)]

    def thresholds(self) -> list[Point]:
        """(Sp + Se) / 2 at three thresholds, in percent; empty where nothing is decided by one."""
        kinds = ((FITTED, "as fitted"), (AT_SOURCE, "best in-domain"), (AT_BEST, "best on the target (oracle)"))
        shown = {key for key in self.names if key[0] != FLOOR}
        return [point for name, kind in kinds for point in self._points(name, kind, shown, 100.0)]

    def few_shots(self) -> tuple[list[Point], list[str]]:
        """Scores over the number of target patients, and these in order; empty without few-shot probes."""
        counts = sorted((what for what in self.whats if what.startswith(FEW)), key=lambda what: int(what.split()[-1]))
        if not counts:
            return [], []
        steps = {OUT: "0 (zero-shot)"} | {what: what.split()[-1] for what in counts} | {PROBE: "all"}
        points = []
        for key, name in self.names.items():
            if not any(self.cell(key, what) for what in counts):
                continue
            for what, step in steps.items():
                if row := self.cell(key, what):
                    value, sd = self._scale * row["value"], None if missing(row["sd"]) else self._scale * row["sd"]
                    ends = {"low": value, "high": value} if sd is None else {"low": value - sd, "high": value + sd}
                    points.append({"row": name, "step": step, "value": value, **ends, "draws": int(row["draws"])})
        return points, list(steps.values())

    def reliability(self, curves: pd.DataFrame) -> list[Point]:
        """Reliability curves of this metric, in percent, of rows that are no floor."""
        points = []
        for row in curves.to_dict("records"):
            key = (row["encoder"], row["pooling"], row["layer"])
            if key in self.names and key[0] != FLOOR:
                shares = {
                    name: None if missing(row[name]) else 100 * row[name]
                    for name in ("probability", "outcome", "low", "high")
                }
                facts = {"row": self.names[key], "what": row["what"], "n": row["n"], "groups": row["groups"]}
                points.append({**facts, **shares})
        order = list(self.names.values())
        return sorted(points, key=lambda point: order.index(point["row"]))

    # ---------------------------------------------------------------- inside

    def _order(self, key: tuple) -> tuple:
        """Best out of domain first, controls last."""
        family, row = key[0].partition(".")[0], self.cell(key, OUT)
        worst = float("inf") if row is None else row["value"] if self.each.lower else -row["value"]
        return CONTROL_FAMILIES.index(family) if family in CONTROL_FAMILIES else -1, worst, key

    def _points(self, what: str, kind: str, keys: set | None = None, scale: float | None = None) -> list[Point]:
        scale = self._scale if scale is None else scale
        return [
            {"row": name, "kind": kind, **_scaled(row, scale)}
            for key, name in self.names.items()
            if (keys is None or key in keys) and (row := self.cell(key, what))
        ]

    def _axis(self, axis: str, row: Mapping[str, Any]) -> Point:
        numbers = _scaled(row, self._scale)
        return {axis: numbers["value"], f"{axis}_low": numbers["low"], f"{axis}_high": numbers["high"]}

    def _heat(self, places: Mapping[str, tuple[str, str]]) -> list[Point]:
        """Cells of a heat map, with what is printed in them and their place between the lowest and highest value."""
        points = [
            {"row": name, "source": source, "target": target, **_scaled(row, self._scale)}
            for key, name in self.names.items()
            for what, (source, target) in places.items()
            if (row := self.cell(key, what))
        ]
        digits = 1 if self.each.unit == "%" else 2
        return [{**point, "label": f"{point['value']:.{digits}f}"} for point in points]


def _scaled(row: Mapping[str, Any], scale: float) -> Point:
    return {name: None if missing(row[name]) else scale * row[name] for name in ("value", "low", "high")}
