"""An audit as Markdown, and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bench.base.errors import UnknownId
from bench.base.paths import file_name, parse_json
from bench.base.registry import CONTROL_PREFIX, task_card
from bench.data.recordings import KEEP_SHORT
from bench.reports.audit.sensitivity import audited_rows, sensitivity_sections, stored_sensitivities
from bench.reports.audit.summary import AUDIT_FOLDER
from bench.reports.pages import SEALS, stale_pages, write_pages
from bench.reports.tables import DISCLAIMER, markdown
from bench.runs.audit.checks.annotations import LONG_S, SHORT_S
from bench.runs.audit.checks.shortcuts import scored_by
from bench.runs.audit.fingerprint import LEAST_S, MOST_ERRORS
from bench.scores import metrics
from bench.scores.intervals import FEW_GROUPS
from bench.scores.metrics import DURATION_MATCHED
from bench.scores.printed import BLANK, amount, missing, signed
from bench.types import TaskCard

_STATES = {
    "complete": "The corpus is complete.",
    "subset": "**A subset of the corpus**: what is said of audio is said of the recordings that are here.",
    "simulated": "**Simulated data.**",
    "simulated subset": "**A part of a simulated corpus.**",
}
_SHORT_KEPT = (
    f"Under `--on-bad-clip={KEEP_SHORT}`: recordings that hold less than their headers promise are as they are."
)
_LISTED = 40  # sets of recordings
_ABOUT_SHORTCUTS = (
    "The encoders' own linear probe, fitted on training clips, on features that hold nothing of what the clips are "
    "about; 95 % intervals by bootstrap. *Within deciles*: AUROC among clips of about the same duration. *Bare value*: "
    "AUROC of the number itself for abnormal against normal clips, in train and in the test; below 50, lower values "
    "are abnormal. Encoders, where audio is here, stand below for comparison."
)


def render_audit(facts: Mapping, card: TaskCard) -> str:
    """Renders an audit as Markdown.

    Parameters
    ----------
    facts
        ``bench.runs.audit.audit.Audit.facts``, as computed or as read back from the audit's JSON file.
    card
        The card of the task that was audited.
    """
    parts = [
        f"# Audit of {facts['task']}",
        f"**{DISCLAIMER}**",
        f"{_state(facts)} {card.citation.rstrip('.')}. Licence: {card.licence}. {card.url}",
        f"Task version {facts['version']}, data digest `{facts['digest'][:24]}`, tests: {_tests(facts)}.",
        "## Findings",
        _findings(facts),
        "## Splits and classes",
        split_table(facts, card.group),
        *_domains(facts, card.domain),
        "## The same sound twice",
        _duplicates(facts["duplicates"]),
        "## Annotations and signal",
        _annotations(facts["annotations"]),
        *_shortcuts(facts, card),
        *_nuisance(facts["nuisance"]),
        *sensitivity_sections(audited_rows(facts)),
        *resolution_section(facts["resolution"], card.group),
    ]
    return "\n\n".join(parts) + "\n"


def write_audit(folder: Path, facts: Mapping, card: TaskCard) -> list[Path]:
    """Writes ``<task>.md`` and ``<task>.json``, the task named by ``file_name``, below ``folder`` and returns them.

    What was found of each encoder's and pooling's sensitivity is written to
    ``sensitivity/<task>/<encoder>.<pooling>.json`` too, where it stays when the task is audited with others.
    """
    name = file_name(card.id)
    pages = {f"{name}.md": render_audit(facts, card), f"{name}.json": _json(facts)}
    return write_pages(folder, pages | _sensitivities(facts))


def _sensitivities(facts: Mapping) -> dict[str, str]:
    return {name: _json(found) for name, found in stored_sensitivities(facts).items()}


def _json(facts: Mapping) -> str:
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def stale_audits(folder: Path) -> list[str]:
    """Lists what in the audit pages of a results folder is not what the audits' JSON files give, one line each."""
    texts, problems = {}, []
    for path in sorted((folder / AUDIT_FOLDER).glob("*.json")):
        if path.name == SEALS:
            continue
        try:
            facts = parse_json(path.read_text(encoding="utf-8"))
            texts[f"{AUDIT_FOLDER}/{path.stem}.md"] = render_audit(facts, task_card(facts["task"]))
            texts |= {f"{AUDIT_FOLDER}/{name}": text for name, text in _sensitivities(facts).items()}
        except UnknownId as error:
            problems.append(f"{path}: its page cannot be checked: {error}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: not a readable audit ({type(error).__name__}: {error})")
    remedy = f"audit the task again with `respbench audit TASK --out {folder / AUDIT_FOLDER}`"
    return problems + stale_pages(folder, texts, (folder / AUDIT_FOLDER).glob("*.md"), remedy)


