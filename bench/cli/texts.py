"""Reports as text for the terminal: what is registered, what a check found, a score table, the doctor's findings."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence

from bench.base import registry
from bench.base.errors import RespBenchError, one_line
from bench.cli.options import Verb, json_output, print_json, show
from bench.encoders.pooling import SEQUENCES
from bench.encoders.weights.licences import terms
from bench.reports.tables import DISCLAIMER, markdown
from bench.scores.printed import BLANK, amount
from bench.types import EncoderCard

SCRATCH = "trained from scratch"
_WIDTH = 118  # characters of a line of text


def encoders() -> list[dict]:
    """One row per listed encoder, from its card.

    ``weights_present`` is ``yes`` (found, not verified), ``no``, ``none needed``, ``trained from scratch``, or
    ``unknown`` where the folders cannot be searched.
    """
    return [
        {
            "id": card.id,
            "year": card.year,
            "params": card.params,
            "rate": card.sample_rate,
            "poolings": dict(card.dims),
            "default_pooling": card.default_pooling,
            "layers": card.layers,
            "policies": list(card.policies),
            "trained_on": list(card.trained_on),
            "licence": card.licence,
            "weight_licence": " or ".join(dict.fromkeys(w.licence or "unstated" for w in card.weights)) or terms(card),
            "weights_present": _present(card),
            "from_scratch": card.from_scratch,
            "parity": card.parity,
            "floor_sensitive": list(card.floor_sensitive),
        }
        for card in registry.cards(registry.ENCODERS)
    ]


def _present(card: EncoderCard) -> str:
    from bench.encoders.weights.find import at_hand

    if not card.weights:
        return SCRATCH if card.from_scratch else "none needed"
    try:
        return "yes" if at_hand(card) else "no"
    except RespBenchError:  # RESPBENCH_DATA points nowhere
        return "unknown"


def encoder_table(rows: Sequence[Mapping], present: bool = True) -> str:
    """``encoders()`` as a Markdown table; without ``present`` it says nothing of this machine."""
    header = ["id", "year", "parameters", "rate", "dim per pooling", "pretraining data", "weight licence"]
    header += ["weights present"] if present else []
    cells = [
        [
            row["id"],
            row["year"] or BLANK,
            f"{row['params'] / 1e6:.1f} M" if row["params"] else BLANK,
            f"{row['rate'] / 1000:g} kHz",
            pooling_sizes(row["poolings"]),
            SCRATCH if row["from_scratch"] else _text(row["trained_on"]),
            row["weight_licence"] or BLANK,
            *([row["weights_present"]] if present else []),
            row["parity"],
            _text(row["floor_sensitive"]),
        ]
        for row in rows
    ]
    return markdown([*header, "parity", "hears rounding"], cells, right=(1, 2, 3))


def pooling_sizes(dims: Mapping[str, int]) -> str:
    """``768 (mean, max), 9216 (freq)``: poolings of one size together.

    Sequences are left out: the size of ``tokens`` is that of ``freq`` times the number of its steps, of ``steps`` that
    of ``mean``.
    """
    sizes: dict[int, list[str]] = {}
    for pooling, size in dims.items():
        if pooling in SEQUENCES:
            continue
        sizes.setdefault(size, []).append(pooling)
    return ", ".join(f"{size} ({', '.join(poolings)})" for size, poolings in sizes.items())


def tasks() -> list[dict]:
    """One row per listed task, from its card."""
    return [
        {
            "id": card.id,
            "classes": list(card.classes),
            "main_metric": card.main_metric,
            "tests": list(card.tests),
            "variants": list(card.variants),
            "access": "open" if card.access == "open" else "needs application",
            "licence": card.licence,
            "url": card.url,
        }
        for card in registry.cards(registry.TASKS)
    ]


def task_table(rows: Sequence[Mapping]) -> str:
    """``tasks()`` as a Markdown table, and how to read it."""
    header = ["id", "classes", "main metric", "tests, headline first", "other splits (id@split)", "recordings"]
    cells = [[row["id"], *map(_text, (row["classes"], row["main_metric"], row["tests"], row["variants"])),
              row["access"]] for row in rows]  # fmt: skip
    explanation = (
        "A regression task has its target's name in place of classes. Another split of the same recordings is named "
        "after an @: icbhi.cycles4@fold0. Licences and addresses: --json. What of a task is on this machine: "
        "respbench check ID."
    )
    return f"{markdown(header, cells)}\n\n{textwrap.fill(explanation, _WIDTH)}"


def suites() -> list[dict]:
    """One row per suite: what it is for, and the tasks that it names."""
    return [{"id": name, "about": suite.about, "tasks": list(suite.tasks)} for name, suite in registry.suites().items()]


def suite_table(rows: Sequence[Mapping]) -> str:
    """``suites()`` as text, a paragraph each. A suite of all listed tasks does not repeat them."""
    every = set(registry.ids(registry.TASKS))
    parts = []
    for row in rows:
        members = "every task of `respbench ls tasks`" if every == set(row["tasks"]) else ", ".join(row["tasks"])
        head = f"{row['id']} ({len(row['tasks'])} tasks): {row['about']}"
        indented = {"initial_indent": "    ", "subsequent_indent": "    "}
        listed = textwrap.fill(members, _WIDTH, break_long_words=False, break_on_hyphens=False, **indented)
        parts.append(f"{textwrap.fill(head, _WIDTH)}\n{listed}")
    how = "respbench run --suite NAME runs those whose recordings are at hand, and lists the others."
    return "\n\n".join(["Named sets of tasks. " + how, *parts])


def protocols() -> list[dict]:
    """One row per protocol: how it chooses, on which seeds it runs by default, what it is."""
    from bench.probe.protocols import PROTOCOLS

    return [
        {
            "name": protocol.name,
            "version": protocol.version,
            "kind": protocol.kind,
            "selection": protocol.selection,
            "seeds": list(protocol.seeds),
            "description": protocol.description,
        }
        for protocol in PROTOCOLS.values()
    ]


def protocol_table(rows: Sequence[Mapping]) -> str:
    """``protocols()`` as text, a paragraph each: what a table's row of that name stands for."""
    parts = []
    for row in rows:
        seeds = ", ".join(map(str, row["seeds"]))
        head = f"{row['name']} (version {row['version']}, {row['kind']}, seeds {seeds})"
        paragraphs = (row["description"], f"Selection: {row['selection']}.")
        lines = (textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="    ") for text in paragraphs)
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts)


