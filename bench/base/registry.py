"""Finds encoders and tasks by file name: ``model_zoo/<family>.py`` and ``tasks/<family>.py``.

A family module holds ``CARDS`` (a tuple of cards), imports nothing heavy at top level, and has
``build(card, weights) -> Encoder`` (encoders) or ``manifest(card, root, findings) -> DataFrame`` (tasks).
An encoder family some of whose encoders have no untrained form says which in ``has_untrained(card) -> bool``; one
without weight files of its own that still takes a path sets ``TAKES_WEIGHTS``.
A family whose ids are open-ended also has ``card(id) -> Card``, which raises ``KeyError`` for an id it does not know.
An encoder family whose models may bring code of their own sets ``MAY_RUN_CODE``: its ``card`` takes the revisions that
the user trusts too, and names on ``Card.code`` the one that may run, and ``require_code(card, trusted)`` raises where
none of them is the one that must.
A task family whose corpus can be fetched has ``CORPUS``.
A task family whose data may lie outside the data folder has ``root(card, root) -> Path``, which says where.
A task family whose other splits differ in more than their name has ``variant(card, name) -> TaskCard``; one that gives
tasks of other families a second name has ``ALIASES`` ({id: canonical id}).
Files that start with ``_`` are not registered. Outside packages register a family module through the entry-point
groups ``respbench.encoders`` and ``respbench.tasks``.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Final, Literal, overload

from bench.base.errors import BadInput, UnknownId
from bench.types import EncoderCard, Suite, TaskCard

Package = Literal["model_zoo", "tasks"]
ENCODERS: Final = "model_zoo"
TASKS: Final = "tasks"
# The encoders that the benchmark itself asks for: controls that every other encoder is compared with.
UNTRAINED_PREFIX = "random."  # random.<id> is the untrained twin of the encoder <id>
CONTROL_PREFIX = "meta."  # of encoders, and of an audit's rows, that measure a clip's surface and not its content
REFERENCE_ENCODER = "fbank.stats"  # has no weights: what any encoder must beat, and what a test set can resolve
CONTROL_ENCODERS = ("meta.duration",)  # stand beside the encoders of a run with controls
AUDITED_CONTROLS = ("meta.level", "meta.silence", "meta.bandwidth")  # what an audit measures of the audio

_ENTRY_POINTS: dict[Package, str] = {ENCODERS: "respbench.encoders", TASKS: "respbench.tasks"}
_NOUN: dict[Package, str] = {ENCODERS: "encoder", TASKS: "task"}


@cache
def families(package: Package) -> dict[str, str]:
    """{family: importable module name} of the package's files and of installed entry points."""
    modules = {
        info.name: f"{package}.{info.name}"
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__)
        if not info.name.startswith("_")
    }
    for point in importlib.metadata.entry_points(group=_ENTRY_POINTS[package]):
        if point.name in modules:
            problem = f"{point.name!r} is a family of {modules[point.name]} already"
            raise BadInput(f"entry point {point.value}", problem, "give it another name")
        modules[point.name] = point.value
    return dict(sorted(modules.items()))


def family(package: Package, id: str) -> ModuleType:
    """The module that owns ``id``. Raises ``UnknownId``."""
    name = id.partition(".")[0]
    if name not in families(package):
        raise UnknownId(_NOUN[package], id, ids(package))
    return importlib.import_module(families(package)[name])


def _modules(package: Package) -> list[ModuleType]:
    """The modules of all families. Raises ``BadInput`` that names one that cannot be imported: no list lacks a part."""
    modules = []
    for name in families(package).values():
        try:
            modules.append(importlib.import_module(name))
        except Exception as error:
            problem = f"cannot be imported ({type(error).__name__}: {error})"
            remedy = "mend it, import what it needs inside build, or take away the file or the package that brings it"
            raise BadInput(f"{_NOUN[package]} family {name}", problem, remedy) from error
    return modules


