"""Which metrics, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence

from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.methods.text import Paragraph, cited, free
from bench.publish.papers.tables.captions import listed
from bench.scores import metrics
from bench.scores.intervals import FEW_GROUPS
from bench.scores.schema import Record

_NORMAL = "the share of normal clips that are called normal (specificity)"
_OTHERS = "the share of adventitious clips that are called"
_WORDS = {  # of metrics whose formula alone says little to a reader
    "icbhi.Score": f"the mean of {_NORMAL} and {_OTHERS} their own class (sensitivity)",
    "icbhi.Score2": f"the mean of {_NORMAL} and {_OTHERS} any adventitious class (sensitivity)",
    "sprsound.Score": f"the mean of the arithmetic and the harmonic mean of {_NORMAL} and {_OTHERS} their own class "
    "(sensitivity)",
}


def score_paragraph(records: Sequence[Record], references: Bibliography) -> Paragraph:
    """Main metrics with their formulas, intervals, and tests of few groups."""
    by_metric: dict[str, set[str]] = {}
    for record in records:
        by_metric.setdefault(record.data["task"]["main_metric"], set()).add(record.spec["task"])
    sentences = []
    for name, tasks in sorted(by_metric.items()):
        metric = metrics.get(name)
        where = f" on {listed([free(task) for task in sorted(tasks)])}" if len(by_metric) > 1 else ""
        sentences.append(
            f"The main metric{where} is {metric.title}{cited(references.of(f'metric/{name}'))}: "
            f"{_WORDS.get(name, metric.formula)}."
        )
    methods: dict[str, None] = {}
    few: dict[str, None] = {}
    for record in records:
        for test, table in record.scores.items():
            score = table.get(record.data["task"]["main_metric"])
            if score is None or score["low"] is None:
                continue
            methods[score["method"].partition(";")[0].partition(" for ")[0]] = None
            if score["groups"] < FEW_GROUPS:
                few[f"{free(record.spec['task'])}/{free(test)} ({score['groups']})"] = None
    if methods:
        keys = references.of("interval/expanded-percentile")
        sentences.append(f"Scores have 95 % intervals ({listed([free(name) for name in methods])}){cited(keys)}.")
    if few:
        sentences.append(f"Intervals of tests with fewer than {FEW_GROUPS} groups are optimistic: {listed(list(few))}.")
    return Paragraph("Scores", tuple(sentences))
