"""What is installed and at hand: packages, torchaudio's native part, devices, recordings, weights."""

from __future__ import annotations

import argparse

from bench.base import paths, provenance, registry
from bench.base.errors import RespBenchError
from bench.cli.options import Verb, json_output, print_json, show
from bench.scores.printed import size


def report() -> dict:
    """What is installed and at hand, JSON-ready.

    Returns
    -------
    dict
        ``versions``, ``commit``, ``arithmetic`` (processor, instructions, threads, BLAS), ``torchaudio`` (``native`` or
        ``python-only``), ``devices``, ``data`` ({task: what is at hand, or why it cannot be used}), ``weights``
        ({encoder id: where its weights lie, or why not}), ``cache`` and ``cache_size``.
    """
    import torch

    from bench.base import optional_imports
    from bench.encoders.features.upkeep import inventory

    devices = ["cpu"]
    devices += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "torchaudio": optional_imports.import_torchaudio()[1],
        "arithmetic": provenance.arithmetic(),
        "devices": devices,
        "data_root": _data_root(),
        "data": _data(),
        "weights": _weights(),
        "cache": str(paths.cache_root()),
        "cache_size": size(inventory.size(paths.cache_root())),
    }


def _data_root() -> str:
    try:
        return str(paths.data_root() or "none: set RESPBENCH_DATA or make ./data")
    except RespBenchError as error:
        return str(error)


def _data() -> dict[str, str]:
    """{task: state and clips at hand, or why it cannot be used}."""
    from bench.data.manifest import load_task

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
    """{encoder: where its weights lie and by what its digest is known, or that they are not at hand}.

    Nothing is verified here: `check`, `fetch` and every run do that.
    """
    from bench.encoders.weights import find, licences, verified

    out = {}
    for card in registry.cards(registry.ENCODERS):
        if not card.weights:
            continue
        try:
            at_hand = find.at_hand(card)
        except RespBenchError as error:
            out[card.id] = str(error)
            continue
        if at_hand is None:
            out[card.id] = f"not at hand: respbench fetch {card.id}"
            continue
        weights, path = at_hand
        pin = verified.pin(card, weights)
        known = "digest on the card" if weights.sha256 else f"digest pinned {pin.date}" if pin else "not used yet"
        agreed = "" if licences.agreed(card) else ", licence not agreed to (--accept-licence)"
        out[card.id] = f"{path} ({known}{agreed})"
    return out


def diagnose(arguments: argparse.Namespace) -> int:
    """Runs ``doctor``."""
    from bench.cli.texts import doctor_text

    facts = report()
    if arguments.json:
        print_json(facts)
    else:
        show(doctor_text(facts))
    return 0


DOCTOR = Verb("doctor", "what is installed and at hand: packages, devices, data, weights", json_output, diagnose)
