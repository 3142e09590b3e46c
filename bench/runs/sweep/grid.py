"""What a sweep is made of, from flags or from a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.base import registry
from bench.base.errors import BadInput, NothingAsked, UnknownId
from bench.probe import protocols
from bench.runs.choices import EncoderChoice
from bench.types import Protocol

ALL = "all"
_TEXT, _TRUTH, _WHOLE = "a text in quotes", "true or false", "a whole number"
_TEXTS, _WHOLES = "a list of texts", "a list of whole numbers"
_FORMS = {
    _TEXT: lambda value: isinstance(value, str),
    _TRUTH: lambda value: isinstance(value, bool),
    _WHOLE: lambda value: isinstance(value, int) and not isinstance(value, bool),
    _TEXTS: lambda value: isinstance(value, list | tuple) and all(isinstance(each, str) for each in value),
    _WHOLES: lambda value: isinstance(value, list | tuple) and all(type(each) is int for each in value),
}
KEYS = {
    "out": _TEXT,
    "suite": _TEXT,
    "tasks": _TEXTS,
    "protocols": _TEXTS,
    "seeds": _WHOLES,
    "layers": f'"{ALL}" or {_WHOLES}',
    "clip": _TEXT,
    "device": _TEXT,
    "precision": _TEXT,
    "on_bad_clip": _TEXT,
    "skip_absent": _TRUTH,
    "controls": _TRUTH,
    "oracle": _TRUTH,
    "workers": _WHOLE,
    "title": _TEXT,
    "notes": _TEXTS,
    "encoder": "a table [[encoder]] for each",
}
ENCODER_KEYS = {"id": _TEXT, "poolings": _TEXTS, "layers": KEYS["layers"], "weights": _TEXT}


@dataclass(frozen=True)
class SweepGrid:
    """Every combination that is asked for; a run of ``respbench run`` is one too.

    ``optional`` tasks are left out where their data are not at hand, as the members of a suite are. ``seeds`` None:
    the protocol's own.
    """

    tasks: tuple[str, ...]
    encoders: tuple[EncoderChoice, ...]
    optional: frozenset[str] = frozenset()
    protocols: tuple[str, ...] = ("linear",)
    seeds: tuple[int, ...] | None = None
    clip: str = "native"
    device: str = "cpu"
    precision: str = "float32"
    on_bad_clip: str = "error"
    skip_absent: bool = False
    controls: bool = True

    @classmethod
    def of(cls, settings: Mapping[str, Any], where: str = "sweep") -> SweepGrid:
        """From the keys of a TOML file (``KEYS``).

        Raises ``UnknownId`` for unknown keys, ids and names, ``BadInput`` for a value of another form,
        ``NothingAsked`` where tasks or encoders are missing.
        """
        check_keys(settings, KEYS, where)
        suite, task_ids = settings.get("suite"), tuple(settings.get("tasks", ()))
        if not suite and not task_ids:
            raise NothingAsked("name a suite or tasks (respbench ls suites, respbench ls tasks)")
        if not settings.get("encoder"):
            raise NothingAsked("name encoders (respbench ls encoders)")
        for table in settings["encoder"]:
            check_keys(table, ENCODER_KEYS, f"{where}: encoder")
        members = registry.suite(suite).tasks if suite else ()
        for name in settings.get("protocols", ()):
            if protocols.get(name, settings.get("clip", "native")).kind == "control":
                raise UnknownId("protocol of a probe", name, [n for n in protocols.PROTOCOLS if n != name])
        for task in task_ids:
            registry.task_card(task)
        shared = {f.name for f in dataclasses.fields(cls)} - {"tasks", "encoders", "optional", "protocols", "seeds"}
        return cls(
            tasks=tuple(dict.fromkeys([*members, *task_ids])),
            encoders=tuple(_choice(table, settings.get("layers", ())) for table in settings["encoder"]),
            optional=frozenset(members) - frozenset(task_ids),
            protocols=tuple(dict.fromkeys(settings.get("protocols", ("linear",)))),
            seeds=tuple(dict.fromkeys(settings["seeds"])) if settings.get("seeds") else None,
            **{name: settings[name] for name in shared if name in settings},
        )

    def protocols_asked(self) -> list[Protocol]:
        """The protocols under the grid's clip policy. Raises ``UnknownId``."""
        return [protocols.get(name, self.clip) for name in self.protocols]

    def seeds_of(self, protocol: str) -> tuple[int, ...]:
        """The seeds that a protocol runs on."""
        return protocols.get(protocol).seeds if self.seeds is None else self.seeds


def read(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, their keys checked.

    Raises ``BadInput`` for a file that is not there or not TOML, ``UnknownId`` for unknown keys.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", "check the path") from error
    except ValueError as error:
        raise BadInput(path, f"is not TOML ({error})", "see scripts/recipes/sweep.toml") from error
    check_keys(settings, KEYS, str(path))
    return settings


def check_keys(settings: Mapping[str, Any], known: Mapping[str, str], where: str) -> None:
    """Raises ``UnknownId`` for a key that is not known, ``BadInput`` for a value of the wrong form."""
    for key, value in settings.items():
        if key not in known:
            raise UnknownId(f"key in {where}:", key, known)
        form = known[key]
        if key == "layers":
            sound = value == ALL or _FORMS[_WHOLES](value)
        elif form in _FORMS:
            sound = _FORMS[form](value)
        else:
            sound = isinstance(value, list) and all(isinstance(each, dict) and "id" in each for each in value)
        if not sound:
            raise BadInput(f"{where}: {key}", f"{value!r} is not {form}", "see scripts/recipes/sweep.toml")


def layers_of(text: Sequence[str]) -> str | list[int]:
    """``all`` or layers, from words. Raises ``BadInput``."""
    if list(text) == [ALL]:
        return ALL
    try:
        return [int(word) for word in text]
    except ValueError:
        raise BadInput("--layers", f"{' '.join(text)!r} are no layers", f"give numbers, or {ALL}") from None


def _choice(table: Mapping[str, Any], shared_layers: str | Sequence[int]) -> EncoderChoice:
    """The encoder of a table ``[[encoder]]``; ``shared_layers`` are those of the whole grid."""
    card, layers = registry.encoder_card(table["id"]), table.get("layers", shared_layers)
    if layers == ALL:
        if table.get("weights"):
            problem = "how many layers the checkpoint has is not known before it is loaded"
            raise BadInput(f"encoder {card.id}", problem, "give the layers as numbers")
        layers = range(-card.layers, 0)
    return EncoderChoice(table["id"], tuple(table.get("poolings", ())), tuple(layers), table.get("weights")).checked()
