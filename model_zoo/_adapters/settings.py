"""What the JSON files of a transformers folder say of its model, and whether that is what is computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path

from bench.base.errors import CheckpointError
from bench.encoders.weights.folders import folder_of

MODEL, FRONT_END = "config.json", "preprocessor_config.json"


def read_settings(weights: Path, name: str) -> dict:
    """Reads a JSON file of a transformers folder, which may be given by its tensor file; empty where there is none.

    Raises ``CheckpointError`` for a broken one.
    """
    path = folder_of(weights) / name
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(path, f"is not JSON ({error})", "fetch the folder again") from error
    if not isinstance(content, dict):
        raise CheckpointError(path, f"holds a {type(content).__name__}, not settings", "fetch the folder again")
    return content


def require_settings(weights: Path, allowed: Mapping[str, object], remedy: str, name: str = MODEL) -> None:
    """Holds a JSON file of a transformers folder to what is computed; what the file does not say is taken as agreed.

    Parameters
    ----------
    weights, name
        As of ``read_settings``.
    allowed
        {setting: its value, or those that it may have, the usual one first}. ``a.b`` is the setting ``b`` within ``a``.
    remedy
        What to do where one is another.

    Raises
    ------
    CheckpointError
        That names the first setting that differs.
    """
    given = read_settings(weights, name)
    for setting, value in allowed.items():
        values = value if isinstance(value, tuple | list) else (value,)
        *outer, inner = setting.split(".")
        found: object = given
        for part in outer:
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, dict) and inner in found and not _is_among(found[inner], values):
            problem = f"its {name} says {setting} {found[inner]!r} instead of {values[0]!r}"
            raise CheckpointError(weights, problem, remedy)


def _is_among(value: object, allowed: Collection[object]) -> bool:
    if isinstance(value, float):
        return any(isinstance(one, int | float) and math.isclose(value, one, rel_tol=1e-6) for one in allowed)
    return value in allowed
