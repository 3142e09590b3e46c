from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.base.errors import BadInput, UnknownId
from bench.data import clips, manifest
from bench.types import Task, TaskCard

RATE = 4000
CARD = TaskCard(
    id="toy.task",
    version=1,
    classes=("normal", "abnormal"),
    main_metric="uar",
    metrics=("uar",),
    tests={"main": ("test",), "seen": ("test_seen",)},
    url="https://example.org",
    licence="CC0",
    citation="none",
    within_patient=("test_seen",),
    counts={"train": {"recordings": 2, "patients": 2, "normal": 2, "abnormal": 2}},
)


def table(**changes) -> pd.DataFrame:
    """Four recordings of one second, two clips each."""
    recordings = [("p1", "train"), ("p2", "train"), ("p3", "test"), ("p1", "test_seen")]
    rows = [
        {
            "clip_id": f"r{index}#{half}",
            "path": f"audio/r{index}.wav",
            "start_s": half / 2,
            "end_s": (half + 1) / 2,
            "label": half,
            "split": split,
            "group": group,
            "domain": "phone",
            "available": True,
            "meta_site": "x",
        }
        for index, (group, split) in enumerate(recordings)
        for half in (0, 1)
    ]
    return pd.DataFrame(rows).assign(**changes)


@pytest.fixture
def task(tmp_path) -> Task:
    (tmp_path / "audio").mkdir()
    for index in range(4):
        wave = np.random.default_rng(index).uniform(-0.5, 0.5, RATE)
        soundfile.write(tmp_path / "audio" / f"r{index}.wav", wave, RATE)
    return Task(CARD, table(), tmp_path)


def changed(task: Task, row: int, column: str, value) -> Task:
    frame = task.manifest.copy()
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return replace(task, manifest=frame, findings=tuple(manifest.validate(frame, task.card)))


def test_a_sound_manifest_has_no_findings():
    assert manifest.validate(table(), CARD) == []


@pytest.mark.parametrize(
    ("row", "column", "value", "code"),
    [
        (1, "clip_id", "r0#0", "duplicate-clip"),
        (1, "label", 2, "unknown-label"),
        (1, "label", "wheeze", "unknown-label"),
        (1, "label", np.nan, "unknown-label"),
        (1, "end_s", 0.5, "empty-clip"),
        (1, "start_s", -0.1, "bad-start"),
        (4, "split", "holdout", "unknown-split"),
        (1, "group", "", "missing-group"),
        (4, "group", "p1", "group-leak"),
    ],
)
def test_each_broken_rule_is_one_error_that_names_file_and_remedy(task, row, column, value, code):
    found = {finding.code: finding for finding in changed(task, row, column, value).findings}
    assert code in found and set(found) <= {code, "counts"}
    assert found[code].level == "error" and found[code].remedy
    assert found[code].where == task.manifest["path"][row]


def test_many_broken_rows_are_one_finding():
    findings = manifest.validate(table(end_s=0.0), replace(CARD, counts={}))
    assert len(findings) == 1 and "7 more clips" in findings[0].problem and len(findings[0].clips) == 8


def test_missing_columns_are_named():
    (finding,) = manifest.validate(table().drop(columns=["group", "domain"]), CARD)
    assert finding.code == "missing-column" and "group, domain" in finding.problem


def test_groups_may_overlap_only_where_the_card_says_so():
    leak = table()
    leak.loc[leak["group"] == "p3", "group"] = "p2"
    assert [finding.code for finding in manifest.validate(leak, CARD)] == ["group-leak"]
    assert manifest.validate(leak, replace(CARD, known_overlap=("p2",))) == []
    assert [f.code for f in manifest.validate(table(), replace(CARD, within_patient=()))] == ["group-leak"]
    respelt = table()
    respelt.loc[respelt["group"] == "p3", "group"] = "P 02"
    (leak,) = manifest.validate(respelt, CARD)
    assert leak.code == "group-leak" and "in two spellings: 'p2' and 'P 02'" in leak.problem
    (told,) = manifest.validate(respelt, replace(CARD, known_overlap=("P 02",)))
    assert (told.level, told.code) == ("warning", "group-spellings")
    validation = table()
    validation.loc[validation["group"] == "p2", "split"] = "val"
    validation.loc[validation["group"] == "p3", "group"] = "p2"
    assert "group-leak" in [finding.code for finding in manifest.validate(validation, replace(CARD, counts={}))]


def test_counts_are_compared_where_all_recordings_are_annotated():
    assert [finding.code for finding in manifest.validate(table(label=0), CARD)] == ["counts"]
    assert manifest.validate(table(label=0).query("path != 'audio/r1.wav'"), CARD) == []
    more = table().assign(split="train", group="p1")
    assert "recordings 4 instead of 2" in manifest.validate(more, CARD)[0].problem


