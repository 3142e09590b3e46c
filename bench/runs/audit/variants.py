"""Embeddings of the same clips made another way, where the sound is the same: what differs is rounding alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from bench.base.parallel.shared import Shared
from bench.data import audio, clips
from bench.data.manifest import Prepared
from bench.encoders.batches import embed_each
from bench.encoders.pooling import LayerPooling
from bench.types import Encoder

OTHER_QUALITY = "VHQ"  # of soxr: 28 bits in place of 20
# ATen's and oneDNN's kernels without vector instructions beyond SSE 4.1, one thread
OTHER_PATH: Mapping[str, str] = MappingProxyType(
    {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
)


@dataclass(frozen=True)
class Encoding:
    """A unit of work: decodes, resamples and embeds clips, recording by recording, without the store of features."""

    encoder: Shared[Encoder]
    rows: pd.DataFrame
    prepared: Prepared
    requested: Sequence[LayerPooling]
    quality: str = audio.QUALITY

    def __call__(self) -> dict[LayerPooling, np.ndarray]:
        """{(layer, pooling): (N, P) float32 in the order of ``rows``}."""
        encoder = self.encoder.value
        dims = {each: encoder.card.dims[each[1]] for each in self.requested}
        out = {each: np.empty((len(self.rows), size), np.float32) for each, size in dims.items()}
        for unit in clips.units(self.rows, self.prepared.recordings):
            waves = clips.waves(unit, Path(self.prepared.root), encoder.card.sample_rate, quality=self.quality)
            for each, vectors in embed_each(encoder, waves, self.requested).items():
                out[each][list(unit.rows)] = vectors
        return out

    def elsewhere(self) -> dict[LayerPooling, np.ndarray]:
        """The same in a process of its own, on the code path ``OTHER_PATH`` of the processor."""
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        with ProcessPoolExecutor(max_workers=1, env=dict(OTHER_PATH)) as pool:
            return pool.submit(self).result()
