"""The out-of-domain report as Markdown and CSV, made from records and notes alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bench.base.registry import task_card
from bench.reports.audit.nuisance import CAPTION, revealed_table
from bench.reports.out_of_domain.bandwidth import policies
from bench.reports.out_of_domain.cells import Cells, glance, left_out, matrix
from bench.reports.out_of_domain.contents import Contents, contents_of
from bench.reports.out_of_domain.findings import ABOUT, ALPHA, count
from bench.reports.out_of_domain.measures.worst import LEAST_CLIPS, LEAST_GROUPS
from bench.reports.out_of_domain.transfer_table import IN, OUT, Shown, shown
from bench.reports.pages import stale_pages, write_pages
from bench.reports.tables import DISCLAIMER
from bench.runs.context import TransferNotes
from bench.runs.out_of_domain import Transfer
from bench.scores.intervals import FEW_GROUPS
from bench.scores.per_test import tested
from bench.scores.schema import Record

FILES = ("ood.md", "ood.csv", "reliability.csv")

_READING = f"""\
One probe per encoder is chosen and fitted on the source's training patients and applied, as it is, to two tests:
patients of its own corpus (**in-domain**) and of another (**out-of-domain**, zero-shot). Values are in percent, with
95 % intervals by patient bootstrap. ICBHI Score is (Sp + Se) / 2, which SPRSound calls AS. An AUROC below 50 says that
what the probe learnt runs the other way on the target.

- **Drop**: in-domain minus out-of-domain; negative where the other corpus goes better. The two are different patients,
  so the difference is unpaired: each side is resampled by itself. The tests also differ in how hard they are, which is
  what the target probe is for.
- **Relative drop**: drop / (in-domain − floor), the floor being `control.majority` on the same test: the share of what
  was learnt that is lost. 100 is a fall to the floor, more than 100 a fall below it. Where in-domain itself is not told
  apart from the floor there is nothing to lose, and the share is blank, not zero.
- **Few-shot k**: a probe of k training patients of the target alone (recordings, where a corpus knows no patients),
  chosen inside them: mean ± standard deviation over the draws, which is no patient interval. Draws of most of a corpus
  are nearly the same draw.
- **Target probe**: the same encoder with a probe of all of the target's training patients, on the same clips: what new
  labels would buy. Its difference to zero-shot is paired, clip by clip.
- **Within duration deciles**: AUROC among clips of about the same length. A score that lives on how long a clip is
  falls to 50 there; the row `meta.duration` knows nothing else.
- **Worst device or site**: of those with {LEAST_CLIPS} clips of {LEAST_GROUPS} patients or more. The lowest of k noisy
  numbers is low by chance too, so its interval is at 1 − 0.05/k: it holds whichever of the k is lowest.
- **Thresholds**: (Sp + Se) / 2 of the target's clips where the probe decides as it was fitted; at the threshold that is
  best on the in-domain test (records hold no scores of held-out training clips); and at the best threshold on the
  target itself. The last is an **oracle**: it has seen the answers, and is never a result. What lies between the two
  is lost to a shifted threshold, what lies between the oracle and 100 to the ranking.
- **Calibration error**: mean distance of predicted probability and observed share over ten bins of equally many clips,
  in percent; 0 is best, and few clips are above 0 even where every probability is right, for which the lower end of
  the interval allows. `reliability.csv` has the bins.
