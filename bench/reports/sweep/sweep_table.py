"""Every number of a sweep's report as plain tables, made from records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.reports.names import row_names
from bench.scores import intervals, metrics, per_test
from bench.scores.schema import Record
from bench.stats import holm

NEAR = 0.01  # of a score: candidates within it are called as good as the best
ROW = ["task", "encoder", "layer", "pooling", "protocol"]
POOLINGS = ("mean", "published", "mean_valid")  # what other poolings are held against, the first that is there
Curve = list[tuple[float, float]]  # (C, out-of-fold score), C rising


def table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record: its headline score with interval, what it chose and how sensitive the score is to that.

    The sensitivity is that of the out-of-fold score. Control records without features have no row.
    """
    names, rows = row_names(records), []
    for record in records:
        spec, task = record.spec, record.data["task"]
        test = per_test.headline(task)
        if spec["kind"] == "control" or test not in record.scores:
            continue
        score = record.scores[test][task["main_metric"]]
        rows.append(
            {
                **{name: spec[name] for name in ("task", "layer", "pooling", "protocol", "protocol_version", "seed")},
                "encoder": names[record.key],
                "test": test,
                "metric": task["main_metric"],
                **{name: score[name] for name in ("value", "low", "high", "n", "groups")},
                **chosen(record.selection),
                "state": record.data["state"],
                "manifest": spec["manifest"],
                "weights": spec["weights"],
                "record": record.key,
            }
        )
    numbers = {"value": float, "low": float, "high": float}
    scores = pd.DataFrame(rows).astype(numbers)
    return scores.sort_values([*ROW, "seed"], ignore_index=True)


def chosen(selection: Mapping) -> dict:
    """What a record chose, and how sensitive its out-of-fold score is to that.

    C (or alpha) and class weight where there is one for all labels, whether it is at the edge of the grid, its
    out-of-fold score, the most that falls by at a neighbouring value, and the range of values whose score is within
    ``NEAR`` of the best. Of several labels, the worst fall and the narrowest range.
    """
    by_label = curves(selection)
    strength = strength_name(selection)
    out = {
        "strength": selection["chosen"].get(strength, np.nan) if strength else np.nan,
        "class_weight": selection["chosen"].get("class_weight"),
        "at_edge": bool(selection.get("at_edge", False)),
        "out_of_fold": np.nan,
        "neighbour_fall": np.nan,
        "near_low": np.nan,
        "near_high": np.nan,
    }
    labels = sorted({label for label, _ in by_label}, key=str)
    parts = [_sensitivity(*chosen_point(selection, label)) for label in labels]
    if parts:
        out["out_of_fold"] = round(float(np.mean([part["out_of_fold"] for part in parts])), 6)
        out["neighbour_fall"] = round(max(part["neighbour_fall"] for part in parts), 6)
        narrow = min(parts, key=lambda part: part["near_high"] / part["near_low"])
        out |= {name: narrow[name] for name in ("near_low", "near_high")}
    return out


def curves(selection: Mapping) -> dict[tuple[str | None, str | None], Curve]:
    """{(label, class weight): out-of-fold score over C (or alpha)} of a record's path; empty for one without a path."""
    strength, out = strength_name(selection), {}
    for each in selection["path"] if strength else ():
        if each["score"] is not None:
            out.setdefault((each.get("label"), each.get("class_weight")), []).append((each[strength], each["score"]))
    return {key: sorted(curve) for key, curve in out.items()}


def strength_name(selection: Mapping) -> str | None:
    """What a record's path varies: ``C``, ``alpha``, or nothing that is known here."""
    path = selection["path"]
    return next((name for name in ("C", "alpha") if path and name in path[0]), None)


def chosen_point(selection: Mapping, label: str | None) -> tuple[Curve, int]:
    """(the curve of the class weight chosen, the position on it of the strength chosen), of one label."""
    choice, prefix = selection["chosen"], "" if label is None else f"{label} "
    curve = curves(selection)[label, choice.get(f"{prefix}class_weight")]
    return curve, [c for c, _ in curve].index(choice[f"{prefix}{strength_name(selection)}"])


