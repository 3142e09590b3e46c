"""Every number of an out-of-domain report, in one long table made from records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.names import VARIANT, row_names
from bench.reports.out_of_domain import bandwidth
from bench.runs.out_of_domain import Transfer
from bench.scores import intervals, label_kinds, metrics, per_test, records
from bench.scores.intervals import unpaired_difference
from bench.scores.label_kinds import bits
from bench.scores.metrics import Roles
from bench.scores.schema import Record

IN, OUT, DROP = "in-domain", "out-of-domain", "drop"
WITHIN_DECILES = " within duration deciles"
WORST = ", worst domain"
PROBE, GAP = "target probe", "target probe minus out-of-domain"
FEW = "few-shot"
TEST = "test "  # and the name of a test that is no headline
UNPRINTED = ("control.chance",)  # its floor is that of control.majority, with noise


@dataclass(frozen=True)
class Shown:
    """A metric of the report: its key in a record's scores, its name among the metrics, and its title.

    ``bit`` is the label that it concerns, of a multilabel task.
    """

    key: str
    metric: str
    title: str
    bit: int | None = None

    @property
    def unit(self) -> str:
        """``%`` for fractions, else the metric's own unit."""
        return metrics.get(self.metric).unit

    @property
    def lower(self) -> bool:
        """Whether lower values are better."""
        return metrics.get(self.metric).direction == "lower"


def shown(task: Mapping) -> list[Shown]:
    """The metrics that a report shows of a task.

    They are AUROC, then the main score and the challenge's; of a multilabel task every label's own AUROC; of more than
    two classes the main score alone, for a mean over classes rests on the rarest.
    """
    kind, classes = task.get("kind", "multiclass"), task["classes"]
    if kind == "multilabel":
        return [Shown(f"auroc.bit.{name}", f"auroc.bit.{k}", f"AUROC of {name}", k) for k, name in enumerate(classes)]
    names = [task["main_metric"]]
    if kind == "multiclass" and len(classes) == 2:
        listed = [name for name in ("auroc", "icbhi.Score", "sprsound.Score") if name in task["metrics"]]
        names = list(dict.fromkeys([*listed, *names]))
    return [Shown(name, name, metrics.get(name).title) for name in names]


def transfer_table(all_records: Sequence[Record], plans: Mapping[str, Transfer | None]) -> pd.DataFrame:
    """Every number of the report in one long table.

    Parameters
    ----------
    all_records
        All records of the results folder.
    plans
        {task: the transfer that it is, None for a task whose test is a domain left out}.

    Returns
    -------
    pandas.DataFrame
        One row per number: task, encoder (as tables name it), pooling, layer, marks, metric, ``what``, test, domain,
        value with interval and p, clips, groups, method, draws and their standard deviation, and the record it is from.
        A number that has no record has no row.
    """
    below, rows = bandwidth.controlled(all_records, [task for task, plan in plans.items() if plan]), []
    all_records = bandwidth.with_own_rows(all_records, below)
    names = row_names(all_records)
    for task, plan in plans.items():
        probes = {_kind(r): r for r in _of(all_records, plan.reverse)} if plan else {}
        few = _few(all_records, plan) if plan else {}
        for record in _of(all_records, task):
            head = {"task": task, "encoder": names[record.key], "marks": _marks(record)}
            head |= {name: record.spec[name] for name in ("pooling", "layer")}
            for each in shown(record.data["task"]):
                if plan is None:
                    numbers = [_number(OUT, test, scores[each.key], record) for test, scores in record.scores.items()]
                else:
                    numbers = [*_own(plan, record, each), *_target(plan, record, probes.get(_kind(record)), each)]
                    numbers += _shots(plan, few.get(_kind(record), {}), each)
                    for clip, other in below.get(record.key, {}).items():
                        numbers += _controlled(plan, record, other, clip, each)
                rows += [{**head, "metric": each.key, **number} for number in numbers]
    return pd.DataFrame(rows)


def _kind(record: Record) -> tuple:
    """What the records of one encoder share on a transfer and on its reverse, of which tables may mark only one."""
    spec = dict(record.spec)
    return tuple(spec[name] for name in ("encoder", "pooling", "layer", *VARIANT))


def _of(all_records: Sequence[Record], task: str) -> list[Record]:
    """The records of a task that the report prints, but for few shots."""
    printed = (r for r in all_records if r.spec["task"] == task and r.spec["encoder"] not in UNPRINTED)
    return [r for r in printed if r.spec["protocol"] in ("linear", "control") and r.spec["seed"] == 0]


def _few(all_records: Sequence[Record], plan: Transfer) -> dict[tuple, dict[str, list[Record]]]:
    """{``_kind``: {protocol: its draws}}."""
    out: dict[tuple, dict[str, list[Record]]] = {}
    for record in all_records:
        if record.spec["task"] == plan.reverse and record.spec["kind"] == "fewshot":
            out.setdefault(_kind(record), {}).setdefault(record.spec["protocol"], []).append(record)
    return out


def _marks(record: Record) -> str:
    return "; ".join(record.data["marks"])


def _arguments(record: Record) -> dict[str, Any]:
    arguments = per_test.metric_arguments(record.data["task"])
    del arguments["metrics"]
    return arguments


