"""What choosing on the test clips would have given: to show how much that flatters, and never a result.

Every candidate of the linear probe is refitted on all training clips and scored on the headline test; the highest is
the *oracle* score. The probe itself is the mean of several candidates and may, rarely, be better than each of them. It
stands in ``sweep/oracle.csv`` and in the report's own section, and enters no record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.base.errors import BadInput
from bench.base.parallel.threads import workers
from bench.base.paths import write_text
from bench.base.progress import Progress, silent
from bench.data.manifest import TRAIN
from bench.probe.goal import CLASS_WEIGHTS
from bench.probe.linear.crossfit import GAP_TO_PREDICT, coefficients
from bench.probe.linear.design import Designs
from bench.probe.linear.fold import class_log_probabilities, sample_weights
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.solver.path import one_hot
from bench.runs.context import SweepNotes
from bench.runs.sweep.plan import Job
from bench.scores import metrics, per_test, records
from bench.scores.metrics import DURATION_MATCHED, Roles
from bench.scores.schema import Record, Spec, TaskFacts
from bench.types import TaskCard

NAME = "oracle.csv"
COLUMNS = (
    "task",
    "encoder",
    "layer",
    "pooling",
    "seed",
    "test",
    "metric",
    "honest",
    "refitted",
    "oracle",
    "oracle_C",
    "oracle_class_weight",
    "record",
)
LABEL = "oracle (chosen on test; never a result)"
SAME = 1e-4  # how far a score may lie from the record's: two fits to the same optimum may differ in a tie


def covered(spec: Spec, task: TaskFacts) -> bool:
    """Whether an oracle is known for a record: the linear probe of one class a clip on a held-out test."""
    return (
        spec["protocol"] == "linear"
        and task.get("kind", "multiclass") == "multiclass"
        and task["main_metric"] != DURATION_MATCHED
    )


def write(jobs: Sequence[Job], out: Path, progress: Progress = silent) -> Path:
    """Writes the oracle scores of all jobs' records and returns the file.

    Raises ``BadInput`` where a record's own candidate does not score what the record says.
    """
    grouped: dict[tuple, list[Job]] = {}
    for job in jobs:
        if covered(job.spec, per_test.task_facts(job.source.card)) and not job.source.card.leave_one_out:
            grouped.setdefault((str(job.source.store.folder), job.layer_pooling, job.source.card.id), []).append(job)
    rows: list[dict] = []
    with progress("oracle", len(grouped)) as tick:
        for own in grouped.values():
            rows += _rows(own, out)
            tick(1)
    path = out / SweepNotes.FOLDER / NAME
    table = pd.DataFrame(rows)
    if path.exists():
        older = pd.read_csv(path)
        table = pd.concat([older[~older["record"].isin(table["record"])], table] if len(table) else [older])
    table = table.sort_values(["task", "encoder", "pooling", "layer", "seed"])
    write_text(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def read(out: Path) -> pd.DataFrame | None:
    """The oracle scores of a sweep, None where nobody asked for them. Raises ``BadInput`` for a table that is none."""
    path = out / SweepNotes.FOLDER / NAME
    if not path.exists():
        return None
    remedy = "run the sweep again with --oracle"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise BadInput(path, f"is no readable table ({error})", remedy) from error
    if absent := [name for name in COLUMNS if name not in table]:
        raise BadInput(path, f"lacks the columns {', '.join(absent)}", remedy)
    return table


def oracle_mismatches(table: pd.DataFrame, sweep_records: Sequence[Record]) -> list[str]:
    """What in the table is not what the records say, one line each."""
    by_key = {record.key: record for record in sweep_records}
    problems = []
    for row in table.to_dict("records"):
        record = by_key.get(row["record"])
        if record is None:
            problems.append(f"{NAME}: no record {row['record']}")
        elif record.scores[row["test"]][row["metric"]]["value"] != row["honest"]:
            problems.append(f"{NAME}: the honest score of {row['record']} is not the record's")
    return problems


def _rows(jobs: Sequence[Job], out: Path) -> Iterator[dict[str, object]]:
    """The table's rows of jobs on the same features and test: they differ in their seeds."""
    source = jobs[0].source
    stored = [records.read(records.path(out, source.card.id, records.key(job.spec))) for job in jobs]
    test = per_test.headline(per_test.task_facts(source.card))
    fitted = Candidates.fitted(jobs[0], test)
    test_scores = {candidate: fitted.score({candidate: 1.0}) for candidate in fitted.solutions}
    best = max(test_scores, key=lambda candidate: _signed(source.card.main_metric, test_scores[candidate]))
    for job, record in zip(jobs, stored, strict=True):
        honest = record.scores[test][source.card.main_metric]["value"]
        if honest is None:
            continue  # undefined on these clips, whatever is chosen
        path = [each for each in record.selection["path"] if "share" in each]
        if not path:
            raise BadInput(record.key, "its candidates have no shares in it", "delete the record and run again")
        refitted = fitted.score({(each["C"], each["class_weight"]): each["share"] for each in path})
        if abs(refitted - honest) > SAME:
            problem = f"its candidates score {refitted:.6f} when refitted, and {honest:.6f} in the record"
            raise BadInput(record.key, problem, "delete the record and run again")
        yield {
            "task": job.spec["task"],
            "encoder": job.spec["encoder"],
            "layer": job.spec["layer"],
            "pooling": job.spec["pooling"],
            "seed": job.spec["seed"],
            "test": test,
            "metric": source.card.main_metric,
            "honest": honest,
            "refitted": round(refitted, records.DECIMALS),
            "oracle": round(test_scores[best], records.DECIMALS),
            "oracle_C": best[0],
            "oracle_class_weight": best[1] or "",
            "record": record.key,
        }


