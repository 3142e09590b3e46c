"""What is wrong with a task's data, and how far its labels can be predicted without hearing what they are about.

Nothing here knows a corpus by name: leaks, duplicates and shortcuts are found in the manifest and in the audio at hand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from bench.base import registry
from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data import manifest
from bench.data.manifest import Prepared
from bench.data.recordings import keeps_short
from bench.encoders.load import load_encoder
from bench.encoders.pooling import LayerPooling
from bench.runs.audit import resolution
from bench.runs.audit.checks import annotations, duplicates, nuisance, sensitivity, shortcuts, splits
from bench.runs.audit.control_tables import FeatureTable, control_tables, name_parts
from bench.runs.audit.marks import marks
from bench.runs.audit.sounds import Sound, analyse_recordings
from bench.runs.choices import EncoderChoice
from bench.scores import records
from bench.types import Encoder, Finding, Task

ALL, HERE = "all annotated clips", "clips with audio here"


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    ``facts``: every section as JSON-ready values; ``findings``: the loader's, the audio's and the audit's own, errors
    first; ``predictions``: {(clips, row's name): prediction table} behind the control rows.
    """

    task: Task = field(repr=False)
    facts: Mapping = field(repr=False)
    findings: tuple[Finding, ...]
    predictions: Mapping[tuple[str, str], pd.DataFrame] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Asked:
    """An encoder that stands beside the control rows or is asked about, with the embeddings that are ``requested``."""

    encoder: Encoder
    requested: tuple[LayerPooling, ...] = ()


def audit(
    task: str,
    root: Path | str | None = None,
    encoder: str | Encoder | Iterable[EncoderChoice] | None = None,
    *,
    reference: str | None = registry.REFERENCE_ENCODER,
    resamples: int = 1000,
    some: int = sensitivity.SOME,
    on_bad_clip: str = "error",
    progress: Progress = silent,
) -> Audit:
    """Audits a task's data, and an encoder's embeddings of them where one is named.

    A copy without audio, or with some of it, is audited as far as it goes.

    Parameters
    ----------
    task
        The task's id.
    root
        The folder of the data; by default where the recordings are looked for anyway.
    encoder
        An encoder, or its id, or several with their poolings. The first one's own embedding is tested for what it
        reveals besides and stands beside the control rows; all are tried for what rounding and noise of one 16-bit step
        do to them.
    reference
        The encoder that stands beside the control rows and that the resolution is measured with; None leaves both out.
    resamples
        Draws of groups behind each interval.
    some
        Clips on which an encoder's sensitivity to rounding is tried where all would take long.
    on_bad_clip
        As of ``bench.evaluate``, so that the audit speaks of the same data. Unusable clips are listed and left out
        under each choice; under ``keep-short``, short recordings are usable.
    progress
        Told of recordings, encodings and probes.

    Raises
    ------
    UnknownId
        For a task or encoder that is not registered, and for another value of ``on_bad_clip``.
    BadInput
        Where there is no copy of the data, or no usable clip in it.
    CheckpointError
        Where the encoder's weights cannot be used.
    """
    keep_short = keeps_short(on_bad_clip)
    loaded = manifest.load_task(task, root)
    missing = [name for name in manifest.COLUMNS if name not in loaded.manifest]
    if missing:
        raise BadInput(task, f"its manifest lacks the columns {', '.join(missing)}", f"see `respbench check {task}`")
    card, asked = loaded.card, _asked(encoder)
    here, problems = _here(loaded, keep_short, progress)
    sounds = analyse_recordings(loaded.root, here.recordings, progress)
    everything = manifest.usable(_with_ends(loaded.manifest, here.rows), [*loaded.findings, *problems])
    if everything.empty:
        first = next(finding for finding in [*loaded.findings, *problems] if finding.level == "error")
        problem = f"none of its clips is usable; the first fault: {first.where}: {first.problem}"
        raise BadInput(task, problem, f"{first.remedy} (respbench check {task} lists all)")
    shown = _shown(here, asked, reference)
    beside = [shortcuts.encoder_table(one.encoder, here, "encoder", progress, one.requested) for one in shown]

    odd = annotations.irregularities(everything, here.recordings, sounds, [*loaded.findings, *problems])
    twice = duplicates.duplicates(here.rows, card, here.recordings, sounds)
    controls = _controls(loaded, everything, here, sounds, progress)
    probed = {
        clips: shortcuts.probed([*controls[clips], *(beside if clips != ALL else ())], rows, card, resamples, progress)
        for clips, rows in ((ALL, everything), (HERE, here.rows))
        if clips in controls
    }
    clips, rows = (HERE, here.rows) if HERE in probed else (ALL, everything)
    resolved = resolution.resolution(probed[clips], rows, card, beside, resamples)
    revealed, moved = {}, []
    if asked and beside:
        revealed = {beside[0].name: nuisance.nuisance(beside[0].features, here.rows, card)}
        known = {row["name"]: row["probes"] for row in probed.get(HERE, ()) if row["source"] == "encoder"}
        for one in asked:
            probes = known.get(shortcuts.table_name(one.encoder))
            fitted = {shortcuts.default_embedding(one.encoder): probes} if probes else {}
            moved += sensitivity.sensitivity(
                one.encoder,
                here,
                card,
                one.requested,
                fitted=fitted,
                some=some,
                resamples=resamples,
                progress=progress,
            )

    own = [
        *splits.findings(everything, card),
        *duplicates.findings(twice),
        *annotations.findings(odd, bool(everything["path"].duplicated().any())),
        *shortcuts.findings([row for rows in probed.values() for row in rows if row["source"] != "encoder"], card),
        *(finding for id, rows in revealed.items() for finding in nuisance.findings(rows, id)),
        *sensitivity.findings(moved, card),
    ]
    order = {"error": 0, "warning": 1, "note": 2}
    findings = tuple(sorted([*loaded.findings, *problems, *own], key=lambda finding: order[finding.level]))
    facts = {
        "task": card.id,
        "version": card.version,
        "state": loaded.state,
        "digest": here.digest if len(here.rows) else manifest.digest(everything),
        "on_bad_clip": on_bad_clip,
        "tests": {name: list(members) for name, members in card.tests.items()},
        "splits": splits.balance(everything, card),
        "shared": splits.shared_groups(everything, card),
        "domains": splits.domains(everything),
        "annotations": odd,
        "duplicates": twice,
        "file_name": name_parts(everything["path"].iloc[0]) if len(everything) else [],
        "shortcuts": {clips: [_json(row) for row in rows] for clips, rows in probed.items()},
        "nuisance": revealed,
        "sensitivity": moved,
        "resolution": resolved,
        "findings": [dataclasses.asdict(f) | {"clips": len(f.clips)} for f in findings],
    }
    facts["marks"] = marks(facts, card)
    kept = {
        (clips, row["name"]): row["predictions"]
        for clips, rows in probed.items()
        for row in rows
        if row["predictions"] is not None
    }
    return Audit(loaded, facts, findings, kept)


