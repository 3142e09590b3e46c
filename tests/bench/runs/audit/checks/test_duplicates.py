import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.data.recordings import inspect
from bench.runs.audit.checks import duplicates
from bench.runs.audit.sounds import analyse_recordings
from tasks import icbhi
from toy_sounds import RATE, breathing

CARD = icbhi.CARDS[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five recordings: b holds a's samples in another container, c is a's sound at another level, d ends as e does."""
    made = tmp_path_factory.mktemp("sounds")
    wave, tail = np.round(breathing(0) * 32768) / 32768, breathing(5, 3.0)
    soundfile.write(made / "a.wav", wave, RATE, subtype="PCM_16")
    soundfile.write(made / "b.flac", wave, RATE)
    soundfile.write(made / "c.wav", 0.5 * wave[RATE // 2 :], RATE, subtype="PCM_16")
    soundfile.write(made / "d.wav", np.concatenate([breathing(1, 9.0), tail]), RATE)
    soundfile.write(made / "e.wav", np.concatenate([breathing(2, 7.0), tail]), RATE)
    return made


def found(folder, splits, labels, groups):
    paths = ["a.wav", "b.flac", "c.wav", "d.wav", "e.wav"]
    rows = pd.DataFrame({"clip_id": paths, "path": paths, "start_s": 0.0, "end_s": 12.0, "domain": "d"})
    rows = rows.assign(split=splits, label=labels, group=groups)
    recordings = inspect(folder, paths)
    return duplicates.duplicates(rows, CARD, recordings, analyse_recordings(folder, recordings))


def test_identical_and_near_identical_recordings(folder):
    facts = found(folder, ["train", "test", "test", "train", "train"], [0, 1, 0, 1, 1], list("pqrst"))
    assert facts["compared"] == 5
    (same,) = facts["identical"]
    assert same["paths"] == ["a.wav", "b.flac"] and same["across"] and same["groups"] == 2
    assert same["labels"] == "differ" and same["annotations"] == ["normal", "abnormal"]
    copy, tail = facts["similar"]
    assert copy["paths"] == ["a.wav", "c.wav"] and copy["whole"] and copy["across"] and copy["labels"] == "agree"
    assert tail["paths"] == ["d.wav", "e.wav"] and not tail["whole"] and not tail["across"]
    assert tail["at_s"] == pytest.approx([9.0, 7.0], abs=0.3)


def test_findings_count_what_matters(folder):
    facts = found(folder, ["train", "test", "test", "train", "train"], [0, 1, 0, 1, 1], list("pqrst"))
    told = {finding.code: finding for finding in duplicates.findings(facts)}
    assert set(told) == {"identical-audio", "similar-audio", "shared-audio"}
    assert (
        "1; of these 1 across the split, 1 of different groups, 1 with different labels"
        in told["identical-audio"].problem
    )
    assert told["identical-audio"].where == "a.wav and b.flac"
    harmless = found(folder, ["train"] * 5, [0] * 5, ["p"] * 5)
    assert {finding.level for finding in duplicates.findings(harmless)} == {"note"}


def test_events_of_identical_recordings_are_compared_with_their_times(folder):
    rows = pd.DataFrame(
        {
            "clip_id": list("wxyz"),
            "path": ["a.wav", "a.wav", "b.flac", "b.flac"],
            "start_s": [0.0, 2.0, 0.0, 3.0],
            "end_s": [1.0, 3.0, 1.0, 4.0],
            "label": [0, 1, 0, 1],
        }
    ).assign(split="train", group="p", domain="d")
    recordings = inspect(folder, ["a.wav", "b.flac"])
    (same,) = duplicates.duplicates(rows, CARD, recordings, analyse_recordings(folder, recordings))["identical"]
    assert same["labels"] == "differ" and same["annotations"][1] == "normal 0.00–1.00 s, abnormal 3.00–4.00 s"


def test_a_stretch_that_nobody_annotated_has_no_labels_to_compare(folder):
    rows = pd.DataFrame({"clip_id": ["d", "e"], "path": ["d.wav", "e.wav"], "start_s": 0.0, "end_s": [12.0, 2.0]})
    rows = rows.assign(label=0, split="train", group="p", domain="d")
    recordings = inspect(folder, ["d.wav", "e.wav"])
    (tail,) = duplicates.duplicates(rows, CARD, recordings, analyse_recordings(folder, recordings))["similar"]
    assert tail["labels"] == "unknown" and tail["annotations"] == ["normal", "nothing"]


def test_nothing_to_compare():
    facts = duplicates.duplicates(pd.DataFrame({"path": []}), CARD, {}, {})
    assert facts == {"compared": 0, "fingerprinted": 0, "identical": [], "similar": []}
    assert duplicates.findings(facts) == []
