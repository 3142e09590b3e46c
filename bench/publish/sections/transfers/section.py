"""The out-of-domain report of a results folder as a section of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.publish.blocks import Chart, Section, Text
from bench.publish.sections.transfers import charts
from bench.publish.sections.transfers.points import Rows
from bench.publish.sections.transfers.tables import decision_table, finding_table, nuisance_table, transfer_rows
from bench.publish.sections.vega import dumbbells, plain_id
from bench.reports.audit.nuisance import CAPTION
from bench.reports.audit.summary import AUDIT_FOLDER
from bench.reports.out_of_domain.bandwidth import policies
from bench.reports.out_of_domain.contents import Contents, contents_of
from bench.reports.out_of_domain.findings import ABOUT, ALPHA, Finding, count
from bench.reports.out_of_domain.transfer_table import OUT, Shown, decided, shown
from bench.runs.context import TransferNotes
from bench.runs.out_of_domain import Transfer

PART = "ood"  # how a results folder of transfers is called inside another

_INTRODUCTION = (
    "One probe per encoder is chosen and fitted on the source's training patients and applied, as it is, to patients "
    "of its own corpus (in-domain) and of another (out-of-domain). Intervals are 95 % by bootstrap of patients. "
    "The two tests differ in how hard they are: hence the target probe, which is fitted on the target's own patients."
)


def transfer_section(folder: Path) -> Section | None:
    """The out-of-domain report of a results folder; None where none was made there.

    What audits found of its transfers is shown from ``audit/`` in the folder or, where the folder is the part ``ood``
    of another results folder and has none, from ``audit/`` of that one. Raises ``BadInput`` for records, notes and
    audits that cannot be read.
    """
    if not TransferNotes.read(folder).tasks:
        return None
    part = folder.name == PART and not (folder / AUDIT_FOLDER).is_dir()
    return section_of(contents_of(folder, audits=folder.parent if part else folder))


def section_of(report: Contents) -> Section:
    """The section of a report's contents."""
    notes = report.notes
    blocks: list[Any] = [Text((_INTRODUCTION,)), *_warnings(report)]
    if notes.notes:
        blocks.append(Section("ood.remarks", "Remarks", (Text(tuple(notes.notes), "note"),)))
    blocks += _findings(report)
    blocks += _matrices(report)
    blocks += [_transfer(report, id, plan) for id, plan in report.transfers.items()]
    blocks += [_left_out(report, base, tasks) for base, tasks in report.left_out.items()]
    blanks = [f"{key}: {why}" for key, why in sorted({**notes.blanks, **notes.absent}.items())]
    if blanks:
        blocks.append(Section("ood.blank", "Left blank", (Text(tuple(blanks)),)))
    return Section("ood", notes.title, tuple(blocks))


def _warnings(report: Contents) -> list[Text]:
    """What must be read before the numbers."""
    states = {id: report.firsts[id].data["state"] for id in report.plans}
    lines = []
    if simulated := [id for id, state in states.items() if "simulated" in state]:
        lines.append(f"Simulated data ({', '.join(simulated)}): these numbers say nothing about real recordings.")
    if subset := [id for id, state in states.items() if "subset" in state]:
        lines.append(f"Subset of a corpus ({', '.join(subset)}): never compare with published scores.")
    return [Text(tuple(lines), "warning")] if lines else []


def _findings(report: Contents) -> list[Section]:
    """Sentences, one section for what transfers lose and one for what control of bandwidth changes."""
    about = ABOUT.format(tests=count(report.findings), alpha=ALPHA)
    out = []
    for id, title, bandwidth in (
        ("ood.findings", "What the numbers support", False),
        ("ood.bandwidth", "What control of bandwidth changes", True),
    ):
        own = [finding for finding in report.findings if finding.bandwidth is bandwidth]
        if own:
            blocks: list[Any] = [Text((about,), "note")]
            for task in dict.fromkeys(finding.task for finding in own):
                said = [finding for finding in own if finding.task == task]
                blocks.append(Section(f"{id}.{plain_id(task)}", task, (*_sentences(said), finding_table(said))))
            out.append(Section(id, title, tuple(blocks)))
    return out


def _sentences(found: Sequence[Finding]) -> list[Text]:
    supported = tuple(f"{f.metric}: {f.sentence} ({f.test})" for f in found if f.supported)
    rest = tuple(f"{f.metric}: {f.sentence}" for f in found if not f.supported)
    return [Text(lines, tone) for lines, tone in ((supported, "finding"), (rest, "plain")) if lines]


