"""The references of a results folder: what its records rest on, each with an entry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.base import registry
from bench.base.errors import RespBenchError
from bench.publish.papers.citations.references import Reference, references, unverified
from bench.publish.papers.citations.used import uses
from bench.publish.papers.escape import latex
from bench.scores.schema import Record

_MUST_HAVE = ("encoder/", "corpus/")  # of which a reader wants an entry even where nobody has written one


@dataclass(frozen=True)
class Bibliography:
    """Entries, and what each is cited for.

    Attributes
    ----------
    entries
        In the order in which they are first used.
    keys
        {``kind/name``: BibTeX keys}, of everything that has entries.
    """

    entries: tuple[Reference, ...]
    keys: Mapping[str, tuple[str, ...]]

    def of(self, *asked: str) -> tuple[str, ...]:
        """The keys for any of ``kind/name``, each once."""
        return tuple(dict.fromkeys(key for use in asked for key in self.keys.get(use, ())))

    def bibtex(self) -> str:
        """A ``.bib`` file."""
        return "\n\n".join(entry.text for entry in self.entries) + "\n"


def bibliography(records: Sequence[Record]) -> Bibliography:
    """The references of records.

    An encoder or a corpus without an entry gets one that holds what its card or its record says, noted as unverified.
    """
    known = references()
    entries: dict[str, Reference] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for use in uses(records):
        own = [reference for reference in known.values() if reference.is_for(use)]
        if not own and use.startswith(_MUST_HAVE):
            own = [_unknown(use, records)]
        for reference in own:
            entries.setdefault(reference.key, reference)
        if own:
            keys[use] = tuple(reference.key for reference in own)
    entries["respbench"] = _versioned(entries["respbench"], records)
    return Bibliography(tuple(entries.values()), keys)


def _versioned(own: Reference, records: Sequence[Record]) -> Reference:
    """RespBench's entry with the version that made the records, where all name the same."""
    versions = {record.run.get("versions", {}).get("respbench", "") for record in records}
    version = versions.pop() if len(versions) == 1 else ""
    text = own.text.replace("\n}", f",\n  version = {{{latex(version)}}}\n}}") if version else own.text
    return replace(own, text=text)


def _unknown(use: str, records: Sequence[Record]) -> Reference:
    kind, _, name = use.partition("/")
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"{kind}-{name}").strip("-").lower()
    if kind == "encoder":
        try:
            text = registry.encoder_card(name).citation
        except RespBenchError:  # such as for a model that is not on this machine
            text = ""
        return unverified(key, text or name)
    data = next((r.data for r in records if name in r.spec["task"]), None)
    return unverified(key, (data and data["citation"]) or name, data["url"] if data else "")
