"""Tasks as Croissant metadata: what a data set is and how its files are read, in JSON-LD.

Format 1.0: https://docs.mlcommons.org/croissant/docs/croissant-spec.html. Required there are name, description,
licence, address, creator and date; creator and date are told where the card's citation has them (authors first, then a
year). A file needs a digest there, so archives whose publisher gives none are named in the description.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from bench.base import registry
from bench.base.paths import file_name, write_bytes, write_text
from bench.types import Corpus, RemoteFile, Task, TaskCard

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
# as the specification gives it: which short name stands for which term
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
COLUMNS = {  # of the table of clips: type and meaning; what a source publishes about a patient is not among them
    "clip_id": ("sc:Text", "name of the clip"),
    "path": ("sc:Text", "recording, below the data folder"),
    "start_s": ("sc:Float", "where the clip starts in the recording, in seconds"),
    "end_s": ("sc:Float", "where it ends, in seconds; empty for the end of the recording"),
    "label": ("sc:Integer", "class, by its index in the record set of classes"),
    "split": ("sc:Text", "part of the data that the clip belongs to"),
    "group": ("sc:Text", "what is resampled and kept on one side of a split: the patient"),
    "domain": ("sc:Text", "device or site"),
}
_FORMATS = {".zip": "application/zip", ".gz": "application/gzip", ".tgz": "application/gzip", ".csv": "text/csv"}


def croissant(card: TaskCard, manifest: pd.DataFrame | None = None, table: str = "clips.csv") -> dict[str, Any]:
    """A task's metadata.

    Parameters
    ----------
    card
        The task.
    manifest
        Its clips, where the data are at hand; without them the metadata name no clips.
    table
        The file of the clips that lies beside the metadata.

    Returns
    -------
    dict
        JSON-LD.
    """
    files = _sources(card)
    sets = [_classes(card)]
    if manifest is not None:
        content = clips_csv(manifest)
        files.append(
            {
                "@type": "cr:FileObject",
                "@id": table,
                "name": table,
                "contentUrl": table,
                "contentSize": f"{len(content)} B",
                "encodingFormat": "text/csv",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
        sets.append(_clips(card, manifest, table))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": re.sub(r"[^\w.-]+", "-", card.id),
        "description": _description(card),
        "conformsTo": CONFORMS_TO,
        "license": card.licence,
        "url": card.url,
        "version": f"{card.version}.0.0",
        **({"citeAs": card.citation} if card.citation else {}),
        **_creator(card.citation),
        **({"distribution": files} if files else {}),
        "recordSet": sets,
    }


def write_croissant(card: TaskCard, out: Path, task: Task | None = None) -> list[Path]:
    """Writes ``<task>.croissant.json`` and, where the data are at hand, the table of clips; returns the files."""
    stem = file_name(card.id)
    table, manifest = f"{stem}.clips.csv", None if task is None else task.manifest
    metadata = out / f"{stem}.croissant.json"
    write_text(metadata, json.dumps(croissant(card, manifest, table), indent=1, ensure_ascii=False) + "\n")
    if manifest is None:
        return [metadata]
    write_bytes(out / table, clips_csv(manifest))
    return [metadata, out / table]


def clips_csv(manifest: pd.DataFrame) -> bytes:
    """The clips without what a source publishes about a patient beside the group."""
    return manifest[[name for name in COLUMNS if name in manifest]].to_csv(index=False, lineterminator="\n").encode()


def _description(card: TaskCard) -> str:
    tests = "; ".join(f"{name}: {', '.join(splits)}" for name, splits in card.tests.items())
    kind = {"regression": "a number", "multilabel": "any number of classes"}.get(card.kind, "one class")
    parts = [
        f"RespBench task {card.id}: {kind} per clip ({', '.join(card.classes)}), scored by {card.main_metric}.",
        f"Tests and the splits that each pools: {tests}.",
        card.notes,
        f"Recordings: {', '.join(addresses)}." if (addresses := _addresses(card)) else "",
        "" if card.access == "open" else f"Access: {card.access}.",
        "For research only.",
    ]
    return " ".join(filter(None, parts))


def _creator(citation: str) -> dict[str, Any]:
    """Creator and year, where the citation starts with the authors and holds one year."""
    authors, comma, rest = citation.partition(", ")
    years = re.findall(r"\b(?:19|20)\d\d\b(?!\.\d|[.-]\d)", rest)
    if not comma or "et al." not in authors:
        return {}
    told: dict[str, Any] = {"creator": {"@type": "sc:Organization", "name": authors}}
    return told | ({"datePublished": f"{years[0]}-01-01"} if years else {})


def _corpus_files(card: TaskCard) -> tuple[RemoteFile, ...]:
    corpus = getattr(registry.family(registry.TASKS, card.id), "CORPUS", None)
    return corpus.files if isinstance(corpus, Corpus) else ()


def _addresses(card: TaskCard) -> list[str]:
    """Where files without a digest lie."""
    return [file.urls[0] for file in _corpus_files(card) if file.urls and not file.digest]


def _sources(card: TaskCard) -> list[dict[str, Any]]:
    """The files of the corpus as its publisher offers them, where they have an address and a digest."""
    found = []
    for file in _corpus_files(card):
        if file.urls and file.digest:
            kind, _, value = file.digest.partition(":")
            suffix = Path(file.name).suffix.lower()
            found.append(
                {
                    "@type": "cr:FileObject",
                    "@id": file.name,
                    "name": file.name,
                    "contentUrl": file.urls[0],
                    "encodingFormat": _FORMATS.get(suffix, "application/octet-stream"),
                    kind: value,
                }
            )
    return found


def _classes(card: TaskCard) -> dict[str, Any]:
    """The classes in label order, as an enumeration with its data."""
    names = ("index", "name")
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "Classes in label order; of a multilabel task, label = sum of 2^index over those present.",
        "key": {"@id": "classes/index"},
        "field": [
            _field(f"classes/{name}", kind, what)
            for name, kind, what in zip(names, ("sc:Integer", "sc:Text"), ("index", "name"))
        ],
        "data": [{"classes/index": k, "classes/name": name} for k, name in enumerate(card.classes)],
    }


def _clips(card: TaskCard, manifest: pd.DataFrame, table: str) -> dict[str, Any]:
    fields = []
    for name, (kind, what) in COLUMNS.items():
        if name not in manifest:
            continue
        number = name == "label" and card.kind == "regression"
        field = _field(f"clips/{name}", "sc:Float" if number else kind, "the target" if number else what)
        field["source"] = {"fileObject": {"@id": table}, "extract": {"column": name}}
        if name == "label" and card.kind == "multiclass":
            field["references"] = {"field": {"@id": "classes/index"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "clips",
        "name": "clips",
        "description": "One record per clip.",
        "key": {"@id": "clips/clip_id"},
        "field": fields,
    }


def _field(id: str, kind: str, what: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": id, "name": id, "description": what, "dataType": kind}