def recipes() -> list[dict]:
    """One row per recipe that goes by name: what it is, from where, and how many things differ from there."""
    from bench.finetune.recipe import RECIPE_FOLDER, load_recipe

    named = [load_recipe(path.stem) for path in sorted(RECIPE_FOLDER.glob("*.toml"))]
    return [
        {
            "name": recipe.name,
            "method": recipe.method.name,
            "about": recipe.about,
            "source": recipe.source,
            "published": recipe.published,
            "differences": list(recipe.differences),
            "needs": recipe.needs,
        }
        for recipe in named
    ]


def recipe_table(rows: Sequence[Mapping]) -> str:
    """``recipes()`` as text, a paragraph each."""
    parts = ["Recipes of fine-tuning. respbench recipe show NAME: every setting, and what differs from the source."]
    for row in rows:
        lines = [row["about"]]
        if row["source"]:
            told = f"{len(row['differences'])} differences told" if row["differences"] else "nothing differs"
            lines.append(f"Source: {row['source']}; {told}.")
        lines += [f"Published: {row['published']}."] if row["published"] else []
        parts.append("\n".join([f"{row['name']} (method {row['method']})", *map(_indented, lines)]))
    return "\n\n".join(parts)


def methods() -> list[dict]:
    """One row per method of fine-tuning: its formula, source, what is ours, and its options."""
    from bench.finetune.methods import METHODS, describe

    return [describe(name) for name in METHODS]


def method_table(rows: Sequence[Mapping]) -> str:
    """``methods()`` as text, a paragraph each."""
    return "\n\n".join("\n".join([row["name"], *map(_indented, method_lines(row))]) for row in rows)


def method_lines(row: Mapping) -> list[str]:
    """What a method is, in sentences."""
    lines = [row["formula"], f"Source: {row['source']}."]
    lines += [f"Left open there, or other here: {row['ours']}."] if row["ours"] else []
    given = ", ".join(f"{key} {value}" for key, value in row["defaults"].items())
    return lines + ([f"Options: {given}."] if given else [])


def recipe_text(shown: Mapping) -> str:
    """A recipe as ``bench.cli.finetune.recipe_facts`` gives it: what it is, what differs, and every setting."""
    head = [shown["name"], _indented(shown["about"])]
    for title in ("source", "published", "needs"):
        head += [_indented(f"{title.capitalize()}: {shown[title]}")] if shown[title] else []
    differs = [_indented(f"- {line}") for line in shown["differences"]]
    if shown["source"]:
        head += ["", "What differs from the source:", *(differs or [_indented("- nothing that is known")])]
    method = ["", f"Method {shown['method']['name']}:", *map(_indented, method_lines(shown["method"]))]
    settings = [f"    {name} = {value}" for name, value in shown["settings"].items()]
    return "\n".join([*head, *method, "", "Every setting:", *settings])


