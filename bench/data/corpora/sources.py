"""Which corpora can be fetched: those whose task family says where they lie, and those given out on application.

No address is pinned by a checksum unless its file has one; GitHub archives are pinned by commit instead.
"""

from __future__ import annotations

import importlib

from bench.base import registry
from bench.base.errors import UnknownId
from bench.types import Corpus, RemoteFile, TaskCard


def corpora() -> dict[str, Corpus]:
    """{task family: its corpus}: families with a ``CORPUS``, then those whose data are given out on application."""
    listed = {}
    for module in registry.families(registry.TASKS).values():
        if declared := getattr(importlib.import_module(module), "CORPUS", None):
            listed[declared.name] = declared
    for card in registry.cards(registry.TASKS):
        family = card.id.partition(".")[0]
        if card.access != "open" and family != "transfer":
            listed.setdefault(
                family, Corpus(family, family, (RemoteFile(family),), True, f"apply for it: {card.access}")
            )
    return listed


def corpus(name: str) -> Corpus:
    """The corpus of a task family. Raises ``UnknownId``."""
    if name not in (listed := corpora()):
        raise UnknownId("data set", name, listed)
    return listed[name]


def cards(corpus: Corpus) -> list[TaskCard]:
    """The cards of the tasks whose recordings a corpus holds."""
    return [card for card in registry.cards(registry.TASKS) if card.id.startswith(f"{corpus.name}.")]