def _state(facts: Mapping) -> str:
    if not any(split["available"] for split in facts["splits"].values()):
        return "**Annotations alone**: no audio of this task is here."
    short = f" {_SHORT_KEPT}" if facts.get("on_bad_clip") == KEEP_SHORT else ""  # absent from audits of before
    return _STATES[facts["state"]] + short


def _tests(facts: Mapping) -> str:
    return ", ".join(f"`{name}` ({' + '.join(splits)})" for name, splits in facts["tests"].items())


def _findings(facts: Mapping) -> str:
    lines = [
        f"- **{f['level']}** `{f['code']}` {f['where']}: {f['problem']}" + (f"; {f['remedy']}" if f["remedy"] else "")
        for f in facts["findings"]
    ]
    return "\n".join(lines) or "None."


def split_table(facts: Mapping, group: str) -> str:
    """Renders the counts of every split and class, and which groups training shares with a test."""
    classes = list(dict.fromkeys(name for split in facts["splits"].values() for name in split["classes"]))
    nobody = group == "recording"  # no ids of people: a column of groups would say the same twice
    grouped = [] if nobody else [f"{group}s"]
    header = ["split", "recordings", *grouped, "clips", "with audio"]
    header += classes if nobody else [f"{name} ({group}s)" for name in classes]
    rows = []
    for split, s in facts["splits"].items():
        held = [s["classes"][name] for name in classes]
        counted = [of["clips"] if nobody else f"{of['clips']} ({of['groups']})" for of in held]
        rows.append([split, s["recordings"], *([s["groups"]] if grouped else []), s["clips"], s["available"], *counted])
    table = markdown(header, rows, right=range(1, len(header)))
    if nobody:
        return f"{table}\n\nPeople have no ids here: nobody can tell who is on both sides of the split."
    shared = [
        f"- {split}: {s['groups']} of {s['of']['groups']} {group}s are in train too"
        + (", as the task's card says" if s["declared"] else " and the task's card **does not say so**")
        for split, s in facts["shared"].items()
    ]
    return table + "\n\n" + ("\n".join(shared) or f"No {group} is on both sides of the split.")


def _domains(facts: Mapping, domain: str) -> list[str]:
    placed = facts["domains"]
    if len(placed) < 2:
        return []
    splits = sorted({split for of in placed.values() for split in of})
    rows = [[name, *(of.get(split, {}).get("clips", 0) for split in splits)] for name, of in placed.items()]
    return [f"### Clips by {domain}", markdown([domain, *splits], rows, right=range(1, len(splits) + 1))]


