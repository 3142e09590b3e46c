"""What is installed and at hand: packages, torchaudio's native part, devices, recordings, weights."""

from __future__ import annotations

from bench import paths, provenance, registry
from bench.errors import RespBenchError


def report() -> dict:
    """JSON-ready: ``versions``, ``torchaudio`` (``native`` or ``python-only``), ``devices``, ``data`` ({task: what is
    at hand, or why it cannot be used}), ``weights`` ({encoder id: where its weights lie, or why not}), ``cache``."""
    import torch

    from model_zoo import _compat

    devices = ["cpu"]
    devices += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "torchaudio": _compat.import_torchaudio()[1],
        "threads": torch.get_num_threads(),
        "devices": devices,
        "data_root": _data_root(),
        "data": _data(),
        "weights": _weights(),
        "cache": str(paths.cache_root()),
    }


def _data_root() -> str:
    try:
        return str(paths.data_root() or "none: set RESPBENCH_DATA or make ./data")
    except RespBenchError as error:
        return str(error)


def _data() -> dict[str, str]:
    """{task: state and clips at hand, or why it cannot be used}."""
    from bench.manifest import load_task

    out = {}
    for card in registry.cards(registry.TASKS):
        try:
            task = load_task(card.id)
        except RespBenchError as error:
            out[card.id] = str(error)
        else:
            at_hand = int(task.manifest["available"].sum())
            out[card.id] = f"{task.state}: {at_hand} of {len(task.manifest)} clips at hand"
    return out


def _weights() -> dict[str, str]:
    from model_zoo import _checkpoint

    out = {}
    for card in registry.cards(registry.ENCODERS):
        if not card.weights or card.id.startswith("random."):
            continue
        try:
            out[card.id] = str(_checkpoint.find(card, None))
        except RespBenchError as error:
            out[card.id] = str(error)
    return out