def _indented(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


LISTINGS = {
    "encoders": encoders,
    "tasks": tasks,
    "suites": suites,
    "protocols": protocols,
    "recipes": recipes,
    "methods": methods,
}
BY_DEFAULT = ("encoders", "tasks", "suites", "protocols")  # which answer at once; the others import torch
TABLES = {
    "encoders": encoder_table,
    "tasks": task_table,
    "suites": suite_table,
    "protocols": protocol_table,
    "recipes": recipe_table,
    "methods": method_table,
}


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {size}" for name, size in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or BLANK
    return str(value)


def examined_text(rows: Sequence[Mapping]) -> str:
    """What ``check`` found of encoders: a line each, then every violation and why anything was not checked."""
    cells = [
        [
            row["id"],
            row["verdict"],
            row["weights"] or BLANK,
            BLANK if row["invariance"] is None else f"{row['invariance']:.1e}",
            row["wall_s"],
        ]
        for row in rows
    ]
    lines = [f"{row['id']}: {problem}" for row in rows for problem in row["problems"]]
    lines += [f"{row['id']}: {row['verdict']}, {row['why']}" for row in rows if row["why"] and not row["weights"]]
    lines += [f"{row['id']}: {row['weights']}, {row['why']}" for row in rows if row["why"] and row["weights"]]
    shown = [one_line(part) for line in lines for part in line.split("\n")]  # an adapter's own words are among them
    header = ["encoder", "contract", "weights", "alone and in a batch", "seconds"]
    return "\n\n".join(filter(None, [markdown(header, cells, right=(3, 4)), "\n".join(shown)]))


def check_text(report: Mapping) -> str:
    """What ``check`` found: counts per split and test, then every finding, worst first."""
    classes = report["classes"]
    header = ["split", "recordings", "patients", "clips", "audio at hand", *classes]
    names = ("recordings", "patients", "clips", "available")
    blocks = []
    for kind in ("splits", "tests") if "splits" in report else ():
        rows = [[name, *(part[n] for n in names), *(part[c] for c in classes)] for name, part in report[kind].items()]
        blocks.append(markdown([kind[:-1], *header[1:]], rows, right=range(1, len(header))))
    order = {"error": 0, "warning": 1, "note": 2}
    findings = sorted(report["findings"], key=lambda f: order[f["level"]])
    lines = [
        one_line(f"{f['level']}: {f['where']}: {f['problem']}" + (f"; {f['remedy']}" if f["remedy"] else ""))
        for f in findings
    ]
    verdict = "usable" if report["ok"] else "not usable as it is"
    head = f"{report['id']} version {report['version']}: {report['state']}, {verdict}\n"
    head += f"data digest {report.get('digest', 'none')}"
    return "\n\n".join([head, *blocks, "\n".join(lines) or "no findings"])


def score_text(report: Mapping) -> str:
    """A score table: one row per metric, one column per test."""
    from bench.scores.metrics import METRICS

    tests = list(report["scores"])
    names = list(report["scores"][tests[0]])
    rows = []
    for name in names:
        title = (
            METRICS[name].title
            if name in METRICS
            else name.replace("recall.", "recall ").replace("auroc.bit.", "AUROC ")
        )
        unit = METRICS[name].unit if name in METRICS else "%"
        rows.append([title, *(amount(report["scores"][test].get(name), unit) for test in tests)])
    facts = [report["scores"][test][names[0]] for test in tests]
    expected = [report["expected"][test] for test in tests]
    rows.append(["clips", *(f["n"] if of is None else f"{f['n']} of {of}" for f, of in zip(facts, expected))])
    rows.append(["resampled units", *(f["groups"] for f in facts)])
    return (
        markdown([f"{report['task']}, %", *tests], rows, right=range(1, len(tests) + 1))
        + "\n\n"
        + "\n".join([*(f"interval of {test}: {fact['method']}" for test, fact in zip(tests, facts)), DISCLAIMER])
    )


def doctor_text(report: Mapping) -> str:
    """The doctor's report, a section per question."""
    parts = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            parts.append(f"{name}:\n" + "\n".join(f"  {key}: {text}" for key, text in value.items()))
        else:
            parts.append(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    return "\n".join(parts)


def ls_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``ls`` takes."""
    parser.add_argument("what", nargs="?", choices=tuple(LISTINGS), help=f"default: {', '.join(BY_DEFAULT)}")
    json_output(parser)


def ls(arguments: argparse.Namespace) -> int:
    """Runs ``ls``."""
    listed = {kind: LISTINGS[kind]() for kind in ([arguments.what] if arguments.what else BY_DEFAULT)}
    if arguments.json:
        print_json(listed[arguments.what] if arguments.what else listed)
        return 0
    show("\n\n".join(TABLES[kind](rows) for kind, rows in listed.items()))
    packages = [registry.ENCODERS] * ("encoders" in listed) + [registry.TASKS] * ("tasks" in listed)
    for note in (note for package in packages for note in registry.open_ended(package)):
        show(f"\nalso {note}")
    return 0


LS = Verb("ls", "list encoders, tasks, suites, protocols, recipes or methods", ls_arguments, ls)
