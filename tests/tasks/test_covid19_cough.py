import hashlib
import json
from collections import defaultdict

import pytest

import published_tables
from bench.base.registry import task_card
from bench.data.manifest import load_task, prepare
from tasks._shared import layout

TASKS = ("covid19_cough.call_centre", "covid19_cough.messaging_app")


@pytest.fixture
def table():
    return layout.shipped("covid19_cough.csv")


def of(table, channel, split=None):
    return [row for row in table if row["channel"] == channel and split in (None, row["split"])]


# one is a stretch of the other, with the other label
PARTS = ("014a013e-1876-41c1-a054-8a092a7c5741", "9b6bef97-6e44-406b-b9c6-a04b1a5335a4")


def test_no_copy_of_contradictory_labels_is_kept_and_one_of_the_others(table):
    copies = defaultdict(list)
    for row in table:
        copies[row["file_sha256"]].append(row)
    groups = [rows for rows in copies.values() if len(rows) > 1]
    both = [rows for rows in groups if len({row["label"] for row in rows}) > 1]
    assert (len(table), len(copies), len(groups), len(both)) == (420, 381, 36, 34)
    for rows in copies.values():
        kept = [row for row in rows if row["split"]]
        assert len(kept) == (0 if rows in both or rows[0]["recording"] in PARTS else 1)


def test_the_split_is_by_the_name_within_channel_and_label(table):
    strata = defaultdict(list)
    for row in table:
        if row["split"]:
            strata[row["channel"], row["label"]].append(row)
    assert {key: len(rows) for key, rows in strata.items()} == {
        ("call_centre", "0"): 94,
        ("call_centre", "1"): 94,
        ("messaging_app", "0"): 80,
        ("messaging_app", "1"): 77,
    }
    for rows in strata.values():
        rows.sort(key=lambda row: hashlib.sha256(row["recording"].encode()).hexdigest())
        half = len(rows) // 2
        assert [row["split"] for row in rows] == ["test"] * half + ["train"] * (len(rows) - half)


def test_the_table_is_that_of_the_corpus(real_data, table):
    corpus = real_data / "covid19_cough"
    told = {entry["filename"][:-4]: entry for entry in json.loads((corpus / "metadata.json").read_text("utf-8"))}
    assert {row["recording"] for row in table} == set(told)
    for row in table:
        entry = told[row["recording"]]
        assert int(row["label"]) == entry["covid19"]
        assert row["channel"] == {"call-center": "call_centre", "telegram": "messaging_app"}[entry["source"]]
        content = (corpus / "raw" / entry["filename"]).read_bytes()
        assert row["file_sha256"] == hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize("id", TASKS)
def test_a_whole_copy(real_data, id):
    """What does not decode is among the copies that are left out."""
    task = load_task(id, real_data)
    assert task.state == "complete" and not published_tables.found(task, "error")
    prepared = prepare(task)
    assert not prepared.excluded and set(prepared.rows["path"].str[-4:]) == {".mp3"}
    rates = {recording.rate for recording in prepared.recordings.values()}
    assert rates == {8000 if id.endswith("centre") else 48000}
    assert (task.manifest["group"] == task.manifest["clip_id"]).all() and task.card.group == "recording"
    assert "never a headline" in task.card.notes and set(published_tables.found(task)) >= {
        "demonstration",
        "duplicates",
    }


def test_no_audio_leaves_the_table(tmp_path):
    task = load_task(TASKS[1], tmp_path)
    assert len(task.manifest) == 157 and not task.manifest["available"].any() and task.state == "subset"
    assert "157 of 157" in published_tables.found(task)["missing-audio"].problem


def test_converted_recordings_are_taken_and_a_wrong_label_is_told(tmp_path, table):
    rows = of(table, "call_centre", "train")[:4] + of(table, "messaging_app", "train")[:2]
    names = [row["recording"] for row in rows]
    published_tables.copy(tmp_path / "covid19_cough" / "raw", names)
    wrong = [{"filename": f"{row['recording']}.mp3", "covid19": row["label"] == "0"} for row in rows[:1]]
    right = [{"filename": f"{row['recording']}.mp3", "covid19": row["label"] == "1"} for row in rows[1:]]
    metadata = tmp_path / "covid19_cough" / "metadata.json"
    metadata.write_text(json.dumps(right))
    task = load_task(TASKS[0], tmp_path)
    assert not published_tables.found(task, "error") and sorted(task.manifest.query("available")["clip_id"]) == sorted(
        names[:4]
    )
    metadata.write_text(json.dumps(wrong + right))
    finding = published_tables.found(load_task(TASKS[0], tmp_path), "error")["label"]
    assert finding.clips == (names[0],) and finding.where == "covid19_cough/metadata.json"
    metadata.write_text('{"no": "list"}')
    assert "metadata" in published_tables.found(load_task(TASKS[0], tmp_path), "warning")


def test_channels_share_their_classes():
    cards = [task_card(id) for id in TASKS]
    assert cards[0].classes == cards[1].classes == task_card("coughvid.covid").classes
