"""Records to one table: which encoder, on which task and test, with which interval.

``cells`` is the long form (one row per encoder row, task and test) from which everything that is printed is made;
``leaderboard`` is the wide form for a notebook. A missing cell stays missing and takes its row out of the mean.
Controls, frozen and fine-tuned rows, and literature protocols are never ranked together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bench import metrics, run, stats
from bench.errors import BadInput
from bench.records import score_json
from bench.types import Record

ROW = ["encoder", "pooling", "layer", "protocol"]
DATA = ("task_version", "manifest", "state", "excluded")
VARIANT = ("weights", "parameters", "encoder_version", "protocol_version", "clip", "resampler", "dtype")
TOLD = 3  # settings of a recipe that are told one by one where they differ
CONTROL_FAMILIES = ("control", "random", "meta")


def rank_class(spec: Mapping) -> str:
    """Rows are ranked inside this class only: ``control``; ``literature``, of frozen encoders, or ``literature
    finetune``; else the protocol's kind."""
    if spec["encoder"].partition(".")[0] in CONTROL_FAMILIES:
        return "control"
    if spec["protocol"].startswith("literature/"):
        return "literature finetune" if spec["kind"] == "finetune" else "literature"
    return spec["kind"]


def require_one_data(records: Iterable[Record], *specs: Mapping) -> None:
    """Raises ``BadInput`` where one task was, or by ``specs`` is to be, evaluated on two different copies of its data
    or at two versions: such numbers do not belong in one table."""
    first: dict[str, Mapping] = {}
    for spec in (*specs, *(record.spec for record in records)):
        other = first.setdefault(spec["task"], spec)
        if any(spec[name] != other[name] for name in DATA):
            copies = (f"{s['state']} {s['manifest'][:12]} version {s['task_version']}" for s in (other, spec))
            raise BadInput(
                f"records of {spec['task']}",
                f"made on different data ({', '.join(copies)})",
                "keep one results folder (--out) per copy of the data, or delete the records of the other",
            )


def row_names(records: Sequence[Record]) -> dict[str, str]:
    """{record key: its encoder as tables name it}: the id, with the recipe of a fine-tuned one (``recipe_labels``), and
    where rows of frozen ones would otherwise be confused, the weights and versions too."""
    variants: dict[tuple, set[tuple]] = {}
    for record in records:
        variants.setdefault(_row(record), set()).add(_variant(record))
    labels, names = recipe_labels(records), {}
    for record in records:
        spec = record.spec
        mark = f" [weights {spec['weights'][:8]}/{spec['parameters'][:8]}, versions {spec['encoder_version']}/"
        mark += f"{spec['protocol_version']}, clip {spec['clip']}]"
        frozen = mark if len(variants[_row(record)]) > 1 else ""
        names[record.key] = spec["encoder"] + (f" · {labels[record.key]}" if "recipe" in spec else frozen)
    return names


def recipe_labels(records: Iterable[Record]) -> dict[str, str]:
    """{key of a fine-tuned record: the name of its recipe}, and in brackets what tells it from others of that name: the
    settings, or a digest of them where many differ; from others on the same encoder also weights, versions and device.
    All tasks, seeds and protocols of a run by one recipe are labelled alike; the pooling is told apart from it."""
    tuned = [record for record in records if "recipe" in record.spec]
    settings = _differing((recipe_name(record), _settings(record.spec["recipe"])) for record in tuned)
    facts = _differing(((recipe_name(record), record.spec["encoder"]), _facts(record.spec)) for record in tuned)
    labels = {}
    for record in tuned:
        name, spec = recipe_name(record), record.spec
        differing = settings[name]
        told = [f"{what} {value}" for what, value in _settings(spec["recipe"]).items() if what in differing]
        if len(differing) > TOLD:
            told = [f"settings {recipe_digest(spec)}"]
        told += [value for what, value in _facts(spec).items() if what in facts[name, spec["encoder"]]]
        labels[record.key] = f"{name} [{', '.join(told)}]" if told else name
    return labels


def _differing(found: Iterable[tuple[Hashable, Mapping[str, str]]]) -> dict[Hashable, set[str]]:
    """{group: the names that have more than one value in it} of pairs of a group and {name: value}."""
    values: dict[Hashable, dict[str, set[str]]] = {}
    for group, each in found:
        known = values.setdefault(group, {})
        for name, value in each.items():
            known.setdefault(name, set()).add(value)
    return {group: {name for name, seen in known.items() if len(seen) > 1} for group, known in values.items()}


def _settings(recipe: Mapping, under: str = "") -> dict[str, str]:
    """{setting of a recipe's numbers, as ``table.name``: its value}, without the pooling."""
    out: dict[str, str] = {}
    for name, value in recipe.items():
        out |= _settings(value, f"{under}{name}.") if isinstance(value, Mapping) else {under + name: str(value)}
    return {name: value for name, value in out.items() if name != "head.pooling"}