def _duplicates(facts: Mapping) -> str:
    if not facts["compared"]:
        return "No audio is here to compare."
    text = (
        f"{facts['compared']} recordings compared, {facts['fingerprinted']} of them long enough for a fingerprint. "
        f"Two recordings share a stretch where a fingerprint of {LEAST_S:g} s or more differs in at most "
        f"{MOST_ERRORS:.0%} of its bits, whatever their gain, format, sampling rate and beginning."
    )
    sets = [*facts["identical"], *facts["similar"]]
    if not sets:
        return text + "\n\nNo recording is there twice and none shares a stretch with another."
    rows = [
        [
            _stretch(one),
            "; ".join(f"{PurePosixPath(path).name} ({', '.join(of)})" for path, of in zip(one["paths"], one["splits"])),
            "yes" if one["across"] else "no",
            one["groups"],
            " / ".join(one["annotations"]),
            one["labels"],
        ]
        for one in sets[:_LISTED]
    ]
    header = ["what", "recordings (splits)", "across the split", "groups", "annotated there as", "labels"]
    more = f"\n\nand {len(sets) - _LISTED} more." if len(sets) > _LISTED else ""
    return f"{text}\n\n{markdown(header, rows)}{more}"


def _stretch(one: Mapping) -> str:
    if "seconds" not in one:
        return "the same samples"
    return f"{one['seconds']:.1f} s from {one['at_s'][0]:.1f} s and {one['at_s'][1]:.1f} s on"


def _annotations(facts: Mapping) -> str:
    lengths, gaps = facts["duration_s"], facts["gaps"]
    if not lengths:
        return f"The length of none of the {facts['clips']} clips is known." + reported_annotations(facts)
    text = ", ".join(f"{name} {value:g} s" for name, value in lengths.items())
    lines = [f"- {facts['with_end']} of {facts['clips']} clips have a known length: {text}"]
    counted = [
        (f"shorter than {SHORT_S} s", facts["short"]),
        (f"longer than {LONG_S:g} s", facts["long"]),
        ("that overlap an earlier clip", facts["overlaps"]),
        ("with the very span of another clip", facts["same_span"]),
        ("that are digital silence for half of their length or more", facts.get("silent")),
        ("that are stuck at another value for half of their length or more", facts.get("stuck")),
    ]
    lines += [f"- Clips {what}: {_count(of)}" for what, of in counted if of is not None]
    if gaps["neighbours"]:
        seconds = (
            f", median {gaps['seconds']['median']:g} s, longest {gaps['seconds']['max']:g} s" if gaps["count"] else ""
        )
        lines.append(f"- Gaps between neighbours: {gaps['count']} of {gaps['neighbours']}{seconds}")
    if facts["coverage"]:
        share = facts["coverage"]
        lines.append(
            f"- Share of a recording that its clips cover: median {share['median']:.0%}, least {share['min']:.0%}"
        )
    if "clipped" in facts:
        lines.append(f"- Recordings with 1 % or more of their samples at full scale: {_count(facts['clipped'])}")
    return "\n".join(lines) + reported_annotations(facts)


def reported_annotations(facts: Mapping) -> str:
    """What loading and decoding reported about single annotations, as lines of a list."""
    lines = [f"\n- `{code}`: {of['first']}" + _further(of) for code, of in facts["reported"].items()]
    return "".join(lines)


def _further(of: Mapping) -> str:
    """Counts the findings and clips behind the one that is shown, where there are more."""
    counted = [f"{of['findings']} findings"] * (of["findings"] > 1) + [f"{of['clips']} clips"] * (of["clips"] > 1)
    return f" (the first of {', '.join(counted)})" if of["findings"] > 1 else f" ({counted[0]})" if counted else ""


def _count(of: Mapping) -> str:
    if not of["count"]:
        return "none"
    splits = ", ".join(f"{split} {n}" for split, n in of["splits"].items())
    more = ", …" if of["count"] > len(of["examples"]) else ""
    return f"{of['count']}{f' ({splits})' if splits else ''}: {', '.join(of['examples'])}{more}"


