"""Recomputes everything in a results folder from its predictions, and says what does not hold."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bench.base import registry
from bench.base.errors import BadInput, RespBenchError, UnknownId
from bench.base.progress import Progress, silent
from bench.probe.linear.candidates import WITHIN, shares, shares_of_errors
from bench.reports.audit.report import stale_audits
from bench.reports.finetune.report import stale_finetune_report
from bench.reports.leaderboard.published.pages import stale_published
from bench.reports.leaderboard.report import stale_leaderboard
from bench.reports.out_of_domain.report import stale_transfer_report
from bench.reports.pages import broken_seals
from bench.reports.sweep.report import stale_sweep_report
from bench.scores import label_kinds, per_test, records
from bench.scores.schema import Record

FACTS = ("task", "state", "splits", "groups_in_train", "incomplete", "excluded")  # alike in all records of one data

AVERAGED, AVERAGED_SINCE = ("linear", "fewshot-"), 3  # protocols whose probe is a mean, and from which version on
STORED_TO = 0.5 * 10.0**-records.DECIMALS  # how far a stored score may lie from the score


def verify(folder: Path, progress: Progress = silent) -> tuple[int, list[str]]:
    """Recomputes every number of a results folder and every page made of them.

    Held against the predictions: every key, digest, score, interval and domain. Held against each other: records of
    one task on one data must agree on the clips, their labels, groups and lengths, and on what the data was. Held
    against the records, once these hold: every page of the leaderboard and of the reports of sweeps, of transfer and
    of fine-tuning. Held against their JSON files: the pages of audits. Held against the table of the
    package: the pages of published rows. Held against their digests in ``pages.json``:
    pages that no record gives. That the predictions themselves are honest, no recomputation can show; the commands
    that made them are in the leaderboard.

    Parameters
    ----------
    folder
        A results folder, with ``records/``.
    progress
        Told of every record.

    Returns
    -------
    tuple[int, list[str]]
        The number of records, and one line for each thing that does not hold.

    Raises
    ------
    BadInput
        Where the folder holds no record.
    """
    problems: list[str] = []
    verified: list[Record] = []
    paths = list(records.paths(folder))
    if not paths:
        raise BadInput(folder, "no records below this folder", "make some with `respbench run --out FOLDER`")
    with progress("verify", len(paths)) as tick:
        for path in paths:
            try:
                record = records.read(path)
                problems += [f"{path}: {problem}" for problem in verify_record(record)]
                verified.append(record)
            except RespBenchError as error:
                problems.append(str(error))
            tick(1)
    problems += disagreements(verified)
    of_folder = (broken_seals, stale_audits, stale_published)
    checks: list[Callable[[], list[str]]] = [partial(check, folder) for check in of_folder]
    if not problems:
        of_records = (stale_leaderboard, stale_sweep_report, stale_transfer_report, stale_finetune_report)
        checks += [partial(check, verified, folder) for check in of_records]
    for check in checks:
        try:
            problems += check()
        except RespBenchError as error:
            problems.append(str(error))
    return len(paths), problems


def verify_record(record: Record) -> list[str]:
    """What does not hold in one record that reads well."""
    problems = []
    task, table = record.data["task"], record.predictions
    scores, domains = per_test.score_predictions(task, table)
    problems += _differences("score", record.scores, scores) + _differences("domain score", record.domains, domains)
    columns = [f"s_{k}" for k in range(len(task["classes"]))]
    if (label_kinds.of(task).decided(table[columns].to_numpy()) != table["y_pred"].to_numpy()).any():
        problems.append("y_pred is not what the scores say")
    counted = {split: part["clips"] for split, part in record.data["splits"].items() if split in set(table["split"])}
    if table["split"].value_counts().to_dict() != counted:
        problems.append("the predictions are not one per test clip")
    choices = [record.selection, *record.selection.get("left_out", {}).values()]
    if not all(map(chosen_is_best, choices)) or not same_groups(record.selection):
        problems.append("the hyperparameters are not the best of the recorded candidates")
    averaged = record.spec["protocol"].startswith(AVERAGED) and record.spec["protocol_version"] >= AVERAGED_SINCE
    if not all(shares_follow(choice, averaged) for choice in choices):
        problems.append("the candidates' shares in the probe do not follow from their recorded scores")
    try:
        card = registry.task_card(record.spec["task"])
    except UnknownId:
        return problems  # a task of somebody else's: the record's own copy of the card is all there is
    if card.version == record.spec["task_version"] and per_test.task_facts(card) != task:
        problems.append("its copy of the task's classes, metrics or tests is not the task's")
    return problems


def chosen_is_best(selection: Mapping) -> bool:
    """Whether what was chosen is among the best candidates, of each label where every label has its own."""
    for label in {candidate.get("label") for candidate in selection["path"]}:
        path = [c for c in selection["path"] if c.get("label") == label and c["score"] is not None]
        best = [c for c in path if c["score"] == max(each["score"] for each in path)]
        prefix, asked = "" if label is None else f"{label} ", {c.get("k") for c in path}
        for candidate in best:
            settings = {prefix + n: v for n, v in candidate.items() if n not in ("score", "share", "label")}
            if "k" in candidate and selection["chosen"].get("k") not in asked:  # all rows, where they are fewer than k
                settings["k"] = min(candidate["k"], selection["chosen"].get("k", 0))
            if settings.items() <= selection["chosen"].items():
                break
        else:
            if path:
                return False
    return True


def same_groups(selection: Mapping) -> bool:
    """Whether the probes that predict one left-out group each are said to have chosen what their own records say."""
    if (left_out := selection.get("left_out")) is None:
        return True
    try:  # the text has the probe's order of the names, the record's own file has them sorted
        told = {group: ast.literal_eval(text) for group, text in selection["chosen"].items()}
    except (ValueError, SyntaxError, TypeError):
        return False
    return told == {group: each["chosen"] for group, each in left_out.items()}


def shares_follow(selection: Mapping, averaged: bool = False) -> bool:
    """Whether the shares of averaged candidates are those of their scores, of each label by itself.

    A path without shares is one whose best is taken alone, which a probe that is ``averaged`` never is.
    """
    ends = {(end.get("label"), end["class_weight"]): end["C"] for end in selection.get("path_ends", ())}
    for label in {candidate.get("label") for candidate in selection["path"]}:
        path = [c for c in selection["path"] if c.get("label") == label and c["score"] is not None]
        if not any("share" in candidate for candidate in path):
            if path and averaged:
                return False
            continue
        told = np.array([c.get("share", 0.0) for c in path])
        scores = np.array([c["score"] for c in path])
        unsure = 4 * STORED_TO / WITHIN  # each height may be off by twice the error of a score, and their sum too
        if "alpha" in path[0]:
            unsure /= -scores.max()
            expected = shares_of_errors(-scores, np.array([c["alpha"] for c in path]))
        else:
            solved = [c["C"] <= ends.get((label, c["class_weight"]), np.inf) for c in path]
            known = np.where(solved, scores, np.nan)[:, None]
            expected = shares(known, 1 / np.array([c["C"] for c in path]))[:, 0]
        if np.abs(expected - told).sum() > unsure * len(path) + STORED_TO * len(path):
            return False
    return True


def disagreements(all_records: Sequence[Record]) -> list[str]:
    """Records of one task on one data that differ in what they must share."""
    problems, first = [], {}
    identity = ["clip_id", "group", "domain", "split", "duration_s", "y_true"]
    for record in all_records:
        same = tuple(record.spec[name] for name in ("task", "task_version", "manifest", "state", "excluded"))
        other = first.setdefault(same, record)
        if not record.predictions[identity].equals(other.predictions[identity]):
            problems.append(f"{record.key} and {other.key}: clips, groups, lengths or labels differ on the same data")
        problems += [
            f"{record.key} and {other.key}: {name} differs on the same data"
            for name in FACTS
            if record.data[name] != other.data[name]
        ]
    return problems


def _differences(what: str, stored: object, again: object, at: str = "") -> list[str]:
    """Paths at which two JSON-like values differ; floats may differ in the last stored digit."""
    if isinstance(stored, dict) and isinstance(again, dict):
        out = []
        for name in sorted(stored.keys() | again.keys()):
            out += _differences(what, stored.get(name), again.get(name), f"{at}/{name}")
        return out
    if isinstance(stored, float) and isinstance(again, float):
        return [] if abs(stored - again) <= 2 * 10.0**-records.DECIMALS else [f"{what} {at} is {stored}, not {again}"]
    return [] if stored == again else [f"{what} {at} is {stored!r}, not {again!r}"]
