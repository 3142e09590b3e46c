"""Keeps embeddings on disk: an append-only store that encodes each clip once and pools it in every way requested.

A store belongs to what determines an embedding (encoder, weights, input policy, resampler, dtype, fitted
statistics), never to a task, so tasks that share recordings share embeddings. Inside it, each (layer, pooling) has
shards (``bench.encoders.features.shards``), one for each block of recordings; an interrupted run resumes at the blocks
that have none.
"""

from __future__ import annotations

import copy
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.base.errors import BadInput
from bench.base.parallel import locks
from bench.base.parallel.engine import LOCAL, Engine
from bench.base.parallel.shared import Shared
from bench.base.paths import cache_root, replacing
from bench.base.progress import Progress, silent
from bench.data import audio, clips
from bench.encoders.batches import device_of
from bench.encoders.features import ahead, blocks, drift, memory, shards, statistics
from bench.encoders.features.encoding import BUSY, BlockEncoding
from bench.encoders.load import precision_of, require_trained
from bench.encoders.pooling import LayerPooling
from bench.types import PRECISIONS

if TYPE_CHECKING:
    from bench.data.manifest import Prepared
    from bench.types import Encoder

FORMAT = 1
TRIAL_S, TRIAL_BLOCK_S = 5.0, 10.0  # seconds that a measurement of the speed takes at most, of audio in its blocks
CLUSTERS = ("dask", "ray")
WAIT_S = 0.5  # between looks at blocks that another process encodes


