"""One task's page of the leaderboard: data, formulas, every test, classes, domains, published rows, selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.reports.audit.sensitivity import marks as sensitivity_marks
from bench.reports.audit.sensitivity import under_dither
from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.published.pages import published_section
from bench.reports.leaderboard.standing_tables import readable_letters, resolution_words
from bench.reports.leaderboard.standings.values import Standing, Standings, TestStandings
from bench.reports.names import row_name
from bench.reports.tables import DISCLAIMER, markdown
from bench.runs.context import NOTHING
from bench.scores import label_kinds, metrics
from bench.scores.metrics import DURATION_MATCHED
from bench.scores.printed import BLANK, amount, signed
from bench.scores.schema import Record, ScoreJson

STANDING = (
    "**Bold**: not significantly worse than the best row of its kind, over all seeds; rows that share a letter are not "
    "told apart."
)
ROW_HEAD = ("encoder", "parity", "pooling", "protocol", "seed")


def task_page(
    task: str,
    records: Sequence[Record],
    names: Mapping[str, str],
    differences: Mapping,
    standings: Standings,
    audit: AuditSummary | None = None,
    sensitivities: Mapping[str, Mapping] = NOTHING,
) -> str:
    """Renders a task's page.

    Parameters
    ----------
    task
        The task's id.
    records
        All records of the task, best first.
    names
        {record key: the encoder's name in tables}.
    differences
        {(record key, test): paired difference to the untrained twin}.
    standings
        Who leads on which test.
    audit
        The audit of the task's data, where there is one.
    sensitivities
        {record key: what rounding does to it}, of those that were tried.
    """
    heads = {record.key: _row_head(record, names[record.key]) for record in records}
    data = records[0].data
    parts = [f"# {task}", f"**{DISCLAIMER}**", _data_lines(data)]
    parts += [_audit_line(audit, records[0])] if audit else []
    parts += [_formulas(records)]
    for test in data["task"]["tests"]:
        tested = [r for r in records if test in r.scores]
        if not tested:
            parts.append(f"## Test {test}\n\nNo clip of this test is at hand.")
            continue
        of = next((of for of in standings.tests if (of.task, of.test) == (task, test)), None)
        parts += [f"## Test {test}{_test_mark(records[0], test, of, audit)}"]
        parts += [_test_table(test, tested, heads, differences, of, sensitivities)]
        if per_class := label_kinds.of(data["task"]).per_class:
            title = "Recall per class" if per_class == "recall" else "AUROC per label"
            parts += [f"### {title} (support in clips)", _class_table(per_class, test, tested, heads)]
        if len(tested[0].domains[test]) > 1:
            parts += [f"### By {data['task']['domain']}", _domain_table(test, tested, heads)]
    parts += published_section(task, data["task"]["main_metric"], data["state"])
    parts += ["## Selection", _selection_table(records, heads)]
    if data["excluded"]:
        parts += ["## Excluded clips", "\n".join(f"- {line}" for line in data["excluded"])]
    if short := data.get("short"):
        parts += ["## Recordings shorter than their headers promise", "\n".join(f"- {line}" for line in short)]
    return "\n\n".join(parts) + "\n"


def _data_lines(data: Mapping) -> str:
    header = ["split", "recordings", f"{data['task']['group']}s", "clips", *data["task"]["classes"]]
    rows = [
        [split, s["recordings"], s["patients"], s["clips"], *(s[c] for c in data["task"]["classes"])]
        for split, s in data["splits"].items()
    ]
    state = {
        "subset": "This is a **subset** of the corpus: never compare with published scores.",
        "simulated": "This is **simulated** data.",
        "simulated subset": "This is a part of a **simulated** corpus.",
        "complete": "The corpus is complete.",
    }[data["state"]]
    if data["excluded"]:
        state += f" **Incomplete**: {len(data['excluded'])} problems made clips unusable; they are listed below."
    source = f"{data['citation'].rstrip('.')}. Licence: {data['licence']}. {data['url']}"
    return f"{state} {source}\n\n" + markdown(header, rows, right=range(1, len(header)))


def _audit_line(audit: AuditSummary, record: Record) -> str:
    link = f"[Audit](../{audit.report})"
    if why := audit.stale(record):
        return f"{link}: **stale**, {why}; nothing of it is shown here."
    return f"{link} of these data; what it found about a test stands at the test's heading."


def _formulas(records: Sequence[Record]) -> str:
    shown = dict.fromkeys(name for record in records for test in record.scores for name in _shown(record, test))
    return "\n".join(f"- **{metrics.get(name).title}**: {metrics.get(name).formula}" for name in shown)


def _shown(record: Record, test: str) -> list[str]:
    """The metrics of a test's table: the main one, AUROC and that within duration deciles side by side, the others."""
    task = record.data["task"]
    named = [task["main_metric"], label_kinds.of(task).auroc, DURATION_MATCHED, *task["metrics"]]
    return [name for name in dict.fromkeys(named) if name in record.scores[test]]


def _test_mark(record: Record, test: str, of: TestStandings | None, audit: AuditSummary | None) -> str:
    """What a test resolves, and its marks that a reader must know before its numbers, in brackets."""
    shared = record.data["groups_in_train"].get(test, 0)
    resolved = resolution_words(of) if of else ""
    marks = [resolved] if resolved else []
    marks += [f"{shared} {record.data['task']['group']}s in train"] if shared else []
    marks += audit.of_test(record, test) if audit else []
    return f" ({'; '.join(dict.fromkeys(marks))})" if marks else ""


def _test_table(
    test: str,
    records: Sequence[Record],
    heads: Mapping,
    differences: Mapping,
    of: TestStandings | None,
    sensitivities: Mapping[str, Mapping],
) -> str:
    task = records[0].data["task"]
    found = {key: each for each in of.rows for key in each.keys} if of else {}
    main = task["main_metric"]
    shown = list(dict.fromkeys(name for record in records for name in _shown(record, test)))
    titles = [metrics.get(name).title for name in shown]
    tried = any(record.key in sensitivities for record in records)
    rows = []
    for record in records:
        table, moved = record.scores[test], sensitivities.get(record.key)
        change, standing = differences.get((record.key, test)), found.get(record.key)
        rows.append(
            [
                *heads[record.key],
                *(_shown_score(table.get(name), name, of, standing if name == main else None) for name in shown),
                signed(change.value, change.low, change.high, metrics.get(main).unit) if change else BLANK,
                *([under_dither(moved, test, metrics.get(main).unit)] if tried else []),
                "; ".join([*record.data["marks"], *sensitivity_marks(moved, test)]) or BLANK,
            ]
        )
    first = records[0].scores[test][main]
    caption = f"{first['n']} clips, {first['groups']} {task['group']}s. Interval: {first['method']}. {STANDING}"
    header = [*ROW_HEAD, *titles, "difference to untrained twin", *["under dither of one 16-bit step"] * tried, "marks"]
    return caption + "\n\n" + markdown(header, rows, right=range(len(ROW_HEAD), len(header) - 1))


def _shown_score(score: ScoreJson | None, metric: str, of: TestStandings | None, standing: Standing | None) -> str:
    """A score with its interval; bold and letters are those of the row, over all its seeds."""
    text = amount(score, metrics.get(metric).unit)
    if of is None or standing is None or standing.best is None:
        return text
    return f"{f'**{text}**' if standing.best else text} {readable_letters(of.rows, standing)}".rstrip()


def _row_head(record: Record, name: str) -> list[str]:
    spec = record.spec
    parity = record.data.get("parity", "none")
    return [row_name(name, spec["layer"]), parity, spec["pooling"], spec["protocol"], str(spec["seed"])]


def _class_table(per_class: str, test: str, records: Sequence[Record], heads: Mapping) -> str:
    classes = records[0].data["task"]["classes"]
    support = {c: records[0].scores[test].get(f"{per_class}.{c}", {}).get("n", 0) for c in classes}
    rows = [
        [*heads[r.key], *(amount(r.scores[test].get(f"{per_class}.{c}"), interval=False) for c in classes)]
        for r in records
    ]
    header = [*ROW_HEAD, *(f"{c} ({support[c]})" for c in classes)]
    return markdown(header, rows, right=range(len(ROW_HEAD), len(header)))


def _domain_table(test: str, records: Sequence[Record], heads: Mapping) -> str:
    main = records[0].data["task"]["main_metric"]
    group = records[0].data["task"]["group"]
    domains = {d: table[main] for d, table in records[0].domains[test].items()}
    header = [*ROW_HEAD, *(f"{d} ({s['n']} clips, {s['groups']} {group}s)" for d, s in domains.items())]
    rows = [
        [*heads[r.key], *(amount(r.domains[test][d][main], metrics.get(main).unit) for d in domains)] for r in records
    ]
    return markdown(header, rows, right=range(len(ROW_HEAD), len(header)))


def _selection_table(records: Sequence[Record], heads: Mapping) -> str:
    rows = []
    for record in records:
        if record.spec["kind"] == "control":
            continue
        chosen = record.selection["chosen"]
        text = ", ".join(f"{name} {value}" for name, value in chosen.items()) or BLANK
        if sharing := sum("share" in candidate for candidate in record.selection["path"]):
            text += f"; {sharing} candidates share"
        edge = "at the edge of the grid" if record.selection.get("at_edge") else BLANK
        shorter = str(record.data.get("clips_padded_to_min_s", BLANK))
        rows.append([*heads[record.key], text, edge, shorter, record.spec["weights"][:12], record.key])
    header = [*ROW_HEAD, "chosen on train", "grid", "clips padded to the encoder's minimum", "weight digest", "record"]
    return markdown(header, rows)
