import hashlib

import pytest

from bench.errors import BadInput
from bench.manifest import load_task, prepare
from tasks import sprsound
from tests.tasks import _corpora

TASKS = ("sprsound.events2", "sprsound.events7", "sprsound.records3", "sprsound.records5")


def errors(task):
    return [finding for finding in task.findings if finding.level == "error"]


def test_published_counts(real_data):
    """The cards' counts are asserted by the manifest's validation: a complete copy without error has them all."""
    for id, clips in zip(TASKS, (9089, 9089, 2683, 2683)):
        task = load_task(id, real_data)
        assert task.state == "complete" and errors(task) == [] and len(task.manifest) == clips
    assert sum(sprsound.CARDS[1].counts["train"][name] for name in sprsound.CARDS[1].classes) == 6656


def test_published_patients_and_event_ids(real_data):
    frame = load_task("sprsound.records3", real_data).manifest
    train, inter, intra = (set(frame.loc[frame["split"] == s, "group"]) for s in ("train", "test_inter", "test_intra"))
    assert (len(train), len(inter), len(intra)) == (251, 41, 162)
    assert not train & inter and not inter & intra and intra < train
    events = load_task("sprsound.events2", real_data).manifest
    clips = events.loc[events["split"] == "test_inter", "clip_id"].str.replace("#e", ":event_")
    listed = "".join(f"{id}\n" for id in sorted("inter:" + clips))
    assert hashlib.sha256(listed.encode()).hexdigest() == (
        "81a6b15783a01eb86abe218928884b41e7f975f64eedaefd546e2dbf3deba44b"
    )


@pytest.mark.parametrize("layout", "abc")
@pytest.mark.parametrize("simulated", [True, False])
def test_all_layouts_give_the_same_clips(tmp_path, layout, simulated):
    names = {"train": ("40069321_15.3_0_p1_981",), "inter": ("65121853_1.5_0_p3_4109",)}
    _corpora.sprsound(tmp_path, layout, names, simulated)
    task = load_task("sprsound.events7", tmp_path)
    assert errors(task) == [] and task.manifest["available"].all()
    assert list(zip(task.manifest["clip_id"], task.manifest["label"], task.manifest["split"])) == [
        ("40069321_15.3_0_p1_981#e000", 0, "train"),
        ("40069321_15.3_0_p1_981#e001", 5, "train"),
        ("40069321_15.3_0_p1_981#e002", 2, "train"),
        ("65121853_1.5_0_p3_4109#e000", 0, "test_inter"),
        ("65121853_1.5_0_p3_4109#e001", 5, "test_inter"),
        ("65121853_1.5_0_p3_4109#e002", 2, "test_inter"),
    ]
    assert task.manifest["start_s"][1] == 0.4 and task.manifest["end_s"][1] == 0.7


def test_the_official_split_fills_in_where_the_folder_does_not_tell(tmp_path):
    corpus = _corpora.sprsound(tmp_path, simulated=False)
    inter = corpus / "test_json" / "inter_test_json" / "65121853_1.5_0_p3_4109.json"
    inter.rename(corpus / "test_json" / inter.name)
    frame = load_task("sprsound.records3", tmp_path).manifest
    assert set(frame.loc[frame["group"] == "65121853", "split"]) == {"test_inter"}


def test_a_recording_in_another_splits_folder_is_an_error(tmp_path):
    corpus = _corpora.sprsound(tmp_path, simulated=False)
    inter = corpus / "test_json" / "inter_test_json" / "65121853_1.5_0_p3_4109.json"
    inter.rename(corpus / "train_json" / inter.name)
    (finding,) = errors(load_task("sprsound.records3", tmp_path))
    assert "official split has it in test_inter" in finding.problem


def test_other_years_and_tracks_are_left_alone(tmp_path):
    corpus = _corpora.sprsound(tmp_path, "c")
    _corpora.sprsound_json(corpus / "BioCAS2024" / "test2024_json" / "1_2.0_0_p5_9999.json", label=None)
    _corpora.tone(corpus / "BioCAS2024" / "test2024_wav" / "1_2.0_0_p5_9999.wav")
    _corpora.sprsound_json(corpus / "Detection" / "train_detection_json" / "40069321_15.3_0_p1_981.json")
    task = load_task("sprsound.records5", tmp_path)
    assert errors(task) == [] and len(task.manifest) == 4
    assert any(finding.code == "other-years" for finding in task.findings)


