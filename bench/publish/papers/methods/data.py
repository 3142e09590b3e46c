"""What the data were: corpora, copies, splits, patients, clips, licences."""

from __future__ import annotations

from collections.abc import Sequence

from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.citations.used import corpora
from bench.publish.papers.methods.text import Paragraph, cited, free
from bench.publish.papers.tables.captions import counted, listed
from bench.scores.schema import Record

_SHORT = 12  # hex digits of a digest that are shown
_ANNOTATIONS = "annotations:"  # in front of the digest of a copy whose audio is not at hand


def data_paragraph(records: Sequence[Record], references: Bibliography) -> Paragraph:
    """One or more sentences for every task; tasks on the same clips share them."""
    by_task: dict[str, Record] = {}
    for record in records:
        by_task.setdefault(record.spec["task"], record)
    alike: dict[str, list[Record]] = {}
    for task in sorted(by_task):
        alike.setdefault(" ".join(_copy(by_task[task])), []).append(by_task[task])
    sentences = []
    for copy, members in alike.items():
        named = [f"{free(r.spec['task'])} (version {r.spec['task_version']}; {_labels(r)})" for r in members]
        keys = references.of(*(use for r in members for use in _uses(r)))
        digests = [r.spec["manifest"].removeprefix(_ANNOTATIONS)[:_SHORT] for r in members]
        subject = "it holds" if len(members) == 1 else "each holds"
        digest = f"{'Digest' if len(digests) == 1 else 'Digests'} of the data: {listed(digests)}."
        sentences += [f"{listed(named)}{cited(keys)}: {subject} {copy}", digest]
    return Paragraph("Data", tuple(sentences))


def _uses(record: Record) -> list[str]:
    return [f"{kind}/{name}" for name in corpora(record.spec["task"]) for kind in ("corpus", "task")]


def _labels(record: Record) -> str:
    task = record.data["task"]
    if (kind := task.get("kind", "multiclass")) == "regression":
        return f"regression of {free(task['classes'][0])}"
    return f"{len(task['classes'])} {'labels' if kind == 'multilabel' else 'classes'}"


def _copy(record: Record) -> list[str]:
    """What the copy at hand holds, in words that tasks on the same clips share."""
    data = record.data
    parts = [_split(name, facts, data["task"]["group"]) for name, facts in data["splits"].items()]
    tests = _tests(record)
    sentences = [f"{listed(parts)}.", f"The {'test is' if len(tests) == 1 else 'tests are'} {listed(tests)}."]
    if "simulated" in data["state"]:
        sentences.append("These recordings are simulated: scores on them say nothing about real ones.")
    if "subset" in data["state"]:
        have, whole = sum(split["recordings"] for split in data["splits"].values()), data["recordings_in_full"]
        share = f"{have} of {whole} recordings" if whole else f"{have} recordings"
        sentences.append(f"Only a subset of the corpus was at hand ({share}).")
    if data["excluded"]:
        sentences.append(f"Clips were left out as unusable ({counted(len(data['excluded']), 'finding')}).")
    if data.get("short"):
        recordings = counted(len(data["short"]), "recording")
        sentences.append(f"{recordings} with fewer samples than announced were taken as long as they are.")
    return [*sentences, f"Licence: {free(data['licence'])}."]


def _split(name: str, facts: dict[str, int], group: str) -> str:
    return (
        f"{counted(facts['clips'], 'clip')} of {counted(facts['patients'], group)} "
        f"({counted(facts['recordings'], 'recording')}) in {free(name)}"
    )


def _tests(record: Record) -> list[str]:
    """Each test that was scored, with how many groups training holds too."""
    task, told = record.data["task"], []
    for test, splits in task["tests"].items():
        if test not in record.scores:
            continue
        pooled = "" if list(splits) == [test] else f" (of {listed([free(name) for name in splits])})"
        shared = record.data["groups_in_train"].get(test, 0)
        also = f", {counted(shared, task['group'])} of which {'is' if shared == 1 else 'are'} in training too"
        told.append(f"{free(test)}{pooled}" + (also if shared else ""))
    return told