def _here(task: Task, keep_short: bool, progress: Progress) -> tuple[Prepared, list[Finding]]:
    """The clips with sound audio, and what is wrong with the others. Unlike ``manifest.prepare`` it refuses nothing."""
    rows, recordings, problems = manifest.inspect_clips(task, progress, keep_short)
    rows = manifest.usable(rows, [*task.findings, *problems])
    held = {path: recordings[path] for path in rows["path"].unique()}
    incomplete = len(rows) < len(task.manifest)
    identity = manifest.digest(rows, held)
    errors = tuple(finding for finding in problems if finding.level == "error")
    prepared = Prepared(
        rows, errors, identity, manifest.statistics(rows, task.card), held, incomplete, task.state, task.root
    )
    return prepared, problems


def _with_ends(rows: pd.DataFrame, here: pd.DataFrame) -> pd.DataFrame:
    """All clips, with ends taken from their audio."""
    ends = rows["clip_id"].map(dict(zip(here["clip_id"], here["end_s"])))
    return rows.assign(end_s=ends.where(ends.notna(), pd.to_numeric(rows["end_s"])).astype(float))


def _asked(encoder: str | Encoder | Iterable[EncoderChoice] | None) -> list[Asked]:
    """The encoders to audit, loaded. Raises ``BadInput`` for one that is named twice."""
    if encoder is None:
        return []
    if isinstance(encoder, str):
        encoder = [EncoderChoice.parse(encoder)]
    elif not isinstance(encoder, Iterable):
        return [Asked(encoder, (shortcuts.default_embedding(encoder),))]
    out: dict[str, Asked] = {}
    for choice in encoder:
        if choice.id in out:
            problem = "is named twice"
            raise BadInput(f"encoder {choice.id}", problem, f"name its poolings together: {choice.id}:POOLING,POOLING")
        loaded = choice.load()
        out[choice.id] = Asked(loaded, tuple(choice.requested(loaded.card)))
    return list(out.values())


def _shown(here: Prepared, asked: list[Asked], reference: str | None) -> list[Asked]:
    """The encoders that stand beside the control rows: the first one asked about, and the reference."""
    if here.rows.empty:
        return []
    of_reference = [one for one in asked if one.encoder.card.id == reference]
    if reference is not None and not of_reference:
        of_reference = [Asked(load_encoder(reference))]
    return list({one.encoder.card.id: one for one in (*asked[:1], *of_reference)}.values())


def _controls(
    task: Task, everything: pd.DataFrame, here: Prepared, sounds: Mapping[str, Sound], progress: Progress
) -> dict[str, list[FeatureTable]]:
    """The control tables by the clips that they cover.

    These are all that are annotated, from annotations alone, unless all of them have audio, and those with audio.
    """
    out = {}
    if len(here.rows) < len(everything):
        out[ALL] = control_tables(everything, {}, {}, task.card.domain)
    if len(here.rows):
        encoders = [load_encoder(id) for id in registry.AUDITED_CONTROLS]
        out[HERE] = control_tables(here.rows, here.recordings, sounds, task.card.domain)
        out[HERE] += [shortcuts.encoder_table(one, here, "audio", progress) for one in encoders]
    return out


def _json(row: Mapping) -> dict:
    """A probed row without what is not JSON."""
    plain = {name: row[name] for name in ("name", "source", "columns", "direction")}
    scored = {
        test: {name: records.score_json(score) for name, score in scores.items()}
        for test, scores in row["tests"].items()
    }
    return plain | {"tests": scored}
