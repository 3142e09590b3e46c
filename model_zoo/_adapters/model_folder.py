"""Folders of transformers models on this machine: which one a name means, what it says of sound, and its own code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bench.base.errors import CheckpointError, MissingWeights
from bench.base.paths import weight_folders
from bench.encoders.weights.code import REVISION, folder_revision, is_as_fetched
from bench.encoders.weights.folders import ADAPTER, HOLDS_ADAPTER
from model_zoo._adapters.settings import FRONT_END, MODEL, read_settings

PROCESSOR = "processor_config.json"  # of newer versions of the library, the front end's settings inside
AUTO = "auto_map"  # {class of the library: ``module.Class`` of the folder's own code that takes its place}
HALVES = ("audio_config", "audio_encoder_config", "encoder_config")  # settings of the part that hears
ELSEWHERE = "--"  # in such a reference: the code is that of another repository
ESCAPED = "write %25 for %, %40 for @, %3A for : and %3D for =, which mean something in an encoder's name"
CHANGES_NOTHING = ("transformers_version", "_name_or_path", "architectures", "processor_class")  # settings, numbers


def find_folder(name: str, id: str, trusted: Sequence[str] = ()) -> Path:
    """The absolute folder of a model on this machine, of a trusted revision where the Hub's cache has one.

    Parameters
    ----------
    name
        A path, which starts with ``/``, ``./``, ``../`` or ``~``; a name below the weight folders; or a Hub id.
    id
        Of the encoder, for errors.
    trusted
        Revisions whose snapshots come before that of the branch main.

    Raises
    ------
    CheckpointError
        For a path without one, and for a folder of an adapter alone.
    MissingWeights
        Where no folder below the weight folders and no Hub id on this machine has the name.
    """
    wrong: type[CheckpointError] = MissingWeights
    if name.startswith(("/", "./", "../", "~")):  # what is not there cannot be fetched, so the path is wrong
        wrong, places, also = CheckpointError, [Path(name).expanduser().absolute()], ""
        remedy = f"name a folder with a config.json; in its path {ESCAPED}"
    else:
        places, also = [root / name for root in weight_folders()], " and the Hub's cache"
        remedy = f"name a folder (hf./path/to/folder), or get a Hub id onto this machine: `hf download {name}`"
    for place in [*places, *(_snapshots(name, trusted) if also else [])]:
        if (place / MODEL).is_file():
            return place
    problem = f"no transformers model on this machine (looked in {', '.join(map(str, places))}{also})"
    if any((place / ADAPTER).is_file() for place in places):
        raise CheckpointError(id, *HOLDS_ADAPTER)
    if there := [place for place in places if place.exists()]:
        what = f"holds no {MODEL}" if there[0].is_dir() else "is a file, not a folder"
        problem = f"no transformers model: {there[0]} {what}"
        remedy = "save the whole model there (save_pretrained), or give the file as the checkpoint of the encoder that "
        remedy += f"it was trained from: ID={there[0]}"
    raise wrong(id, problem, remedy)


def _snapshots(id: str, trusted: Sequence[str]) -> list[Path]:
    """The snapshots of a Hub id in the Hub's own cache: those of trusted revisions, then that of main."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    found = []
    for revision in (*trusted, None):
        try:
            cached = try_to_load_from_cache(id, MODEL, revision=revision)
        except HFValidationError:  # not a Hub id
            return []
        found += [Path(cached).parent] if isinstance(cached, str) else []
    return found


def revision_of(place: Path, name: str) -> str:
    """The revision of the code in a folder that ``find_folder`` found by a name.

    It is the commit of a snapshot that the Hub's cache gives for the name and whose files are as they were fetched; of
    any other folder, whatever it is called, that of its files.
    """
    return place.name if is_snapshot(place, name) and is_as_fetched(place) else folder_revision(place)


def is_snapshot(place: Path, name: str) -> bool:
    """Whether a folder is the snapshot of a commit that the Hub's cache gives for a Hub id."""
    return bool(REVISION.fullmatch(place.name)) and place in _snapshots(name, (place.name,))


def own_code(place: Path) -> dict[str, str]:
    """{class of the library: the class of the folder's own code that takes its place}.

    Raises ``CheckpointError`` for code that lies in another repository or outside the folder, whose revision says
    nothing of it.
    """
    found: dict[str, str] = {}
    for settings in (MODEL, FRONT_END, PROCESSOR):
        declared = read_settings(place, settings).get(AUTO)
        found |= {name: str(reference) for name, reference in declared.items()} if isinstance(declared, dict) else {}
    for reference in found.values():
        if ELSEWHERE in reference:
            problem = f"its code is in another repository ({reference})"
            remedy = f"copy those Python files into a copy of the folder, take what stands before {ELSEWHERE} away"
            raise CheckpointError(place, problem, f"{remedy} from {AUTO} in its JSON files, and name that folder")
        if ".." in reference or reference.startswith("/") or "\\" in reference or ":" in reference:
            problem = f"its {AUTO} names code outside the folder ({reference})"
            raise CheckpointError(place, problem, "do not trust it; fetch the folder from where it came first")
    return found


def require_whole(place: Path) -> None:
    """Raises ``CheckpointError`` for a folder whose tensors are not all of the model, or not what it computes by."""
    if (place / ADAPTER).is_file():
        raise CheckpointError(place, *HOLDS_ADAPTER)
    if quantised := read_settings(place, MODEL).get("quantization_config"):
        how = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        problem = f"is quantised ({how or 'quantization_config'} in its {MODEL})"
        raise CheckpointError(place, problem, "take the model that it was made of: embeddings are computed in float32")


def model_settings(place: Path) -> dict:
    """The model's settings, with those of its part that hears where they are not its own."""
    config = read_settings(place, MODEL)
    halves = (config.get(name) for name in HALVES)
    return next((half for half in halves if isinstance(half, dict)), {}) | config


def front_settings(place: Path) -> dict:
    """The feature extractor's settings; empty where there are none."""
    front = read_settings(place, FRONT_END) or read_settings(place, PROCESSOR).get("feature_extractor", {})
    return front if isinstance(front, dict) else {}


def require_front(place: Path) -> dict:
    """The feature extractor's settings. Raises ``CheckpointError`` where there are none for audio."""
    from bench.data.sound_files.plausible import RATES_HZ  # at once it would make listing slow

    front = front_settings(place)
    rate = front.get("sampling_rate")
    if rate is not None and (not isinstance(rate, int) or isinstance(rate, bool) or rate < 1):
        raise CheckpointError(place, f"its feature extractor's sampling_rate is {rate!r}", "give it in whole Hz")
    if rate is not None and not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        problem = f"its feature extractor's sampling_rate is {rate} Hz"
        raise CheckpointError(place, problem, f"give the rate of its sound, {RATES_HZ[0]} Hz to {RATES_HZ[1]} Hz")
    if rate is None:
        problem = f"names no sampling rate in a {FRONT_END}"
        remedy = "of a model that you trained, copy that file from the folder of the model that it began as; a model "
        raise CheckpointError(place, problem, f"{remedy}whose original has none either does not take audio")
    return front


def settings_digest(place: Path, front: Path) -> str:
    """SHA-256 of what the settings say that can change an embedding: the model's in ``place``, the front end's."""
    told = [_telling(read_settings(place, MODEL)), _telling(front_settings(front))]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _telling(settings: dict) -> dict:
    return {name: value for name, value in settings.items() if name not in CHANGES_NOTHING}
