"""Recomputes everything in a results folder from its predictions, and says what does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, RespBenchError, UnknownId
from bench.base.progress import Progress, silent
from bench.reports.finetune import report as finetune_report
from bench.reports.leaderboard import files
from bench.reports.sweep import report as sweep_report
from bench.runs.context import SweepNotes
from bench.scores import label_kinds, per_test, records
from bench.scores.schema import Record

FACTS = ("task", "state", "splits", "groups_in_train", "incomplete", "excluded")  # alike in all records of one data


def verify(folder: Path, progress: Progress = silent) -> tuple[int, list[str]]:
    """(number of records, what does not hold, one line each).

    Held against the predictions: every key, digest, score, interval and domain. Held against each other: records of
    one task on one data must agree on the clips, their labels, groups and lengths, and on what the data was. Held
    against the records and the audits beside them: every file of the board, and of the reports of a sweep and of
    fine-tuning. That the predictions themselves are honest, no recomputation can show; their makers' commands are in
    the board. Raises ``BadInput`` where the folder holds no record.
    """
    problems: list[str] = []
    found: list[Record] = []
    listed = list(records.paths(folder))
    if not listed:
        raise BadInput(folder, "no records below this folder", "make some with `respbench run --out FOLDER`")
    with progress("verify", len(listed)) as tick:
        for path in listed:
            try:
                record = records.read(path)
                problems += [f"{path}: {problem}" for problem in verify_record(record)]
                found.append(record)
            except RespBenchError as error:
                problems.append(str(error))
            tick(1)
    problems += _disagreements(found)
    if not problems and (folder / SweepNotes.FILE).exists():
        problems += sweep_report.stale(folder)
    if not problems and (folder / finetune_report.FOLDER / finetune_report.FILES[0]).exists():
        problems += finetune_report.stale(folder)
    return len(listed), problems + ([] if problems else _verify_board(found, folder))


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
    if not _chosen_is_best(record.selection):
        problems.append("the hyperparameters are not the best of the recorded candidates")
    try:
        card = registry.task_card(record.spec["task"])
    except UnknownId:
        return problems  # a task of somebody else's: the record's own copy of the card is all there is
    if card.version == record.spec["task_version"] and per_test.task_facts(card) != task:
        problems.append("its copy of the task's classes, metrics or tests is not the task's")
    return problems


def _chosen_is_best(selection: Mapping) -> bool:
    """Whether what was chosen is among the best candidates, of each label where every label has its own."""
    for label in {candidate.get("label") for candidate in selection["path"]}:
        path = [c for c in selection["path"] if c.get("label") == label and c["score"] is not None]
        best = [c for c in path if c["score"] == max(each["score"] for each in path)]
        prefix = "" if label is None else f"{label} "
        named = [{prefix + n: v for n, v in c.items() if n not in ("score", "label")} for c in best]
        if path and not any(candidate.items() <= selection["chosen"].items() for candidate in named):
            return False
    return True


def _disagreements(found: Sequence[Record]) -> list[str]:
    """Records of one task on one data that differ in what they must share."""
    problems, first = [], {}
    identity = ["clip_id", "group", "domain", "split", "duration_s", "y_true"]
    for record in found:
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


def _verify_board(found: list[Record], folder: Path) -> list[str]:
    """Holds the board's files, where there are any, against the records."""
    on_disk = {p.relative_to(folder).as_posix() for p in files.files(folder)}
    if not on_disk:
        return []
    try:
        again = files.rendered(found, folder)
    except BadInput as error:
        return [str(error)]
    remedy = f"write the board again with `respbench leaderboard {folder}`"
    stale = [name for name, text in again.items() if name not in on_disk or (folder / name).read_text() != text]
    return [f"{folder / name}: not what the records give; {remedy}" for name in stale] + [
        f"{folder / name}: no record gives this page; delete it" for name in sorted(on_disk - again.keys())
    ]
