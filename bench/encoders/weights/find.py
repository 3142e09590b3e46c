"""Finds an encoder's weight files and verifies them by their digests."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import CheckpointError, MissingWeights, RespBenchError
from bench.base.paths import file_digest, weight_folders
from bench.encoders.weights import verified
from bench.encoders.weights.folders import FOLDER_FILES, INDEX, shard_names, tensor_files
from bench.types import Encoder, EncoderCard, Weights

if TYPE_CHECKING:
    from torch import nn

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def find(card: EncoderCard, weights: str | Path | None = None) -> Path:
    """The card's weight file or folder on this machine.

    ``weights`` names it explicitly (the file, the transformers folder, a folder that holds the file, or, for an encoder
    that is on the Hub, a Hub id such as ``org/name``, the one case in which something is fetched); its digest may then
    differ from the release's and shows in the encoder's ``weights_digest``. Otherwise ``card.weights``, which are
    alternatives in order of preference, are looked for in ``bench.base.paths.weight_folders()`` and then among what was
    fetched, and must have the digest of the card, else the one pinned on first use. Raises ``MissingWeights`` where
    there is none, ``CheckpointError`` for a wrong digest or path.
    """
    if weights is not None:
        path = Path(weights)
        if not path.exists() and HUB_ID.fullmatch(str(weights)) and any(w.hub for w in card.weights):
            path = from_hub(str(weights), part=part_of(card))
        if not path.exists():
            raise CheckpointError(path, f"no such weight file or folder for {card.id}", "check the path")
        # an absolute file is the card's own folder, which would take the place of the one that is given
        names = [name for w in card.weights if not Path(w.file).is_absolute() for name in (w.file, Path(w.file).name)]
        inside = [path / name for name in names if path.is_dir() and (path / name).exists()]
        return inside[0] if inside else path
    there = at_hand(card)
    if there is None:
        raise MissingWeights(card.id, _absent(card), _remedy(card, weight_folders()))
    release, path = there
    verify(card, release, path, verified.pin(card, release))
    return path


def part_of(card: EncoderCard) -> str:
    """The part of a larger model that the card's weights are (``Weights.part``); empty where they are all of it."""
    return next((release.part for release in card.weights if release.part), "")


def at_hand(card: EncoderCard) -> tuple[Weights, Path] | None:
    """The first of the card's alternatives that is there, and its path; unverified, None where there is none.

    It is looked for by its name in ``bench.base.paths.weight_folders()``, else among what was fetched.
    """
    folders = weight_folders()
    for release in card.weights:
        for path in (folder / release.file for folder in folders):
            if path.exists():
                return release, path
        if fetched := verified.stored(card, release):
            return release, fetched
    return None


def trust(card: EncoderCard, sha256: str) -> None:
    """Pins the digest of the weights at hand if this is their first use. To be called once they have loaded."""
    there = at_hand(card)
    if there and not there[0].sha256 and not verified.pin(card, there[0]):
        verified.set_pin(card, there[0], sha256, there[1])


def verify(card: EncoderCard, release: Weights, path: Path, pin: verified.Pin | None) -> None:
    """Holds a file to what is known of the release: the card's digest, else the pinned one, and its size.

    Raises ``CheckpointError`` that gives what is and what should be.
    """
    known = release.sha256 or (pin.sha256 if pin else "")
    if known and (actual := digest(path, release.part)) == known:
        return
    size = sum(file.stat().st_size for file in tensor_files(path, release.part)) if release.size else None
    again = f"delete it and fetch it again (respbench fetch {card.id})"
    own = "name it explicitly as the weights to use it all the same"
    if size != release.size:
        raise CheckpointError(path, f"has {size} bytes, the released file has {release.size}{_looks(path)}", again)
    if release.sha256:
        problem = f"SHA-256 is {actual}, the released file has {known}{_looks(path)}"
        raise CheckpointError(path, problem, f"{again}, or {own}")
    if pin:
        problem = f"SHA-256 is {actual}, but {known} was pinned on first use ({pin.date}, {pin.source}){_looks(path)}"
        remedy = f"find out which is the release; {own}, or pin it anew: respbench fetch {card.id} --from FILE --repin"
        raise CheckpointError(path, problem, remedy)


