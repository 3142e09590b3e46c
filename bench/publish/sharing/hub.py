"""Results in the format of the Hugging Face Hub: ``.eval_results/*.yaml`` of a model's repository.

Fields as of https://huggingface.co/docs/hub/eval-results and the specification ``eval_results.yaml`` of the repository
huggingface/hub-docs: a list of entries, each with ``dataset`` (``id``: the data set on the Hub that is registered as
the benchmark, ``task_id``: as its ``eval.yaml`` defines it) and ``value``; optional are ``source`` (``url``, ``name``)
and ``notes``, among others. ``huggingface_hub.parse_eval_result_entries`` reads the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.base.errors import BadInput
from bench.base.paths import file_name, write_text
from bench.reports.leaderboard.table import cells
from bench.scores import metrics
from bench.scores.printed import amount, missing
from bench.scores.schema import Record

FOLDER = ".eval_results"
_DATASET = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def export_hub(records: Sequence[Record], out: Path, dataset: str, source: str = "") -> tuple[list[Path], list[str]]:
    """Writes one file per encoder and task, below a folder per encoder.

    Each test is an entry with its main metric, in percent where it is a fraction; ``notes`` say which, with interval
    and record. Where an encoder has several rows on a task (pooling, layer, protocol), each has a file of its own,
    since a file has one value per ``task_id``. Control rows are left out: no model of the Hub has them.

    Parameters
    ----------
    records
        Of a results folder.
    out
        Folder to write to: ``<encoder>/.eval_results/<task>.yaml``, or
        ``<task>+<pooling>….yaml``.
    dataset
        ``owner/name`` of the data set on the Hub that is the benchmark.
    source
        Address where the results can be looked at; empty for none.

    Returns
    -------
    list of Path, list of str
        The files, and what was left out.

    Raises
    ------
    BadInput
        For a data set's name or an address that is none, and where no row is left.
    """
    if not _DATASET.fullmatch(dataset):
        raise BadInput("--dataset", f"{dataset!r} is no name on the Hub", "give owner/name")
    if source and not re.fullmatch(r"https?://\S+", source):
        raise BadInput("--source", f"{source!r} is no address", "give one that starts with https://")
    table = cells(records)
    controls = sorted(table.loc[table["class"] == "control", "encoder"].unique()) if len(table) else []
    rows = table[table["class"] != "control"] if len(table) else table
    if not len(rows):
        raise BadInput("export", "there are no rows but controls", "name a folder with records of encoders")
    written = []
    for (encoder, task), part in rows.groupby(["encoder", "task"], sort=True):
        differing = [name for name in ("pooling", "layer", "protocol") if part[name].nunique() > 1]
        for values, row in part.groupby(differing, sort=True) if differing else [((), part)]:
            name = "+".join([task, *map(str, values)])
            entries = [_entry(test, dataset, source) for test in row.to_dict("records") if not missing(test["value"])]
            path = out / file_name(encoder) / FOLDER / f"{file_name(name)}.yaml"
            write_text(path, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120))
            written.append(path)
    return written, [f"left out, since they are no models: {', '.join(controls)}"] if controls else []


def _entry(row: dict[Any, Any], dataset: str, source: str) -> dict[str, Any]:
    metric = metrics.get(row["metric"])
    scale = 100 if metric.unit == "%" else 1
    seeds = f", mean of {row['seeds']} seeds" if row["seeds"] > 1 else ""
    facts = (
        f"{metric.title}, {metric.unit}",
        f"task {row['task']}, test {row['test']} ({row['state']} data)",
        f"pooling {row['pooling']}, layer {row['layer']}, protocol {row['protocol']}{seeds}",
        f"95 % interval {amount(row, metric.unit).partition(' ')[2]}, {row['groups']} groups, {row['n']} clips",
        f"RespBench record {row['key']}",
    )
    entry: dict[str, Any] = {
        "dataset": {"id": dataset, "task_id": task_id(row["task"], row["test"])},
        "value": round(scale * row["value"], 2),
    }
    if source:
        entry["source"] = {"url": source, "name": "RespBench"}
    return entry | {"notes": "; ".join(facts)}


def task_id(task: str, test: str) -> str:
    """What a test of a task is called on the Hub: letters, digits and underscores."""
    return re.sub(r"\W+", "_", f"{task}_{test}", flags=re.ASCII)
