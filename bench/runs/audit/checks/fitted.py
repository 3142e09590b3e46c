"""The probe of a task, fitted on the features of its training clips and asked about those that it is tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.data.manifest import TRAIN
from bench.probe import protocols
from bench.scores import label_kinds, records
from bench.types import TaskCard

PROTOCOL = "linear"


class FittedProbes:
    """A task's probe, chosen and fitted on given features; several where one group is left out in turn.

    Parameters
    ----------
    features : np.ndarray of shape (N, D)
        Of the rows.
    rows : pandas.DataFrame
        The manifest of the N clips.
    card : TaskCard
        The task's card.
    protocol : str
        Names the probe.
    seed : int
        Of the folds.

    Attributes
    ----------
    chosen : list of dict
        What each probe chose, as words.
    shares : list of dict
        {candidate: its share} of each probe; the candidate that it chose, where it is the mean of none.
    predicted : pandas.DataFrame
        ``answers`` to the features that it was given.
    """

    def __init__(
        self, features: np.ndarray, rows: pd.DataFrame, card: TaskCard, protocol: str = PROTOCOL, seed: int = 0
    ):
        self.features, self.rows, self.card = features, rows, card
        labels, groups = rows["label"].to_numpy(), rows["group"].to_numpy(str)
        if card.leave_one_out:
            self.held = [groups == group for group in sorted(set(groups))]
        else:
            self.held = [~rows["split"].isin(TRAIN).to_numpy()]
        self.fitted = [protocols.probe(protocols.get(protocol), card, seed) for _ in self.held]
        for probe, held in zip(self.fitted, self.held, strict=True):
            probe.fit(features[~held], labels[~held], groups[~held])
        self.chosen = [{name: str(value) for name, value in probe.best_params_.items()} for probe in self.fitted]
        self.shares = [candidate_shares(probe) for probe in self.fitted]
        self.predicted = self.answers(features)

    def answers(self, features: np.ndarray) -> pd.DataFrame:
        """Predicts the tested clips from features (N, D) of the same clips.

        Returns
        -------
        pandas.DataFrame
            clip_id, group, split, duration_s (where all are known), y_true, y_pred, s_0 … s_{K−1}.
        """
        parts = []
        for probe, held in zip(self.fitted, self.held, strict=True):
            scores = records.as_stored(probe.predict_scores(features[held]))  # classes that tie do so to the last digit
            part = self.rows.loc[held, ["clip_id", "group", "split"]]
            if self.rows["end_s"].notna().all():
                # as records hold them: a clip may lie on the edge of a decile
                part["duration_s"] = records.as_stored(self.rows.loc[held, "end_s"] - self.rows.loc[held, "start_s"])
            columns = {f"s_{k}": scores[:, k] for k in range(scores.shape[1])}
            decided = label_kinds.of(self.card).decided(scores)
            parts.append(part.assign(y_true=self.rows.loc[held, "label"].to_numpy(), y_pred=decided, **columns))
        return pd.concat(parts).sort_values("clip_id", kind="stable", ignore_index=True)


def candidate_shares(probe: Any) -> dict[str, float]:
    """{candidate: its share in a fitted probe}; the chosen one alone where none has a share, or no path is kept."""
    shared = [candidate for candidate in getattr(probe, "path_", ()) if "share" in candidate]
    if not shared:
        return {_named(probe.best_params_): 1.0}
    return {_named(candidate): candidate["share"] for candidate in shared}


def _named(candidate: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in candidate.items() if name not in ("score", "share"))
