"""The table of clips: what it must hold, what is wrong with it, its statistics and its identity.

A manifest is a DataFrame with one row per clip, sorted by the unique ``clip_id``:

=============  ========================================================================================
``clip_id``    unique name, stable across copies of the corpus
``path``       recording, relative to the task's root, with forward slashes
``start_s``    first second of the clip within its recording
``end_s``      last second; NaN: to the end of the recording
``label``      what the task's kind says (``bench.scores.label_kinds``): class index, sum of 2^k, or value
``split``      ``train``, ``val``, ``test`` or ``test_<name>``
``group``      whom the clip is from; resampled and kept on one side of a split as a whole
``domain``     device or site
``available``  whether the recording's audio is in this copy
``meta_*``     anything else
=============  ========================================================================================
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.base import paths, registry
from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.base.tables import spellings
from bench.data import recordings as look
from bench.data.recordings import END_TOLERANCE_S, SHORT, Recording, and_more, fault, keeps_short, unusable
from bench.scores import label_kinds
from bench.types import Finding, Task, TaskCard

OPTIONAL = ("meta_sex", "meta_age_group")  # told by files that a copy may lack: no part of the data's identity
COLUMNS = ("clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available")
TRAIN = ("train", "val")

_REASONS = 3  # that are given where every clip is bad
_SPLIT = re.compile(r"train|val|test(_\w+)?")
# What no exclusion of clips can mend.
_STRUCTURAL = frozenset({"missing-column", "duplicate-clip", "group-leak", "counts", "split-file", "card"})


@dataclass(frozen=True)
class Prepared:
    """Clips that can be computed on.

    ``rows``: the manifest's available, sound rows in its order, every ``end_s`` filled in. ``excluded``: the errors
    whose clips were left out. ``incomplete``: clips of the task are missing, because the copy is a subset or because
    clips were excluded. ``recordings`` is keyed by ``path``. ``warnings``: what is odd about recordings that are used;
    those that are shorter than their headers promise are among them where they were accepted.
    """

    rows: pd.DataFrame = field(repr=False, compare=False)
    excluded: tuple[Finding, ...]
    digest: str
    statistics: Mapping[str, Mapping[str, int]]
    recordings: Mapping[str, Recording] = field(repr=False, compare=False)
    incomplete: bool
    state: str
    root: Path
    warnings: tuple[Finding, ...] = ()

    @property
    def short(self) -> tuple[str, ...]:
        """The recordings that were accepted although their headers promise more, one finding each."""
        return tuple(str(finding) for finding in self.warnings if finding.code == SHORT)


def load_task(id: str, root: Path | str | None = None) -> Task:
    """Reads a task's manifest from a copy of its data. No sound file is opened.

    Parameters
    ----------
    id
        Of a task, with a variant or without: ``icbhi.cycles4@fold0``.
    root
        The folder that holds the corpora; None: the data folder (``bench.base.paths.data_root``), unless the task's
        family says where its data lie.

    Returns
    -------
    Task
        Card, manifest (sorted by ``clip_id``), state of the copy, and every finding.

    Raises
    ------
    UnknownId
        For an unknown task or variant.
    BadInput
        Where the corpus is not there.
    """
    card = registry.task_card(id)
    family = registry.family(registry.TASKS, card.id)
    root = Path(root) if root is not None else paths.data_root()
    root = family.root(card, root) if hasattr(family, "root") else root
    if root is None or not root.is_dir():
        source = f"{card.id} is at {card.url} ({card.licence})"
        remedy = f"set RESPBENCH_DATA to the folder that holds the corpora; {source}"
        raise BadInput(root or "RESPBENCH_DATA", "there is no data folder", remedy)
    findings: list[Finding] = []
    frame = family.manifest(card, root, findings)
    simulated = any(finding.code == "simulated" for finding in findings)
    if frame.empty:
        raise BadInput(root, f"holds no recording of {id}", f"it comes from {card.url} ({card.licence})")
    findings += validate(frame, replace(card, counts={}) if simulated else card)
    frame = _canonical(frame, label_kinds.of(card).integer)
    whole = bool(frame["available"].all()) if "available" in frame else True
    if simulated:
        state = "simulated" if whole else "simulated subset"
    else:
        state = "subset" if _is_subset(frame, card) else "complete"
    return Task(card, frame, root, tuple(findings), state)


def _canonical(frame: pd.DataFrame, integer: bool) -> pd.DataFrame:
    """The manifest sorted by clip, its ids and names as text, so that a loader may give numbers or None.

    A group in several spellings has one of them throughout.
    """
    if not set(COLUMNS) <= set(frame):
        return frame
    text = {name: frame[name].astype(str) for name in ("clip_id", "path", "split", "group")}
    text["group"] = text["group"].map(spellings.unified(text["group"]))
    domain = frame["domain"].astype(object).where(frame["domain"].notna() & (frame["domain"] != ""), "unknown")
    label = pd.to_numeric(frame["label"], errors="coerce")
    whole = label.fillna(-1).astype(int) if integer and (label.fillna(-1) % 1 == 0).all() else label
    frame = frame.assign(**text, domain=domain.astype(str), label=whole, available=frame["available"].astype(bool))
    return frame.sort_values("clip_id", kind="stable", ignore_index=True)


def validate(frame: pd.DataFrame, card: TaskCard) -> list[Finding]:
    """What contradicts the card or the manifest's own rules.

    Counts are compared for the splits whose recordings are all annotated in this copy.
    """
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        problem = f"the manifest lacks the columns {', '.join(missing)}"
        return [fault("missing-column", card.id, problem, f"its manifest() must return {', '.join(COLUMNS)}")]
    return [*_bad_card(frame, card), *_bad_rows(frame, card), *_leaks(frame, card), *_wrong_counts(frame, card)]


def _bad_card(frame: pd.DataFrame, card: TaskCard) -> list[Finding]:
    """Errors for metrics that do not exist and for tests without a clip, a note for clips that no test scores."""
    from bench.scores.metrics import METRICS

    findings = []
    for name in sorted({card.main_metric, *card.metrics} - set(METRICS)):
        findings.append(fault("card", card.id, f"its card names the metric {name!r}", f"known: {', '.join(METRICS)}"))
    if card.main_metric not in card.metrics:
        remedy = "name it among the metrics too"
        findings.append(fault("card", card.id, f"main metric {card.main_metric} is not among its metrics", remedy))
    splits = set(frame["split"].astype(str))
    scored = {split for members in card.tests.values() for split in members}
    if any(_SPLIT.fullmatch(s) for s in splits - set(TRAIN)) and not splits & scored:
        listed = ", ".join(sorted(splits))
        findings.append(fault("card", card.id, f"no clip is in a test; splits: {listed}", "mend the card's tests"))
    if spare := sorted(s for s in splits - scored - set(TRAIN) if _SPLIT.fullmatch(s)):
        clips = frame.loc[frame["split"].isin(spare), "clip_id"]
        problem = f"{len(clips)} clips of {', '.join(spare)} belong to no test"
        findings.append(Finding("warning", "no-test", card.id, problem, "they are predicted but never scored"))
    return findings


def statistics(frame: pd.DataFrame, card: TaskCard) -> dict[str, dict[str, int]]:
    """{split: recordings, patients, clips, and the number of clips of each class}."""
    return {str(split): counts(part, card) for split, part in frame.groupby("split", sort=True)}


def counts(part: pd.DataFrame, card: TaskCard) -> dict[str, int]:
    """Recordings, patients, clips, and clips of each class, of all rows together."""
    totals = {"recordings": part["path"].nunique(), "patients": part["group"].nunique(), "clips": len(part)}
    return totals | label_kinds.of(card).counts(part["label"].to_numpy(), card.classes)


def digest(frame: pd.DataFrame, recordings: Mapping[str, Recording] | None = None) -> str:
    """Identity of the data: SHA-256 of the clips' annotations and of the audio behind them.

    It depends neither on where the copy lies nor on the files' format. Without the audio of every clip it covers the
    annotations alone and starts with ``annotations:``.
    """
    audio_digests = [recordings[path].digest if recordings and path in recordings else "" for path in frame["path"]]
    with_audio = len(frame) > 0 and all(audio_digests)
    columns = [name for name in COLUMNS if name not in ("path", "available")]
    columns += sorted(name for name in map(str, frame) if name not in (*COLUMNS, *OPTIONAL))
    table = frame.sort_values("clip_id", kind="stable")[columns]
    if with_audio:
        table = table.assign(audio=pd.Series(audio_digests, index=frame.index, dtype=object))
    text = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return ("" if with_audio else "annotations:") + hashlib.sha256(text.encode()).hexdigest()


def prepare(task: Task, on_bad_clip: str = "error", progress: Progress = silent) -> Prepared:
    """The task's available clips after a look at every recording.

    Parameters
    ----------
    task
        As loaded by ``load_task``.
    on_bad_clip
        ``error``: any error-level finding raises one ``BadInput`` that names the first. ``exclude``: the clips
        concerned are left out and listed. ``keep-short``: as ``error``, but recordings that hold fewer samples than
        their headers promise are taken as long as they are, and listed.
    progress
        Shows how many recordings have been looked at.

    Raises
    ------
    BadInput
        For errors, for what excluding clips cannot mend (a patient on both sides of a split, say), and where no clip
        has usable audio.
    UnknownId
        For another value of ``on_bad_clip``.
    """
    keep_short = keeps_short(on_bad_clip)
    errors = [finding for finding in task.findings if finding.level == "error"]
    structural = [finding for finding in errors if finding.code in _STRUCTURAL]
    if structural:
        raise _refusal(task, structural, "")
    rows, recordings, audio_findings = inspect_clips(task, progress, keep_short)
    errors += [finding for finding in audio_findings if finding.level == "error"]
    if errors and on_bad_clip != "exclude":
        raise _refusal(task, errors, "; or pass --on-bad-clip=exclude")
    at_hand, rows = len(rows), usable(rows, errors)
    if rows.empty and at_hand:
        raise _all_bad(task, at_hand, errors)
    if rows.empty:
        remedy = f"get the audio from {task.card.url} ({task.card.licence}) into {task.root}"
        raise BadInput(task.card.id, "no clip has usable audio in this copy", remedy)
    return Prepared(
        rows=rows,
        excluded=tuple(errors),
        digest=digest(rows, recordings),
        statistics=statistics(rows, task.card),
        recordings={path: recordings[path] for path in rows["path"].unique()},
        incomplete="subset" in task.state or bool(errors),
        state=task.state,
        root=task.root,
        warnings=tuple(finding for finding in audio_findings if finding.level == "warning"),
    )


def inspect_clips(
    task: Task, progress: Progress = silent, keep_short: bool = False
) -> tuple[pd.DataFrame, dict[str, Recording], list[Finding]]:
    """Looks at every recording of a task whose audio is available.

    Parameters
    ----------
    task
        As loaded by ``load_task``.
    progress
        Shows how many recordings have been looked at.
    keep_short
        Whether recordings that hold fewer samples than their headers promise are usable.

    Returns
    -------
    rows : pd.DataFrame
        The available rows of the manifest, ``end_s`` filled in.
    recordings : dict
        {path: recording}.
    findings : list of Finding
        One error per recording, or per kind of error within one, that makes clips unusable; one warning per kind of
        oddity in recordings, or in clips alone, that are usable all the same, and per short recording that is accepted.
    """
    rows = task.manifest[task.manifest["available"].astype(bool)].reset_index(drop=True)
    by_path = {str(path): part for path, part in rows.groupby("path", sort=True).indices.items()}
    starts, ends = rows["start_s"].to_numpy(float), rows["end_s"].to_numpy(float, copy=True)
    seconds = {path: list(zip(starts[index], ends[index])) for path, index in by_path.items()}
    recordings = look.inspect(task.root, by_path, progress, seconds)
    findings = []
    for path, index in by_path.items():
        recording, ids = recordings[path], rows["clip_id"].to_numpy()[index]
        if recording.problem:
            findings.append(unusable(path, recording, ids, keep_short))
            if findings[-1].level == "error":
                continue
        length_s = recording.duration_s
        stops = np.where(np.isnan(ends[index]), length_s, ends[index])
        ends[index] = np.where(stops > length_s + END_TOLERANCE_S, stops, np.minimum(stops, length_s))
        findings += look.clip_faults(path, recording, ids, starts[index], ends[index])
    rows = rows.assign(end_s=ends)
    used = usable(rows, [*task.findings, *findings])
    clips = zip(*(used[name] for name in ("path", "clip_id", "start_s", "end_s")))
    return rows, recordings, [*findings, *look.oddities(recordings, clips)]


def usable(rows: pd.DataFrame, findings: list[Finding]) -> pd.DataFrame:
    """The rows whose clips no error-level finding names."""
    bad = {clip for finding in findings if finding.level == "error" for clip in finding.clips}
    return rows[~rows["clip_id"].isin(bad)].reset_index(drop=True)


def _bad_rows(frame: pd.DataFrame, card: TaskCard) -> list[Finding]:
    """One error per rule that single rows break."""
    label = pd.to_numeric(frame["label"], errors="coerce")
    start, end = pd.to_numeric(frame["start_s"], errors="coerce"), pd.to_numeric(frame["end_s"], errors="coerce")
    group = frame["group"].astype("string").fillna("").str.strip()
    split = frame["split"].astype("string").fillna("")
    inside = ~frame["path"].astype(str).str.contains(r"^(?:/|[A-Za-z]:)|(?:^|/)\.\.(?:/|$)")
    classes = f"is {card.kind} with {len(card.classes)} classes: {', '.join(card.classes)}"
    valid = label_kinds.of(card).valid(label.to_numpy(), card.classes)
    rules = (
        ("duplicate-clip", frame["clip_id"].duplicated(), "clip id twice", "clip ids must be unique"),
        ("unknown-label", pd.Series(~valid), "unknown label", f"{card.id} {classes}"),
        ("empty-clip", end <= start, "end not after its start", "mend the annotation"),
        ("bad-path", ~inside, "path outside the data folder", "give it relative to the root"),
        ("bad-start", ~(start >= 0), "start missing or negative", "mend the annotation"),
        ("unknown-split", ~split.str.fullmatch(_SPLIT.pattern), "unknown split", "use train, val, test or test_<name>"),
        ("missing-group", group == "", f"no {card.group}", f"every clip needs its {card.group}"),
    )
    findings = []
    for code, mask, problem, remedy in rules:
        bad = frame[mask.to_numpy(bool)]
        if len(bad):
            first = f"{problem} ({bad['clip_id'].iloc[0]})"
            findings.append(fault(code, str(bad["path"].iloc[0]), and_more(first, len(bad)), remedy, bad["clip_id"]))
    return findings


def _leaks(frame: pd.DataFrame, card: TaskCard) -> list[Finding]:
    """Groups on both sides of a split that the card does not name, and groups in several spellings."""
    frame = frame[frame["group"].notna() & (frame["group"].astype(str).str.strip() != "")]
    groups, findings, crossing = frame["group"].astype(str), [], set()
    train = set(groups[frame["split"].isin(TRAIN)]) - set(card.known_overlap)
    official = f"the official split files of {card.url} do"
    own_table = f"in the table, give all lines of a {card.group} one split, or leave the column split out"
    remedy = f"keep every {card.group} on one side; {official if card.url.startswith('http') else own_table}"
    for split in sorted({str(name) for name in frame["split"]} - set(TRAIN) - set(card.within_patient)):
        own = set(groups[frame["split"] == split]) - set(card.known_overlap)
        respelt = spellings.between(train, own)
        crossing |= {name for pair in respelt for name in pair}
        problems = {
            f"{card.group} {spellings.some(sorted(train & own))} in train and in {split}": train & own,
            f"{card.group} in train and in {split}, in two spellings: {spellings.shown(respelt)}": {
                b for _, b in respelt
            },
        }
        for problem, names in problems.items():
            if names:
                first = frame.loc[(frame["split"] == split) & groups.isin(names), "path"].iloc[0]
                findings.append(fault("group-leak", str(first), problem, remedy))
    if several := [names for names in spellings.alike(groups) if not crossing & set(names)]:
        problem = f"one {card.group} in several spellings: {spellings.shown(several)}"
        remedy = f"it counts as one {card.group}, by the first; two must differ in more than {spellings.WAYS}"
        first = frame.loc[groups.isin(several[0]), "path"].iloc[0]
        findings.append(Finding("warning", "group-spellings", str(first), problem, remedy))
    return findings


def _wrong_counts(frame: pd.DataFrame, card: TaskCard) -> list[Finding]:
    findings = []
    have = statistics(frame, card)
    for split, expected in card.counts.items():
        counted = have.get(split, {})
        if counted.get("recordings", 0) < expected.get("recordings", 0):
            continue  # a partial copy: the state says so
        wrong = [f"{name} {counted[name]} instead of {n}" for name, n in expected.items() if counted.get(name) != n]
        if wrong:
            problem = f"{split} differs from the published corpus: {', '.join(wrong)}"
            remedy = f"get the release that {card.id} version {card.version} is defined on from {card.url}"
            findings.append(fault("counts", card.id, problem, remedy))
    return findings


def _is_subset(frame: pd.DataFrame, card: TaskCard) -> bool:
    if not {"available", "split", "path"} <= set(frame):
        return True
    recordings = frame.groupby("split")["path"].nunique()
    short = any(recordings.get(split, 0) < n.get("recordings", 0) for split, n in card.counts.items())
    return short or not frame["available"].all()


def _refusal(task: Task, errors: list[Finding], choice: str) -> BadInput:
    first, others = errors[0], len(errors) - 1
    more = f"; and {others} more (respbench check {task.card.id} lists them)" if others else ""
    return BadInput(first.where, first.problem, f"{first.remedy}{more}{choice}")


def _all_bad(task: Task, total: int, errors: list[Finding]) -> BadInput:
    """What is said where excluding clips leaves none: the first reasons, each with what to do."""
    reasons = [f"{each.where}: {each.problem} ({each.remedy})" for each in errors if each.clips]
    more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
    first = "; ".join(reasons[:_REASONS])
    problem = f"all {total} clips whose audio is at hand are bad, so that excluding them leaves none: {first}{more}"
    return BadInput(task.card.id, problem, f"mend them; respbench check {task.card.id} lists them all")
