"""What must be known of a number before it is compared, in a few words."""

from __future__ import annotations

from collections.abc import Mapping

from bench.probe.protocols import PEEKING
from bench.reports.audit.sensitivity import marks as sensitivity_marks
from bench.reports.audit.summary import AuditSummary
from bench.scores.schema import Record

_STATES = {
    "subset": "subset of the corpus",
    "simulated": "simulated data",
    "simulated subset": "part of a simulated corpus",
}


def data_marks(record: Record, test: str, audit: AuditSummary | None = None) -> tuple[str, ...]:
    """The marks that all rows of a test share, each once.

    They are the state of the corpus, excluded clips, patients who are in train too, and what an audit found of the
    test.

    Parameters
    ----------
    record
        Any of the task.
    test
        Name of the test.
    audit
        The audit of the task's data.
    """
    data, group = record.data, record.data["task"]["group"]
    marks = [_STATES[data["state"]]] if data["state"] in _STATES else []
    marks += ["clips were excluded"] if data["excluded"] else []
    shared = data["groups_in_train"].get(test, 0)
    marks += [f"{shared} {group}{'s' * (shared > 1)} in train"] if shared else []
    marks += audit.of_test(record, test) if audit else []
    return tuple(dict.fromkeys(marks))


def row_marks(record: Record, test: str, sensitivity: Mapping | None = None) -> tuple[str, ...]:
    """The marks of a record's own score on a test, each once.

    They are the record's (a corpus seen in pretraining, constant features), an epoch that was chosen on the test, clips
    that the encoder hears only the first seconds of, and sensitivity to rounding.

    Parameters
    ----------
    record
        Of the score.
    test
        Name of the test.
    sensitivity
        What rounding does to the record's encoder and pooling.
    """
    marks = [*record.data["marks"]]
    marks += ["epoch chosen on the test"] if record.spec["protocol"] in PEEKING else []
    cropped = record.data.get("clips_cropped_to_max_s", 0)
    marks += [f"{cropped} clips cropped"] if cropped else []
    marks += [text.replace("**", "") for text in sensitivity_marks(sensitivity, test)]
    return tuple(dict.fromkeys(marks))
