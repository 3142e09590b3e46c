"""Who is on which side of a split, how many clips and patients carry each class, and which devices are where."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.data.manifest import TRAIN
from bench.scores import label_kinds
from bench.types import Finding, TaskCard

FEW = 5  # patients with a class: below it a single one moves the class's recall by more than a fifth
_NAMED = 8  # groups that a finding names before it counts the rest


def balance(rows: pd.DataFrame, card: TaskCard) -> dict[str, dict]:
    """{split: recordings, groups, clips, available clips, and clips and groups of each class}, JSON-ready."""
    return {split: _balance(rows[rows["split"] == split], card) for split in sorted(rows["split"].unique())}


def _balance(part: pd.DataFrame, card: TaskCard) -> dict:
    labels, kind = part["label"].to_numpy(), label_kinds.of(card)
    classes = {name: _sizes(part[kind.of_class(labels, k)]) for k, name in enumerate(card.classes)}
    return _sizes(part) | {"available": int(part["available"].sum()), "classes": classes}


def shared_groups(rows: pd.DataFrame, card: TaskCard) -> dict[str, dict]:
    """{split outside training: its groups that training has too}, JSON-ready; only splits that share any.

    Each says how much of the split they make up, and whether the task's card declares them.
    """
    train = set(rows.loc[rows["split"].isin(TRAIN), "group"])
    out = {}
    for split in sorted(set(rows["split"]) - set(TRAIN)):
        part = rows[rows["split"] == split]
        both = sorted(train & set(part["group"]))
        if both:
            concerned = part[part["group"].isin(both)]
            declared = split in card.within_patient or set(both) <= set(card.known_overlap)
            sizes = _sizes(concerned)
            out[split] = {"named": both, "declared": declared, **sizes, "of": _sizes(part)}
    return out


def domains(rows: pd.DataFrame) -> dict[str, dict[str, dict]]:
    """{domain: {split: recordings, groups, clips}}, JSON-ready."""
    return {
        str(domain): {str(split): _sizes(part) for split, part in own.groupby("split", sort=True)}
        for domain, own in rows.groupby("domain", sort=True)
    }


def findings(rows: pd.DataFrame, card: TaskCard) -> list[Finding]:
    """The findings about splits: shared groups, rare classes, domains on one side only."""
    return [*_shared_findings(card, shared_groups(rows, card)), *_few(rows, card), *_domain_findings(rows, card)]


def _shared_findings(card: TaskCard, shared: Mapping[str, Mapping]) -> list[Finding]:
    out = []
    for split, facts in shared.items():
        examples = ", ".join(facts["named"][:_NAMED]) + (", …" if len(facts["named"]) > _NAMED else "")
        problem = (
            f"{facts['groups']} of {facts['of']['groups']} {card.group}s are in train too, with "
            f"{facts['recordings']} of {facts['of']['recordings']} recordings and {facts['clips']} of "
            f"{facts['of']['clips']} clips ({examples})"
        )
        level = "warning" if facts["declared"] else "error"
        remedy = "the task's card says so" if facts["declared"] else f"keep every {card.group} on one side"
        out.append(Finding(level, "shared-groups", split, problem, remedy))
    return out


def _few(rows: pd.DataFrame, card: TaskCard) -> list[Finding]:
    """Classes that training or a test lacks or that few groups carry there."""
    sides = {} if card.leave_one_out else {"training": TRAIN}
    out = []
    for name, splits in (sides | {f"test {test}": members for test, members in card.tests.items()}).items():
        part = rows[rows["split"].isin(splits)]
        few = {
            c: n for c, n in _balance(part, card)["classes"].items() if n["groups"] < FEW and card.kind != "regression"
        }
        if few and len(part):
            listed = ", ".join(
                f"{c}: {n['clips']} clips of {n['groups']} {card.group}s" if n["clips"] else f"{c}: none"
                for c, n in few.items()
            )
            out.append(Finding("warning", "few-groups", name, listed, "no score of these classes means anything there"))
    return out


def _domain_findings(rows: pd.DataFrame, card: TaskCard) -> list[Finding]:
    scored = {split for members in card.tests.values() for split in members}
    placed = domains(rows)
    only = {
        "training": [name for name, splits in placed.items() if not scored & set(splits)],
        "the tests": [name for name, splits in placed.items() if not set(TRAIN) & set(splits)],
    }
    problems = [f"{', '.join(names)} only in {side}" for side, names in only.items() if names]
    if not problems or card.leave_one_out:
        return []
    return [Finding("note", "domain-shift", card.domain, "; ".join(problems), "read the scores by domain")]


def _sizes(part: pd.DataFrame) -> dict[str, int]:
    return {"recordings": part["path"].nunique(), "groups": part["group"].nunique(), "clips": len(part)}
