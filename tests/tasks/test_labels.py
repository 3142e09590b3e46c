import pytest

from bench import registry
from bench.manifest import load_task
from tasks import _labels, _suites, icbhi, sprsound


@pytest.mark.parametrize(
    ("to", "split", "expected", "left_out"),
    [
        (_labels.SHARED4, "train", (5159, 961, 452, 30), 54),
        (_labels.SHARED4, "test_inter", (1040, 83, 305, 1), 0),
        (_labels.SHARED4, "test_intra", (688, 189, 108, 3), 16),
        (_labels.CAS_TO_WHEEZE, "train", (5159, 961, 506, 30), 0),
        (_labels.CAS_TO_WHEEZE, "test_inter", (1040, 83, 305, 1), 0),
        (_labels.CAS_TO_WHEEZE, "test_intra", (688, 189, 124, 3), 0),
        (_labels.TO_BINARY, "test_inter", (1040, 389), 0),
    ],
)
def test_published_counts_in_shared_spaces(real_data, to, split, expected, left_out):
    frame = load_task("sprsound.events7", real_data).manifest
    labels = frame.loc[frame["split"] == split, "label"].map(_labels.relabel(_labels.EVENTS7, to))
    assert tuple(labels.value_counts().sort_index()) == expected
    assert labels.isna().sum() == left_out


def test_every_class_has_a_binary_label_but_poor_quality():
    for card in (*icbhi.CARDS, *sprsound.CARDS):
        unmapped = {name for name in card.classes if _labels.TO_BINARY[name] is None}
        assert unmapped <= {"Poor Quality"}


def test_counts_move_with_their_labels():
    counts = {"recordings": 3, "Normal": 5, "Poor Quality": 2, "CAS": 1, "DAS": 1, "CAS & DAS": 4}
    assert _labels.recount(counts, _labels.RECORDS5, _labels.TO_BINARY, _labels.BINARY) == {
        "recordings": 3,
        "normal": 5,
        "abnormal": 6,
    }


def test_suites_name_registered_tasks():
    assert {id for ids in _suites.SUITES.values() for id in ids} <= set(registry.ids(registry.TASKS))