@dataclass(frozen=True)
class Candidates:
    """Every candidate of a probe fitted on all training clips, and the clips of a test.

    Attributes
    ----------
    solutions : dict
        {(C, class weight): coefficients (M, D) of the standardised features, intercepts (M,)}.
    tested : np.ndarray of shape (N, D)
        Standardised features of the test clips.
    labels : np.ndarray of shape (N,)
        Their classes.
    present : np.ndarray
        Positions of the classes that have training clips.
    card : TaskCard
        The task.
    """

    solutions: dict[tuple[float, str | None], tuple[np.ndarray, np.ndarray]]
    tested: np.ndarray
    labels: np.ndarray
    present: np.ndarray
    card: TaskCard

    @classmethod
    def fitted(cls, job: Job, test: str) -> Candidates:
        """Fits them to a job's training clips."""
        card, rows = job.source.card, job.source.prepared.rows
        x, labels = job.source.store.gather(job.layer_pooling), rows["label"].to_numpy()
        train, tested = rows["split"].isin(TRAIN).to_numpy(), rows["split"].isin(card.tests[test]).to_numpy()
        present, y = np.unique(labels[train], return_inverse=True)
        with workers(1) as pool:
            design, scaler = pool.submit(Designs().of, x[train], principal=False).result()
            targets = np.stack([one_hot(y)] * len(CLASS_WEIGHTS))
            weights = np.stack([sample_weights(y, weight) for weight in CLASS_WEIGHTS])
            fits = pool.submit(coefficients, design, targets, weights, HALF_DECADES, GAP_TO_PREDICT).result()
        named = [(c, weight) for weight in CLASS_WEIGHTS for c in HALF_DECADES]
        solved = zip(*(each.cpu().numpy() for each in fits), strict=True)
        return cls(dict(zip(named, solved, strict=True)), scaler(x[tested]), labels[tested], present, card)

    def score(self, shares: Mapping[tuple[float, str | None], float]) -> float:
        """The main metric on the test of the mean of candidates under these shares."""
        parts = [(share, *self.solutions[candidate]) for candidate, share in shares.items()]
        w, b = sum(share * w for share, w, _ in parts), sum(share * b for share, _, b in parts)
        logits, roles = (self.tested @ np.transpose(w) + b)[None], Roles.of(self.card)
        scores = records.as_stored(class_log_probabilities(logits, self.present, len(self.card.classes))[0])
        return metrics.evaluate(self.card.main_metric, self.labels, scores.argmax(axis=1), scores, roles)


def _signed(metric: str, value: float) -> float:
    return -value if metrics.get(metric).direction == "lower" else value
