"""Weight files: found or fetched, verified by SHA-256, read without executing anything, loaded without a silent gap."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import CheckpointError, MissingWeights
from bench.paths import weight_folders
from bench.types import EncoderCard, Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")  # of a transformers folder, in order of preference
SHOWN = 5  # tensor names in an error message


def find(card: EncoderCard, weights: str | Path | None = None) -> Path:
    """The card's weight file or folder on this machine.

    ``weights`` names it explicitly (the file, the transformers folder, a folder that holds the file, or, for an
    encoder that is on the Hub, a Hub id such as ``org/name``, the one case in which something is fetched); its digest
    may then differ from the card's and shows in the encoder's ``weights_digest``. Otherwise ``card.weights``, which
    are alternatives in order of preference, are looked for in ``bench.paths.weight_folders()``, and a pinned digest
    must match. Raises ``MissingWeights`` where there is none, ``CheckpointError`` for a wrong digest or path.
    """
    if weights is not None:
        path = Path(weights)
        if not path.exists() and HUB_ID.fullmatch(str(weights)) and any(w.hub for w in card.weights):
            path = _from_hub(str(weights))
        if not path.exists():
            raise CheckpointError(path, f"no such weight file or folder for {card.id}", "check the path")
        inside = [path / w.file for w in card.weights if path.is_dir() and (path / w.file).exists()]
        return inside[0] if inside else path
    folders = weight_folders()
    for wanted in card.weights:
        for path in (folder / wanted.file for folder in folders):
            if path.exists():
                _verify(path, wanted)
                return path
    raise MissingWeights(card.id, _absent(card), _remedy(card, folders))


def _from_hub(id: str) -> Path:
    """The folder of a transformers model of that Hub id, downloaded once into the Hub's own cache, which verifies
    it. Raises ``CheckpointError``."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(id, allow_patterns=["*.json", *FOLDER_FILES]))
    except (OSError, ValueError) as error:  # its network errors are OSErrors
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(id, f"cannot be had from the Hub ({reason})", "name a local folder of it") from error


def _verify(path: Path, wanted: Weights) -> None:
    if wanted.sha256 and (found := digest(path)) != wanted.sha256:
        raise CheckpointError(
            path,
            f"SHA-256 is {found}, the released file has {wanted.sha256}",
            "delete it and fetch it again, or name it explicitly as the weights to use it all the same",
        )


def _absent(card: EncoderCard) -> str:
    return f"no {' or '.join(w.file for w in card.weights)} at hand"


def _remedy(card: EncoderCard, folders: list[Path]) -> str:
    """One sentence per released file: address, licence, digest, and where to put it."""
    lines = []
    for w in card.weights:
        facts = f"licence {w.licence or 'unstated'}, SHA-256 {w.sha256 or 'not pinned'}"
        if w.hub:
            lines.append(f"name the Hub id {w.hub} as the weights ({facts})")
        elif w.urls and w.sha256:
            lines.append(f"run `respbench fetch {card.id}` ({facts}; from {' or '.join(w.urls)})")
        elif w.urls:
            lines.append(f"download {' or '.join(w.urls)} to {folders[0] / w.file} ({facts})")
    searched = f" (looked in {', '.join(map(str, folders))})"
    return (", or ".join(lines) or "name the file explicitly") + searched


def download(weights: Weights, folder: str | Path) -> Path:
    """The path of the released file in ``folder``, fetched from its first working address.

    The file is written beside its final place, checked against the pinned SHA-256 and renamed, so that a broken
    download never looks whole; a file that is already there and verifies is kept. The caller shows
    ``weights.licence`` before calling. Raises ``CheckpointError`` without an address or a digest, or when every
    address fails.
    """
    import pooch

    target = Path(folder) / weights.file
    if weights.hub and not weights.urls:
        raise CheckpointError(target, "is on the Hub", f"name the Hub id {weights.hub} as the weights")
    if not weights.urls or not weights.sha256:
        raise CheckpointError(
            target,
            "no address or no SHA-256 is pinned, so a download cannot be verified",
            f"put it at {target} yourself",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in weights.urls:
        try:
            pooch.retrieve(url, known_hash=f"sha256:{weights.sha256}", fname=target.name, path=target.parent)
            return target
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch raises ValueError on a wrong hash
            failures.append(f"{url}: {error}")
    raise CheckpointError(target, "; ".join(failures), "check the network and the address, or fetch it by hand")


def digest(path: str | Path) -> str:
    """SHA-256 of a weight file; of a transformers folder, that of the tensor file in it, whatever lies beside."""
    with tensor_file(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tensor_file(path: str | Path) -> Path:
    """The file itself, or the one that a transformers folder holds. Raises ``CheckpointError``."""
    path = Path(path)
    if not path.is_dir():
        return path
    inside = [path / name for name in FOLDER_FILES if (path / name).is_file()]
    if not inside:
        raise CheckpointError(path, f"holds neither {' nor '.join(FOLDER_FILES)}", "fetch the folder again")
    return inside[0]


def parameter_digest(module: nn.Module) -> str:
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


def load_tensors(path: str | Path) -> dict:
    """The object stored in a checkpoint (a mapping, tensors on the CPU), read without running pickled code.

    Takes a ``.safetensors`` file, a torch file (``weights_only=True``) or a transformers folder that holds one of
    them. Raises ``CheckpointError`` when the file is damaged or is not a mapping.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = tensor_file(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(path, f"cannot be read as tensors ({reason})", "fetch it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            path, f"holds a {type(content).__name__}, not named tensors", "check that it is the weights"
        )
    return content


def load_strict(
    module: nn.Module, tensors: Mapping[str, Tensor], ignore: Iterable[str] = (), where: object = "checkpoint"
) -> None:
    """Copies ``tensors`` into the module's parameters and buffers, cast to their dtype.

    Every tensor of the module must be there with its shape and finite; every other tensor of the file must match
    one of the ``ignore`` patterns (``re.fullmatch``). Raises ``CheckpointError`` that names up to five of each kind.
    """
    own = module.state_dict()
    patterns = [re.compile(p) for p in ignore]
    spare = [k for k in tensors if k not in own]
    problems = {
        "missing": [k for k in own if k not in tensors],
        "misshapen": [
            f"{k} is {tuple(tensors[k].shape)} and should be {tuple(own[k].shape)}"
            for k in own
            if k in tensors and tensors[k].shape != own[k].shape
        ],
        "neither used nor declared ignored": [k for k in spare if not any(p.fullmatch(k) for p in patterns)],
        "not finite": [k for k in own if k in tensors and not bool(tensors[k].isfinite().all())],
    }
    told = [f"{len(names)} {kind}: {_few(names)}" for kind, names in problems.items() if names]
    if told:
        raise CheckpointError(
            where, "; ".join(told), f"it does not fit {type(module).__name__}; check file and encoder"
        )
    module.load_state_dict({k: tensors[k] for k in own}, strict=True)


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