- **`control.majority`** calls every clip normal: the floor. It, `meta.duration` and the untrained twins (`random.`) are
  controls, and stand below the encoders, which are sorted by their value out of domain."""

_BANDWIDTH = """
- **`lowpass2k`, `lowpass4k`**: encoder and probe once more, on clips without anything above 2 or 4 kHz and with the
  same dither everywhere. Recordings end at different frequencies, which an encoder hears as the corpus; under these
  policies they end at the same one. What they change is paired, clip by clip, in points: where the interval holds 0 it
  is not told apart from nothing."""


def render_transfer_report(report: Contents) -> dict[str, str]:
    """{file name: text} of a report."""
    notes, numbers, firsts = report.notes, report.numbers, report.firsts
    parts = [f"# {notes.title}", f"**{DISCLAIMER}**", *_remarks(list(report.plans), firsts)]
    if notes.commands:
        parts.append("Made by:\n\n" + "\n".join(f"    {command}" for command in notes.commands))
    controlled = any(policies(numbers["what"], OUT)) if len(numbers) else False
    parts += ["## How to read it", _READING + (_BANDWIDTH if controlled else "")]
    if notes.notes:
        parts += ["## Remarks", "\n".join(f"- {note}" for note in notes.notes)]
    parts += _findings(report)
    parts += _glance(report) + _matrices(report)
    for id, plan in report.transfers.items():
        parts += _section(report, plan) + _revealed(report, id)
    parts += _left_out(report)
    parts += _blank(notes)
    texts = ("\n\n".join(filter(None, parts)) + "\n", _csv(numbers), _csv(report.curves))
    return dict(zip(FILES, texts, strict=True))


def write_transfer_report(folder: Path) -> list[Path]:
    """Writes the report of a results folder into it and returns its files, the Markdown first.

    Raises ``BadInput`` where no report was asked for there.
    """
    return write_pages(folder, render_transfer_report(contents_of(folder)))


def stale_transfer_report(records: Sequence[Record], folder: Path) -> list[str]:
    """Lists what in the report of a results folder is not what its records give; nothing where none was made."""
    present = [folder / name for name in FILES if (folder / name).exists()]
    if not present and not (folder / TransferNotes.FILE).exists():
        return []
    remedy = "write the report again with `respbench ood`"
    return stale_pages(folder, render_transfer_report(contents_of(folder, records)), present, remedy)


def _remarks(ids: Sequence[str], firsts: Mapping[str, Record]) -> list[str]:
    """What a reader must know of the data before the numbers."""
    data = {id: firsts[id].data for id in ids}
    lines = []
    if simulated := [id for id in ids if "simulated" in data[id]["state"]]:
        lines.append(f"**Simulated data** ({', '.join(simulated)}): these numbers say nothing about real recordings.")
    if subset := [id for id in ids if "subset" in data[id]["state"]]:
        lines.append(f"**Subset of a corpus** ({', '.join(subset)}): never compare with published scores.")
    if broken := [id for id in ids if data[id]["excluded"]]:
        lines.append(f"**Incomplete**: clips were excluded from {', '.join(broken)}.")
    return lines


def _findings(report: Contents) -> list[str]:
    """Sentences with their tests: what transfers lose, and what control of bandwidth changes."""
    parts = []
    for title, bandwidth in (("Findings", False), ("What control of bandwidth changes", True)):
        own = [finding for finding in report.findings if finding.bandwidth is bandwidth]
        if own and not parts:
            parts.append("## Findings\n\n" + ABOUT.format(tests=count(report.findings), alpha=ALPHA))
        if own and bandwidth:
            parts.append(f"### {title}")
        for (task, metric), said in itertools.groupby(own, key=lambda finding: (finding.task, finding.metric)):
            lines = (f"- {finding.sentence} *({finding.test})*" for finding in said)
            parts.append(f"**{task}**, {metric}:\n\n" + "\n".join(lines))
    return parts


def _glance(report: Contents) -> list[str]:
    """The first metric of transfers that have one decision; bare values."""
    columns = {}
    for id, plan in report.transfers.items():
        task = report.firsts[id].data["task"]
        if len(task["classes"]) <= 2 and task.get("kind") != "multilabel":
            first = shown(task)[0]
            columns[f"{id.removeprefix('transfer.')} ({plan.test}), {first.title}"] = _cells(report, id, first)
    caption = "In-domain → out-of-domain; intervals and all else are below."
    return ["## At a glance", caption, glance(columns)] if columns else []


def _matrices(report: Contents) -> list[str]:
    """Source against target, a table for each metric and set of classes between which there are two transfers."""
    tables = [
        matrix(metric, {pair: _cells(report, id, each) for pair, (id, each) in pairs.items()})
        for (metric, _), pairs in report.matrices().items()
    ]
    caption = "Rows: trained on. Columns: tested on. In brackets, on the diagonal: the source's own test."
    return ["## Source against target", caption, *tables] if tables else []


def _cells(report: Contents, id: str, each: Shown) -> Cells:
    return Cells(report.of(id, each), each, report.firsts[id].data["task"]["group"])


def _section(report: Contents, plan: Transfer) -> list[str]:
    """Everything about one transfer."""
    first, notes = report.firsts[plan.id], report.notes
    task = first.data["task"]
    out = [f"## {plan.id}", f"{task_card(plan.id).notes} {_sizes(plan, first)}"]
    columns = {each: _cells(report, plan.id, each) for each in shown(task)}
    for each, cells in columns.items():
        out += [f"### {each.title}", cells.support(), cells.domains(), cells.shares_left_out()]
        out += [cells.durations(), cells.controls(), *cells.bandwidth()]
    for each, cells in columns.items():
        of = f" of {task['classes'][each.bit]}" if each.bit is not None else ""
        if decisions := cells.decisions():
            out += [f"### Decisions{of} out of domain: (Sp + Se) / 2 by threshold", decisions]
        if errors := cells.calibration():
            out += [f"### Calibration error{of}", errors]
    main, cells = next(iter(columns.items()))
    place = task["domain"].rpartition("/")[2]
    if worst := cells.worst():
        out += [f"### {main.title} on the worst {place}", worst]
    elif any(len(first.domains.get(test, ())) > 1 for test in (plan.own, plan.test)):
        enough = f"{LEAST_CLIPS} clips and {LEAST_GROUPS} {task['group']}s"
        out.append(f"No worst {place}: of no test have two of them {enough} or more.")
    for each, cells in columns.items():
        if (each is main or each.bit is not None) and (others := cells.others()):
            out += [f"### {each.title} on the other tests", others]
    few = {key.removeprefix(f"{plan.id} "): why for key, why in notes.blanks.items() if key.startswith(f"{plan.id} ")}
    if few:
        out.append("Left blank: " + "; ".join(f"{name} ({why})" for name, why in few.items()) + ".")
    return out


def _sizes(plan: Transfer, first: Record) -> str:
    """Clips and groups of training and of the two tests."""
    data, noun = first.data, first.data["task"]["group"]
    train = [data["splits"][name] for name in ("train", "val") if name in data["splits"]]
    clips, groups = (sum(split[what] for split in train) for what in ("clips", "patients"))
    lines = [f"{clips} training clips of {groups} {noun}s"]
    for what, test in ((IN, plan.own), (OUT, plan.test)):
        part = tested(first, test)
        n = part["group"].nunique()
        shared = data["groups_in_train"].get(test, 0)
        text = f"{what} test `{test}`: {len(part)} clips of {n} {noun}s"
        text += f", {shared} of them in train" if shared else ""
        lines.append(text + (", too few for an honest interval" if n < FEW_GROUPS else ""))
    return "; ".join(lines) + "."


def _revealed(report: Contents, id: str) -> list[str]:
    """What embeddings tell besides the label, where an audit of the transfer lies beside the records."""
    if (revealed := report.revealed.get(id)) is None:
        return []
    if revealed.stale(report.firsts[id]):
        return ["The audit of this transfer is of other data and is not shown."]
    return ["### What the embeddings tell besides the label", CAPTION, revealed_table(revealed)]


def _left_out(report: Contents) -> list[str]:
    """One table per task whose domains are left out in turn."""
    out = []
    for base, own in report.left_out.items():
        task = report.firsts[own[0]].data["task"]
        first = shown(task)[0]
        columns = {id.partition("@")[2]: _cells(report, id, first) for id in own}
        noun = task["domain"]
        caption = f"{first.title}. Each column is a probe trained without that {noun} and tested on it alone."
        out += [f"## {base}, one {noun} left out", caption, left_out(columns)]
    return out


def _blank(notes: TransferNotes) -> list[str]:
    """What was asked for and is not there."""
    lines = [f"- {key}: {why}" for key, why in sorted(notes.blanks.items()) if " " not in key]
    lines += [f"- {encoder}: {why}" for encoder, why in sorted(notes.absent.items())]
    return ["## Left blank", "\n".join(lines)] if lines else []


def _csv(numbers: pd.DataFrame) -> str:
    return numbers.drop(columns="marks", errors="ignore").to_csv(index=False, lineterminator="\n")
