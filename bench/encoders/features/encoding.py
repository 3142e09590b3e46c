"""Encodes one block of recordings: decode, resample, batches of clips whatever their recording, shards on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.base.errors import BadInput
from bench.base.parallel.locks import alone
from bench.base.parallel.shared import Shared
from bench.base.parallel.threads import workers
from bench.data import clips
from bench.encoders.batches import encode_batch, plan_batches
from bench.encoders.features import shards
from bench.encoders.features.blocks import Block
from bench.encoders.pooling import LayerPooling
from bench.types import Encoder

FOUND, BUSY = 0, -1  # in place of a block's clips: it was there already, another process encodes it at the moment


@dataclass(frozen=True)
class BlockEncoding:
    """A unit of work: called with a block, it leaves its features in the store and returns the number of clips encoded.

    Attributes
    ----------
    encoder
        Loaded, with its statistics.
    store
        The store's folder.
    root
        The folder that recordings' paths are relative to.
    clip
        The clip policy.
    requested
        The (layer, pooling) pairs, all from one forward pass.
    batch_s
        Seconds of padded audio in a forward pass at most.
    threads
        Threads over which batches are spread, each of which computes alone.
    """

    encoder: Shared[Encoder]
    store: Path
    root: Path
    clip: str
    requested: tuple[LayerPooling, ...]
    batch_s: float
    threads: int = 1

    def __call__(self, block: Block, waves: Sequence[np.ndarray] | None = None) -> int:
        """Encodes what no other process has encoded or is encoding, else gives ``FOUND`` or ``BUSY``.

        ``waves`` are the block's clips where they have been decoded already.
        """
        lock = shards.lock_of(self.store, block.name)
        with shards.writing(lock.parent):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with alone(lock) as free:
            if not free:
                return BUSY
            if self.found(block):
                return FOUND
            self.keep(block, self.features(block, self.waves(block) if waves is None else waves))
        return block.clip_count

    def found(self, block: Block) -> bool:
        """Whether the block's shards are there."""
        return all((shards.folder_of(self.store, each) / f"{block.name}.json").exists() for each in self.requested)

    def waves(self, block: Block) -> list[np.ndarray]:
        """The block's clips as the encoder takes them, recording after recording. Raises ``BadInput``."""
        rate = self.encoder.value.card.sample_rate
        if getattr(self.encoder.value, "reads_lengths_alone", False) and clips.keeps_lengths(self.clip):
            return [wave for unit in block.units for wave in clips.silent_waves(unit, rate)]
        return [wave for unit in block.units for wave in clips.waves(unit, self.root, rate, self.clip)]

    def features(self, block: Block, waves: Sequence[np.ndarray]) -> dict[LayerPooling, np.ndarray]:
        """{(layer, pooling): features (clips, P)} of the block's clips.

        Raises
        ------
        BadInput
            Where they are not finite, naming the recording.
        """
        encoder = self.encoder.value
        batches = plan_batches([len(wave) for wave in waves], encoder, int(self.batch_s * encoder.card.sample_rate))
        out: dict[LayerPooling, np.ndarray] = {}
        with workers(self.threads) as pool:
            answers = pool.map(lambda batch: encode_batch(encoder, [waves[i] for i in batch], self.requested), batches)
            for batch, answer in zip(batches, answers, strict=True):
                for layer_pooling, values in answer.items():
                    self._require_finite(block, batch, values)
                    out.setdefault(layer_pooling, np.empty((len(waves), values.shape[1]), np.float32))[batch] = values
        return out

    def keep(self, block: Block, features: dict[LayerPooling, np.ndarray]) -> None:
        """Writes the block's shards. Raises ``BadInput``, see ``shards.save``."""
        for layer_pooling, values in features.items():
            shards.save(self.store, layer_pooling, block, values)

    def _require_finite(self, block: Block, batch: Sequence[int], values: np.ndarray) -> None:
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            paths = [unit.path for unit in block.units for _ in unit.rows]
            raise BadInput(
                self.root / paths[batch[int(bad.argmax())]],
                f"{self.encoder.value.card.id} gave non-finite features for a clip of this recording",
                "run `respbench doctor`; if the recording is sound, the encoder is at fault",
            )
