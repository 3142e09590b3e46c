"""Runs s3prl with today's torchaudio, without the network and without code from checkpoints; untrained checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.base.errors import BadInput, CheckpointError

PLAN = re.compile(r"[\d\s()\[\],.*+-]*")  # the layer plans that s3prl evaluates: "[(512,10,5)] + [(512,3,2)] * 4"


@contextmanager
def legacy_torchaudio() -> Iterator[None]:
    """Gives torchaudio the ``set_audio_backend`` that s3prl expects when it is imported; it does nothing.

    Torch's warnings of its own old parts, which s3prl uses, are not shown.
    """
    import warnings
    from unittest import mock

    from bench.base.optional_imports import import_torchaudio

    torchaudio, _ = import_torchaudio()
    with (
        warnings.catch_warnings(action="ignore", category=FutureWarning),
        mock.patch.object(torchaudio, "set_audio_backend", lambda *_: None, create=True),
    ):
        yield


@contextmanager
def offline(content: dict | None, where: object) -> Iterator[None]:
    """Hands ``content`` to s3prl in place of what it would download and unpickle while it builds an upstream."""
    import tempfile
    from unittest import mock

    import torch
    from s3prl.util import download

    addresses = set()

    def local(path: Path, url: str, *_: object, **__: object) -> None:
        addresses.add(url)
        if content is None or len(addresses) > 1:
            problem = f"s3prl wants {' and '.join(sorted(addresses))}"
            raise CheckpointError(where, problem, "entries that need more than one file are not supported")
        path.touch()

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(download, "_download_dir", Path(folder)),
        mock.patch.object(download, "_download", local),
        mock.patch.object(torch, "load", lambda *_, **__: content),
    ):
        yield


def read_checkpoint(path: Path) -> dict:
    """Reads a checkpoint's tensors and plain containers.

    Raises ``CheckpointError``, also for a string that would run code if s3prl evaluated it, as it does with layer
    plans, and for what was not read, of which s3prl would get nothing.
    """
    from bench.encoders.weights.files.harmless import StandIn
    from bench.encoders.weights.read import load_content

    content = load_content(path)
    for part in _parts(content):
        if isinstance(part, str) and "(" in part and not PLAN.fullmatch(part):
            problem = f"holds {part[:60]!r}, which s3prl may run as code"
            raise CheckpointError(path, problem, "do not use this file unless you know where it comes from")
        kind = part if isinstance(part, type) else type(part)
        if issubclass(kind, StandIn):  # s3prl would take it for a setting
            problem = f"holds {kind.__name__}, which is not read here"
            raise CheckpointError(path, problem, "save its tensors and settings anew, with plain values")
    return content


def _parts(content: object) -> Iterator[object]:
    """All that nested containers and objects hold, each once: they may hold themselves."""
    left, seen = [content], set()
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set)):
            left += part
        else:
            yield part
            if hasattr(part, "__dict__") and not isinstance(part, type):  # options of a training run
                left.append(vars(part))


def _hubert(**sizes: object) -> dict:
    from dataclasses import asdict

    from s3prl.upstream.hubert.hubert_model import HubertConfig, HubertModel, HubertPretrainingConfig

    config, task = HubertConfig(**{"label_rate": 50.0, "final_dim": 256} | sizes), HubertPretrainingConfig()
    symbols = [[str(cluster) for cluster in range(504)]]
    weights = HubertModel(config, task, symbols).state_dict()
    settings = {"task_cfg": asdict(task), "model_cfg": asdict(config), "dictionaries_symbols": symbols}
    return settings | {"model_weight": weights}


def _wav2vec2(**sizes: object) -> dict:
    from dataclasses import asdict

    from s3prl.upstream.wav2vec2.wav2vec2_model import AudioPretrainingConfig, Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(**{"quantize_targets": True, "final_dim": 256} | sizes)
    weights = Wav2Vec2Model(config).state_dict()
    return {"task_cfg": asdict(AudioPretrainingConfig()), "model_cfg": asdict(config), "model_weight": weights}


def _wavlm(**sizes: object) -> dict:
    from s3prl.upstream.wavlm.WavLM import WavLM, WavLMConfig

    settings = {"relative_position_embedding": True, "gru_rel_pos": True, "max_distance": 800} | sizes
    return {"cfg": settings, "model": WavLM(WavLMConfig(settings)).state_dict()}


def _byol_s() -> dict:
    from argparse import Namespace

    from s3prl.upstream.byol_s.serab_byols.serab import get_model

    return get_model("default", Namespace(n_mels=64, feature_d=2048)).state_dict()


# {entry: an untrained checkpoint in the entry's own format, at the base model's sizes unless others are given}
UNTRAINED: dict[str, Callable[..., dict]] = {
    "hubert": _hubert,
    "wav2vec2": _wav2vec2,
    "wavlm": _wavlm,
    "byol_s": _byol_s,
}


def untrained_checkpoint(name: str) -> dict:
    """An untrained checkpoint at full size. Raises ``BadInput`` for an entry that is not in ``UNTRAINED``."""
    if name not in UNTRAINED:
        remedy = f"leave it out, or take another entry's: {', '.join(UNTRAINED)}"
        raise BadInput(f"s3prl.{name}", "s3prl cannot build this entry without a checkpoint", remedy)
    return UNTRAINED[name]()
