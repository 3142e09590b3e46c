"""The same sound twice: byte-identical and near-identical recordings, across splits, patients and labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from bench.data.manifest import TRAIN
from bench.data.recordings import Recording
from bench.runs.audit import fingerprint
from bench.runs.audit.sounds import Sound
from bench.scores import label_kinds
from bench.types import Finding, TaskCard

_HALF = 0.5  # of the shorter recording that must be shared for the two to be one recording, not just to share a stretch


def duplicates(
    rows: pd.DataFrame, card: TaskCard, recordings: Mapping[str, Recording], sounds: Mapping[str, Sound]
) -> dict:
    """Finds recordings that share sound, JSON-ready.

    ``compared`` counts recordings; ``identical`` has the sets of recordings with the same samples; ``similar`` has the
    pairs that share a second of sound or more but not every sample. Each says on which sides of the split its
    recordings are, whether they are of one group, and whether their labels agree.
    """
    describe = _Describer(rows, card)
    same = defaultdict(list)
    for path, recording in sorted(recordings.items()):
        if path in describe.by_path and recording.digest:
            same[recording.digest].append(path)
    first = [paths[0] for paths in same.values()]  # one of each set is enough to be fingerprinted
    similar = []
    for match in fingerprint.matches([(sounds[path].words, sounds[path].informative) for path in first]):
        a, b = first[match.a], first[match.b]
        shorter_s = min(recordings[a].duration_s, recordings[b].duration_s)
        whole = match.seconds >= _HALF * shorter_s
        overlap = {
            "seconds": round(match.seconds, 2),
            "at_s": [round(match.a_s, 2), round(match.b_s, 2)],
            "errors": round(match.errors, 3),
            "whole": whole,
        }
        similar.append(describe([a, b], (match.a_s, match.b_s), match.seconds) | overlap)
    return {
        "compared": len(first) + sum(len(paths) - 1 for paths in same.values()),
        "fingerprinted": sum(len(sounds[path].words) > 0 for path in first),
        "identical": [describe(paths) for paths in same.values() if len(paths) > 1],
        "similar": similar,
    }


def findings(facts: Mapping) -> list[Finding]:
    """One for identical, one for whole near-identical recordings and one for shared stretches; one for labels."""
    kinds = (
        ("identical-audio", facts["identical"], "sets of recordings with the same samples"),
        ("similar-audio", [f for f in facts["similar"] if f["whole"]], "pairs of recordings of the same sound"),
        (
            "shared-audio",
            [f for f in facts["similar"] if not f["whole"]],
            "pairs of recordings that share a stretch of sound",
        ),
    )
    out = []
    for code, sets, problem in kinds:
        if not sets:
            continue
        across, groups = sum(s["across"] for s in sets), sum(s["groups"] > 1 for s in sets)
        conflicts = sum(s["labels"] == "differ" for s in sets)
        problem = (
            f"{problem}: {len(sets)}; of these {across} across the split, {groups} of different groups, "
            f"{conflicts} with different labels"
        )
        level = "warning" if across or conflicts or groups else "note"
        first = next((s for s in sets if s["across"]), sets[0])
        remedy = "keep every copy of a recording on one side of the split, and one label for it"
        out.append(
            Finding(level, code, " and ".join(PurePosixPath(path).name for path in first["paths"][:2]), problem, remedy)
        )
    return out


class _Describer:
    """Splits, groups and labels of sets of recordings."""

    def __init__(self, rows: pd.DataFrame, card: TaskCard):
        self.card = card
        self.by_path = dict(list(rows.groupby("path", sort=True)))

    def __call__(self, paths: list[str], at_s: tuple[float, float] | None = None, seconds: float = 0.0) -> dict:
        """JSON-ready. With ``at_s`` and ``seconds`` the labels are those of the clips in the shared stretch."""
        parts = [self.by_path[path] for path in paths]
        splits = [sorted(part["split"].unique().tolist()) for part in parts]
        sides = {split in TRAIN for names in splits for split in names}
        labels = [self._labels(part, at_s[i] if at_s else None, seconds) for i, part in enumerate(parts)]
        return {
            "paths": paths,
            "splits": splits,
            "across": len(sides) > 1,
            "groups": len({group for part in parts for group in part["group"]}),
            "labels": _agreement(labels),
            "annotations": [", ".join(label) or "nothing" for label in labels],
        }

    def _labels(self, part: pd.DataFrame, at_s: float | None, seconds: float) -> list[str]:
        """Spans and labels of a recording's clips.

        Of clips that a stretch touches it is the labels alone, once each, because the stretch need not begin where a
        clip does.
        """
        part = part.sort_values(["start_s", "end_s"], kind="stable")
        if at_s is not None:
            inside = (part["start_s"] < at_s + seconds) & (part["end_s"].fillna(float("inf")) > at_s)
            return sorted({self._name(label) for label in part.loc[inside, "label"]})
        if len(part) == 1 and part["start_s"].iloc[0] == 0:
            return [self._name(part["label"].iloc[0])]
        spans = zip(part["start_s"], part["end_s"], part["label"])
        return [f"{self._name(label)} {start:.2f}–{end:.2f} s" for start, end, label in spans]

    def _name(self, label: float) -> str:
        if self.card.kind == "regression":
            return f"{label:g}"
        of_class, classes = label_kinds.of(self.card).of_class, enumerate(self.card.classes)
        return " + ".join(name for k, name in classes if of_class(np.array([label]), k)[0]) or "none"


def _agreement(labels: list[list[str]]) -> str:
    """``agree``, ``differ``, or ``unknown`` where one of the recordings has no clip in the stretch."""
    if not all(labels):
        return "unknown"
    return "agree" if all(label == labels[0] for label in labels) else "differ"
