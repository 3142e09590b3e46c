"""The features of one task's clips, kept in the store and, if asked for, written as plain files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypedDict

from bench.base import provenance
from bench.base.parallel.engine import LOCAL, Engine
from bench.base.paths import file_name, replacing
from bench.base.progress import Progress, silent
from bench.data.manifest import load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import on_devices
from bench.probe import protocols
from bench.runs.choices import EncoderChoice


class EncodedTask(TypedDict):
    """What was encoded, JSON-ready.

    Attributes
    ----------
    clips, encoded
        Number of clips, and of those encoded now.
    excluded
        Why clips were left out.
    warnings
        What is odd about recordings that were encoded all the same.
    store, files
        Where the features are kept, and the files written.
    wall_s, encode_s, device_waited_s, peak_memory_mb
        Seconds taken in all and by encoding, those of the latter in which an accelerator waited for recordings, and MB.
    drift
        Of features at another precision from float32's; None at float32 (``bench.encoders.features.drift``).
    """

    task: str
    encoder: str
    clips: int
    encoded: int
    excluded: list[str]
    warnings: list[str]
    store: str
    files: list[str]
    wall_s: float
    encode_s: float
    device_waited_s: float
    drift: float | None
    peak_memory_mb: float


def encode_task(
    task: str,
    choice: EncoderChoice,
    *,
    root: Path | None = None,
    out: Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    clip: str = "native",
    on_bad_clip: str = "error",
    engine: Engine = LOCAL,
    progress: Progress = silent,
) -> EncodedTask:
    """Encodes what the store lacks of a task's clips. Memory does not grow with the number of clips.

    Parameters
    ----------
    task
        Its id.
    choice
        The encoder, with the poolings and layers to encode.
    root
        The data folder; by default ``$RESPBENCH_DATA`` or ``./data``.
    out
        Writes ``<encoder>-<layer>-<pooling>.npy`` (N, P) float32 there, and ``clips.csv``, its rows in the same order,
        without the manifest's ``meta_*``.
    device
        One, or several between commas, each of which encodes in a process of its own; ``cuda:all``.
    clip
        The name of a clip policy.
    engine
        Where clips are encoded; no embedding depends on it.

    Raises
    ------
    UnknownId, CheckpointError, BadInput
        As ``bench.load_encoder``, ``bench.load_task`` and ``bench.data.manifest.prepare``.
    """
    began = time.monotonic()
    device, engine = on_devices(device, engine)
    prepared = prepare(load_task(task, root), on_bad_clip, progress)
    encoder = choice.load(device, precision)
    store = FeatureStore(encoder, prepared, protocols.get("linear", clip).clip)
    requested = choice.requested(encoder.card)
    encoded = store.encode(requested, progress, engine)
    files = []
    if out is not None:
        shown = [name for name in prepared.rows if not str(name).startswith("meta_")]  # age, sex: no matter of features
        with replacing(out / "clips.csv") as partial:
            prepared.rows[shown].to_csv(partial, index=False)
        files.append(str(out / "clips.csv"))
        for layer, pooling in requested:
            name = file_name(f"{choice.id}-{layer}-{pooling}") + ".npy"
            store.export((layer, pooling), out / name)
            files.append(str(out / name))
    return {
        "task": task,
        "encoder": choice.id,
        "clips": len(prepared.rows),
        "encoded": encoded,
        "excluded": [str(finding) for finding in prepared.excluded],
        "warnings": [str(finding) for finding in prepared.warnings],
        "store": str(store.folder),
        "files": files,
        "wall_s": round(time.monotonic() - began, 2),
        "encode_s": round(store.took_s, 2),
        "device_waited_s": round(store.waited_s, 2),
        "drift": store.drift,
        "peak_memory_mb": provenance.peak_memory_mb(),
    }