def _facts(spec: Mapping) -> dict[str, str]:
    """{what else may differ between runs: how it is told}. Of an encoder that is trained from scratch every seed has
    parameters of its own, so they are compared within a seed."""
    weights = spec["weights"][:8]
    return {
        "weights": f"weights {weights}",
        f"parameters of {weights}, seed {spec['seed']}": f"parameters {spec['parameters'][:8]}",
        "encoder version": f"encoder version {spec['encoder_version']}",
        f"version of {spec['protocol']}": f"protocol version {spec['protocol_version']}",
        "resampler": spec["resampler"],
        "device": spec["device"],
    }


def recipe_name(record: Record) -> str:
    """The name of the recipe that a record was fine-tuned by; empty for a frozen encoder."""
    return record.data.get("recipe", {}).get("name", "")


def recipe_digest(spec: Mapping) -> str:
    """Eight hex digits that tell a recipe's numbers apart; empty for a frozen encoder."""
    if "recipe" not in spec:
        return ""
    return hashlib.sha256(json.dumps(spec["recipe"], sort_keys=True).encode()).hexdigest()[:8]


def _row(record: Record) -> tuple:
    return tuple(record.spec[name] for name in (*ROW, "task", "seed"))


def _variant(record: Record) -> tuple:
    return tuple(record.spec[name] for name in VARIANT)


def main_metric(task: Mapping) -> str:
    """The metric that a task is ranked by."""
    return task["main_metric"]


def cells(records: Sequence[Record], chosen: Callable[[Mapping], str] = main_metric) -> pd.DataFrame:
    """One row per (encoder, pooling, layer, protocol, task, test) that has it: of each task the metric ``chosen``, as a
    fraction.

    Over several seeds ``value`` is their mean, ``low`` and ``high`` the interval of that mean by bootstrap of groups
    and ``seed_sd`` the seeds' standard deviation (population): the two are never merged.
    """
    if not records:
        raise BadInput("leaderboard", "there are no records", "make some with bench.evaluate or `respbench run`")
    require_one_data(records)
    names, rows = row_names(records), []
    for record in records:
        task = record.data["task"]
        for test, table in record.scores.items():
            score = table.get(chosen(task))
            if score is None:
                continue
            rows.append(
                {
                    **{name: record.spec[name] for name in ROW},
                    "encoder": names[record.key],
                    "parity": record.data.get("parity", "none"),
                    "task": record.spec["task"],
                    "test": test,
                    "headline": test == run.headline(task),
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
            found = [by_key[key] for key in part["key"]]
            score = score_json(run.mean_over_seeds(found, first["test"], first["metric"]))
            first |= {"value": part["value"].mean(), "seed_sd": part["value"].std(ddof=0)}
            first |= {name: np.nan if score[name] is None else score[name] for name in ("low", "high")}
        merged.append(first)
    return pd.DataFrame(merged).drop(columns="seed")


def leaderboard(records: Sequence[Record]) -> pd.DataFrame:
    """One row per encoder, pooling, layer and protocol; a column ``task/test`` per test with the main metric (a
    fraction), ``mean`` over the headline tests of all tasks present, demonstrations left out, whose metric is a
    fraction that should be high (NaN where one is missing), and ``rank`` inside the row's class, by that mean (NaN for
    controls). ``attrs["mean_of"]`` of the table names the tests of the mean. Raises ``BadInput`` for no records, and
    for records of one task on different data."""
    long = cells(records)
    long["column"] = long["task"] + "/" + long["test"]
    wide = long.pivot(index=[*ROW, "parity", "class"], columns="column", values="value")
    shares = {name for name in long["metric"] if _is_share(metrics.get(name))}
    meant = long["headline"] & long["metric"].isin(shares) & ~long["demonstration"]
    headline = sorted(long.loc[meant, "column"].unique())
    wide = wide[sorted(wide.columns)]
    wide["mean"] = wide[headline].mean(axis=1, skipna=False) if headline else np.nan
    wide["rank"] = wide.groupby(level="class")["mean"].rank(ascending=False, method="min")
    wide.loc[wide.index.get_level_values("class") == "control", "rank"] = np.nan
    wide = wide.reset_index().sort_values(["class", "mean"], ascending=[True, False], key=_class_order)
    wide.columns.name = None
    wide.attrs["mean_of"] = headline
    return wide.reset_index(drop=True)


def _is_share(metric: metrics.Metric) -> bool:
    return metric.unit == "%" and metric.direction == "higher"


def _class_order(column: pd.Series) -> pd.Series:
    order = {"frozen": 0, "finetune": 1, "literature": 2, "literature finetune": 3, "control": 4}
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
                del arguments["metrics"]
                out[record.key, test] = stats.paired_difference(ours, theirs, task["main_metric"], **arguments)
    return out


def _is_twin(record: Record) -> bool:
    return record.spec["encoder"].startswith("random.")


def _identity(record: Record, encoder: str) -> tuple:
    names = ("task", "manifest", "pooling", "layer", "protocol", "protocol_version", "seed")
    return encoder, recipe_digest(record.spec), *(record.spec[name] for name in names)