def test_statistics():
    assert manifest.statistics(table(), CARD)["train"] == {
        "recordings": 2,
        "patients": 2,
        "clips": 4,
        "normal": 2,
        "abnormal": 2,
    }


def test_prepare_fills_in_ends_and_keeps_order(task):
    prepared = manifest.prepare(changed(task, 1, "end_s", np.nan))
    assert list(prepared.rows["clip_id"]) == list(task.manifest["clip_id"])
    assert prepared.rows["end_s"].tolist() == [0.5, 1.0] * 4
    assert prepared.excluded == () and not prepared.incomplete and set(prepared.recordings) == set(table()["path"])
    assert prepared.statistics == manifest.statistics(table(), CARD)


def test_an_end_just_past_the_audio_is_moved_and_a_later_one_refused(task):
    assert manifest.prepare(changed(task, 1, "end_s", 1.009)).rows["end_s"][1] == 1.0
    late = changed(task, 1, "end_s", 1.02)
    with pytest.raises(BadInput, match=r"audio/r0\.wav: r0#1 ends at 1\.020 s, the recording lasts 1\.000 s; mend"):
        manifest.prepare(late)
    prepared = manifest.prepare(late, "exclude")
    assert len(prepared.rows) == 7 and prepared.incomplete and prepared.excluded[0].clips == ("r0#1",)


def test_a_clip_without_samples_is_refused(task):
    with pytest.raises(BadInput, match=r"audio/r0\.wav: r0#1 encloses no sample"):
        manifest.prepare(changed(task, 1, "start_s", 0.99999))
    open_end = changed(changed(task, 1, "start_s", 1.5), 1, "end_s", np.nan)
    with pytest.raises(BadInput, match=r"r0#1 encloses no sample"):
        manifest.prepare(open_end)


def test_bad_recordings_are_one_error_naming_the_first(task):
    for name in ("r0", "r2"):
        path = task.root / "audio" / f"{name}.wav"
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput) as error:
        manifest.prepare(task)
    assert str(error.value).startswith("audio/r0.wav: is truncated")
    assert "and 1 more (respbench check toy.task lists them); or pass --on-bad-clip=exclude" in str(error.value)
    prepared = manifest.prepare(task, "exclude")
    assert sorted(prepared.rows["path"].unique()) == ["audio/r1.wav", "audio/r3.wav"]
    assert sorted(prepared.recordings) == ["audio/r1.wav", "audio/r3.wav"]


def test_where_every_clip_is_bad_their_number_and_the_first_reasons_are_said(task):
    for name in ("r0", "r1"):
        soundfile.write(task.root / "audio" / f"{name}.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    (task.root / "audio" / "r2.wav").write_text("<html>")
    path = task.root / "audio" / "r3.wav"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput) as error:
        manifest.prepare(task, "exclude")
    assert error.value.where == "toy.task" and error.value.problem.startswith("all 8 clips whose audio is at hand are")
    for said in ("audio/r0.wav: holds NaN or infinity", "; and 1 more; mend them; respbench check toy.task lists them"):
        assert said in str(error.value)
    assert "get the audio" not in str(error.value)


def test_where_no_audio_is_at_hand_it_says_where_it_is(task):
    gone = replace(task, manifest=task.manifest.assign(available=False))
    with pytest.raises(BadInput, match="no clip has usable audio in this copy; get the audio from"):
        manifest.prepare(gone, "exclude")


