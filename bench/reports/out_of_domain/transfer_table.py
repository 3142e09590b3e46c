"""Every number of an out-of-domain report, in one long table made from records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.reports.names import row_names, variant
from bench.reports.out_of_domain import bandwidth
from bench.reports.out_of_domain.measures.calibration import CURVE, calibration
from bench.reports.out_of_domain.measures.resampled import (
    OWN,
    TARGET,
    Draws,
    Resampled,
    less,
    paired,
    relative_drop,
    unpaired,
)
from bench.reports.out_of_domain.measures.thresholds import operating_points
from bench.reports.out_of_domain.measures.worst import worst_domain
from bench.runs.out_of_domain import Transfer
from bench.scores import intervals, label_kinds, metrics, per_test, records
from bench.scores.intervals import Difference
from bench.scores.label_kinds import bits
from bench.scores.metrics import Roles
from bench.scores.schema import Record, TaskFacts

IN, OUT, DROP = "in-domain", "out-of-domain", "drop"
RELATIVE = "relative drop"
WITHIN_DECILES = " within duration deciles"
WORST = ", worst domain"
PROBE, GAP = "target probe", "target probe minus out-of-domain"
FLOOR, OVER_FLOOR = "control.majority", "out-of-domain minus control.majority"
DURATION, OVER_DURATION = "meta.duration", "out-of-domain minus meta.duration"
FITTED, AT_SOURCE, AT_BEST = "threshold as fitted", "threshold of the in-domain test", "best threshold (oracle)"
LOST = "best threshold (oracle) minus threshold of the in-domain test"
ERROR = ", calibration error"
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


def shown(task: TaskFacts) -> list[Shown]:
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


def transfer_table(
    all_records: Sequence[Record], plans: Mapping[str, Transfer | None], draws: Draws | None = None
) -> pd.DataFrame:
    """Every number of the report in one long table.

    Parameters
    ----------
    all_records
        All records of the results folder.
    plans
        {task: the transfer that it is, None for a task whose test is a domain left out}.
    draws
        Scores in bootstrap draws, where others use them too.

    Returns
    -------
    pandas.DataFrame
        One row per number: task, encoder (as tables name it), pooling, layer, marks, metric, ``what``, test, domain,
        value with interval and p, clips, groups, method, draws and their standard deviation, and the record it is from.
        A number that has no record has no row; one that is asked for and has no meaning has no value, and ``method``
        says why.
    """
    below, rows = bandwidth.controlled(all_records, [task for task, plan in plans.items() if plan]), []
    all_records = bandwidth.with_own_rows(all_records, below)
    names, draws = row_names(all_records), draws or Draws()
    for task, plan in plans.items():
        probes = {_kind(r): r for r in _of(all_records, plan.reverse)} if plan else {}
        few = _few(all_records, plan) if plan else {}
        controls = {r.spec["encoder"]: r for r in _of(all_records, task) if r.spec["encoder"] in (FLOOR, DURATION)}
        for record in _of(all_records, task):
            head = {"task": task, "encoder": names[record.key], "marks": _marks(record)}
            head |= {name: record.spec[name] for name in ("pooling", "layer")}
            for each in shown(record.data["task"]):
                if plan is None:
                    numbers = [_number(OUT, test, scores[each.key], record) for test, scores in record.scores.items()]
                else:
                    pair = _Pair(plan, record, each, draws)
                    numbers = [*pair.own(), *pair.over(controls), *pair.decisions(), *pair.target(probes)]
                    numbers += _shots(plan, few.get(_kind(record), {}), each)
                    for clip, other in below.get(record.key, {}).items():
                        numbers += pair.controlled(other, clip)
                rows += [{**head, "metric": each.key, **number} for number in numbers]
    return pd.DataFrame(rows)


def reliability_table(
    all_records: Sequence[Record], plans: Mapping[str, Transfer | None], draws: Draws
) -> pd.DataFrame:
    """Reliability curves of both tests of every transfer.

    One row per task, encoder, pooling, layer, metric (of a multilabel task the label's), test and bin, with the columns
    of ``bench.reports.out_of_domain.measures.calibration.CURVE``. Arguments as of ``transfer_table``.
    """
    below = bandwidth.controlled(all_records, [task for task, plan in plans.items() if plan])
    all_records = bandwidth.with_own_rows(all_records, below)
    names, parts = row_names(all_records), []
    for task, plan in plans.items():
        for record in _of(all_records, task) if plan else ():
            head = {"task": task, "encoder": names[record.key]}
            head |= {name: record.spec[name] for name in ("pooling", "layer")}
            for each in decided(record.data["task"]):
                for what, test, seed in ((IN, plan.own, OWN), (OUT, plan.test, TARGET)):
                    made = calibration(draws, record, test, each.bit, seed) if test in record.scores else None
                    if made:
                        facts = {**head, "metric": each.key, "what": what, "test": test}
                        parts.append(made.curve.round(records.DECIMALS).assign(**facts)[[*facts, *CURVE]])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def decided(task: TaskFacts) -> list[Shown]:
    """The metrics that stand for the decisions of a task: the first, or of a multilabel task every label's."""
    return shown(task) if task.get("kind") == "multilabel" else shown(task)[:1]


def _kind(record: Record) -> tuple:
    """What the records of one encoder share on a transfer and on its reverse, of which tables may mark only one."""
    spec = dict(record.spec)
    return spec["encoder"], spec["pooling"], spec["layer"], *variant(spec)


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


@dataclass(frozen=True)
class _Pair:
    """One metric (``each``) of a record in a transfer (``plan``), with all that is said of its two tests."""

    plan: Transfer
    record: Record
    each: Shown
    draws: Draws

    @property
    def _both(self) -> bool:
        return {self.plan.own, self.plan.test} <= set(self.record.scores)

    def _drawn(self, test: str, record: Record | None = None) -> Resampled:
        """The score of a test in the draws of its side."""
        seed = OWN if test == self.plan.own else TARGET
        return self.draws.of(record or self.record, test, self.each.metric, seed)

    def own(self) -> Iterator[dict]:
        """In and out of domain, the drop, the same within duration deciles, and the worst domains."""
        plan, record, each = self.plan, self.record, self.each
        for test in record.scores:
            what = {plan.own: IN, plan.test: OUT}.get(test, TEST + test)
            yield _number(what, test, record.scores[test].get(each.key), record)
        if not self._both:
            return
        yield _number(DROP, plan.test, self._drop(record), record)
        for what, test in ((IN, plan.own), (OUT, plan.test)):
            yield from _matched(what, test, per_test.tested(record, test), record, each)
            if worst := worst_domain(record, test, each.metric, each.lower):
                yield _number(what + WORST, test, worst.score, record, domain=worst.domain)

    def over(self, controls: Mapping[str, Record]) -> Iterator[dict]:
        """What is left above the floor and above the clip's length; the drop as a share of what was above the floor."""
        plan, record, each = self.plan, self.record, self.each
        if not self._both or record.spec["encoder"] == FLOOR:
            return
        own, target = self._drawn(plan.own), self._drawn(plan.test)
        if floor := controls.get(FLOOR):
            at_home = self._drawn(plan.own, floor)
            share = _number(RELATIVE, plan.test, relative_drop(own, at_home, target, each.lower), record)
            yield share | {"p": None}  # its test is that of the drop
            yield _number(OVER_FLOOR, plan.test, self._better(target, self._drawn(plan.test, floor)), record)
        if (length := controls.get(DURATION)) and length.key != record.key:
            yield _number(OVER_DURATION, plan.test, self._better(target, self._drawn(plan.test, length)), record)

    def decisions(self) -> Iterator[dict]:
        """Operating points and calibration, once for every decision: of the first metric, or of every label."""
        task, each, plan = self.record.data["task"], self.each, self.plan
        if not self._both or each not in decided(task):
            return
        binary = each.bit is not None or (task.get("kind", "multiclass"), len(task["classes"])) == ("multiclass", 2)
        points = operating_points(self.draws, self.record, plan.own, plan.test, each.bit) if binary else None
        if points is not None:
            for what, number in ((FITTED, points.fitted), (AT_SOURCE, points.transferred), (AT_BEST, points.oracle)):
                low, high, method = number.interval
                score = Difference(number.value, low, high, np.nan, number.n, number.groups, method)
                yield _number(what, plan.test, score, self.record)
            lost = paired(points.oracle, points.transferred)
            method = f"thresholds {points.at_target:+.2f} and {points.at_source:+.2f} in log odds; {lost.method}"
            facts = asdict(lost) | {"p": None, "method": method}  # never below 0, so there is no test of 0
            yield _number(LOST, plan.test, facts, self.record)
        for what, test, seed in ((IN, plan.own, OWN), (OUT, plan.test, TARGET)):
            if made := calibration(self.draws, self.record, test, each.bit, seed):
                yield _number(what + ERROR, test, made.error, self.record)

    def controlled(self, other: Record, clip: str) -> Iterator[dict]:
        """The same numbers on clips of controlled bandwidth (``other``), and what that changes, clip by clip."""
        plan, record, each = self.plan, self.record, self.each
        changes = []
        for what, test in ((IN, plan.own), (OUT, plan.test)):
            if not all(test in r.scores and each.key in r.scores[test] for r in (record, other)):
                return
            name = bandwidth.under(what, clip)
            yield _number(name, test, other.scores[test][each.key], other)
            changes.append(less(self._drawn(test, other), self._drawn(test)))
            change = paired(self._drawn(test, other), self._drawn(test))
            yield _number(name + bandwidth.CHANGE, test, change, other)
        name = bandwidth.under(DROP, clip)
        yield _number(name, plan.test, self._drop(other), other)
        yield _number(name + bandwidth.CHANGE, plan.test, unpaired(*(changes[::-1] if each.lower else changes)), other)

    def target(self, probes: Mapping[tuple, Record]) -> Iterator[dict]:
        """The target's own probe on the same clips, and what it is better by."""
        plan, record, each = self.plan, self.record, self.each
        probe = probes.get(_kind(record))
        if probe is None or plan.probed not in probe.scores or plan.test not in record.scores:
            return
        yield _number(PROBE, plan.test, probe.scores[plan.probed].get(each.key), probe)
        for number in _matched(PROBE, plan.probed, per_test.tested(probe, plan.probed), probe, each):
            yield number | {"test": plan.test}
        theirs = self.draws.of(probe, plan.probed, each.metric, TARGET)
        yield _number(GAP, plan.test, self._better(theirs, self._drawn(plan.test)), probe)

    def _drop(self, record: Record) -> Difference:
        """In-domain minus out-of-domain, so that a positive one is worse out of domain."""
        own, target = (self._drawn(test, record) for test in (self.plan.own, self.plan.test))
        return unpaired(target, own) if self.each.lower else unpaired(own, target)

    def _better(self, ours: Resampled, theirs: Resampled) -> Difference:
        """By how much ours is better than theirs on the same clips."""
        return paired(theirs, ours) if self.each.lower else paired(ours, theirs)


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
    rounded["p"] = None if known["p"] is None else float(f"{known['p']:.3g}")  # digits, not decimals: never 0
    facts = {name: score.get(name) for name in ("n", "groups", "method")}
    return {"what": what, "test": test, "domain": domain, **rounded, **facts, "draws": 1, "sd": None} | {
        "record": record.key
    }
