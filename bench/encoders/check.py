"""The encoder contract run on registered encoders: with the released weights where they are at hand, else untrained.

Nothing is left out silently: an encoder that cannot be built here is listed with the reason. Weights and packages that
are not there are no fault of the encoder, which is then ``not checked``; whatever else keeps it from being built is.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, MissingWeights, NotInstalled, RespBenchError, UnknownId
from bench.base.paths import weight_folders
from bench.base.progress import Progress, silent
from bench.encoders.batches import collate
from bench.encoders.contract import examine
from bench.encoders.load import load_encoder, needs_statistics, require_device
from bench.encoders.weights import code
from bench.encoders.weights.licences import LicenceNotAccepted
from bench.types import Encoder

if TYPE_CHECKING:
    import torch

HOLDS, BROKEN, UNCHECKED = "holds", "violated", "not checked"
STATISTICS_S = (1.0, 2.0, 1.5, 2.5)  # clips for encoders that take statistics of the training clips


def check_encoders(
    device: str = "cpu", progress: Progress = silent, found: Callable[[dict], None] = lambda row: None
) -> list[dict]:
    """Checks every listed encoder under its default policy.

    Parameters
    ----------
    device : str
        A torch device.
    progress : Progress
        Told of every encoder.
    found : callable
        Called with each row when it is known: large networks take minutes, and who stops keeps what was found.

    Returns
    -------
    list of dict
        A row (see ``check_registered``) for every encoder, and one that says so for every family whose ids are
        open-ended.
    """
    cards = registry.cards(registry.ENCODERS)
    rows = []
    with progress("check encoders", len(cards)) as tick:
        for card in cards:
            rows.append(check_registered(card.id, device=device))
            found(rows[-1])
            tick(1)
    for note in registry.open_ended():
        name, _, what = note.partition(": ")
        rows.append(_row(name, UNCHECKED, why=f"{what}; name one to check it"))
    return rows


def check_registered(
    id: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    trust_remote_code: str | Sequence[str] | None = None,
) -> dict:
    """Runs the encoder contract on one encoder.

    Parameters
    ----------
    id : str
        The encoder's id.
    weights : str or Path, optional
        A checkpoint to check it with; by default the released weights where they are at hand, else the untrained twin.
    device : str
        A torch device.
    trust_remote_code : str or sequence of str, optional
        As of ``bench.load_encoder``.

    Returns
    -------
    dict
        JSON-ready: ``id``; ``verdict`` (``holds``; ``violated``, also where it cannot be built; ``not checked`` where
        weights, without which it has no form, or a package are not there); ``weights`` (``released``,
        ``given``, ``untrained``, ``none needed``); ``why`` not the released ones, or not at all; ``invariance``
        (largest difference between a clip alone and in a batch, relative to the largest value); ``problems``;
        ``wall_s`` in seconds.

    Raises
    ------
    UnknownId
        For an id that does not exist.
    BadInput
        For a checkpoint that was given and cannot be used, and for a device that is not there.
    CodeNotTrusted
        For a model that cannot be had without code of its own, where that is not trusted.
    """
    began = time.monotonic()
    weight_folders()  # a wrong setting is no encoder's fault, nor is a device that is not there
    require_device(device)
    try:
        encoder, used, why = _load(id, weights, device, code.revisions(trust_remote_code))
        if needs_statistics(encoder):
            encoder.fit_stats(_unlike_clips(encoder))
    except RespBenchError as error:
        if weights is not None or isinstance(error, UnknownId | code.CodeNotTrusted):
            raise
        reason = str(error).removeprefix(f"{id}: ")
        if isinstance(error, (MissingWeights, NotInstalled)):
            return _row(id, UNCHECKED, why=reason)
        return _row(id, BROKEN, "released" if isinstance(error, CheckpointError) else "", problems=[reason])
    except Exception as error:  # whatever an adapter of somebody's raises, it is this encoder that cannot be built
        if isinstance(error, ModuleNotFoundError) and _absent(error.name):
            return _row(id, UNCHECKED, why=str(error))
        return _row(id, BROKEN, problems=[f"building it raised {type(error).__name__}: {error}"])
    result = examine(encoder)
    verdict = BROKEN if result.problems else HOLDS
    return _row(id, verdict, used, why, result.invariance, list(result.problems), round(time.monotonic() - began, 1))


def _absent(module: str | None) -> bool:
    """Whether the package of a module that cannot be imported is not installed, rather than lacking that module."""
    return module is not None and importlib.util.find_spec(module.partition(".")[0]) is None


def _row(
    id: str,
    verdict: str,
    weights: str = "",
    why: str = "",
    invariance: float | None = None,
    problems: Sequence[str] = (),
    wall_s: float = 0.0,
) -> dict:
    return {
        "id": id,
        "verdict": verdict,
        "weights": weights,
        "why": why,
        "invariance": invariance,
        "problems": list(problems),
        "wall_s": wall_s,
    }


def _load(id: str, weights: str | Path | None, device: str, trusted: Sequence[str]) -> tuple[Encoder, str, str]:
    """The encoder, which weights it has, and why not the released ones.

    An encoder whose weights are not at hand is replaced by its untrained twin. Raises ``MissingWeights`` where there is
    none.
    """
    from bench.encoders.weights.find import at_hand

    card = registry.encoder_card(id, trusted)
    if weights is not None:
        return load_encoder(id, weights, device, trust_remote_code=trusted), "given", ""
    if not card.weights:
        return load_encoder(id, device=device, trust_remote_code=trusted), "none needed", ""
    why = f"no {card.weights[0].file} at hand"
    if at_hand(card):
        try:
            listed = card.id.partition("@")[0] in {known.id for known in registry.cards(registry.ENCODERS)}
            encoder = load_encoder(id, device=device, trust_remote_code=trusted)
            return encoder, "released" if listed else "given", ""  # what an open id names may be anybody's
        except LicenceNotAccepted:
            why = "licence not agreed to (--accept-licence)"
    try:
        return load_encoder(registry.twin_id(id), device=device, trust_remote_code=trusted), "untrained", why
    except (NotInstalled, code.CodeNotTrusted):
        raise
    except (BadInput, UnknownId) as error:
        raise MissingWeights(id, f"{why}, and it has no untrained form here ({error})", "get its weights") from error


def _unlike_clips(encoder: Encoder) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of one clip each, a tone under a slow swell in noise; levels and pitches differ from clip to clip.

    Of clips that are alike some channels of an untrained network hardly vary, and BatchNorm with their statistics
    enlarges rounding until it looks like a leak from batch mates.
    """
    import numpy as np

    rng, rate = np.random.default_rng(0), encoder.card.sample_rate
    for step, seconds in enumerate(STATISTICS_S):
        t = np.arange(round(seconds * rate)) / rate
        tone = 0.3 * np.sin(2 * np.pi * 220 * 2**step * t) * np.sin(2 * np.pi * (0.4 * t + 0.1 * step))
        clip = tone + 0.1 * 10 ** (-step / 2) * rng.standard_normal(len(t))
        yield collate(encoder, [clip.clip(-1, 1).astype(np.float32)])
