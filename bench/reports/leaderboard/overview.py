"""The first page of the leaderboard: what the data is, who leads, every score with its interval, tasks and encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.paths import file_name
from bench.probe.protocols import PEEKING
from bench.reports.audit.sensitivity import marks
from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.standing_tables import (
    BESIDE,
    HOW_TO_READ,
    mark_lines,
    mean_table,
    resolution_table,
    score_tables,
)
from bench.reports.leaderboard.standings.values import Standings
from bench.reports.leaderboard.table import cells
from bench.reports.names import encoder_name, link_target, rank_class, row_name
from bench.reports.tables import DISCLAIMER, markdown
from bench.scores import label_kinds, metrics
from bench.scores.intervals import FEW_GROUPS
from bench.scores.printed import BLANK, amount
from bench.scores.schema import CONSTANT_FEATURES, Record

if TYPE_CHECKING:
    import pandas as pd

    from bench.runs.context import BoardNotes

RESOLUTION = (
    "What each test can tell. *Smallest difference*: half the 95 % interval of a paired difference, of the middle pair "
    "of rows of one kind; *found in 4 of 5*: what a difference must be to be told in four of five tests of this kind; "
    "both in the metric's points, for one pair alone. *Bold*: rows that are not significantly worse than the best."
)
PARITY = (
    "Parity: `golden` rows come from an encoder that equals arrays made with the original implementation; "
    "`self-consistent` and `unverified` ones are not claimed to be faithful to theirs."
)


def overview_tables(records: Sequence[Record], standings: Standings) -> list[str]:
    """Renders the tables with intervals.

    They are the means with their ranks, the headline tests, all other tests, what each test resolves, and the headline
    tests' AUROC beside that within duration deciles.
    """
    others, marked = score_tables(standings, headline=False), "\n".join(mark_lines(standings))
    return [
        HOW_TO_READ,
        mean_table(standings),
        "Headline tests:",
        *score_tables(standings, headline=True),
        *(["Other tests:", *others] if others else []),
        *([marked] if marked else []),
        RESOLUTION,
        resolution_table(standings),
        *_matched_table(records, standings),
    ]


def _matched_table(records: Sequence[Record], standings: Standings) -> list[str]:
    """Caption and tables of AUROC and AUROC within duration deciles, of the headline tests that have both."""
    plain, within = (
        {row[:5]: row for row in _keyed(cells(records, chosen))}
        for chosen in (lambda task: label_kinds.of(task).auroc, lambda task: metrics.DURATION_MATCHED)
    )
    shown = [f"{of.task}/{of.test}" for of in standings.tests if of.headline]
    shown = [column for column in shown if any(key[4] == column for key in within)]
    if not shown:
        return []
    rows = [each.row for each in standings.overall if not each.row.encoder.startswith("control.")]
    caption = (
        "AUROC, and AUROC among clips of about the same length (duration deciles of the test). What lives on the "
        "length of a clip falls to 50 there; `meta.duration` knows nothing else:"
    )
    tables = []
    for start in range(0, len(shown), BESIDE // 2):
        columns, lines = shown[start : start + BESIDE // 2], []
        for row in rows:
            identity = (row.encoder, row.pooling, row.layer, row.protocol)
            values = [_cell(entry.get((*identity, column))) for column in columns for entry in (plain, within)]
            lines.append([row_name(row.encoder, row.layer), row.pooling, row.protocol, *values])
        header = ["encoder", "pooling", "protocol", *(title for c in columns for title in (c, "within deciles"))]
        tables.append(markdown(header, lines, right=range(3, len(header))))
    return [caption, *tables]


def _keyed(long: pd.DataFrame) -> list[tuple]:
    return [
        (
            r.encoder,
            r.pooling,
            r.layer,
            r.protocol,
            f"{r.task}/{r.test}",
            r.value,
            r.low,
            r.high,
            metrics.get(r.metric).unit,
        )
        for r in long.itertuples()
    ]


def _cell(entry: tuple | None) -> str:
    return amount(dict(zip(("value", "low", "high"), entry[5:8])), entry[8]) if entry else BLANK


def overview(
    records: Sequence[Record],
    by_task: Mapping[str, list[Record]],
    notes: BoardNotes,
    audits: Mapping[str, AuditSummary],
    sensitivities: Mapping[str, Mapping],
    standings: Standings,
) -> str:
    """Markdown of the overview.

    ``by_task``: each task's records, best first; ``audits`` by task; ``sensitivities`` by record key.
    """
    parts = [f"# {notes.title}", f"**{DISCLAIMER}**", "\n\n".join(remarks(by_task))]
    if notes.commands:
        parts.append("Made by:\n\n" + "\n".join(f"    {command}" for command in notes.commands))
    parts += [
        "Each cell is the task's main metric in percent with its 95 % interval by patient bootstrap. "
        "The mean is over "
        + (", ".join(standings.mean_of) or "nothing")
        + ", of rows that have all of them, and blank for others; "
        "different metrics have different floors, so read it as an order, not as a quantity. Control rows (chance, "
        "majority class, clip duration, untrained twins) are never ranked. " + PARITY,
        *overview_tables(records, standings),
        *_sensitive(records, sensitivities),
        "## Tasks and data",
        _task_list(by_task, audits),
        *([_without_data(notes)] if notes.absent_tasks else []),
        "## Encoders",
        _encoder_list(records, notes),
    ]
    if notes.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in notes.notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _sensitive(records: Sequence[Record], sensitivities: Mapping[str, Mapping]) -> list[str]:
    """How many rows were tried for what rounding does to them; empty where none was. Marks are with the tables."""
    tried = [record for record in records if record.key in sensitivities]
    if not tried:
        return []
    moved = any(marks(sensitivities[record.key], test) for record in tried for test in record.scores)
    caption = (
        f"Tried for what rounding and dither of one 16-bit step do to them (`respbench audit`): {len(tried)} rows; "
        "what it does to each score stands on the tasks' pages."
    )
    return [caption + ("" if moved else " None of them is moved far.")]


def remarks(by_task: Mapping[str, list[Record]]) -> list[str]:
    """What a reader must know of the data before the numbers, one sentence each."""
    data = {task: part[0].data for task, part in by_task.items()}
    lines = []
    if simulated := [task for task, d in data.items() if "simulated" in d["state"]]:
        lines.append(f"**Simulated data** ({', '.join(simulated)}): these numbers say nothing about real recordings.")
    if subset := [f"{task}: {_share(d)}" for task, d in data.items() if "subset" in d["state"]]:
        lines.append(f"**Subset of the corpus** ({'; '.join(subset)}): never compare with published scores.")
    if broken := [task for task, d in data.items() if d["excluded"]]:
        lines.append(f"**Incomplete**: clips were excluded from {', '.join(broken)}; the task pages list them.")
    shared = [f"{t}/{test} ({n})" for t, d in data.items() for test, n in d["groups_in_train"].items() if n]
    if shared:
        lines.append(f"Tests with patients who are also in train, and how many: {', '.join(shared)}.")
    held = {record.spec["protocol"] for part in by_task.values() for record in part}
    if peeked := [name for name in PEEKING if name in held]:
        named = " and ".join(peeked)
        lines.append(f"**Rows of {named} chose their epoch on the test**: no result, hence without bold and rank.")
    rows = [(task, record) for task, part in by_task.items() for record in part]
    read: dict[str, Sequence[str]] = {}
    for _, record in rows:
        method = record.spec.get("recipe", {}).get("method", {})
        read |= {method["name"]: method["inputs"]} if method.get("inputs") else {}
    if read:
        named = "; ".join(f"{name}: {', '.join(columns)}" for name, columns in read.items())
        lines.append(f"**Metadata as input** ({named}): such rows know more of a clip than its sound, and rank apart.")
    if same := {f"{r.spec['encoder']} on {t}": t for t, r in rows if CONSTANT_FEATURES in r.data["marks"]}:
        lines.append(
            f"**Constant features**: {', '.join(same)}; a probe learns from them how common classes are, no more."
        )
    counts: dict[str, int] = {}
    for task, record in rows:  # those under policies that change lengths, and fine-tuned ones, have no count
        if count := record.data.get("clips_cropped_to_max_s"):
            name = f"{record.spec['encoder']} on {task}"
            counts[name] = max(count, counts.get(name, 0))
    if cropped := [f"{name} ({count} clips)" for name, count in counts.items()]:
        lines.append(f"**Cropped**: {', '.join(cropped)}; of these clips the encoder hears only the first seconds.")
    few = [
        f"{task}/{test} ({score['groups']})"
        for task, part in by_task.items()
        for test, table in part[0].scores.items()
        if (score := table[part[0].data["task"]["main_metric"]])["groups"] < FEW_GROUPS
    ]
    if few:
        lines.append(f"Optimistic intervals, of fewer than {FEW_GROUPS} patients: {', '.join(few)}.")
    return lines or ["All corpora complete."]


def _share(data: Mapping) -> str:
    """How much of the corpus is at hand."""
    recordings, clips = (sum(s[what] for s in data["splits"].values()) for what in ("recordings", "clips"))
    whole = f" of {data['recordings_in_full']}" if data["recordings_in_full"] else ""
    return f"{recordings}{whole} recordings, {clips} clips"


def _task_list(by_task: Mapping[str, list[Record]], audits: Mapping[str, AuditSummary]) -> str:
    rows = []
    for task, part in by_task.items():
        data = part[0].data
        rows.append(
            [
                f"[{task}](tasks/{link_target(file_name(task))}.md)",
                metrics.get(data["task"]["main_metric"]).title,
                data["state"],
                *(f"{sum(s[what] for s in data['splits'].values())}" for what in ("recordings", "clips")),
                data["licence"],
                part[0].spec["manifest"][:12],
                _audit_cell(part[0], audits.get(task)),
            ]
        )
    header = ["task", "main metric", "data", "recordings", "clips", "licence", "data digest", "audit"]
    return markdown(header, rows, right=(3, 4))


def _audit_cell(record: Record, audit: AuditSummary | None) -> str:
    """Link and marks of a task's audit."""
    if audit is None:
        return BLANK
    if why := audit.stale(record):
        return f"[**stale**]({audit.report}): {why}"
    marks = {test: audit.of_test(record, test) for test in record.data["task"]["tests"]}
    text = "; ".join(f"{test}: {', '.join(entry)}" for test, entry in marks.items() if entry)
    return f"[{text or 'nothing found'}]({audit.report})"


