"""Irregular beginnings and ends of clips, and irregular sound between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from bench.data.recordings import Recording
from bench.runs.audit.sounds import STUCK_S, Sound
from bench.types import Finding

SHORT_S, LONG_S = 0.2, 10.0
TOUCH_S = 0.002  # annotations are rounded to milliseconds: less is neither a gap nor an overlap
STUCK_SHARE = 0.5  # of a clip that does not move at all
CLIPPED_SHARE = 0.01  # of a recording's samples at full scale
_CODES = ("unsorted", "past-end", "empty-clip", "annotation", "duplicate-annotation", "no-annotation")
_EXAMPLES = 3


def irregularities(
    rows: pd.DataFrame, recordings: Mapping[str, Recording], sounds: Mapping[str, Sound], reported: Sequence[Finding]
) -> dict:
    """Counts irregular clips and recordings, with examples, JSON-ready.

    Parameters
    ----------
    rows
        The manifest; ends (seconds) may be missing.
    recordings
        {path: the recording's header}.
    sounds
        {path: what its samples look like}; empty without audio.
    reported
        The findings of the loader and of decoding, which know what no manifest shows: the order of the source's file
        and ends past the sound.
    """
    known = rows[rows["end_s"].notna()]
    length_s = (known["end_s"] - known["start_s"]).to_numpy()
    facts = {
        "clips": len(rows),
        "with_end": len(known),
        "duration_s": _quantiles(length_s),
        "short": _listed(known, length_s < SHORT_S - 1e-6),
        "long": _listed(known, length_s > LONG_S + 1e-6),
        **_neighbours(known),
        "coverage": _coverage(known, recordings),
        "reported": {
            code: {"findings": len(of), "clips": sum(len(f.clips) for f in of), "first": str(of[0])}
            for code in _CODES
            if (of := [finding for finding in reported if finding.code == code])
        },
    }
    return facts | (_signal(known, sounds) if sounds else {})


def findings(facts: Mapping, segments: bool) -> list[Finding]:
    """The findings among these facts. ``segments``: clips are parts of recordings, so that a long one is irregular."""
    lengths = facts["duration_s"]
    candidates = [
        ("overlapping", facts["overlaps"], "clips that overlap an earlier one", "the same sound carries two labels"),
        ("same-span", facts["same_span"], "clips with the very span of another", "keep one of each"),
        ("short-clips", facts["short"], f"clips shorter than {SHORT_S} s", f"the shortest: {lengths.get('min')} s"),
    ]
    if segments:
        remedy = f"the longest: {lengths.get('max')} s"
        candidates.append(("long-clips", facts["long"], f"clips longer than {LONG_S:g} s", remedy))
    if "stuck" in facts:
        remedy = (
            f"the signal stands still for {STUCK_S} s or more at a time; listen to them before trusting their label"
        )
        candidates += [
            (
                "silent-clips",
                facts["silent"],
                "clips that are digital silence for half of their length or more",
                remedy,
            ),
            (
                "stuck-clips",
                facts["stuck"],
                "clips that are stuck at another value for half of their length or more",
                remedy,
            ),
            (
                "clipped",
                facts["clipped"],
                f"recordings with {CLIPPED_SHARE:.0%} or more of their samples at full scale",
                "",
            ),
        ]
    return [
        Finding("warning", code, listed["examples"][0], f"{problem}: {listed['count']}", remedy)
        for code, listed, problem, remedy in candidates
        if listed["count"]
    ]


def _neighbours(known: pd.DataFrame) -> dict:
    """Overlaps, equal spans and gaps between clips of one recording, taken by their starts."""
    rows = known.sort_values(["path", "start_s", "end_s"], kind="stable")
    within = (rows["path"] == rows["path"].shift()).to_numpy()
    before = rows.groupby("path")["end_s"].cummax().shift().to_numpy()
    apart_s = np.where(within, rows["start_s"].to_numpy() - before, np.nan)
    same = rows.duplicated(["path", "start_s", "end_s"]).to_numpy()
    gaps = apart_s[apart_s > TOUCH_S]
    return {
        "overlaps": _listed(rows, (apart_s < -TOUCH_S) & ~same)
        | {"most_s": round(float(-np.nanmin(apart_s, initial=0.0)), 3)},
        "same_span": _listed(rows, same),
        "gaps": {"count": len(gaps), "neighbours": int(within.sum()), "seconds": _quantiles(gaps)},
    }


def _coverage(known: pd.DataFrame, recordings: Mapping[str, Recording]) -> dict:
    """Share of each recording that its clips cover, over the recordings with sound."""
    have = known[known["path"].isin([path for path, recording in recordings.items() if recording.frames])]
    if have.empty:
        return {}
    have = have.sort_values(["path", "start_s"], kind="stable")
    reached = have.groupby("path")["end_s"].cummax().groupby(have["path"]).shift(fill_value=0.0)
    fresh_s = (have["end_s"] - np.maximum(have["start_s"], reached)).clip(lower=0)
    covered_s = fresh_s.groupby(have["path"]).sum()
    return _quantiles(np.array([seconds / recordings[path].duration_s for path, seconds in covered_s.items()]))


def _signal(known: pd.DataFrame, sounds: Mapping[str, Sound]) -> dict:
    """Clips whose signal stands still, and recordings that were driven too hard."""
    have = known[known["path"].isin(sounds)]
    still = np.array(
        [
            [sounds[path].stuck_s(start, end, silence) / (end - start) for silence in (True, False)]
            for path, start, end in zip(have["path"], have["start_s"], have["end_s"])
        ]
    ).reshape(-1, 2)
    paths = sorted(sounds)
    shares = np.array([sounds[path].clipped for path in paths])
    return {
        "silent": _listed(have, still[:, 0] >= STUCK_SHARE),
        "stuck": _listed(have, still[:, 1] >= STUCK_SHARE),
        "clipped": _listed(
            pd.DataFrame({"clip_id": [PurePosixPath(path).name for path in paths], "split": ""}),
            shares >= CLIPPED_SHARE,
        ),
    }


def _listed(rows: pd.DataFrame, mask: np.ndarray) -> dict:
    """How many, in which splits, and the first few."""
    part = rows[np.asarray(mask, bool)]
    by_split = {str(split): int(n) for split, n in part["split"].value_counts().sort_index().items() if split}
    return {"count": len(part), "splits": by_split, "examples": part["clip_id"].astype(str).head(_EXAMPLES).tolist()}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    names = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(float(np.quantile(values, q)), 3) for name, q in names.items()}
