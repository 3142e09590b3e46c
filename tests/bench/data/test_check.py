import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.base.errors import UnknownId
from bench.data.check import check_task
from bench.data.manifest import load_task, prepare, validate
from bench.types import Task, TaskCard

CARD = TaskCard(
    id="toy.task",
    version=3,
    classes=("normal", "abnormal"),
    main_metric="uar",
    metrics=("uar",),
    tests={"main": ("test",), "all": ("test", "test_more")},
    url="https://example.org",
    licence="CC0",
    citation="none",
)


@pytest.fixture
def task(tmp_path) -> Task:
    splits = ["train", "train", "test", "test_more"]
    frame = pd.DataFrame(
        {
            "clip_id": [f"r{index}" for index in range(4)],
            "path": [f"r{index}.wav" for index in range(4)],
            "start_s": 0.0,
            "end_s": np.nan,
            "label": [0, 1, 0, 1],
            "split": splits,
            "group": ["a", "b", "c", "d"],
            "domain": "phone",
            "available": [True, True, True, False],
        }
    )
    for path in frame["path"][:3]:
        soundfile.write(tmp_path / path, np.random.default_rng(len(path)).uniform(-1, 1, 800), 8000)
    return Task(CARD, frame, tmp_path, (), "subset")


def test_a_sound_copy_passes(task):
    report = check_task(task)
    assert json.loads(json.dumps(report)) == report
    assert report["ok"] and not report["complete"] and report["state"] == "subset" and report["version"] == 3
    assert report["splits"]["train"] == {
        "recordings": 2,
        "patients": 2,
        "clips": 2,
        "normal": 1,
        "abnormal": 1,
        "available": 2,
    }
    assert report["tests"]["all"]["clips"] == 2 and report["tests"]["all"]["available"] == 1
    assert report["digest"] == prepare(task).digest


def test_without_audio_no_file_is_opened(task, monkeypatch):
    monkeypatch.setattr("bench.data.audio.samples", lambda path: pytest.fail("decoded"))
    assert check_task(task, audio=False)["digest"].startswith("annotations:")


def test_errors_are_listed(task):
    (task.root / "r1.wav").write_text("not a sound")
    report = check_task(task)
    (finding,) = report["findings"]
    assert not report["ok"] and finding["where"] == "r1.wav" and finding["remedy"] and finding["clips"] == ["r1"]
    assert report["digest"] == prepare(task, "exclude").digest


def test_short_recordings_are_taken_where_a_run_takes_them(task):
    path = task.root / "r1.wav"
    path.write_bytes(path.read_bytes()[: 44 + 2 * 500])
    assert not check_task(task)["ok"]
    report = check_task(task, on_bad_clip="keep-short")
    (finding,) = report["findings"]
    assert report["ok"] and (finding["level"], finding["code"], finding["where"]) == ("warning", "short", "r1.wav")
    assert report["digest"] == prepare(task, "keep-short").digest != check_task(task)["digest"]
    with pytest.raises(UnknownId, match="keep-short"):
        check_task(task, on_bad_clip="keep-shrt")


def test_a_manifest_without_the_columns_is_reported(task):
    frame = task.manifest.drop(columns="group")
    report = check_task(replace(task, manifest=frame, findings=tuple(validate(frame, CARD))))
    assert not report["ok"] and report["findings"][0]["code"] == "missing-column" and "splits" not in report


@pytest.mark.long
def test_real_copies_pass(real_data):
    for id in ("icbhi.cycles4", "sprsound.events2"):
        report = check_task(load_task(id, real_data), audio=False)
        assert report["ok"] and str(real_data) not in json.dumps(report)
