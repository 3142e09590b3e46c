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
from bench.base.settings import TEXT, TRUTH, WHOLE, Rule, check, list_of, rules
from bench.encoders.weights.code import revisions
from bench.probe import protocols
from bench.runs.choices import EncoderChoice
from bench.types import Protocol

ALL = "all"
TEXTS, WHOLES = list_of(TEXT, "a list of texts"), list_of(WHOLE, "a list of whole numbers")
LAYERS = Rule(lambda value: value == ALL or WHOLES.holds(value), f'"{ALL}" or {WHOLES.words}')
ENCODERS = list_of(Rule(lambda each: isinstance(each, dict) and "id" in each, ""), "a table [[encoder]] for each")
KEYS = rules(
    out=TEXT,
    suite=TEXT,
    tasks=TEXTS,
    protocols=TEXTS,
    seeds=WHOLES,
    layers=LAYERS,
    clip=TEXT,
    device=TEXT,
    precision=TEXT,
    on_bad_clip=TEXT,
    trust_remote_code=TEXTS,
    skip_absent=TRUTH,
    controls=TRUTH,
    oracle=TRUTH,
    workers=WHOLE,
    title=TEXT,
    notes=TEXTS,
    encoder=ENCODERS,
)
ENCODER_KEYS = rules(id=TEXT, poolings=TEXTS, layers=LAYERS, weights=TEXT)


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
        check(settings, KEYS, where, f"key in {where}:")
        suite, task_ids = settings.get("suite"), tuple(settings.get("tasks", ()))
        if not suite and not task_ids:
            raise NothingAsked("name a suite or tasks (respbench ls suites, respbench ls tasks)")
        if not settings.get("encoder"):
            raise NothingAsked("name encoders (respbench ls encoders)")
        for table in settings["encoder"]:
            check(table, ENCODER_KEYS, f"{where}: encoder", f"key in {where}: encoder:")
        trusted = revisions(settings.get("trust_remote_code"))
        members = registry.suite(suite).tasks if suite else ()
        for name in settings.get("protocols", ()):
            if protocols.get(name, settings.get("clip", "native")).kind == "control":
                raise UnknownId("protocol of a probe", name, [n for n in protocols.PROTOCOLS if n != name])
        for task in task_ids:
            registry.task_card(task)
        shared = {f.name for f in dataclasses.fields(cls)} - {"tasks", "encoders", "optional", "protocols", "seeds"}
        return cls(
            tasks=tuple(dict.fromkeys([*members, *task_ids])),
            encoders=tuple(_choice(table, settings.get("layers", ()), trusted) for table in settings["encoder"]),
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
    check(settings, KEYS, str(path), f"key in {path}:")
    return settings


def layers_of(text: Sequence[str]) -> str | list[int]:
    """``all`` or layers, from words. Raises ``BadInput``."""
    if list(text) == [ALL]:
        return ALL
    try:
        return [int(word) for word in text]
    except ValueError:
        raise BadInput("--layers", f"{' '.join(text)!r} are no layers", f"give numbers, or {ALL}") from None


def _choice(table: Mapping[str, Any], shared_layers: str | Sequence[int], trusted: tuple[str, ...]) -> EncoderChoice:
    """The encoder of a table ``[[encoder]]``; ``shared_layers`` and ``trusted`` are those of the whole grid."""
    card, layers = registry.encoder_card(table["id"], trusted), table.get("layers", shared_layers)
    if layers == ALL:
        if table.get("weights"):
            problem = "how many layers the checkpoint has is not known before it is loaded"
            raise BadInput(f"encoder {card.id}", problem, "give the layers as numbers")
        layers = range(-card.layers, 0)
    poolings, weights = tuple(table.get("poolings", ())), table.get("weights")
    return EncoderChoice(table["id"], poolings, tuple(layers), weights, trusted, layers_optional=True).checked()