def _own(plan: Transfer, record: Record, each: Shown) -> Iterator[dict]:
    """In and out of domain, the drop, the same within duration deciles, and the worst domains."""
    for test in record.scores:
        what = {plan.own: IN, plan.test: OUT}.get(test, TEST + test)
        yield _number(what, test, record.scores[test].get(each.key), record)
    if not {plan.own, plan.test} <= set(record.scores):
        return
    own, target = (per_test.tested(record, test) for test in (plan.own, plan.test))
    yield _drop(DROP, plan, record, each)
    for what, test, part in ((IN, plan.own, own), (OUT, plan.test, target)):
        yield from _matched(what, test, part, record, each)
        if worst := _worst(record.domains[test], each):
            yield _number(what + WORST, test, record.domains[test][worst][each.key], record, domain=worst)


def _drop(what: str, plan: Transfer, record: Record, each: Shown) -> dict:
    """In-domain minus out-of-domain, so that a positive one is worse out of domain."""
    own, target = (per_test.tested(record, test) for test in (plan.own, plan.test))
    better, worse = (target, own) if each.lower else (own, target)
    return _number(what, plan.test, unpaired_difference(better, worse, each.metric, **_arguments(record)), record)


def _controlled(plan: Transfer, record: Record, other: Record, clip: str, each: Shown) -> Iterator[dict]:
    """The same numbers on clips of controlled bandwidth (``other``), and what that changes, clip by clip."""
    for what, test in ((IN, plan.own), (OUT, plan.test)):
        if not all(test in r.scores and each.key in r.scores[test] for r in (record, other)):
            return
        name, tables = bandwidth.under(what, clip), [per_test.tested(r, test) for r in (other, record)]
        yield _number(name, test, other.scores[test][each.key], other)
        change = intervals.paired_difference(*tables, each.metric, **_arguments(record))
        yield _number(name + bandwidth.CHANGE, test, change, other)
    yield _drop(bandwidth.under(DROP, clip), plan, other, each)


def _matched(what: str, test: str, part: pd.DataFrame, record: Record, each: Shown) -> Iterator[dict]:
    """The AUROC within duration deciles, where the metric is the task's AUROC or that of a label.

    The record has the task's own; a label's is computed here.
    """
    task, name = record.data["task"], metrics.DURATION_MATCHED
    if each.bit is not None:
        binary = _binary(part, each.bit, len(task["classes"]))
        score = intervals.score_table(binary, [name], ("absent", "present"), Roles(), recalls=False)[name]
        yield _number(what + WITHIN_DECILES, test, score, record)
    elif each.metric == label_kinds.of(task).auroc and name in record.scores[test]:
        yield _number(what + WITHIN_DECILES, test, record.scores[test][name], record)


def _binary(part: pd.DataFrame, bit: int, n_classes: int) -> pd.DataFrame:
    """A table of two classes, a label's absence and presence, of a multilabel task."""
    labels = {name: bits(part[name].to_numpy(), n_classes)[:, bit].astype(int) for name in ("y_true", "y_pred")}
    return part.assign(**labels, s_0=0.0, s_1=part[f"s_{bit}"])


def _worst(domains: Mapping, each: Shown) -> str | None:
    """The domain with the worst value of several; None where fewer than two have one."""
    values = {name: scores.get(each.key, {}).get("value") for name, scores in domains.items()}
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < 2:
        return None
    return (max if each.lower else min)(known, key=known.__getitem__)


def _target(plan: Transfer, record: Record, probe: Record | None, each: Shown) -> Iterator[dict]:
    """The target's own probe on the same clips, and what it is better by."""
    if probe is None or plan.probed not in probe.scores or plan.test not in record.scores:
        return
    yield _number(PROBE, plan.test, probe.scores[plan.probed].get(each.key), probe)
    ours, theirs = per_test.tested(probe, plan.probed), per_test.tested(record, plan.test)
    for number in _matched(PROBE, plan.probed, ours, probe, each):
        yield number | {"test": plan.test}
    better, worse = (theirs, ours) if each.lower else (ours, theirs)
    yield _number(GAP, plan.test, intervals.paired_difference(better, worse, each.metric, **_arguments(record)), probe)


def _shots(plan: Transfer, few: Mapping[str, Sequence[Record]], each: Shown) -> Iterator[dict]:
    """Mean and spread over the draws, of every number of shots."""
    for protocol, draws in few.items():
        scores = [r.scores[plan.probed][each.key] for r in draws if plan.probed in r.scores]
        values = [score["value"] for score in scores if score["value"] is not None]
        if values:
            facts = {"value": float(np.mean(values)), "n": scores[0]["n"], "groups": scores[0]["groups"]}
            what = f"{FEW} {protocol.partition('-')[2]}"
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            method = "mean over draws of target groups; sd of the draws"
            number = _number(what, plan.test, facts | {"method": method}, draws[0])
            yield number | {"draws": len(values), "sd": spread, "record": ""}


def _number(what: str, test: str, score: Any, record: Record, domain: str = "") -> dict:
    """A row of the table from a score or difference, as an object or as a record has it."""
    if score is None:
        score = {}
    elif not isinstance(score, Mapping):
        score = asdict(score)
    values = {name: score.get(name) for name in ("value", "low", "high", "p")}
    known = {name: None if value is None or np.isnan(value) else value for name, value in values.items()}
    rounded = {name: None if value is None else round(value, records.DECIMALS) for name, value in known.items()}
    facts = {name: score.get(name) for name in ("n", "groups", "method")}
    return {"what": what, "test": test, "domain": domain, **rounded, **facts, "draws": 1, "sd": None} | {
        "record": record.key
    }
