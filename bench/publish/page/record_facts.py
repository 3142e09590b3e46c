"""What a page tells of one record when its number is opened: protocol, seed, digests, choice, data, cost, command."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.base import registry
from bench.encoders.weights.find import release_digests_of
from bench.probe.protocols import PEEKING, peeked_in_the_same_run
from bench.publish.page.compact import Pool, parts
from bench.scores.schema import Record

CANDIDATES, CHOICES = 3, 8  # listed of each record
Released = Callable[[str], set[str]]
DIGITS = 12  # of a digest in a command
SHA256 = re.compile(r"[0-9a-f]{64}")
_OF_DATA = ("schema", "task", "task_version", "manifest", "state", "excluded")
_COUNTED = ("clips_padded_to_min_s", "clips_cropped_to_max_s", "clips_trained_on", "params", "parity", "policy")


def task_facts(task: str, records: Sequence[Record], pool: Pool) -> dict[str, Any]:
    """What records of one task share: data, classes, tests, and how many clips and patients each number is about.

    ``counts`` is {test: places of (clips, groups, how the interval was made), one of each metric}; a record whose own
    differ has them with its scores.
    """
    data, spec = records[0].data, records[0].spec
    names = list(dict.fromkeys(name for record in records for scores in record.scores.values() for name in scores))
    counts = {}
    for test in data["task"]["tests"]:
        tables = [record.scores[test] for record in records if test in record.scores]
        each = (Counter(pool.add(_count(table[name])) for table in tables if name in table) for name in names)
        if tables:
            counts[test] = [seen.most_common(1)[0][0] if seen else None for seen in each]
    return {
        "id": task,
        "metrics": names,
        "counts": counts,
        "version": spec["task_version"],
        "manifest": spec["manifest"],
        "schema": spec["schema"],
        **{name: data[name] for name in ("state", "splits", "groups_in_train", "licence", "citation", "url")},
        **{name: list(data.get(name, ())) for name in ("excluded", "short")},
        "in_full": data["recordings_in_full"],
        **{name: data["task"][name] for name in ("classes", "tests", "main_metric", "group", "domain")},
        "kind": data["task"].get("kind", "multiclass"),
        "demonstration": data["task"].get("demonstration", False),
    }


def _count(score: Mapping[str, Any]) -> list[Any]:
    return [score["n"], score["groups"], score["method"]]


def record_facts(
    record: Record, task: Mapping[str, Any], pool: Pool, released: Released = release_digests_of
) -> dict[str, Any]:
    """One record.

    ``task`` is that of ``task_facts``; what many records share lies in ``pool``; ``released`` gives the known digests
    of an encoder's released weights.
    """
    spec, data, selection = record.spec, record.data, record.selection
    scores, odd = {}, {}
    for test, table in record.scores.items():
        known = [table.get(name) for name in task["metrics"]]
        scores[test] = [parts(score[what]) if score else None for score in known for what in ("value", "low", "high")]
        own = [None if score is None else pool.add(_count(score)) for score in known]
        usual = task["counts"][test]
        if differing := {str(i): place for i, place in enumerate(own) if place is not None and place != usual[i]}:
            odd[test] = differing
    domains = {
        test: {
            name: [parts(own[task["main_metric"]][what]) for what in ("value", "low", "high")]
            + [own[task["main_metric"]][what] for what in ("n", "groups")]
            for name, own in tables.items()
        }
        for test, tables in record.domains.items()
        if len(tables) > 1
    }
    run = dict(record.run)
    versions = run.pop("versions", None)
    facts = {
        "task": task["id"],
        "seed": spec["seed"],
        "spec": pool.add({name: value for name, value in spec.items() if name not in (*_OF_DATA, "seed")}),
        "about": pool.add(
            {
                "marks": data["marks"],
                "trained_on": data["trained_on"],
                "weights_licence": data["weights_licence"],
                **{name: data[name] for name in _COUNTED if name in data},  # type: ignore[literal-required]
                **({"recipe": data["recipe"]} if "recipe" in data else {}),
            }
        ),
        "choice": _choice(selection, pool),
        "scores": scores,
        "predictions": data["predictions_sha256"],
        "run": run,
        "command": command(record, released),
    }
    if versions:
        facts["versions"] = pool.add(versions)
    return facts | ({"odd": odd} if odd else {}) | ({"domains": domains} if domains else {})


def _choice(selection: Mapping[str, Any], pool: Pool) -> dict[str, Any]:
    """How hyperparameters were chosen: what was, of how many, and the candidates with the largest shares, or best."""
    candidates = [c for c in selection["path"] if c["score"] is not None]
    sharing = sum("share" in c for c in candidates)
    best = sorted(candidates, key=lambda c: (-c.get("share", 0.0), -c["score"]))[:CANDIDATES]
    chosen = [f"{name} {value}" for name, value in selection["chosen"].items()]
    more = [f"and {len(chosen) - CHOICES} more"] if len(chosen) > CHOICES else []
    return {
        "method": pool.add(selection["method"]),
        "chosen": [*chosen[:CHOICES], *more],
        "candidates": len(selection["path"]),
        "sharing": sharing,
        "best": [
            [", ".join(f"{n} {v}" for n, v in c.items() if n not in ("score", "share")), parts(c["score"]),
             parts(c.get("share"))]
            for c in best
        ],
        **({"at_edge": True} if selection.get("at_edge") else {}),
    }  # fmt: skip


def command(record: Record, released: Released = release_digests_of, out: str = "runs/again") -> str:
    """The command that makes a record again, where its data and weights are at hand.

    For weights that are not among the digests ``released`` of the encoder it has a word in the place of a checkpoint.
    """
    spec, asked = record.spec, []
    encoder, base = spec["encoder"], f"--task {shlex.quote(spec['task'])}"
    if spec["kind"] == "finetune":
        recipe = record.data.get("recipe", {}).get("name", "RECIPE")
        asked = ["finetune", "--recipe", recipe, "--epochs", str(spec["recipe"]["epochs"])]
    elif spec["kind"] == "fewshot":
        shots = spec["protocol"].partition("-")[2]
        asked = ["ood", "--shots", shots, "--draws", str(spec["seed"] + 1), "--bandwidth"]
    else:
        protocol = [] if spec["kind"] == "control" else ["--protocol", spec["protocol"]]
        asked = ["run", *protocol, "--seeds", str(spec["seed"])]
        asked += ["--layers", str(spec["layer"])] if spec["layer"] not in (-1, None) and protocol else []
        asked += ["--clip", spec["clip"]] if spec["clip"] not in ("native", "none") else []
    if spec["kind"] == "finetune":
        asked += ["--seeds", str(spec["seed"])]
        asked += ["--literature"] if spec["protocol"] in PEEKING and not peeked_in_the_same_run(spec) else []
    if spec["kind"] == "control":  # control rows come with every run; the encoder that needs no weights is cheapest
        encoder = registry.REFERENCE_ENCODER
    elif spec["pooling"] != "none":
        encoder += f":{spec['pooling']}"
    checkpoint = "" if spec["kind"] == "control" else _checkpoint(spec, released)
    asked += ["--encoder", encoder + checkpoint]
    asked += ["--trust-remote-code", spec["code"]] if spec.get("code") else []
    if spec["dtype"] not in ("float32", "none") and spec["kind"] != "fewshot":
        asked += ["--precision", spec["dtype"]]
    if record.data["excluded"]:
        asked += ["--on-bad-clip", "exclude"]
    elif record.data.get("short"):
        asked += ["--on-bad-clip", "keep-short"]
    return f"respbench {shlex.join(asked)} {base} --out {shlex.quote(out)}"


def _checkpoint(spec: Mapping[str, Any], released: Released) -> str:
    """What stands behind an encoder's id for weights that are not known to be its release's; empty for others."""
    encoder, weights = spec["encoder"], spec["weights"]
    # neither "none" nor a version, nor the initial state of an untrained twin, which its id stands for
    measured = SHA256.fullmatch(weights) and not encoder.startswith(registry.UNTRAINED_PREFIX)
    if not measured or weights in released(encoder):
        return ""
    return f"=CHECKPOINT_WITH_SHA256_{weights[:DIGITS]}"
