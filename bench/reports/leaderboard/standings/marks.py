"""What must be known of a number before it is compared, in a few words."""

from __future__ import annotations

from collections.abc import Mapping

from bench.probe.protocols import BEST_TEST
from bench.reports.audit.sensitivity import marks as sensitivity_marks
from bench.reports.audit.summary import AuditSummary
from bench.scores.schema import Record

_STATES = {
    "subset": "subset of the corpus",
    "simulated": "simulated data",
    "simulated subset": "part of a simulated corpus",
}


def cell_marks(
    record: Record, test: str, audit: AuditSummary | None = None, sensitivity: Mapping | None = None
) -> tuple[str, ...]:
    """The marks of a record's score on one test, each once.

    They are the record's own (a corpus seen in pretraining, constant features), the state of the corpus and excluded
    clips, patients who are in train too, an epoch that was chosen on the test, clips that the encoder hears only the
    first seconds of, what an audit found of the test, and sensitivity to rounding.

    Parameters
    ----------
    record
        Of the score.
    test
        Name of the test.
    audit
        The audit of the task's data.
    sensitivity
        What rounding does to the record's encoder and pooling.
    """
    data, group = record.data, record.data["task"]["group"]
    marks = [*data["marks"]]
    marks += [_STATES[data["state"]]] if data["state"] in _STATES else []
    marks += ["clips were excluded"] if data["excluded"] else []
    shared = data["groups_in_train"].get(test, 0)
    marks += [f"{shared} {group}{'s' * (shared > 1)} in train"] if shared else []
    marks += ["epoch chosen on the test"] if record.spec["protocol"] == BEST_TEST else []
    cropped = data.get("clips_cropped_to_max_s", 0)
    marks += [f"{cropped} clips cropped"] if cropped else []
    marks += audit.of_test(record, test) if audit else []
    marks += [text.replace("**", "") for text in sensitivity_marks(sensitivity, test)]
    return tuple(dict.fromkeys(marks))
