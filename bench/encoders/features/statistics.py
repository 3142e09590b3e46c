"""The training clips from which an encoder takes its statistics, and how they reach it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.base.errors import BadInput
from bench.base.parallel.threads import workers
from bench.data import clips
from bench.encoders.batches import collate, plan_batches
from bench.encoders.load import needs_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import torch

    from bench.data.manifest import Prepared
    from bench.data.recordings import Recording
    from bench.types import Encoder

MOST_CLIPS = 1000  # enough for BatchNorm, bounded for large corpora
BATCH_S = 60.0  # seconds of audio in a batch at most


def spaced(count: int) -> np.ndarray:
    """Positions of at most ``MOST_CLIPS`` of ``count`` training clips, evenly spaced, ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_CLIPS)).round().astype(int))


def stats_rows(encoder: Encoder, prepared: Prepared) -> pd.DataFrame | None:
    """The training clips from which an encoder takes its statistics, evenly spaced; None where it needs none.

    Raises ``BadInput`` where there is no such clip.
    """
    if not needs_statistics(encoder):
        return None
    train = prepared.rows[prepared.rows["split"] == "train"]
    if train.empty:
        problem = f"{encoder.card.id} measures statistics of the training clips first, and none of them is there"
        raise BadInput(prepared.root, problem, "get recordings of the training split")
    return train.iloc[spaced(len(train))]


def fit(encoder: Encoder, prepared: Prepared, clip: str) -> None:
    """Gives an encoder that needs it the training clips under a clip policy; computes with one thread, as units do."""
    rows = stats_rows(encoder, prepared)
    if rows is not None:
        batches = _Batches(encoder, rows, prepared.recordings, prepared.root, clip)
        with workers(1) as pool:
            pool.submit(encoder.fit_stats, batches).result()


class _Batches:
    """(wave, length) batches of clips of equal padded length, decoded anew each time they are iterated over."""

    def __init__(
        self, encoder: Encoder, rows: pd.DataFrame, recordings: Mapping[str, Recording], root: Path, clip: str
    ):
        self.encoder, self.units, self.root, self.clip = encoder, clips.units(rows, recordings), root, clip

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rate = self.encoder.card.sample_rate
        for unit in self.units:
            waves = clips.waves(unit, self.root, rate, self.clip)
            for batch in plan_batches([len(wave) for wave in waves], self.encoder, int(BATCH_S * rate), ragged=False):
                yield collate(self.encoder, [waves[i] for i in batch])