def test_recordings_without_events_have_a_record_label_alone(tmp_path):
    corpus = _corpora.sprsound(tmp_path)
    path = corpus / "train_json" / "40117100_9.2_1_p2_12.json"
    _corpora.sprsound_json(path, events=[], label="Poor Quality")
    events, records = (load_task(id, tmp_path).manifest for id in ("sprsound.events2", "sprsound.records3"))
    assert len(events) == 9
    assert dict(zip(records["clip_id"], records["label"]))[path.stem] == 1
    assert len(prepare(load_task("sprsound.records3", tmp_path)).rows) == 4


def test_the_organisers_spelling_is_known(tmp_path):
    corpus = _corpora.sprsound(tmp_path)
    path = corpus / "train_json" / "40117100_9.2_1_p2_12.json"
    _corpora.sprsound_json(path, events=[("0", "500", "Wheeze & Crackle")])
    frame = load_task("sprsound.events7", tmp_path).manifest
    assert list(frame.loc[frame["clip_id"].str.startswith(path.stem), "label"]) == [6]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "no list event_annotation"),
        ('{"event_annotation": [{"start": "0"}]}', "event 0 lacks"),
        ('{"event_annotation": [{"start": "0", "end": "NaN", "type": "Normal"}]}', "event 0 lacks"),
        ('{"event_annotation": [{"start": "0", "end": "9", "type": "Snore"}]}', "unknown label 'Snore'"),
    ],
)
def test_a_malformed_annotation_is_one_error_and_costs_its_recording(tmp_path, text, said):
    corpus = _corpora.sprsound(tmp_path)
    (corpus / "train_json" / "40117100_9.2_1_p2_12.json").write_text(text)
    task = load_task("sprsound.events2", tmp_path)
    (finding,) = errors(task)
    assert finding.where.endswith("40117100_9.2_1_p2_12.json") and said in finding.problem and finding.remedy
    assert len(task.manifest) == 9 and len(prepare(task, "exclude").rows) == 9


def test_releases_without_record_labels_serve_the_event_tasks(tmp_path):
    corpus = _corpora.sprsound(tmp_path)
    for path in corpus.rglob("4*.json"):
        _corpora.sprsound_json(path, label=None)
    assert errors(load_task("sprsound.events2", tmp_path)) == []
    (finding,) = errors(load_task("sprsound.records3", tmp_path))
    assert "no record_annotation" in finding.problem


def test_audio_without_annotation_and_annotation_without_audio(tmp_path):
    corpus = _corpora.sprsound(tmp_path)
    (corpus / "train_json" / "40117100_9.2_1_p2_12.json").unlink()
    (corpus / "test_wav" / "65121853_1.5_0_p3_4109.wav").unlink()
    task = load_task("sprsound.events2", tmp_path)
    found = {finding.code: finding for finding in task.findings}
    assert found["no-annotation"].where.endswith("40117100_9.2_1_p2_12.wav")
    assert found["missing-audio"].level == "warning" and "1 of 3" in found["missing-audio"].problem


def test_no_copy_and_several_copies_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no copy.*github.com.*GPL.*train_json"):
        load_task("sprsound.events2", tmp_path)
    _corpora.sprsound(tmp_path / "one")
    _corpora.sprsound(tmp_path / "two")
    with pytest.raises(BadInput, match=r"several copies.*one/SPRSound.*two/SPRSound"):
        load_task("sprsound.events2", tmp_path)
    second = {"train": ("1_2.0_0_p1_5", "40069321_15.3_0_p1_981")}
    _corpora.sprsound(tmp_path / "three", "a", second)
    _corpora.sprsound(tmp_path / "three", "c", second)
    with pytest.raises(BadInput, match="annotates the same recording"):
        load_task("sprsound.events2", tmp_path / "three")


def test_poor_quality_is_neither_normal_nor_adventitious():
    events2, events7, records3, records5 = sprsound.CARDS
    assert records3.adventitious == (2,) and records5.adventitious == (2, 3, 4) and records3.normal == 0
    assert events2.adventitious == (1,) and events7.adventitious == (1, 2, 3, 4, 5, 6)
    assert records3.counts["train"]["Adventitious"] == 126 + 248 + 95
