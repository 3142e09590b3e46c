from bench.data.manifest import load_task
from tasks import icbhi, sprsound
from tasks._shared.labels import (
    BINARY,
    CAS_TO_WHEEZE,
    EVENTS7,
    RECORDS5,
    SHARED4,
    TO_BINARY,
    TO_DISEASE2,
    TO_DISEASE3,
    recount,
    recount_bits,
    relabel,
)

PUBLISHED = (
    (SHARED4, "train", (5159, 961, 452, 30), 54),
    (SHARED4, "test_inter", (1040, 83, 305, 1), 0),
    (SHARED4, "test_intra", (688, 189, 108, 3), 16),
    (CAS_TO_WHEEZE, "train", (5159, 961, 506, 30), 0),
    (CAS_TO_WHEEZE, "test_inter", (1040, 83, 305, 1), 0),
    (CAS_TO_WHEEZE, "test_intra", (688, 189, 124, 3), 0),
    (TO_BINARY, "test_inter", (1040, 389), 0),
)


def test_published_counts_in_shared_spaces(real_data):
    frame = load_task("sprsound.events7", real_data).manifest
    for to, split, expected, left_out in PUBLISHED:
        labels = frame.loc[frame["split"] == split, "label"].map(relabel(EVENTS7, to))
        assert tuple(labels.value_counts().sort_index()) == expected
        assert labels.isna().sum() == left_out


def test_every_class_of_sounds_has_a_binary_label_but_poor_quality():
    for card in (*icbhi.CARDS[:3], *sprsound.CARDS):
        unmapped = {name for name in card.classes if TO_BINARY[name] is None}
        assert unmapped <= {"Poor Quality"}


def test_counts_move_with_their_labels():
    counts = {"recordings": 3, "Normal": 5, "Poor Quality": 2, "CAS": 1, "DAS": 1, "CAS & DAS": 4}
    assert recount(counts, RECORDS5, TO_BINARY, BINARY) == {
        "recordings": 3,
        "normal": 5,
        "abnormal": 6,
    }


def test_both_is_a_crackle_and_a_wheeze():
    counts = {"recordings": 9, "patients": 2, "normal": 7, "crackle": 3, "wheeze": 2, "both": 1}
    assert recount_bits(counts) == {"recordings": 9, "patients": 2, "crackle": 4, "wheeze": 3}


def test_every_diagnosis_has_its_place():
    diagnoses = {"Asthma", "Bronchiectasis", "Bronchiolitis", "COPD", "Healthy", "LRTI", "Pneumonia", "URTI"}
    assert set(TO_DISEASE2) == set(TO_DISEASE3) == diagnoses
    assert {name for name, label in TO_DISEASE3.items() if label == 1} == {"Asthma", "Bronchiectasis", "COPD"}
    assert [name for name, label in TO_DISEASE2.items() if label == 1] == ["COPD"]
    assert {name for name, label in TO_DISEASE3.items() if label == 0} == {"Healthy"}
