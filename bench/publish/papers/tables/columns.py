"""The columns of a table for a paper: what is said of a row, and which tests by which metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.base.errors import BadInput, UnknownId
from bench.publish.blocks import Column
from bench.reports.names import recipe_name
from bench.scores import metrics, per_test
from bench.scores.printed import BLANK
from bench.scores.schema import Record
from bench.types import ALL_LAYERS

DEFAULT_FACTS = ("encoder", "pooling")


def _layer(record: Record) -> str:
    layer = record.spec["layer"]
    return "all" if layer == ALL_LAYERS else str(layer)


def _params(record: Record) -> str:
    count = record.data.get("params")
    return BLANK if count is None else f"{count / 1e6:.1f}"


def _weights(record: Record) -> str:
    return BLANK if record.spec["weights"] == "none" else record.spec["weights"][:12]


# {name: (heading, cell of a record)}; the encoder's name depends on the other rows, so that it is none of these
FACTS: Mapping[str, tuple[str, Callable[[Record], str]]] = {
    "pooling": ("pooling", lambda record: record.spec["pooling"]),
    "layer": ("layer", _layer),
    "protocol": ("protocol", lambda record: record.spec["protocol"]),
    "recipe": ("recipe", lambda record: recipe_name(record) or BLANK),
    "clip": ("clip policy", lambda record: record.spec["clip"]),
    "policy": ("input policy", lambda record: record.data.get("policy", BLANK)),
    "params": ("parameters (M)", _params),
    "trained_on": ("trained on", lambda record: ", ".join(record.data["trained_on"]) or BLANK),
    "parity": ("parity", lambda record: record.data.get("parity", BLANK)),
    "weights": ("weights (SHA-256)", _weights),
    "licence": ("licence of weights", lambda record: record.data["weights_licence"] or BLANK),
}
ENCODER = Column("encoder", "encoder")


def fact_columns(names: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns that say what a row is; the encoder's comes first, whether it is named or not.

    Parameters
    ----------
    names
        Names of ``FACTS``, in the order in which they are shown; none for ``DEFAULT_FACTS``.

    Raises
    ------
    UnknownId
        For a column that there is not.
    """
    for name in names:
        if name != "encoder" and name not in FACTS:
            raise UnknownId("column", name, ["encoder", *FACTS])
    shown = dict.fromkeys(name for name in names or DEFAULT_FACTS if name != "encoder")
    return ENCODER, *(Column(name, FACTS[name][0]) for name in shown)


@dataclass(frozen=True)
class ScoreColumn:
    """One test of a task by one metric.

    Attributes
    ----------
    task, test, metric
        Their ids.
    title
        The metric as tables name it.
    formula
        How it is computed.
    unit
        ``%`` for fractions that are printed in percent, else that of the value.
    higher
        Whether a higher value is better.
    group
        What is resampled: patient.
    groups, clips
        How many of them the test has: the fewest and the most over the rows.
    notes
        What a reader must know of the test's data.
    """

    task: str
    test: str
    metric: str
    title: str
    formula: str
    unit: str
    higher: bool
    group: str = "patient"
    groups: tuple[int, int] = (0, 0)
    clips: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``task/test:metric``, which tells it from every other."""
        return f"{self.task}/{self.test}:{self.metric}"


def score_columns(records: Sequence[Record], asked: Sequence[str] = ()) -> tuple[ScoreColumn, ...]:
    """The tests asked for.

    Parameters
    ----------
    records
        Which tests and metrics there are.
    asked
        ``TASK``, ``TASK/TEST`` or either with ``:METRIC``, in the order in which they are shown: without a test the
        task's headline, without a metric the task's main one. None: the headline of every task, in alphabetical order,
        demonstrations last.

    Raises
    ------
    UnknownId
        For a task, test or metric that the records do not have.
    BadInput
        For a column that is asked for twice.
    """
    tasks = {record.spec["task"]: record.data["task"] for record in records}
    wanted = asked or sorted(tasks, key=lambda task: (tasks[task].get("demonstration", False), task))
    columns: dict[str, ScoreColumn] = {}
    for text in wanted:
        column = _column(text, records)
        if column.name in columns:
            raise BadInput(f"test {text}", f"{column.name} is asked for twice", "name it once")
        columns[column.name] = column
    return tuple(columns.values())


def _column(text: str, records: Sequence[Record]) -> ScoreColumn:
    tasks = {record.spec["task"]: record.data["task"] for record in records}
    # Ids of own tasks hold slashes, and may hold colons: names are not taken apart, but looked up
    known = {id: (id, "") for id in tasks}
    known |= {f"{id}/{each}": (id, each) for id, facts in tasks.items() for each in facts["tests"]}
    name, metric = (text, "") if text in known else text.rpartition(":")[::2]
    if name not in known:
        raise UnknownId("test", name or text, list(known))
    task, test = known[name]
    facts = tasks[task]
    test, metric = test or per_test.headline(facts), metric or facts["main_metric"]
    scored = {
        name: None
        for record in records
        if record.spec["task"] == task
        for name in record.scores.get(test, ())
        if not name.startswith(("recall.", "auroc.bit."))  # of one class, which no name of a metric tells
    }
    if metric not in (scored or dict.fromkeys(facts["metrics"])):
        raise UnknownId(f"metric of {task}/{test}", metric, scored or facts["metrics"])
    kind = metrics.get(metric)
    return ScoreColumn(
        task, test, metric, kind.title, kind.formula, kind.unit, kind.direction == "higher", facts["group"]
    )
