"""The numbers of a sweep as points of charts, in the unit that is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.reports.names import row_names
from bench.reports.sweep.sweep_table import chosen_point, curves
from bench.scores import metrics
from bench.scores.printed import missing
from bench.scores.schema import Record

Point = dict[str, Any]


def scale(metric: str) -> float:
    """What a metric's values are multiplied with to be shown."""
    return 100.0 if metrics.get(metric).unit == "%" else 1.0


def heat(part: pd.DataFrame, named: Iterable[str]) -> list[Point]:
    """Scores as cells, each with its place between the worst and the best of its task; ``named``: what names a row."""
    points = []
    for task, own in part.groupby("task", sort=True):
        metric = metrics.get(own["metric"].iloc[0])
        times, digits = scale(metric.name), 1 if metric.unit == "%" else 2
        least, span = own["value"].min(), own["value"].max() - own["value"].min()
        for row in own.to_dict("records"):
            place = 0.5 if not span else (row["value"] - least) / span
            point = {"row": " ".join(_named(row, name) for name in named), "task": task, "metric": metric.title}
            point |= _scaled(row, times)
            point |= {"shade": 1 - place if metric.direction == "lower" else place}
            points.append(
                point | {"label": f"{point['value']:.{digits}f}", "n": int(row["n"]), "groups": int(row["groups"])}
            )
    return sorted(points, key=lambda point: [_natural(part) for part in point["row"].split()])


def poolings(merged: pd.DataFrame, differences: pd.DataFrame) -> list[Point]:
    """Both scores of every comparison of poolings at the last layer, a panel per encoder; fractions alone."""
    cells = {(r["task"], r["encoder"], r["layer"], r["protocol"], r["pooling"]): r for r in merged.to_dict("records")}
    points: dict[tuple, Point] = {}
    for row in differences.to_dict("records"):
        if row["layer"] != -1 or metrics.get(row["metric"]).unit != "%":
            continue
        for pooling in (row["minus"], row["pooling"]):
            key = (row["task"], row["encoder"], row["layer"], row["protocol"], pooling)
            point = {"row": row["task"], "panel": row["encoder"], "kind": pooling, **_scaled(cells[key], 100.0)}
            points[key] = point
    return list(points.values())


def choices(chosen: pd.DataFrame, merged: pd.DataFrame) -> list[Point]:
    """What the training clips choose among layers and poolings, beside the best on test; fractions alone."""
    cells = {(r["task"], r["encoder"], r["protocol"], r["pooling"], r["layer"]): r for r in merged.to_dict("records")}
    points = []
    for row in chosen.to_dict("records"):
        if metrics.get(row["metric"]).unit != "%":
            continue
        head = {"row": row["task"], "panel": row["encoder"]}
        best = cells[row["task"], row["encoder"], row["protocol"], row["best_pooling"], row["best_layer"]]
        points.append({**head, "kind": CHOSEN, **_scaled(row, 100.0)})
        points.append({**head, "kind": BEST, **_scaled(best, 100.0)})
    return points


def oracles(scores: pd.DataFrame) -> list[Point]:
    """Honest and oracle scores of C and class weight at the last layer, mean over poolings and seeds."""
    points = []
    for (encoder, task), own in scores.groupby(["encoder", "task"], sort=True):
        last = own[own["layer"] == -1] if (own["layer"] == -1).any() else own
        if metrics.get(own["metric"].iloc[0]).unit == "%":
            for kind, column in ((CHOSEN, "honest"), (BEST, "oracle")):
                value = 100 * float(last[column].mean())
                points.append({"row": task, "panel": encoder, "kind": kind, "value": value, "low": None, "high": None})
    return points


def paths(records: Sequence[Record]) -> dict[str, list[Point]]:
    """{task: out-of-fold scores over C}, of each encoder and pooling its last layer and lowest seed."""
    names, first = row_names(records), {}
    for record in sorted(records, key=lambda r: (r.spec["layer"], -r.spec["seed"])):
        if curves(record.selection):
            spec = record.spec
            first[spec["task"], names[record.key], spec["pooling"], spec["protocol"]] = record
    out: dict[str, list[Point]] = {}
    for (task, encoder, pooling, protocol), record in sorted(first.items()):
        times = scale(record.data["task"]["main_metric"])
        row = encoder if protocol == "linear" else f"{encoder}, {protocol}"
        for (label, weight), curve in curves(record.selection).items():
            best, at = chosen_point(record.selection, label)
            head = {
                "row": row,
                "series": pooling if label is None else f"{pooling}, {label}",
                "weight": weight or "none",
            }
            for place, (strength, score) in enumerate(curve):
                taken = curve == best and place == at
                point = {**head, "strength": strength, "score": times * score, "chosen": taken}
                out.setdefault(task, []).append(point)
    return out


CHOSEN, BEST = "chosen on training clips", "best on test (oracle)"


def _named(row: Mapping[str, Any], name: str) -> str:
    return f"layer {row[name]}" if name == "layer" else str(row[name])


def _natural(text: str) -> tuple[int, float, str]:
    """Sorts whole numbers by their size."""
    return (0, float(text), "") if text.lstrip("-").isdecimal() else (1, 0.0, text)


def _scaled(row: Mapping[str, Any], times: float) -> Point:
    return {name: None if missing(row[name]) else times * row[name] for name in ("value", "low", "high")}
