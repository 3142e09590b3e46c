"""Encode once, pool in every way asked for, keep: an append-only store of embeddings on disk.

A store belongs to what determines an embedding (encoder, weights, input policy, resampler, dtype, fitted
statistics), never to a task, so tasks that share recordings share embeddings. Inside it, each (layer, pooling) has
shards: ``<shard>.npy`` (clips, P) float32 and ``<shard>.json``, which names the units in it and is written last.
A shard without its JSON does not exist, so an interrupted run resumes at the last whole shard; two processes that
make the same shard write the same bytes under the same name.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.base.errors import BadInput
from bench.base.paths import cache_root, file_digest, file_name, replacing, write_text
from bench.base.progress import Progress, silent
from bench.data import audio, clips
from bench.encoders.batches import encode_batch, plan_batches
from bench.encoders.load import precision_of, require_trained
from bench.encoders.pooling import LayerPooling

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.manifest import Prepared
    from bench.types import Encoder

FORMAT = 1
BATCH_S = 60.0  # seconds of audio in one forward pass at most
TRIAL_S = 5.0  # time to try encoding for, before all is encoded
STATS_CLIPS = 1000  # training clips that refit statistics: enough for BatchNorm, bounded for large corpora


def stats_rows(encoder: Encoder, prepared: Prepared) -> pd.DataFrame | None:
    """The training clips from which an encoder takes its statistics, evenly spaced; None where it needs none."""
    if not getattr(encoder, "needs_stats", False):
        return None
    train = prepared.rows[prepared.rows["split"] == "train"]
    keep = np.unique(np.linspace(0, len(train) - 1, min(len(train), STATS_CLIPS)).round().astype(int))
    return train.iloc[keep]


def store_spec(encoder: Encoder, prepared: Prepared, clip: str) -> dict:
    """Everything that determines an embedding but the audio, the layer and the pooling. The parameters are digested
    as they are now: an encoder that was trained or edited after loading is another one."""
    from bench.encoders.weights.find import parameter_digest

    fitted = stats_rows(encoder, prepared)
    return {
        "format": FORMAT,
        "encoder": encoder.card.id,
        "encoder_version": encoder.card.version,
        "weights": encoder.weights_digest,
        "parameters": parameter_digest(encoder),
        "rate": encoder.card.sample_rate,
        "resampler": audio.RESAMPLER,
        "dtype": precision_of(encoder),
        "clip": clip,
        "statistics": "" if fitted is None else clips.digest(fitted, prepared.recordings),
    }


class _Batches:
    """(wave, length) batches of some rows, decoded anew each time they are iterated over."""

    def __init__(self, store: FeatureStore, rows: pd.DataFrame):
        self.store, self.rows = store, rows

    def __iter__(self) -> Iterator:
        from bench.encoders.batches import collate

        store = self.store
        for unit in clips.units(self.rows, store.prepared.recordings):
            waves = clips.waves(unit, store.prepared.root, store.encoder.card.sample_rate, store.clip)
            for batch in store.plan(waves):
                yield collate(store.encoder, [waves[i] for i in batch])


class FeatureStore:
    """The embeddings of one encoder on disk; ``encode`` fills it, ``gather`` reads rows from it. Raises ``BadInput``
    for an encoder that is trained from scratch."""

    def __init__(self, encoder: Encoder, prepared: Prepared, clip: str = "native", folder: Path | None = None):
        require_trained(encoder.card)
        self.encoder, self.prepared, self.clip = encoder, prepared, clip
        self.spec = store_spec(encoder, prepared, clip)
        text = json.dumps(self.spec, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.folder = (folder or cache_root() / "features") / self.digest[:20]
        self.units = clips.units(prepared.rows, prepared.recordings)

    def encode(self, wanted: Sequence[LayerPooling], progress: Progress = silent) -> int:
        """Number of clips encoded: those of which some wanted (layer, pooling) is not stored yet."""
        wanted = list(dict.fromkeys(wanted))
        todo = self.missing(wanted)
        if not todo:
            return 0
        write_text(self.folder / "spec.json", json.dumps(self.spec, indent=1, sort_keys=True))
        self._fit()
        with progress(f"encode {self.encoder.card.id}", sum(len(unit.rows) for unit in todo)) as tick:
            for chunk in clips.chunks(todo):
                parts: dict[LayerPooling, list[np.ndarray]] = {want: [] for want in wanted}
                for unit in chunk:
                    for want, values in self._unit(unit, wanted).items():
                        parts[want].append(values)
                    tick(len(unit.rows))
                for want, values in parts.items():
                    self.save(want, chunk, np.concatenate(values))
        return sum(len(unit.rows) for unit in todo)

    def missing(self, wanted: Sequence[LayerPooling]) -> list[clips.Unit]:
        """The recordings of which some wanted (layer, pooling) is not stored."""
        stored = [self._index(want).keys() for want in wanted]
        return [unit for unit in self.units if not all(unit.key in keys for keys in stored)]

    def reader(self) -> FeatureStore:
        """The same store without its encoder, for ``gather`` and ``export`` alone: light enough for other processes."""
        light = copy.copy(self)
        light.encoder = None
        return light

    def width(self, want: LayerPooling) -> int | None:
        """Features of a clip in what is stored; None where nothing is."""
        shards = sorted(self._where(want).glob("*.npy"))
        return int(np.load(shards[0], mmap_mode="r").shape[1]) if shards else None

    def tried(self, wanted: Sequence[LayerPooling], seconds: float = 20.0) -> tuple[float, float]:
        """(seconds of audio encoded, seconds that took) of a few recordings that are not stored yet; nothing is kept.
        The first recording warms up and does not count, unless there is no other."""
        taken = audio_s = 0.0
        for i, unit in enumerate(self.missing(wanted)):
            began = time.perf_counter()
            self._unit(unit, wanted)
            if i <= 1:
                taken = audio_s = 0.0
            taken, audio_s = taken + time.perf_counter() - began, audio_s + unit.seconds
            if audio_s >= seconds or taken >= TRIAL_S:
                break
        return audio_s, taken

    def gather(self, want: LayerPooling) -> np.ndarray:
        """Features (N, P) float32 in the order of ``prepared.rows``. Raises ``KeyError`` for a unit not encoded."""
        out: np.ndarray | None = None
        for rows, values in self._parts(want):
            if out is None:
                out = np.empty((len(self.prepared.rows), values.shape[1]), np.float32)
            out[rows] = values
        return np.empty((0, 0), np.float32) if out is None else out

    def export(self, want: LayerPooling, path: Path) -> tuple[int, int]:
        """Writes ``gather(want)`` to ``path`` as ``.npy`` without holding it in memory; returns its shape."""
        out = None
        with replacing(path) as partial:
            for rows, values in self._parts(want):
                if out is None:
                    shape = (len(self.prepared.rows), values.shape[1])
                    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
                out[rows] = values
            if out is None:
                raise BadInput(path, "there is no clip to write", "check the task's manifest")
            out.flush()
            shape = out.shape
            del out
        return shape

    # ---------------------------------------------------------------- encoding

    def _fit(self) -> None:
        rows = stats_rows(self.encoder, self.prepared)
        if rows is not None:
            self.encoder.fit_stats(_Batches(self, rows))

    def plan(self, waves: Sequence[np.ndarray]) -> list[list[int]]:
        """Indices of the waves that share a forward pass."""
        return plan_batches([len(wave) for wave in waves], self.encoder, int(BATCH_S * self.encoder.card.sample_rate))

    def _unit(self, unit: clips.Unit, wanted: Sequence[LayerPooling]) -> dict[LayerPooling, np.ndarray]:
        waves = clips.waves(unit, self.prepared.root, self.encoder.card.sample_rate, self.clip)
        out: dict[LayerPooling, np.ndarray] = {}
        for batch in self.plan(waves):
            for want, values in encode_batch(self.encoder, [waves[i] for i in batch], wanted).items():
                if not np.isfinite(values).all():
                    raise BadInput(
                        self.prepared.root / unit.path,
                        f"{self.encoder.card.id} gave non-finite features for a clip of this recording",
                        "run `respbench doctor`; if the recording is sound, the encoder is at fault",
                    )
                out.setdefault(want, np.empty((len(waves), values.shape[1]), np.float32))[batch] = values
        return out

    # ---------------------------------------------------------------- shards

    def _where(self, want: LayerPooling) -> Path:
        return self.folder / file_name(f"{want[0]},{want[1]}")

    def _index(self, want: LayerPooling) -> dict[str, tuple[Path, int, int]]:
        """{unit key: (shard, first row, number of rows)}."""
        index = {}
        for path in sorted(self._where(want).glob("*.json")):
            listing, shard, first = json.loads(path.read_text()), path.with_suffix(".npy"), 0
            if not shard.exists() or file_digest(shard) != listing["sha256"]:
                path.unlink()  # a damaged shard is made again
                continue
            for key, count in listing["units"]:
                index[key] = (shard, first, count)
                first += count
        return index

    def _parts(self, want: LayerPooling) -> Iterator[tuple[list[int], np.ndarray]]:
        """(rows, values) unit by unit, one open shard at a time."""
        index = self._index(want)
        shard, values = None, None
        for unit in sorted(self.units, key=lambda unit: (index[unit.key][0], index[unit.key][1])):
            path, first, count = index[unit.key]
            if path != shard:
                shard, values = path, np.load(path, mmap_mode="r")
            yield list(unit.rows), values[first : first + count]

    def save(self, want: LayerPooling, chunk: Iterable[clips.Unit], values: np.ndarray) -> None:
        """Stores features (clips, P) of recordings, in their order, as one shard."""
        chunk = list(chunk)
        name = hashlib.sha256("".join(unit.key for unit in chunk).encode()).hexdigest()[:20]
        folder = self._where(want)
        with replacing(folder / f"{name}.npy") as partial, partial.open("wb") as file:
            np.save(file, values)
        listing = {
            "units": [[unit.key, len(unit.rows)] for unit in chunk],
            "sha256": file_digest(folder / f"{name}.npy"),
        }
        write_text(folder / f"{name}.json", json.dumps(listing))
