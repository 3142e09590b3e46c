"""Records to one table: which encoder, on which task and test, with which interval.

``cells`` is the long form (one row per encoder row, task and test) from which everything that is printed is made;
``leaderboard`` is the wide form for a notebook. A missing cell stays missing and takes its row out of the mean.
Controls, frozen and fine-tuned rows, fine-tuned ones that read metadata beside the sound, and literature protocols are
never ranked together; controls, and rows that chose their epoch on the test, are not ranked at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.base import registry
from bench.base.errors import BadInput
from bench.reports.names import METADATA, ROW, rank_class, recipe_digest, row_names
from bench.scores import intervals, metrics, per_test
from bench.scores.records import load_all, require_one_data, score_json
from bench.scores.schema import Record

CONTROL = "control"
PEEKED = "literature finetune"  # fine-tuned rows whose epoch was chosen on the test: no result
CLASSES = ("frozen", "finetune", METADATA, "fewshot", "literature", PEEKED)  # in the order of tables
UNRANKED = (CONTROL, PEEKED)  # never best, and without a rank


def main_metric(task: Mapping) -> str:
    """The metric that a task is ranked by."""
    return task["main_metric"]


def cells(records: Sequence[Record], chosen: Callable[[Mapping], str] = main_metric) -> pd.DataFrame:
    """One row per (encoder, pooling, layer, protocol, task, test) that has a score.

    Over several seeds ``value`` is their mean, ``low`` and ``high`` the interval of that mean by bootstrap of groups
    and ``seed_sd`` the seeds' standard deviation (population): the two are never merged.

    Parameters
    ----------
    records
        Records of any number of tasks.
    chosen
        Gives the metric to show of a task's facts, by default its main metric.

    Returns
    -------
    pandas.DataFrame
        Scores as fractions, NaN where missing.

    Raises
    ------
    BadInput
        For no records, and for records of one task on different data.
    """
    if not records:
        raise BadInput("leaderboard", "there are no records", "make some with bench.evaluate or `respbench run`")
    require_one_data(records)
    names, rows = row_names(records), []
    for record in records:
        task, spec = record.data["task"], dict(record.spec)
        for test, scores in record.scores.items():
            score = scores.get(chosen(task))
            if score is None:
                continue
            rows.append(
                {
                    **{name: spec[name] for name in ROW},
                    "encoder": names[record.key],
                    "parity": record.data.get("parity", "none"),
                    "task": record.spec["task"],
                    "test": test,
                    "headline": test == per_test.headline(task),
                    "demonstration": task.get("demonstration", False),
                    "metric": chosen(task),
                    "class": rank_class(record.spec),
                    "seed": record.spec["seed"],
                    **{name: score[name] for name in ("value", "low", "high", "n", "groups")},
                    "state": record.data["state"],
                    "key": record.key,
                }
            )
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})
    merged, by_key = [], {record.key: record for record in records}
    for _, part in table.groupby([*ROW, "task", "test"], sort=False, dropna=False):
        part = part.sort_values("seed")
        first = part.iloc[0].to_dict() | {"seeds": len(part), "seed_sd": np.nan}
        if len(part) > 1:
            of_seeds = [by_key[key] for key in part["key"]]
            score = score_json(per_test.mean_over_seeds(of_seeds, first["test"], first["metric"]))
            first |= {"value": part["value"].mean(), "seed_sd": part["value"].std(ddof=0)}
            first |= {name: np.nan if score[name] is None else score[name] for name in ("low", "high")}
        merged.append(first)
    return pd.DataFrame(merged).drop(columns="seed")


def leaderboard(records: Sequence[Record] | str | Path) -> pd.DataFrame:
    """The leaderboard as a table: one row per encoder, pooling, layer and protocol.

    Parameters
    ----------
    records
        Records of any number of tasks, or a results folder.

    Returns
    -------
    pandas.DataFrame
        A column ``task/test`` per test with the main metric (a fraction); ``mean`` over the headline tests of all tasks
        present, demonstrations left out, whose metric is a fraction that should be high (NaN where one is missing);
        ``rank`` inside the row's class, by that mean (NaN for ``UNRANKED`` classes). ``attrs["mean_of"]`` names the
        tests of the mean, ``attrs["metrics"]`` is {column: metric}. ``bench.styled`` shows it in a notebook.

    Raises
    ------
    BadInput
        For no records, and for records of one task on different data.
    """
    if isinstance(records, str | Path):
        records = load_all(Path(records))
    long = cells(records)
    long["column"] = long["task"] + "/" + long["test"]
    wide = long.pivot(index=[*ROW, "parity", "class"], columns="column", values="value")
    shares = {name for name in long["metric"] if _is_share(metrics.get(name))}
    meant = long["headline"] & long["metric"].isin(shares) & ~long["demonstration"]
    headline = sorted(long.loc[meant, "column"].unique())
    wide = wide[sorted(wide.columns)]
    wide["mean"] = wide[headline].mean(axis=1, skipna=False) if headline else np.nan
    wide["rank"] = wide.groupby(level="class")["mean"].rank(ascending=False, method="min")
    wide.loc[wide.index.get_level_values("class").isin(UNRANKED), "rank"] = np.nan
    wide = wide.reset_index().sort_values(["class", "mean"], ascending=[True, False], key=_class_order)
    wide.columns.name = None
    wide.attrs["mean_of"] = headline
    wide.attrs["metrics"] = dict(zip(long["column"], long["metric"]))
    return wide.reset_index(drop=True)


def _is_share(metric: metrics.Metric) -> bool:
    return metric.unit == "%" and metric.direction == "higher"


def _class_order(column: pd.Series) -> pd.Series:
    order = {name: place for place, name in enumerate((*CLASSES, CONTROL))}
    return column.map(order) if column.name == "class" else column


def twin_differences(records: Sequence[Record]) -> dict[tuple[str, str], intervals.Difference]:
    """{(record key, test): paired difference in the main metric to the untrained twin}, for records that have one.

    The twin is of the same task, pooling, layer and protocol.
    """
    twins = {
        _identity(r, registry.original_id(r.spec["encoder"])): r for r in records if registry.is_twin(r.spec["encoder"])
    }
    out = {}
    for record in records:
        twin = (
            None if registry.is_twin(record.spec["encoder"]) else twins.get(_identity(record, record.spec["encoder"]))
        )
        if twin is None:
            continue
        task = record.data["task"]
        for test, splits in task["tests"].items():
            ours, theirs = (r.predictions[r.predictions["split"].isin(splits)] for r in (record, twin))
            if len(ours):
                facts = per_test.metric_arguments(task)
                out[record.key, test] = intervals.paired_difference(
                    ours, theirs, task["main_metric"], facts["classes"], facts["roles"], kind=facts["kind"]
                )
    return out


def _identity(record: Record, encoder: str) -> tuple:
    names = ("task", "manifest", "pooling", "layer", "protocol", "protocol_version", "seed")
    spec = dict(record.spec)
    return encoder, recipe_digest(record.spec), spec.get("code"), *(spec[name] for name in names)