def _without_data(notes: BoardNotes) -> str:
    """The tasks asked for whose data are not at hand, and why."""
    lines = (f"- {task}: **no data at hand**: {why}" for task, why in sorted(notes.absent_tasks.items()))
    return "Not in any table, and missing from every mean:\n\n" + "\n".join(lines)


def _encoder_list(records: Sequence[Record], notes: BoardNotes) -> str:
    rows = {}
    for record in sorted(records, key=lambda r: (rank_class(r.spec) == "control", r.spec["encoder"])):
        spec, data = record.spec, record.data
        weights = BLANK if spec["weights"] == "none" else spec["weights"][:12]
        untrained = registry.is_twin(spec["encoder"])
        what = "untrained" if untrained else "none needed" if weights == BLANK else "at hand"
        rows[encoder_name(spec), spec["weights"]] = [
            encoder_name(spec),
            what,
            weights,
            data.get("policy", BLANK),
            ", ".join(data["trained_on"]) or BLANK,
            data["weights_licence"] or BLANK,
            data.get("parity", BLANK),
        ]
    for encoder, reason in sorted(notes.absent.items()):
        rows[encoder, ""] = [encoder, f"**not at hand**: {reason}", *[BLANK] * 5]
    return markdown(
        ["encoder", "weights", "weight digest", "input policy", "trained on", "licence of weights", "parity"],
        list(rows.values()),
    )