def _sensitivity(curve: Curve, at: int) -> dict[str, float]:
    best = curve[at][1]
    beside = [curve[i][1] for i in (at - 1, at + 1) if 0 <= i < len(curve)]
    low = high = at
    while low > 0 and curve[low - 1][1] >= best - NEAR:
        low -= 1
    while high < len(curve) - 1 and curve[high + 1][1] >= best - NEAR:
        high += 1
    return {
        "out_of_fold": best,
        "neighbour_fall": best - min(beside, default=best),
        "near_low": curve[low][0],
        "near_high": curve[high][0],
    }


def pooling_differences(records: Sequence[Record]) -> pd.DataFrame:
    """Score minus that of the reference pooling (the first of ``POOLINGS`` present), paired by clip.

    One row per task, encoder, layer, protocol and other pooling, of the lowest seed.
    """
    names = row_names(records)
    grouped: dict[tuple, dict[str, Record]] = {}
    for record in sorted(records, key=lambda r: -r.spec["seed"]):  # the lowest seed comes last and stays
        spec = record.spec
        if spec["kind"] != "control":
            key = (spec["task"], names[record.key], spec["layer"], spec["protocol"])
            grouped.setdefault(key, {})[spec["pooling"]] = record
    rows = []
    for key, by_pooling in sorted(grouped.items()):
        reference = next((name for name in POOLINGS if name in by_pooling), None)
        for name in sorted(by_pooling.keys() - {reference}) if reference else ():
            rows.append(
                dict(zip(("task", "encoder", "layer", "protocol"), key)) | {"pooling": name, "minus": reference}
            )
            rows[-1] |= _difference(by_pooling[name], by_pooling[reference])
    return pd.DataFrame(rows)


def _difference(ours: Record, theirs: Record) -> dict:
    task = ours.data["task"]
    test = per_test.headline(task)
    tables = [per_test.tested(record, test) for record in (ours, theirs)]
    arguments = {name: value for name, value in per_test.metric_arguments(task).items() if name != "metrics"}
    difference = intervals.paired_difference(*tables, task["main_metric"], **arguments)
    numbers = {name: round(getattr(difference, name), 6) for name in ("value", "low", "high", "p")}
    return {
        "test": test,
        "metric": task["main_metric"],
        **numbers,
        "n": difference.n,
        "groups": difference.groups,
        "seed": ours.spec["seed"],
        "record": ours.key,
        "minus_record": theirs.key,
    }


def with_holm(differences: pd.DataFrame) -> pd.DataFrame:
    """Differences with a column ``holm``: p that allows for all of these comparisons."""
    return differences.assign(holm=holm(differences["p"].to_numpy(float)))


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """One row per combination: mean over seeds, and the lowest seed's interval.

    The standard deviations (population) of the score and of log10 of the strength chosen are NaN for a single seed.
    """
    rows = []
    for key, part in table.groupby(ROW, sort=False):
        part = part.sort_values("seed")
        many, strength = len(part) > 1, np.log10(part["strength"].astype(float))
        rows.append(
            dict(zip(ROW, key))
            | part.iloc[0][["test", "metric", "low", "high", "n", "groups", "state"]].to_dict()
            | {
                "seeds": len(part),
                "value": part["value"].mean(),
                "seed_sd": part["value"].std(ddof=0) if many else np.nan,
                "strength_sd": strength.std(ddof=0) if many else np.nan,
                "out_of_fold": part["out_of_fold"].mean(),
                "at_edge": int(part["at_edge"].sum()),
                "neighbour_fall": part["neighbour_fall"].max(),
            }
        )
    return pd.DataFrame(rows)


def chosen_layers(merged: pd.DataFrame) -> pd.DataFrame:
    """The layer and pooling of the highest out-of-fold score, of every task, encoder and protocol.

    No test clip enters that choice. Beside it stands the highest test score of all, which chooses on test. An encoder
    with one row has none.
    """
    rows = []
    for _, part in merged.dropna(subset=["out_of_fold"]).groupby(["task", "encoder", "protocol"], sort=False):
        if len(part) > 1:
            lower = metrics.get(part["metric"].iloc[0]).direction == "lower"
            best = part.loc[part["value"].idxmin() if lower else part["value"].idxmax()]
            honest = part.loc[part["out_of_fold"].idxmax()]
            rows.append(
                honest.to_dict() | {f"best_{n}": best[n] for n in ("layer", "pooling", "value")} | {"of": len(part)}
            )
    return pd.DataFrame(rows)