def ids(package: Package) -> list[str]:
    """Every id that can be named in advance, in family order; a family of open-ended ids lists them by ``ids()``."""
    modules = _modules(package)
    return [card.id for card in cards(package)] + [id for m in modules if hasattr(m, "ids") for id in m.ids()]


@overload
def cards(package: Literal["model_zoo"]) -> list[EncoderCard]: ...
@overload
def cards(package: Literal["tasks"]) -> list[TaskCard]: ...
@overload
def cards(package: Package) -> list[EncoderCard] | list[TaskCard]: ...
def cards(package: Package) -> list[EncoderCard] | list[TaskCard]:
    """The cards of every listed id."""
    return [card for module in _modules(package) for card in getattr(module, "CARDS", ())]


def encoder_card(id: str, trusted: Sequence[str] = ()) -> EncoderCard:
    """The card of an encoder; ``id@policy`` gives the card under that input policy.

    ``trusted`` are revisions of code that comes with models and may run (``bench.encoders.weights.code``). Raises
    ``UnknownId``.
    """
    base, _, policy = id.partition("@")
    card = _card(ENCODERS, base, trusted)
    if not policy:
        return card
    if policy not in card.policies:
        raise UnknownId(f"policy of {base}", policy, card.policies)
    if policy == card.policies[0]:
        return card
    parity = card.policy_parity.get(policy, "self-consistent")
    return dataclasses.replace(card, id=id, policy=policy, parity=parity)


def twin_id(id: str) -> str:
    """The id of an encoder's untrained twin."""
    return UNTRAINED_PREFIX + id


def is_twin(id: str) -> bool:
    """Whether an encoder's id is that of an untrained twin."""
    return id.startswith(UNTRAINED_PREFIX)


def original_id(twin: str) -> str:
    """The id of the encoder that a twin is the untrained form of."""
    return twin.removeprefix(UNTRAINED_PREFIX)


def task_card(id: str) -> TaskCard:
    """The card of a task, under its canonical id; ``id@variant`` gives another split of the same corpus.

    Raises ``UnknownId``.
    """
    base, _, variant = id.partition("@")
    base = getattr(family(TASKS, base), "ALIASES", {}).get(base, base)
    card = _card(TASKS, base)
    if not variant:
        return card
    if variant not in card.variants:
        raise UnknownId(f"variant of {base}", variant, card.variants)
    card = dataclasses.replace(card, id=f"{base}@{variant}", variant=variant)
    module = family(TASKS, base)
    return module.variant(card, variant) if hasattr(module, "variant") else card


def suites() -> dict[str, Suite]:
    """{name: suite}: those of ``tasks.SUITES``, and ``all`` with every listed task."""
    every = Suite("everything, data on application included", tuple(ids(TASKS)))
    return {**importlib.import_module(TASKS).SUITES, "all": every}


def suite(name: str) -> Suite:
    """The suite of that name. Raises ``UnknownId``."""
    if name not in (listed := suites()):
        raise UnknownId("suite", name, listed)
    return listed[name]


@overload
def _card(package: Literal["model_zoo"], id: str, trusted: Sequence[str] = ()) -> EncoderCard: ...
@overload
def _card(package: Literal["tasks"], id: str) -> TaskCard: ...
def _card(package: Package, id: str, trusted: Sequence[str] = ()) -> EncoderCard | TaskCard:
    module = family(package, id)
    for card in getattr(module, "CARDS", ()):
        if card.id == id:
            return card
    if hasattr(module, "card"):
        try:
            return module.card(id, trusted) if getattr(module, "MAY_RUN_CODE", False) else module.card(id)
        except KeyError:
            pass
    raise UnknownId(_NOUN[package], id, ids(package))


def open_ended(package: Package = ENCODERS) -> list[str]:
    """What the package's families with open-ended ids offer, one line each."""
    return [module.OPEN for module in _modules(package) if hasattr(module, "OPEN")]