def _shortcuts(facts: Mapping, card: TaskCard) -> list[str]:
    parts = ["## What predicts the label without hearing the sound", _ABOUT_SHORTCUTS]
    if any(row["name"].startswith("file_part") for rows in facts["shortcuts"].values() for row in rows):
        parts_of_name = ", ".join(f"{place} `{part}`" for place, part in enumerate(facts["file_name"], start=1))
        parts.append(
            f"The parts of a file's name (`{CONTROL_PREFIX}file_part_1`, …), of the first one: {parts_of_name}."
        )
    for clips, rows in facts["shortcuts"].items():
        for test in facts["tests"]:
            scored = [row for row in rows if test in row["tests"]]
            if scored:
                first = next(iter(scored[0]["tests"][test].values()))
                parts.append(f"### Test `{test}`, {clips}: {first['n']} clips, {first['groups']} {card.group}s")
                if first["groups"] < FEW_GROUPS:
                    parts.append(f"Fewer than {FEW_GROUPS} {card.group}s: read little into scores and intervals.")
                parts.append(_shortcut_table(scored, test, card))
        silent = [_name(row) for row in rows if not row["tests"]]
        if silent:
            why = f"no value is shared by three training {card.group}s and not by all"
            parts.append(f"Not fitted on {clips}, because {why}: {', '.join(silent)}.")
    if not any(row["tests"] for rows in facts["shortcuts"].values() for row in rows):
        parts.append("Nothing could be fitted: the clips left for training hold one label or one group only.")
    return parts


def _shortcut_table(scored: list[Mapping], test: str, card: TaskCard) -> str:
    shown = [
        name
        for name in (*scored_by(card)[:1], DURATION_MATCHED, *scored_by(card)[1:])
        if name in scored[0]["tests"][test]
    ]
    lead = metrics.get(shown[0])
    worst = -1.0 if lead.direction == "higher" else 1.0
    scored = sorted(
        scored, key=lambda row: (row["source"] == "encoder", worst * (row["tests"][test][shown[0]]["value"] or 0))
    )
    titles = ["AUROC within deciles" if name == DURATION_MATCHED else metrics.get(name).title for name in shown]
    units = [metrics.get(name).unit for name in shown]
    rows = []
    for row in scored:
        way = row["direction"]
        bare = f"{_points(way.get('train'))} → {_points(way.get(test))}" if way else BLANK
        rows.append([_name(row), row["source"], *map(amount, map(row["tests"][test].get, shown), units), bare])
    return markdown(["row", "from", *titles, "bare value, train → test"], rows, right=range(2, len(titles) + 3))


def _name(row: Mapping) -> str:
    return row["name"] if row["source"] == "encoder" else CONTROL_PREFIX + row["name"]


def _points(value: float | None) -> str:
    return BLANK if missing(value) else f"{100 * value:.1f}"


def _nuisance(facts: Mapping) -> list[str]:
    parts = []
    for encoder, measured in facts.items():
        rows = [
            [row["what"], row["measure"], _points(row["value"]), _points(row["chance"]), row["n"], row["note"] or BLANK]
            for row in measured
        ]
        header = ["what", "measure", "in percent", "chance", "clips or recordings", "note"]
        parts += [f"## What the embeddings of {encoder} tell besides", markdown(header, rows, right=(2, 3, 4))]
    return parts


def resolution_section(rows: list[Mapping], group: str) -> list[str]:
    """Renders the smallest differences that the tests resolve; empty where there are none."""
    if not rows:
        return []
    text = (
        f"Half of the 95 % interval of a difference, by {group} bootstrap; *found* is the difference that four of five "
        "test sets of this kind would show. What is smaller than *resolved* is not told apart here. It is blank where "
        "the score does not vary between draws, as that of a system which answers every clip alike."
    )
    table = []
    for row in rows:
        metric = metrics.get(row["metric"])
        scale, digits = (100, 1) if metric.unit == "%" else (1, 2)
        limits = [f"{scale * row[name]:.{digits}f}" if row[name] else BLANK for name in ("resolved", "found")]
        change = (
            BLANK if missing(row["difference"]) else signed(row["difference"], row["low"], row["high"], metric.unit)
        )
        table.append([row["test"], metric.title, f"{row['system']} and {row['other']}", change, *limits])
    header = ["test", "metric", "systems", "difference", "resolved", "found"]
    return ["## The smallest difference that the tests resolve", text, markdown(header, table, right=(3, 4, 5))]