def _matrices(report: Contents) -> list[Section]:
    """Source against target."""
    made = []
    for (metric, _), pairs in report.matrices().items():
        rows = {pair: Rows(report.of(id, each), each) for pair, (id, each) in pairs.items()}
        tasks = list(dict.fromkeys(task for pair in pairs for task in pair))
        points = [point for pair, own in rows.items() for point in own.matrix(*pair)]
        seen: set[tuple] = set()
        unique = [p for p in points if not ((key := (p["row"], p["source"], p["target"])) in seen or seen.add(key))]
        description = (
            f"{metric} of every encoder, a panel each, trained on {', '.join(dict.fromkeys(s for s, _ in pairs))} "
            f"(rows) and tested on {', '.join(tasks)} (columns); where both are the same it is the source's own test."
        )
        made.append(Chart(charts.matrix(unique, metric, tasks), f"{metric}: trained on, tested on", description))
    return [Section("ood.matrix", "Source against target", tuple(made))] if made else []


def _transfer(report: Contents, id: str, plan: Transfer) -> Section:
    """Everything about one transfer."""
    task = report.firsts[id].data["task"]
    blocks: list[Any] = [
        Text((f"Trained on {plan.source}, tested on {plan.target} ({plan.test}); in-domain {plan.own}.",))
    ]
    for each in shown(task):
        rows = Rows(report.of(id, each), each)
        blocks += [transfer_rows(rows, each), *(_pictures(rows, plan) if each in decided(task) else ())]
    for each in decided(task):
        blocks += _decisions(report, id, each)
    if revealed := report.revealed.get(id):
        if revealed.stale(report.firsts[id]):
            blocks.append(Text(("The audit of this transfer is of other data and is not shown.",), "warning"))
        else:
            blocks += [Text((CAPTION.replace("`", ""),), "note"), nuisance_table(revealed)]
    return Section(f"ood.{plain_id(id)}", id, tuple(blocks))


def _pictures(rows: Rows, plan: Transfer) -> list[Chart]:
    """Scatter, durations, bandwidth and few shots of one metric."""
    made, title = [], rows.each.title
    axis = f"{title}{rows.suffix}"
    if points := rows.scatter():
        description = (
            f"In-domain {title} ({plan.source}) against out-of-domain {title} ({plan.target}) of every encoder, with "
            "95 % intervals. Below the dashed diagonal a score drops; dotted lines are the floor, control.majority."
        )
        spec = charts.scatter(points, axis, rows.floor())
        made.append(Chart(spec, f"{title}: in against out of domain", description))
    if points := rows.durations():
        description = (
            f"{title} of every encoder as it is and among clips of about the same length, in-domain and out of domain. "
            "A score that lives on the length of a clip falls to 50 within duration deciles."
        )
        spec = dumbbells(points, axis, ("all clips", "within duration deciles"))
        made.append(Chart(spec, f"{title} within duration deciles", description))
    for clip in policies(rows.whats, OUT):
        description = f"The drop of {title} of every encoder on clips as they are and under {clip}."
        spec = dumbbells(rows.bandwidth(clip), f"drop of {title}, points", ("as they are", clip), 0.0)
        made.append(Chart(spec, f"Drop of {title} under {clip}", description))
    points, steps = rows.few_shots()
    if points:
        description = (
            f"Out-of-domain {title} over the number of target patients that a probe is fitted on: none (the source's "
            "probe), a few (mean over draws of patients, band: standard deviation over draws), and all."
        )
        spec = charts.few_shot(points, axis, steps)
        made.append(Chart(spec, f"{title}: labels of the target", description))
    return made


def _decisions(report: Contents, id: str, each: Shown) -> list[Any]:
    """Thresholds and calibration."""
    rows, out = Rows(report.of(id, each), each), []
    if points := rows.thresholds():
        description = (
            "Mean of sensitivity and specificity on the target's clips at the threshold as fitted, at the best of the "
            "in-domain test, and at the best of the target itself, an oracle that has seen the answers."
        )
        kinds = tuple(dict.fromkeys(point["kind"] for point in points))
        spec = dumbbells(points, "(Sp + Se) / 2, %", kinds, 50.0)
        out += [Chart(spec, f"{each.title}: thresholds out of domain", description)]
    curves = report.curves
    own = curves[(curves["task"] == id) & (curves["metric"] == each.key)] if len(curves) else curves
    if points := rows.reliability(own):
        description = (
            "Observed share over predicted probability in ten bins of equally many clips, in-domain and out of domain, "
            "with 95 % intervals as bands; on the dashed diagonal probabilities are right. A panel per encoder."
        )
        out += [Chart(charts.reliability(points), f"{each.title}: reliability", description)]
    return [decision_table(rows), *out] if out else []


def _left_out(report: Contents, base: str, tasks: Sequence[str]) -> Section:
    """One domain of a task left out of training in turn."""
    facts = report.firsts[tasks[0]].data["task"]
    each = shown(facts)[0]
    points = [
        point for id in tasks for point in Rows(report.of(id, each), each).alone(id.partition("@")[2].partition("-")[2])
    ]
    names = list(dict.fromkeys(point["target"] for point in points))
    description = f"{each.title} of every encoder on {', '.join(names)}, each by a probe trained without it."
    chart = Chart(charts.heat_map(points, each.title, names), f"{each.title} on what was left out", description)
    return Section(f"ood.{plain_id(base)}", f"{base}, one {facts['domain']} left out", (chart,))