def _looks(path: Path) -> str:
    from bench.encoders.weights.files.unreadable import impostor

    what = impostor(path) if path.is_file() else None
    return f"; it {what[0]}" if what else ""


def from_hub(id: str, folder: Path | None = None, part: str = "") -> Path:
    """The folder of a transformers model of that Hub id, downloaded once into ``folder`` or the Hub's own cache.

    Of shards, those alone that hold tensors of ``part`` (``Weights.part``).
    The Hub's client resumes, verifies, and takes a token for gated models from ``HF_TOKEN`` or a log-in. Raises
    ``CheckpointError``.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        path = Path()
        for file in FOLDER_FILES:
            path = Path(snapshot_download(id, allow_patterns=["*.json", file], local_dir=folder))
            if (path / file).is_file():
                break
            if (index := path / f"{file}{INDEX}").is_file():
                names = ["*.json", *shard_names(index, part)]
                return Path(snapshot_download(id, allow_patterns=names, local_dir=folder))
        return path
    except RepositoryNotFoundError as error:  # also what a gated or private one answers
        remedy = f"accept its terms at https://huggingface.co/{id} and put your token into HF_TOKEN, or check the id"
        raise CheckpointError(id, "does not exist on the Hub, or is gated or private", remedy) from error
    except (OSError, ValueError) as error:  # its network errors are OSErrors
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(id, f"cannot be had from the Hub ({reason})", "name a local folder of it") from error


def _absent(card: EncoderCard) -> str:
    return f"no {' or '.join(w.file for w in card.weights)} at hand"


def _remedy(card: EncoderCard, folders: list[Path]) -> str:
    """How to get the weights: addresses, licences, digests, and where a file may be put by hand."""
    lines = []
    for w in card.weights:
        facts = f"licence {w.licence or 'unstated'}, SHA-256 {w.sha256 or 'not known, pinned on first use'}"
        if w.urls or w.hub:
            origins = [*w.urls, *([f"the Hub id {w.hub}"] if w.hub else [])]
            lines.append(f"run `respbench fetch {card.id}` ({facts}; from {' or '.join(origins)})")
        else:
            lines.append(f"put it at {folders[0] / w.file} ({facts})")
    if any(w.hub for w in card.weights):
        lines.append("name a Hub id as the weights")
    return ", or ".join(lines) + f" (looked in {', '.join(map(str, folders))})"


def digest(path: str | Path, part: str = "") -> str:
    """SHA-256 of a weight file; of a transformers folder, that of the tensor file in it, whatever lies beside.

    Where its tensors lie in several shards, that of the names and digests of those that hold some of ``part``.
    """
    files = tensor_files(path, part)
    if len(files) == 1:
        return file_digest(files[0])
    return hashlib.sha256("".join(f"{file.name} {file_digest(file)}\n" for file in files).encode()).hexdigest()


def digest_of(card: EncoderCard, weights: str | Path | None = None) -> str:
    """The digest of the card's weights, or of those in their place, as it stands in records. Raises as ``find``."""
    return digest(find(card, weights), part_of(card))


def release_digests(card: EncoderCard) -> set[str]:
    """The digests that are known of a card's released weights: by the card, or pinned on first use.

    What lies in a folder that an id names (``hf.*``) is nobody's release, and may be something else by now.
    """
    pins = (verified.pin(card, release) for release in card.weights)
    return {known.sha256 for known in (*card.weights, *pins) if known is not None and known.sha256}


def release_digests_of(id: str) -> set[str]:
    """``release_digests`` of an encoder by its id; empty for an encoder that is not at hand here."""
    try:
        return release_digests(registry.encoder_card(id))
    except RespBenchError:
        return set()


def parameter_digest(module: nn.Module | Encoder) -> str:
    """SHA-256 of a module's parameters: names, dtypes, shapes and values, in name order; ``none`` without any."""
    total = hashlib.sha256()
    parameters = dict(module.named_parameters())
    if not parameters:
        return "none"
    for name, tensor in sorted(parameters.items()):
        array = tensor.detach().cpu().contiguous()
        total.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        total.update(array.numpy().tobytes())
    return total.hexdigest()
