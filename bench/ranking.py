"""Records to one table: which encoder, on which task and test, with which interval.

``cells`` is the long form (one row per encoder row, task and test) from which everything that is printed is made;
``leaderboard`` is the wide form for a notebook. A missing cell stays missing and takes its row out of the mean.
Controls, frozen and fine-tuned rows, and literature protocols are never ranked together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench import run, stats
from bench.types import Record

ROW = ["encoder", "pooling", "layer", "protocol"]
CONTROL_FAMILIES = ("control", "random", "meta")


def rank_class(spec: Mapping) -> str:
    """Rows are ranked inside this class only: ``control``, ``literature``, else the protocol's kind."""
    if spec["encoder"].partition(".")[0] in CONTROL_FAMILIES:
        return "control"
    return "literature" if spec["protocol"].startswith("literature/") else spec["kind"]


def cells(records: Sequence[Record]) -> pd.DataFrame:
    """One row per (encoder, pooling, layer, protocol, task, test): the main metric as a fraction.

    Over several seeds ``value`` is their mean and ``seed_sd`` their standard deviation (population), while ``low``
    and ``high`` are the group interval of the lowest seed: the two are never merged.
    """
    rows = []
    for record in records:
        task = record.data["task"]
        for test, table in record.scores.items():
            score = table[task["main_metric"]]
            rows.append(
                {
                    **{name: record.spec[name] for name in ROW},
                    "task": record.spec["task"],
                    "test": test,
                    "headline": test == next(iter(task["tests"])),
                    "metric": task["main_metric"],
                    "class": rank_class(record.spec),
                    "seed": record.spec["seed"],
                    **{name: score[name] for name in ("value", "low", "high", "n", "groups")},
                    "state": record.data["state"],
                    "key": record.key,
                }
            )
    table = pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})
    merged = []
    for _, part in table.groupby([*ROW, "task", "test"], sort=False, dropna=False):
        part = part.sort_values("seed")
        first = part.iloc[0].to_dict()
        first |= {"value": part["value"].mean(), "seeds": len(part)}
        first["seed_sd"] = part["value"].std(ddof=0) if len(part) > 1 else np.nan
        merged.append(first)
    return pd.DataFrame(merged).drop(columns="seed")


def leaderboard(records: Sequence[Record]) -> pd.DataFrame:
    """One row per encoder, pooling, layer and protocol; a column ``task/test`` per test with the main metric (a
    fraction), ``mean`` over the headline tests of all tasks present (NaN where one is missing), and ``rank`` inside
    the row's class, by that mean. ``bench.leaderboard(records).attrs["mean_of"]`` names the tasks of the mean."""
    long = cells(records)
    long["column"] = long["task"] + "/" + long["test"]
    wide = long.pivot(index=[*ROW, "class"], columns="column", values="value")
    headline = sorted(long.loc[long["headline"], "column"].unique())
    wide = wide[sorted(wide.columns)]
    wide["mean"] = wide[headline].mean(axis=1, skipna=False)
    wide["rank"] = wide.groupby(level="class")["mean"].rank(ascending=False, method="min")
    wide = wide.reset_index().sort_values(["class", "mean"], ascending=[True, False], key=_class_order)
    wide.columns.name = None
    wide.attrs["mean_of"] = headline
    return wide.reset_index(drop=True)


def _class_order(column: pd.Series) -> pd.Series:
    order = {"frozen": 0, "finetune": 1, "literature": 2, "control": 3}
    return column.map(order) if column.name == "class" else column


def twin_differences(records: Sequence[Record]) -> dict[tuple[str, str], stats.Difference]:
    """{(record key, test): paired difference in the main metric to the untrained twin under the same task, pooling,
    layer and protocol}, for every record that has one."""
    twins = {_identity(r, r.spec["encoder"].removeprefix("random.")): r for r in records if _is_twin(r)}
    out = {}
    for record in records:
        twin = None if _is_twin(record) else twins.get(_identity(record, record.spec["encoder"]))
        if twin is None:
            continue
        task = record.data["task"]
        for test, splits in task["tests"].items():
            ours, theirs = (r.predictions[r.predictions["split"].isin(splits)] for r in (record, twin))
            if len(ours):
                arguments = run.metric_arguments(task)
                out[record.key, test] = stats.paired_difference(
                    ours, theirs, task["main_metric"], arguments["classes"], arguments["roles"]
                )
    return out


def _is_twin(record: Record) -> bool:
    return record.spec["encoder"].startswith("random.")


def _identity(record: Record, encoder: str) -> tuple:
    names = ("task", "manifest", "pooling", "layer", "protocol", "protocol_version", "seed")
    return encoder, *(record.spec[name] for name in names)
