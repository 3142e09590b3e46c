"""What rows, recipes and files are called in every report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from bench.encoders.weights.code import named
from bench.encoders.weights.find import release_digests_of
from bench.probe.protocols import PEEK, PEEKING, peeked_in_the_same_run
from bench.scores.schema import Record
from bench.types import ALL_LAYERS

ROW = ["encoder", "pooling", "layer", "protocol"]


# what tells rows of one name apart
VARIANT = (
    *("weights", "parameters", "encoder_version", "protocol_version", "clip", "resampler", "dtype"),
    *("settings", "code"),
)
LISTED_SETTINGS = 3  # of a recipe that are listed one by one where they differ
METADATA = "finetune with metadata"  # class of rows that read metadata of the clips they predict
CONTROL_FAMILIES = ("control", "random", "meta")


def rank_class(spec: Mapping) -> str:
    """The class inside which a row is ranked.

    It is ``control``; ``literature``, of frozen encoders; ``literature finetune`` where the test chose the epoch;
    ``METADATA`` where a method reads more of a clip than its sound; else the protocol's kind.
    """
    if spec["encoder"].partition(".")[0] in CONTROL_FAMILIES:
        return "control"
    if spec["protocol"].startswith("literature/") or spec["protocol"] in PEEKING:
        return "literature finetune" if spec["kind"] == "finetune" else "literature"
    if spec.get("recipe", {}).get("method", {}).get("inputs"):
        return METADATA
    return spec["kind"]


def encoder_name(spec: Mapping) -> str:
    """The encoder of a spec, as ``bench.encoders.weights.code.named`` has it."""
    return named(spec["encoder"], spec.get("code", ""))


def row_names(records: Sequence[Record]) -> dict[str, str]:
    """{record key: its encoder as tables name it}.

    The name is that of ``encoder_name``, with the recipe of a fine-tuned encoder (``recipe_labels``) and, where rows of
    frozen ones would otherwise be confused on some task, what differs there: weights, those of the release being called
    so, versions, clip policy.
    """
    frozen = [record for record in records if "recipe" not in record.spec]
    differing = _differing(
        ((*_row(record), spec["task"], spec["seed"]), _told(spec)) for record, spec in _specs(frozen)
    )
    of_row: dict[tuple, set[str]] = {}
    for (*row, _, _), what in differing.items():
        of_row.setdefault(tuple(row), set()).update(what)
    labels, names = recipe_labels(records), {}
    released = lru_cache(None)(release_digests_of)
    for record, spec in _specs(records):
        name = encoder_name(spec)
        if "recipe" in spec:
            name += f" · {labels[record.key]}"
        elif parts := [value for what, value in _told(spec).items() if what in of_row[_row(record)]]:
            name += f" [{', '.join(_with_release(parts, spec, released))}]"
        names[record.key] = name
    return names


def variant(spec: Mapping) -> tuple:
    """What tells the rows of one name apart (``VARIANT``); None for what a result lacks."""
    return tuple(spec.get(name) for name in VARIANT)


def _told(spec: Mapping) -> dict[str, str]:
    """{what may differ between frozen rows of one name: how it is shown}; the code always shows."""
    return {
        "weights": f"weights {spec['weights'][:8]}",
        f"parameters of {spec['weights']}": f"parameters {spec['parameters'][:8]}",
        "encoder version": f"encoder version {spec['encoder_version']}",
        "protocol version": f"protocol version {spec['protocol_version']}",
        "clip": f"clip {spec['clip']}",
        "resampler": spec["resampler"],
        "dtype": spec["dtype"],
        "settings": f"settings {spec.get('settings', 'none')[:8]}",
    }


def _with_release(parts: Sequence[str], spec: Mapping, released: Callable[[str], set[str]]) -> list[str]:
    """The parts of a name, in which weights are called so that are ``released`` of the encoder."""
    of_release = f"weights {spec['weights'][:8]}"
    if of_release not in parts or spec["weights"] not in released(spec["encoder"]):
        return list(parts)
    return [f"released {part}" if part == of_release else part for part in parts]


def recipe_labels(records: Iterable[Record]) -> dict[str, str]:
    """{key of a fine-tuned record: the label of its recipe}.

    The label is the recipe's name and, in brackets, what distinguishes it from others of that name: the settings, or a
    digest of them where many differ; from others on the same encoder also weights, versions and device. All tasks,
    seeds and protocols of a run by one recipe are labelled alike; pooling and own code are shown apart from it.
    """
    tuned = [record for record in records if "recipe" in record.spec]
    settings = _differing((recipe_name(record), _settings(record.spec["recipe"])) for record in tuned)
    facts = _differing(((recipe_name(record), encoder_name(record.spec)), _facts(record.spec)) for record in tuned)
    labels = {}
    for record in tuned:
        name, spec = recipe_name(record), record.spec
        differing = settings[name]
        parts = [f"{what} {value}" for what, value in _settings(spec["recipe"]).items() if what in differing]
        if len(differing) > LISTED_SETTINGS:
            parts = [f"settings {recipe_digest(spec)}"]
        parts += [value for what, value in _facts(spec).items() if what in facts[name, encoder_name(spec)]]
        labels[record.key] = f"{name} [{', '.join(parts)}]" if parts else name
    return labels


def _differing(pairs: Iterable[tuple[Hashable, Mapping[str, str]]]) -> dict[Hashable, set[str]]:
    """{group: the names that have more than one value in it} of pairs of a group and {name: value}."""
    values: dict[Hashable, dict[str, set[str]]] = {}
    for group, each in pairs:
        known = values.setdefault(group, {})
        for name, value in each.items():
            known.setdefault(name, set()).add(value)
    return {group: {name for name, seen in known.items() if len(seen) > 1} for group, known in values.items()}


def _settings(recipe: Mapping, under: str = "") -> dict[str, str]:
    """{setting of a recipe's numbers, as ``table.name``: its value}, without the pooling."""
    out: dict[str, str] = {}
    for name, value in recipe.items():
        out |= _settings(value, f"{under}{name}.") if isinstance(value, Mapping) else {under + name: str(value)}
    return {name: value for name, value in out.items() if name != "head.pooling"}


def _facts(spec: Mapping) -> dict[str, str]:
    """{what else may differ between runs: how it is shown}.

    Of an encoder that is trained from scratch every seed has parameters of its own, so they are compared within a seed;
    so are teachers, which every seed has of its own.
    """
    weights = spec["weights"][:8]
    taught = hashlib.sha256(" ".join(spec.get("teachers", ())).encode()).hexdigest()[:8]
    return {
        "weights": f"weights {weights}",
        f"parameters of {weights}, seed {spec['seed']}": f"parameters {spec['parameters'][:8]}",
        "encoder version": f"encoder version {spec['encoder_version']}",
        # what version 1 of one protocol was is another one now, and both stand in one column
        f"version of {PEEK if peeked_in_the_same_run(spec) else spec['protocol']}": (
            f"protocol version {spec['protocol_version']}"
        ),
        "resampler": spec["resampler"],
        "device": spec["device"],
        f"teachers, seed {spec['seed']}": f"teachers {taught}",
    }


def recipe_name(record: Record) -> str:
    """The name of the recipe that a record was fine-tuned by; empty for a frozen encoder."""
    return record.data.get("recipe", {}).get("name", "")


def recipe_digest(spec: Mapping) -> str:
    """Eight hex digits that tell a recipe's numbers apart; empty for a frozen encoder."""
    if "recipe" not in spec:
        return ""
    return hashlib.sha256(json.dumps(spec["recipe"], sort_keys=True).encode()).hexdigest()[:8]


def _specs(records: Iterable[Record]) -> Iterator[tuple[Record, dict]]:
    return ((record, dict(record.spec)) for record in records)


def _row(record: Record) -> tuple:
    return (*(dict(record.spec)[name] for name in ROW), record.spec.get("code", ""))


def row_name(encoder: str, layer: int) -> str:
    """An encoder as tables name it, with the layer where it is not the last; ``all layers`` where each has a part."""
    if layer == ALL_LAYERS:
        return f"{encoder} all layers"
    return encoder if layer == -1 else f"{encoder} layer {layer}"


def link_target(name: str) -> str:
    """A file name as the target of a Markdown link, where a percent sign starts an escape."""
    return name.replace("%", "%25")
