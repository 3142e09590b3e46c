"""Keeps embeddings on disk: an append-only store that encodes each clip once and pools it in every way requested.

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
from bench.encoders.batches import collate, encode_batch, plan_batches
from bench.encoders.load import needs_statistics, precision_of, require_trained
from bench.encoders.pooling import LayerPooling

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from bench.data.manifest import Prepared
    from bench.types import Encoder

FORMAT = 1
MAX_BATCH_S = 60.0  # seconds of audio in one forward pass at most
TRIAL_S = 5.0  # seconds that a measurement of the speed takes at most
STATS_CLIPS = 1000  # training clips that refit statistics: enough for BatchNorm, bounded for large corpora


def stats_rows(encoder: Encoder, prepared: Prepared) -> pd.DataFrame | None:
    """The training clips from which an encoder takes its statistics, evenly spaced; None where it needs none."""
    if not needs_statistics(encoder):
        return None
    train = prepared.rows[prepared.rows["split"] == "train"]
    keep = np.unique(np.linspace(0, len(train) - 1, min(len(train), STATS_CLIPS)).round().astype(int))
    return train.iloc[keep]


def store_spec(encoder: Encoder, prepared: Prepared, clip: str) -> dict:
    """Lists everything that determines an embedding but the audio, the layer and the pooling.

    The parameters are digested as they are now: an encoder that was trained or edited after loading is another one.
    """
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

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        store = self.store
        for unit in clips.units(self.rows, store.prepared.recordings):
            waves = clips.waves(unit, store.prepared.root, store.encoder.card.sample_rate, store.clip)
            for batch in store.plan(waves):
                yield collate(store.encoder, [waves[i] for i in batch])


class FeatureStore:
    """The embeddings of one encoder on disk; ``encode`` fills it, ``gather`` reads rows from it.

    Parameters
    ----------
    encoder : Encoder
        As ``load_encoder`` gives it.
    prepared : Prepared
        The clips and their recordings (see ``bench.data.manifest.prepare``).
    clip : str
        The clip policy of the protocol.
    folder : Path, optional
        Where stores lie; by default ``features`` in the cache.

    Raises
    ------
    BadInput
        For an encoder that is trained from scratch.
    """

    def __init__(self, encoder: Encoder, prepared: Prepared, clip: str = "native", folder: Path | None = None):
        require_trained(encoder.card)
        self.encoder, self.prepared, self.clip = encoder, prepared, clip
        self.spec = store_spec(encoder, prepared, clip)
        text = json.dumps(self.spec, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.folder = (folder or cache_root() / "features") / self.digest[:20]
        self.units = clips.units(prepared.rows, prepared.recordings)

    def encode(self, requested: Sequence[LayerPooling], progress: Progress = silent) -> int:
        """Encodes the clips of which some requested (layer, pooling) is not stored yet; returns their number.

        Raises
        ------
        BadInput
            For features that are not finite, and as ``bench.encoders.batches.encode_batch``.
        """
        requested = list(dict.fromkeys(requested))
        todo = self.missing(requested)
        if not todo:
            return 0
        write_text(self.folder / "spec.json", json.dumps(self.spec, indent=1, sort_keys=True))
        self._fit_statistics()
        with progress(f"encode {self.encoder.card.id}", sum(len(unit.rows) for unit in todo)) as tick:
            for chunk in clips.chunks(todo):
                parts: dict[LayerPooling, list[np.ndarray]] = {layer_pooling: [] for layer_pooling in requested}
                for unit in chunk:
                    for layer_pooling, values in self._encode_unit(unit, requested).items():
                        parts[layer_pooling].append(values)
                    tick(len(unit.rows))
                for layer_pooling, arrays in parts.items():
                    self.save(layer_pooling, chunk, np.concatenate(arrays))
        return sum(len(unit.rows) for unit in todo)

    def missing(self, requested: Sequence[LayerPooling]) -> list[clips.Unit]:
        """The recordings of which some requested (layer, pooling) is not stored."""
        stored = [self._index(layer_pooling).keys() for layer_pooling in requested]
        return [unit for unit in self.units if not all(unit.key in keys for keys in stored)]

    def reader(self) -> FeatureStore:
        """The same store without its encoder, for ``gather`` and ``export`` alone: light enough for other processes."""
        light = copy.copy(self)
        del light.encoder
        return light

    def width(self, layer_pooling: LayerPooling) -> int | None:
        """Features of a clip in what is stored; None where nothing is."""
        shards = sorted(self._shard_folder(layer_pooling).glob("*.npy"))
        return int(np.load(shards[0], mmap_mode="r").shape[1]) if shards else None

    def measure_speed(self, requested: Sequence[LayerPooling], seconds: float = 20.0) -> tuple[float, float]:
        """Times the encoding of a few recordings that are not stored yet; nothing is kept.

        The first recording warms up and does not count, unless there is no other.

        Parameters
        ----------
        requested : sequence of (int, str)
            The (layer, pooling) pairs.
        seconds : float
            Of audio that are enough; encoding also ends after ``TRIAL_S``.

        Returns
        -------
        audio_s, taken_s : float
            Seconds of audio encoded, and seconds that this took.
        """
        taken = audio_s = 0.0
        for i, unit in enumerate(self.missing(requested)):
            began = time.perf_counter()
            self._encode_unit(unit, requested)
            if i <= 1:
                taken = audio_s = 0.0
            taken, audio_s = taken + time.perf_counter() - began, audio_s + unit.seconds
            if audio_s >= seconds or taken >= TRIAL_S:
                break
        return audio_s, taken

    def gather(self, layer_pooling: LayerPooling) -> np.ndarray:
        """Reads the features (N, P) float32 in the order of ``prepared.rows``.

        Raises
        ------
        KeyError
            For a recording that has not been encoded.
        """
        out: np.ndarray | None = None
        for rows, values in self._stored_parts(layer_pooling):
            if out is None:
                out = np.empty((len(self.prepared.rows), values.shape[1]), np.float32)
            out[rows] = values
        return np.empty((0, 0), np.float32) if out is None else out

    def export(self, layer_pooling: LayerPooling, path: Path) -> tuple[int, int]:
        """Writes ``gather(layer_pooling)`` to ``path`` as ``.npy`` without holding it in memory; returns its shape."""
        out = None
        with replacing(path) as partial:
            for rows, values in self._stored_parts(layer_pooling):
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

    def _fit_statistics(self) -> None:
        rows = stats_rows(self.encoder, self.prepared)
        if rows is not None:
            self.encoder.fit_stats(_Batches(self, rows))

    def plan(self, waves: Sequence[np.ndarray]) -> list[list[int]]:
        """Indices of the waves that share a forward pass."""
        return plan_batches(
            [len(wave) for wave in waves], self.encoder, int(MAX_BATCH_S * self.encoder.card.sample_rate)
        )

    def _encode_unit(self, unit: clips.Unit, requested: Sequence[LayerPooling]) -> dict[LayerPooling, np.ndarray]:
        """{(layer, pooling): features (clips, P)} of one recording's clips. Raises ``BadInput``."""
        waves = clips.waves(unit, self.prepared.root, self.encoder.card.sample_rate, self.clip)
        out: dict[LayerPooling, np.ndarray] = {}
        for batch in self.plan(waves):
            for layer_pooling, values in encode_batch(self.encoder, [waves[i] for i in batch], requested).items():
                if not np.isfinite(values).all():
                    raise BadInput(
                        self.prepared.root / unit.path,
                        f"{self.encoder.card.id} gave non-finite features for a clip of this recording",
                        "run `respbench doctor`; if the recording is sound, the encoder is at fault",
                    )
                out.setdefault(layer_pooling, np.empty((len(waves), values.shape[1]), np.float32))[batch] = values
        return out

    # ---------------------------------------------------------------- shards

    def _shard_folder(self, layer_pooling: LayerPooling) -> Path:
        return self.folder / file_name(f"{layer_pooling[0]},{layer_pooling[1]}")

    def _index(self, layer_pooling: LayerPooling) -> dict[str, tuple[Path, int, int]]:
        """{unit key: (shard, first row, number of rows)}."""
        index: dict[str, tuple[Path, int, int]] = {}
        for path in sorted(self._shard_folder(layer_pooling).glob("*.json")):
            listing, shard, first = json.loads(path.read_text()), path.with_suffix(".npy"), 0
            if not shard.exists() or file_digest(shard) != listing["sha256"]:
                path.unlink()  # a damaged shard is encoded again
                continue
            for key, count in listing["units"]:
                index[key] = (shard, first, count)
                first += count
        return index

    def _stored_parts(self, layer_pooling: LayerPooling) -> Iterator[tuple[list[int], np.ndarray]]:
        """(rows, values) unit by unit, one open shard at a time."""
        index = self._index(layer_pooling)
        shard, values = Path(), np.empty((0, 0), np.float32)
        for unit in sorted(self.units, key=lambda unit: (index[unit.key][0], index[unit.key][1])):
            path, first, count = index[unit.key]
            if path != shard:
                shard, values = path, np.load(path, mmap_mode="r")
            yield list(unit.rows), values[first : first + count]

    def save(self, layer_pooling: LayerPooling, chunk: Iterable[clips.Unit], values: np.ndarray) -> None:
        """Stores features (clips, P) of recordings, in their order, as one shard."""
        units = list(chunk)
        name = hashlib.sha256("".join(unit.key for unit in units).encode()).hexdigest()[:20]
        folder = self._shard_folder(layer_pooling)
        with replacing(folder / f"{name}.npy") as partial, partial.open("wb") as file:
            np.save(file, values)
        listing = {
            "units": [[unit.key, len(unit.rows)] for unit in units],
            "sha256": file_digest(folder / f"{name}.npy"),
        }
        write_text(folder / f"{name}.json", json.dumps(listing))
