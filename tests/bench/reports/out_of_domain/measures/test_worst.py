import numpy as np
import pytest

from bench.reports.out_of_domain.measures.worst import LEAST_CLIPS, LEAST_GROUPS, worst_domain
from planted_transfers import record


def made_with(devices):
    """A record of one test whose devices have these (strength, patients)."""
    parts, made = [], None
    for name, (strength, patients) in devices.items():
        made = record("planted", {"test_source": strength}, patients=patients)
        ids = [f"{name} {id}" for id in made.predictions["clip_id"]]
        groups = [f"{name} {group}" for group in made.predictions["group"]]
        parts.append(made.predictions.assign(domain=name, clip_id=ids, group=groups))
    table = type(parts[0])({c: np.concatenate([part[c] for part in parts]) for c in parts[0]})
    return made.__class__(**{**vars(made), "predictions": table})


def worst(devices):
    return worst_domain(made_with(devices), "source_corrected", "auroc", lower=False)


def test_the_worst_is_the_lowest_of_those_with_enough_clips_and_patients():
    found = worst({"good": (2.0, 20), "poor": (0.5, 20), "tiny": (-2.0, LEAST_GROUPS - 1)})
    assert (found.domain, found.of, found.score.groups) == ("poor", 2, 20)
    assert found.score.low < found.score.value < found.score.high
    assert found.score.method.startswith(f"worst of 2 with {LEAST_CLIPS} clips and {LEAST_GROUPS} patients")


def test_one_device_is_not_the_worst_of_several():
    assert worst({"good": (2.0, 20), "tiny": (-2.0, LEAST_GROUPS - 1)}) is None


def test_the_more_devices_the_wider_the_interval_of_the_lowest():
    few = worst({"poor": (0.5, 20), "good": (2.0, 20)})
    many = worst({"poor": (0.5, 20)} | {f"good {i}": (2.0, 20) for i in range(9)})
    assert few.score.value == pytest.approx(many.score.value)
    assert many.score.low < few.score.low < few.score.high < many.score.high
