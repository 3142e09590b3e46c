"""Two rows of a results folder, as ``id:pooling:layer`` names them, matched task by task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.encoders.weights.find import digest_of, release_digests_of
from bench.reports.agreement.paired.matched import Matched, require_same_clips, tests_of
from bench.reports.names import encoder_name, recipe_digest, recipe_name, row_names
from bench.runs.choices import with_weights
from bench.scores import per_test
from bench.scores.records import require_one_data
from bench.scores.schema import Record

KEY = re.compile(r"[0-9a-f]{20}")
# what must be one thing for records to be runs of one row; parameters too, unless every seed has its own
ONE = (
    *("pooling", "layer", "clip", "encoder_version", "protocol_version", "weights", "settings", "code"),
    *("dtype", "resampler", "device"),
)
HOW = "name it as ID, ID+RECIPE, ID:POOLING, ID:POOLING:LAYER, any of these =CHECKPOINT, or by the key of a record"
DIGEST = re.compile(r"[0-9a-f]{8,64}")  # of weights, its beginning at least


def is_row(found: Sequence[Record], text: str) -> bool:
    """Whether some record is of the row that a text names."""
    return bool(_named(found, text))


def chosen(found: Sequence[Record], text: str, tasks: Sequence[str] = (), protocol: str = "") -> list[Record]:
    """The records of one row, several where it has several tasks, protocols or seeds.

    Parameters
    ----------
    found
        All records of the folder.
    text
        An encoder as the boards name it, its pooling and layer where several are there, or the key of one record; a
        fine-tuned one as ``id+recipe``. Behind ``=`` stands a checkpoint of one's own, as on the command line, or what
        its digest begins with; without it released weights are meant, where there are records of others too.
    tasks, protocol
        What the records must be of; empty for all.

    Raises
    ------
    UnknownId
        For a name that no record has.
    BadInput
        Where several rows are meant, and where the row has no record of the tasks or the protocol.
    """
    named = _named(found, text)
    if not named:
        head, names = text.partition(":")[0], row_names(found)
        poolings = sorted({record.spec["pooling"] for record in found if _is_called(record, head, names)})
        known = [f"{head}:{pooling}" for pooling in poolings] or sorted({_name(record) for record in found})
        raise UnknownId("row of the folder", text, known, registry.ids(registry.ENCODERS))
    known_tasks = sorted({record.spec["task"] for record in named})
    for task in tasks:
        if task not in known_tasks:
            raise BadInput(text, f"has no record of task {task}", f"it has {', '.join(known_tasks)}")
    kept = [r for r in named if (not tasks or r.spec["task"] in tasks) and protocol in ("", r.spec["protocol"])]
    if not kept:
        protocols = sorted({record.spec["protocol"] for record in named})
        raise BadInput(text, f"has no record under protocol {protocol}", f"it has {', '.join(protocols)}")
    kept = _of_release(kept, text)
    _require_one_row(kept, text)
    return kept


def _of_release(kept: list[Record], text: str) -> list[Record]:
    """Of rows, frozen or fine-tuned, that differ in the weights they began with those of the release.

    All, where the text says which weights are meant, and where none are known to be a release's.
    """
    if "=" in text or len({(record.spec["weights"], record.spec["encoder"]) for record in kept}) < 2:
        return kept
    known = {encoder: release_digests_of(encoder) for encoder in {record.spec["encoder"] for record in kept}}
    return [record for record in kept if record.spec["weights"] in known[record.spec["encoder"]]] or kept


def _require_one_row(kept: Sequence[Record], text: str) -> None:
    """Raises ``BadInput`` where records of one task, protocol and seed are several."""
    together: dict[tuple, list[Record]] = {}
    for record in kept:
        together.setdefault((record.spec["task"], record.spec["protocol"]), []).append(record)
    for (task, protocol), group in together.items():
        facts = [_facts(record) for record in group]
        differing = [name for name in facts[0] if len({each[name] for each in facts}) > 1]
        if differing or len({record.spec["seed"] for record in group}) < len(group):
            values = {name: sorted({each[name] for each in facts}) for name in differing}
            told = "; ".join(f"{name} {', '.join(each)}" for name, each in values.items()) or "parameters"
            weights = "={}".format if "weights" in differing else lambda digest: ""
            of = _name_with_code if "code" in differing else _name
            names = sorted(
                {f"{of(r)}:{r.spec['pooling']}:{r.spec['layer']}{weights(r.spec['weights'][:8])}" for r in group}
            )
            listed = names if len(names) > 1 else sorted(record.key for record in group)
            problem = f"means several rows on {task} under {protocol} ({told})"
            raise BadInput(text, problem, f"{HOW}: {', '.join(listed)}")


def matched(
    found: Sequence[Record],
    names: tuple[str, str],
    tasks: Sequence[str] = (),
    protocols: Sequence[str] = (),
    only: Sequence[str] = (),
) -> tuple[list[Matched], list[str]]:
    """Two rows of a folder matched by task and protocol, and what has no counterpart.

    Parameters
    ----------
    found
        All records of the folder.
    names
        The two rows, as ``chosen`` takes them.
    tasks
        To compare; empty: all that both have.
    protocols
        One for both rows, or one for each; empty: all that both have on a task.
    only
        Tests to compare; empty: all.

    Returns
    -------
    list of Matched, list of str
        The tasks in order of their ids, and what a reader must know: a sentence for each
        that only one row has, and one for incomplete data.

    Raises
    ------
    UnknownId, BadInput
        As ``chosen``; for other than two protocols, where both names mean the same records, where the data of a task
        differ, and where nothing is left to compare.
    """
    if len(protocols) > 2:
        raise BadInput("--protocol", f"{len(protocols)} protocols", "give one, or one for each side")
    wanted = tuple(protocols) * 2 if len(protocols) == 1 else tuple(protocols) or ("", "")
    sides = [chosen(found, text, tasks, protocol) for text, protocol in zip(names, wanted, strict=True)]
    if {record.key for record in sides[0]} & {record.key for record in sides[1]}:
        raise BadInput(" and ".join(names), "are the same records", "name two different rows")
    require_one_data([*sides[0], *sides[1]])
    slots = [_slots(side, by_task=wanted[0] != wanted[1]) for side in sides]
    notes = [
        f"{task}{f' under {protocol}' if protocol else ''}: {names[side]} has it, {names[1 - side]} has not"
        for side in (0, 1)
        for task, protocol in sorted(slots[side].keys() - slots[1 - side].keys())
    ]
    common = sorted(slots[0].keys() & slots[1].keys())
    if not common:
        remedy = "name tasks that both have; for records of two protocols: --protocol OF_A OF_B"
        raise BadInput(" and ".join(names), f"have nothing in common ({'; '.join(notes)})", remedy)
    notes += _states([record for slot in common for record in slots[0][slot]])
    return [_match(names, slots[0][slot], slots[1][slot], only) for slot in common], notes


def _slots(side: Sequence[Record], by_task: bool) -> dict[tuple[str, str], list[Record]]:
    """{(task, protocol): records in order of their seeds}; without the protocol where each side has its own."""
    out: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(side, key=lambda record: record.spec["seed"]):
        out.setdefault((record.spec["task"], "" if by_task else record.spec["protocol"]), []).append(record)
    return out


def _match(names: tuple[str, str], a: Sequence[Record], b: Sequence[Record], only: Sequence[str]) -> Matched:
    facts = a[0].data["task"]
    tests = {}
    for test in tests_of(facts, a[0].spec["task"], only):
        runs = tuple({r.spec["seed"]: per_test.tested(r, test) for r in side} for side in (a, b))
        tables = [table for side in runs for table in side.values()]
        if all(len(table) == 0 for table in tables):
            continue
        for table in tables[1:]:
            require_same_clips(names, tables[0], table, test)
        tests[test] = (runs[0], runs[1])
    keys = tuple(record.key for record in a), tuple(record.key for record in b)
    protocols = dict.fromkeys([a[0].spec["protocol"], b[0].spec["protocol"]])
    return Matched(a[0].spec["task"], facts, " / ".join(protocols), facts["group"], tests, keys)


def _states(side: Sequence[Record]) -> list[str]:
    """What the data are, where they are not the complete corpus."""
    by_state: dict[str, list[str]] = {}
    for record in side:
        by_state.setdefault(record.data["state"], []).append(record.spec["task"])
    return [
        f"{', '.join(sorted(set(tasks)))}: {state}, not comparable with published scores"
        for state, tasks in sorted(by_state.items())
        if state != "complete"
    ]


# ------------------------------------------------------------------ names


def _named(found: Sequence[Record], text: str) -> list[Record]:
    """The records of a key, or of an id with its pooling and layer where these are told."""
    if KEY.fullmatch(text):
        return [record for record in found if record.key == text]
    text, checkpoint = with_weights(text)
    head, _, rest = text.partition(":")
    pooling, _, layer = rest.rpartition(":") if re.search(r":-?\d+$", rest) else (rest, "", "")
    names = row_names(found)
    tests: list[Callable[[Record], bool]] = [
        lambda record: _is_called(record, head, names),
        lambda record: pooling in ("", record.spec["pooling"]),
        lambda record: layer in ("", str(record.spec["layer"])),
    ]
    named = [record for record in found if all(test(record) for test in tests)]
    if not checkpoint or not named:
        return named
    given = _digest(checkpoint, named[0].spec["encoder"])
    return [record for record in named if record.spec["weights"].startswith(given)]


def _digest(checkpoint: str, encoder: str) -> str:
    """The digest of a checkpoint of an encoder, or the beginning of one that is given itself."""
    if DIGEST.fullmatch(checkpoint) and not Path(checkpoint).exists():
        return checkpoint
    return digest_of(registry.encoder_card(encoder), checkpoint)


def _is_called(record: Record, head: str, names: Mapping[str, str]) -> bool:
    """Whether a record is of that encoder; a bare id means the frozen one where there are both."""
    if head in (names[record.key], _name(record), _name_with_code(record)):
        return True
    tuned_alone = "recipe" in record.spec and record.spec["encoder"] == head
    return tuned_alone and not any(name == head for name in names.values())


def _name(record: Record) -> str:
    """The encoder's id, with the recipe after a ``+``."""
    return "+".join(filter(None, (record.spec["encoder"], recipe_name(record))))


def _name_with_code(record: Record) -> str:
    """``_name`` with the revision of the model's own code, where that ran."""
    return "+".join(filter(None, (encoder_name(record.spec), recipe_name(record))))


def _facts(record: Record) -> dict[str, str]:
    """What must be the same in all runs of one row, as text."""
    facts = {name: str(record.spec.get(name, "none")) for name in ONE}
    return facts | {"recipe": " ".join(filter(None, (recipe_name(record), recipe_digest(record.spec))))}
