"""Reports as text for the terminal: what is registered, what a check found, a score table, the doctor's findings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from bench import registry
from bench.tables import BLANK, DISCLAIMER, amount, markdown


def encoders() -> list[dict]:
    """One row per listed encoder, from its card."""
    return [
        {
            "id": card.id,
            "rate": card.sample_rate,
            "default_pooling": card.default_pooling,
            "poolings": dict(card.dims),
            "layers": card.layers,
            "params": card.params,
            "policies": list(card.policies),
            "trained_on": list(card.trained_on),
            "parity": card.parity,
            "licence": card.licence,
        }
        for card in registry.cards(registry.ENCODERS)
    ]


def tasks() -> list[dict]:
    """One row per listed task, from its card."""
    return [
        {
            "id": card.id,
            "classes": list(card.classes),
            "main_metric": card.main_metric,
            "tests": list(card.tests),
            "licence": card.licence,
            "url": card.url,
        }
        for card in registry.cards(registry.TASKS)
    ]


def suites() -> list[dict]:
    """One row per suite with the tasks that it names."""
    from tasks._suites import SUITES

    return [{"id": name, "tasks": list(members)} for name, members in SUITES.items()]


def open_ended() -> list[str]:
    """What families with open-ended ids offer, one line each."""
    modules = map(importlib.import_module, registry.families(registry.ENCODERS).values())
    return [module.OPEN for module in modules if hasattr(module, "OPEN")]


LISTINGS = {"encoders": encoders, "tasks": tasks, "suites": suites}


def table(rows: Sequence[Mapping]) -> str:
    """Rows of equal keys as a Markdown table."""
    if not rows:
        return "none"
    return markdown(list(rows[0]), [[_text(value) for value in row.values()] for row in rows])


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {size}" for name, size in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or BLANK
    return str(value)


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
        f"{f['level']}: {f['where']}: {f['problem']}" + (f"; {f['remedy']}" if f["remedy"] else "") for f in findings
    ]
    verdict = "usable" if report["ok"] else "not usable as it is"
    head = f"{report['id']} version {report['version']}: {report['state']}, {verdict}\n"
    head += f"data digest {report.get('digest', 'none')}"
    return "\n\n".join([head, *blocks, "\n".join(lines) or "no findings"])


def score_text(report: Mapping) -> str:
    """A score table: one row per metric, one column per test."""
    from bench.metrics import METRICS

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