def test_channels_that_cancel_within_a_clip_exclude_it_alone(task):
    wave = np.random.default_rng(5).normal(0, 0.1, (RATE, 2))
    wave[RATE // 2 :, 1] = -wave[RATE // 2 :, 0]
    soundfile.write(task.root / "audio" / "r0.wav", wave, RATE)
    with pytest.raises(BadInput, match=r"audio/r0\.wav: r0#1, 0\.500 to 1\.000 s: its 2 channels cancel each other"):
        manifest.prepare(task)
    prepared = manifest.prepare(task, "exclude")
    assert len(prepared.rows) == 7 and [finding.clips for finding in prepared.excluded] == [("r0#1",)]


def test_recordings_shorter_than_their_headers_promise_can_be_accepted(task):
    path = task.root / "audio" / "r0.wav"
    path.write_bytes(path.read_bytes()[: 44 + 2 * 3000])
    open_end = changed(task, 1, "end_s", np.nan)
    with pytest.raises(BadInput, match=r"promises 4000 samples, 3000 are there; .*--on-bad-clip=keep-short"):
        manifest.prepare(open_end)
    prepared = manifest.prepare(open_end, "keep-short")
    assert len(prepared.rows) == 8 and prepared.rows["end_s"][1] == 0.75 and prepared.excluded == ()
    assert [finding.where for finding in prepared.warnings] == ["audio/r0.wav"] and len(prepared.short) == 1
    assert "promises 4000 samples" in prepared.short[0]
    (unit,) = (unit for unit in clips.units(prepared.rows, prepared.recordings) if unit.path == "audio/r0.wav")
    assert [len(wave) for wave in clips.waves(unit, task.root, RATE)] == [2000, 1000]
    with pytest.raises(BadInput, match=r"r0#1 ends at 1\.000 s, the recording lasts 0\.750 s"):
        manifest.prepare(task, "keep-short")  # what an annotation asks for is not there


def test_a_recording_cut_again_after_the_look_is_refused(task):
    path = task.root / "audio" / "r0.wav"
    content = path.read_bytes()
    path.write_bytes(content[: 44 + 2 * 3000])
    prepared = manifest.prepare(changed(task, 1, "end_s", np.nan), "keep-short")
    (unit,) = (unit for unit in clips.units(prepared.rows, prepared.recordings) if unit.path == "audio/r0.wav")
    path.write_bytes(content[: 44 + 2 * 2900])
    with pytest.raises(BadInput, match="2900 are there"):
        clips.waves(unit, task.root, RATE)


def test_keeping_short_recordings_mends_nothing_else(task):
    (task.root / "audio" / "r0.wav").write_text("<html>")
    with pytest.raises(BadInput, match="a web page"):
        manifest.prepare(task, "keep-short")


def test_oddities_are_warnings_and_their_clips_are_used(task):
    for name in ("r0", "r1"):
        soundfile.write(task.root / "audio" / f"{name}.wav", np.zeros(RATE), RATE)
    prepared = manifest.prepare(task)
    (warning,) = prepared.warnings
    assert (warning.code, warning.where, len(warning.clips)) == ("silent", "audio/r0.wav", 4)
    assert len(prepared.rows) == 8 and not prepared.incomplete and prepared.short == ()


def test_warnings_tell_of_recordings_that_are_used_alone(task):
    for name in ("r0", "r1"):
        soundfile.write(task.root / "audio" / f"{name}.wav", np.zeros(RATE), RATE)
    late = changed(changed(task, 0, "end_s", 1.5), 1, "end_s", 1.5)  # both clips of r0
    (warning,) = manifest.prepare(late, "exclude").warnings
    assert (warning.where, warning.clips) == ("audio/r1.wav", ("r1#0", "r1#1"))
    assert "more recordings" not in warning.problem


def test_cancelling_channels_are_no_usable_clips(task):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, RATE)
    soundfile.write(task.root / "audio" / "r0.wav", np.stack([wave, -wave], axis=1), RATE)
    with pytest.raises(BadInput, match=r"audio/r0\.wav: its 2 channels cancel each other"):
        manifest.prepare(task)
    assert len(manifest.prepare(task, "exclude").rows) == 6


def test_excluding_does_not_mend_structure(task):
    for broken in (changed(task, 4, "group", "p1"), changed(task, 1, "clip_id", "r0#0")):
        with pytest.raises(BadInput, match=r"^(?!.*exclude)"):
            manifest.prepare(broken, "exclude")


def test_unavailable_rows_stay_out(task):
    frame = task.manifest.assign(available=task.manifest["split"] == "train")
    prepared = manifest.prepare(replace(task, manifest=frame, state="subset"))
    assert set(prepared.rows["split"]) == {"train"} and prepared.incomplete and prepared.state == "subset"
    with pytest.raises(BadInput, match="no clip has usable audio"):
        manifest.prepare(replace(task, manifest=frame.assign(available=False)))


def test_an_unknown_choice_is_refused(task):
    with pytest.raises(UnknownId, match="exclude"):
        manifest.prepare(task, "exlude")


def test_identity_follows_the_data_and_nothing_else(task):
    first = manifest.prepare(task).digest
    moved = task.root / "elsewhere"
    (task.root / "audio").rename(moved)
    frame = task.manifest.assign(path=task.manifest["path"].str.replace("audio", "elsewhere"))
    assert manifest.prepare(replace(task, manifest=frame)).digest == first
    for column, value in (("label", 1), ("end_s", 0.4), ("group", "p9"), ("meta_site", "y")):
        other = frame.copy()
        other.loc[0, column] = value
        assert manifest.prepare(replace(task, manifest=other)).digest != first
    soundfile.write(moved / "r0.wav", np.zeros(RATE), RATE)
    assert manifest.prepare(replace(task, manifest=frame)).digest != first


def test_identity_without_audio_says_so():
    assert manifest.digest(table()).startswith("annotations:")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(st.permutations(range(8)))
def test_identity_ignores_the_order_of_rows(order):
    shuffled = table().iloc[order].reset_index(drop=True)
    assert manifest.digest(shuffled) == manifest.digest(table())


def test_load_task_says_where_data_comes_from(monkeypatch, tmp_path):
    monkeypatch.delenv("RESPBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"set RESPBENCH_DATA .*bhichallenge.*research"):
        manifest.load_task("icbhi.cycles4")
    with pytest.raises(UnknownId, match=r"did you mean 'icbhi\.cycles4'"):
        manifest.load_task("icbhi.cycle4")