def store_spec(encoder: Encoder, prepared: Prepared, clip: str) -> dict:
    """Lists everything that determines an embedding but the audio, the layer and the pooling.

    The parameters are digested as they are now: an encoder that was trained or edited after loading is another one.
    """
    from bench.encoders.weights.find import parameter_digest

    fitted = statistics.stats_rows(encoder, prepared)
    beside = {"settings": encoder.card.settings, "code": encoder.card.code}
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
        **{name: value for name, value in beside.items() if value},
    }


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

    Attributes
    ----------
    took_s, waited_s
        Seconds of the last ``encode``, and of these those in which an accelerator waited for recordings; of several
        their mean.

    Raises
    ------
    BadInput
        For an encoder that is trained from scratch.
    """

    def __init__(self, encoder: Encoder, prepared: Prepared, clip: str = "native", folder: Path | None = None):
        require_trained(encoder.card)
        self.encoder, self.prepared, self.clip = encoder, prepared, clip
        self.spec = store_spec(encoder, prepared, clip)
        self.digest = shards.digest_of(self.spec)
        self.folder = (folder or cache_root() / "features") / self.digest[:20]
        self.units = clips.units(prepared.rows, prepared.recordings)
        self.took_s = self.waited_s = 0.0

    def encode(self, requested: Sequence[LayerPooling], progress: Progress = silent, engine: Engine = LOCAL) -> int:
        """Encodes the clips of which some requested (layer, pooling) is not stored yet; returns their number.

        Parameters
        ----------
        requested : sequence of (int, str)
            The (layer, pooling) pairs: one forward pass serves them all.
        progress : Progress
            Counts clips.
        engine : Engine
            Where blocks of recordings are encoded. What is stored depends neither on its workers and threads nor on
            interruptions; the last digits of an embedding depend on the clips that share a batch with it, and so on
            memory that is too short for a usual batch, and on the tasks that shared recordings before. Blocks that
            another process is encoding at the moment are waited for.

        Raises
        ------
        BadInput
            For features that are not finite, for a folder that cannot be written, and as
            ``bench.encoders.batches.encode_batch``.
        """
        on_device = device_of(self.encoder).type != "cpu"
        if on_device and engine.backend in CLUSTERS:
            problem = f"cannot be given blocks by backend {engine.backend}"
            raise BadInput(f"device {device_of(self.encoder)}", problem, "encode there, or leave --backend out")
        requested = tuple(dict.fromkeys(requested))
        keys = {unit.key for unit in self.units}
        lacking: dict[frozenset[str], list[LayerPooling]] = {}  # pairs that lack the same recordings share a pass
        for each in requested:
            absent = frozenset(keys - shards.index(self.folder, each).keys())
            lacking.setdefault(absent, []).append(each)
        missing = [unit for unit in self.units if any(unit.key in absent for absent in lacking)]
        if not missing:
            shards.note_use(self.folder, self.spec)
            if self._drift_is_unknown():  # of features that came from another machine
                statistics.fit(self.encoder, self.prepared, self.clip)
                self._measure_drift(requested)
            return 0
        began, self.waited_s = time.perf_counter(), 0.0
        with shards.writing(self.folder):
            shards.write_spec(self.folder, self.spec)
        with self._in_use():
            statistics.fit(self.encoder, self.prepared, self.clip)
            self._measure_drift(requested)
            with progress(f"encode {self.encoder.card.id}", sum(len(unit.rows) for unit in missing)) as tick:
                for absent, pairs in lacking.items():
                    if absent:
                        self._encode(blocks.cut(self.units, absent), pairs, engine, tick)
        self.took_s = time.perf_counter() - began
        return sum(len(unit.rows) for unit in missing)

    def _encode(
        self, todo: list[blocks.Block], requested: Sequence[LayerPooling], engine: Engine, tick: Callable[[int], None]
    ) -> None:
        together = bool(getattr(self.encoder, "threads_may_share", False))
        threads = engine.threads if together else 1
        waited: list[float] = []
        shared = Shared(self.encoder)
        run: Callable[..., Iterator[tuple[blocks.Block, int]]]
        if len(engine.devices) > 1:
            count = len(engine.devices)
            each = max(1, engine.at_once // count)
            run = partial(ahead.run_on_each, devices=engine.devices, workers=each, waited=waited, hung_s=engine.hung_s)
            share = engine.max_mb and engine.max_mb / (count if device_of(self.encoder).type == "cpu" else 1)
        elif device_of(self.encoder).type == "cpu":
            engine = engine.within(memory.worker_mb(self.encoder, threads)) if engine.max_mb else engine
            if together and engine.backend not in CLUSTERS and not engine.max_mb:  # fewer blocks than workers
                threads = max(threads, engine.at_once // len(todo))
            run = partial(engine.run, together=together, worked=lambda done: done > 0)
            share = engine.max_mb and engine.max_mb / engine.at_once
        else:
            run = partial(ahead.run, workers=engine.at_once, waited=waited)
            share = engine.max_mb
        unit = self._encoding(shared, requested, memory.batch_seconds(self.encoder, share, threads), threads)
        try:
            while todo:
                busy = []
                for block, done in run(unit, todo):
                    if done == BUSY:
                        busy.append(block)
                    else:
                        tick(block.clip_count)
                if busy and len(busy) < len(todo):
                    print(f"waiting for {len(busy)} blocks that another process encodes", file=sys.stderr)
                if todo := busy:
                    time.sleep(WAIT_S)
        finally:
            shared.remove()
            self.waited_s += sum(waited) / max(1, len(engine.devices))

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Holds a lock in the store until the block ends, so that nothing takes the store away meanwhile."""
        lock = shards.lock_of(self.folder, f"use-{uuid.uuid4().hex}")
        with shards.writing(lock.parent):
            lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with locks.alone(lock):
                yield
        finally:
            lock.unlink(missing_ok=True)

    def _drift_is_unknown(self) -> bool:
        return precision_of(self.encoder) != PRECISIONS[0] and self.drift is None and bool(self.units)

    def _measure_drift(self, requested: Sequence[LayerPooling]) -> None:
        """Measures the drift once, at another precision than float32."""
        if self._drift_is_unknown():
            unit = self._encoding(Shared(self.encoder), requested, TRIAL_S, 1)
            with shards.writing(self.folder):
                drift.measure(self.folder, self.encoder, unit.waves(blocks.Block(tuple(self.units[:2]))), requested)

    @property
    def drift(self) -> float | None:
        """Largest difference from float32's features, relative to their largest value; None at float32."""
        return drift.read(self.folder)

    def missing(self, requested: Sequence[LayerPooling]) -> list[clips.Unit]:
        """The recordings of which some requested (layer, pooling) is not stored."""
        stored = [shards.index(self.folder, layer_pooling).keys() for layer_pooling in requested]
        return [unit for unit in self.units if not all(unit.key in keys for keys in stored)]

    def reader(self) -> FeatureStore:
        """The same store without its encoder, for ``gather`` and ``export`` alone: light enough for other processes."""
        light = copy.copy(self)
        del light.encoder
        return light

    def width(self, layer_pooling: LayerPooling) -> int | None:
        """Features of a clip in what is stored; None where nothing is."""
        return shards.width(self.folder, layer_pooling)

    def measure_speed(self, requested: Sequence[LayerPooling], seconds: float = 20.0) -> tuple[float, float]:
        """Times the encoding of a few recordings that are not stored yet; nothing is kept.

        The first few recordings warm up and do not count, unless there are no others.

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
        unit = self._encoding(Shared(self.encoder), requested, memory.batch_seconds(self.encoder), 1)
        taken = audio_s = 0.0
        todo = self.missing(requested)
        for i, block in enumerate(blocks.cut(todo, {each.key for each in todo}, TRIAL_BLOCK_S)):
            began = time.perf_counter()
            unit.features(block, unit.waves(block))
            if i <= 1:
                taken = audio_s = 0.0
            taken += time.perf_counter() - began
            audio_s += sum(each.seconds for each in block.units)
            if audio_s >= seconds or taken >= TRIAL_S:
                break
        return audio_s, taken

    def gather(self, layer_pooling: LayerPooling) -> np.ndarray:
        """Reads the features (N, P) float32 in the order of ``prepared.rows``.

        Raises
        ------
        BadInput
            For recordings that have not been encoded.
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

    def _encoding(
        self, encoder: Shared[Encoder], requested: Sequence[LayerPooling], batch_s: float, threads: int
    ) -> BlockEncoding:
        return BlockEncoding(encoder, self.folder, self.prepared.root, self.clip, tuple(requested), batch_s, threads)

    def _stored_parts(self, layer_pooling: LayerPooling) -> Iterator[tuple[list[int], np.ndarray]]:
        """(rows, values) recording by recording, one open shard at a time."""
        places = shards.index(self.folder, layer_pooling)
        if lost := [unit.path for unit in self.units if unit.key not in places]:
            problem = f"has no features of {len(lost)} recordings, the first {lost[0]}"
            raise BadInput(self.folder, problem, "run the command again: they are encoded then")
        width = None
        for position, values in shards.read([places[unit.key] for unit in self.units]):
            unit = self.units[position]
            width = values.shape[1] if width is None else width
            if values.shape != (len(unit.rows), width):  # which an assignment would repeat until they fit
                problem = f"has {len(values)} rows of {values.shape[1]} features of {unit.path}"
                problem += f", and should have {len(unit.rows)} rows of {width}"
                raise BadInput(self.folder, problem, "remove this folder: its clips are encoded again then")
            yield list(unit.rows), values
