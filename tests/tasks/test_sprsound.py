import json

import pytest

import tiny_corpora
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks import sprsound

TASKS = ("sprsound.events2", "sprsound.events7", "sprsound.records3", "sprsound.records5")


def errors(task):
    return [finding for finding in task.findings if finding.level == "error"]


@pytest.mark.long
def test_a_whole_copy_has_what_the_cards_say(real_data):
    """The cards' counts are asserted by the manifest's validation: a complete copy without error has them all."""
    for id, clips in zip(TASKS, (9089, 9089, 2683, 2683)):
        task = load_task(id, real_data)
        assert task.state == "complete" and errors(task) == [] and len(task.manifest) == clips
    assert sum(sprsound.CARDS[1].counts["train"][name] for name in sprsound.CARDS[1].classes) == 6656


@pytest.mark.parametrize("layout", "abc")
@pytest.mark.parametrize("simulated", [True, False])
def test_all_layouts_give_the_same_clips(tmp_path, layout, simulated):
    names = {"train": ("40069321_15.3_0_p1_981",), "inter": ("65121853_1.5_0_p3_4109",)}
    tiny_corpora.sprsound(tmp_path, layout, names, simulated)
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
    corpus = tiny_corpora.sprsound(tmp_path, simulated=False)
    inter = corpus / "test_json" / "inter_test_json" / "65121853_1.5_0_p3_4109.json"
    inter.rename(corpus / "test_json" / inter.name)
    frame = load_task("sprsound.records3", tmp_path).manifest
    assert set(frame.loc[frame["group"] == "65121853", "split"]) == {"test_inter"}


def test_a_recording_in_another_splits_folder_is_an_error(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path, simulated=False)
    inter = corpus / "test_json" / "inter_test_json" / "65121853_1.5_0_p3_4109.json"
    inter.rename(corpus / "train_json" / inter.name)
    (finding,) = errors(load_task("sprsound.records3", tmp_path))
    assert "official split has it in test_inter" in finding.problem


def test_other_years_and_tracks_are_left_alone(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path, "c")
    tiny_corpora.sprsound_json(corpus / "BioCAS2024" / "test2024_json" / "1_2.0_0_p5_9999.json", label=None)
    tiny_corpora.tone(corpus / "BioCAS2024" / "test2024_wav" / "1_2.0_0_p5_9999.wav")
    tiny_corpora.sprsound_json(corpus / "Detection" / "train_detection_json" / "40069321_15.3_0_p1_981.json")
    task = load_task("sprsound.records5", tmp_path)
    assert errors(task) == [] and len(task.manifest) == 4
    assert any(finding.code == "other-years" for finding in task.findings)


def test_recordings_without_events_have_a_record_label_alone(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    path = corpus / "train_json" / "40117100_9.2_1_p2_12.json"
    tiny_corpora.sprsound_json(path, events=[], label="Poor Quality")
    events, records = (load_task(id, tmp_path).manifest for id in ("sprsound.events2", "sprsound.records3"))
    assert len(events) == 9
    assert dict(zip(records["clip_id"], records["label"]))[path.stem] == 1
    assert len(prepare(load_task("sprsound.records3", tmp_path)).rows) == 4


def test_the_organisers_spelling_is_known(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    path = corpus / "train_json" / "40117100_9.2_1_p2_12.json"
    tiny_corpora.sprsound_json(path, events=[("0", "500", "Wheeze & Crackle")])
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
    corpus = tiny_corpora.sprsound(tmp_path)
    (corpus / "train_json" / "40117100_9.2_1_p2_12.json").write_text(text)
    task = load_task("sprsound.events2", tmp_path)
    (finding,) = errors(task)
    assert finding.where.endswith("40117100_9.2_1_p2_12.json") and said in finding.problem and finding.remedy
    assert len(task.manifest) == 9 and len(prepare(task, "exclude").rows) == 9


def test_releases_without_record_labels_serve_the_event_tasks(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    for path in corpus.rglob("4*.json"):
        tiny_corpora.sprsound_json(path, label=None)
    assert errors(load_task("sprsound.events2", tmp_path)) == []
    (finding,) = errors(load_task("sprsound.records3", tmp_path))
    assert "no record_annotation" in finding.problem


def test_the_readmes_spelling_of_the_label_and_numbers_for_times_are_read(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    content = {"recording_annotation": "DAS", "event_annotation": [{"start": 400, "end": 700, "type": "Fine Crackle"}]}
    (corpus / "train_json" / "40117100_9.2_1_p2_12.json").write_text(json.dumps(content))
    records, events = (load_task(id, tmp_path) for id in ("sprsound.records5", "sprsound.events7"))
    assert errors(records) == errors(events) == []
    assert dict(zip(records.manifest["group"], records.manifest["label"]))["40117100"] == 3
    (row,) = events.manifest[events.manifest["group"] == "40117100"].to_dict("records")
    assert (row["start_s"], row["end_s"], row["label"]) == (0.4, 0.7, 5)


def test_events_are_in_order_of_time_whatever_their_order_in_the_file(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    first = load_task("sprsound.events7", tmp_path).manifest
    for path in corpus.rglob("*.json"):
        if path.name != "SIMULATED.json":
            tiny_corpora.sprsound_json(path, events=tiny_corpora.EVENTS[::-1])
    task = load_task("sprsound.events7", tmp_path)
    assert task.manifest.equals(first)
    (note,) = [finding for finding in task.findings if finding.code == "unsorted"]
    assert note.level == "note" and note.problem.startswith("4 of 4 files list their events in another order")
    for path in corpus.rglob("*.json"):
        if path.name != "SIMULATED.json":
            tiny_corpora.sprsound_json(path, events=sorted(tiny_corpora.EVENTS, key=lambda event: float(event[0])))
    assert not any(finding.code == "unsorted" for finding in load_task("sprsound.events7", tmp_path).findings)


def test_a_recording_without_a_patient_is_its_own(tmp_path):
    names = {"train": ("40069321_15.3_0_p1_981",), "inter": ("_1.5_0_p3_4109", "_1.5_0_p3_4110")}
    tiny_corpora.sprsound(tmp_path, recordings=names)
    task = load_task("sprsound.records3", tmp_path)
    assert errors(task) == [] and set(task.manifest["group"]) == {"40069321", "_1.5_0_p3_4109", "_1.5_0_p3_4110"}
    (finding,) = [finding for finding in task.findings if finding.code == "no-patient"]
    assert finding.level == "warning" and finding.problem.startswith("2 recordings")


def test_a_copy_without_a_whole_test_is_a_subset_and_says_so(tmp_path):
    tiny_corpora.sprsound(tmp_path, recordings={"train": ("40069321_15.3_0_p1_981",)}, simulated=False)
    half = load_task("sprsound.events2", tmp_path)
    (finding,) = [finding for finding in half.findings if finding.code == "missing-annotations"]
    assert finding.level == "warning" and "2682 of the 2683" in finding.problem and half.state == "subset"
    assert errors(half) == [] and set(half.manifest["split"]) == {"train"}


def test_the_real_copy_without_its_intra_folder(tmp_path, real_data):
    for folder in ("train_json", "test_json/inter_test_json"):
        link = tmp_path / "SPRSound" / folder
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(next(real_data.rglob(folder)), target_is_directory=True)
    task = load_task("sprsound.records3", tmp_path)
    found = {finding.code: finding for finding in task.findings}
    assert "379 of the 2683" in found["missing-annotations"].problem and task.state == "subset"
    assert errors(task) == [] and set(task.manifest["split"]) == {"train", "test_inter"}


def of_2023(corpus, names, label="Normal"):
    for name in names:
        tiny_corpora.sprsound_json(corpus / "BioCAS2023" / "test2023_json" / f"{name}.json", label=label)
        tiny_corpora.tone(corpus / "BioCAS2023" / "test2023_wav" / f"{name}.wav")


def test_the_test_of_2023_is_read_by_its_variant_alone(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path, "c")
    before = load_task("sprsound.records3", tmp_path).manifest
    of_2023(corpus, ("41130419_1.8_0_p1_4513", "_3.9_0_p1_14465"))
    base = load_task("sprsound.records3", tmp_path)
    (note,) = [finding for finding in base.findings if finding.code == "other-years"]
    assert base.manifest.equals(before) and "2 of 2023" in note.problem and "sprsound.records3@2023" in note.remedy
    task = load_task("sprsound.records3@2023", tmp_path)
    assert errors(task) == [] and list(task.card.tests) == ["2023", "2023_official", "inter", "intra"]
    assert task.manifest["split"].value_counts().to_dict() == {
        "train": 2,
        "test_2023": 2,
        "test_inter": 1,
        "test_intra": 1,
    }
    told = {finding.code: finding for finding in task.findings}
    assert "1 recordings name no patient" in told["no-patient"].problem
    assert "2 of the 871" in told["missing-annotations"].problem and len(prepare(task).rows) == 6


def test_patients_of_2023_whom_training_knows_are_apart(tmp_path):
    names = {"train": ("64634665_3.3_0_p1_1360", "40069321_15.3_0_p1_981"), "inter": ("65121853_1.5_0_p3_4109",)}
    corpus = tiny_corpora.sprsound(tmp_path, "c", names)
    of_2023(corpus, ("64634665_3.3_0_p2_9001", "41130419_1.8_0_p1_4513"))
    task = load_task("sprsound.events7@2023", tmp_path)
    splits = dict(zip(task.manifest["clip_id"].str.partition("#")[0], task.manifest["split"]))
    assert errors(task) == [] and splits["64634665_3.3_0_p2_9001"] == "test_2023_overlap"
    assert splits["64634665_3.3_0_p1_1360"] == "train" and splits["41130419_1.8_0_p1_4513"] == "test_2023"
    of_2023(corpus, ("40069321_15.3_0_p1_9002",))
    (leak,) = errors(load_task("sprsound.events7@2023", tmp_path))
    assert leak.code == "group-leak" and "40069321" in leak.problem


def test_a_copy_without_2023_says_where_it_is(tmp_path):
    tiny_corpora.sprsound(tmp_path, "c")
    with pytest.raises(BadInput, match=r"no recording of the test of 2023.*BioCAS2023/test2023_json.*github.com"):
        load_task("sprsound.events2@2023", tmp_path)


def test_audio_without_annotation_and_annotation_without_audio(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    (corpus / "train_json" / "40117100_9.2_1_p2_12.json").unlink()
    (corpus / "test_wav" / "65121853_1.5_0_p3_4109.wav").unlink()
    task = load_task("sprsound.events2", tmp_path)
    found = {finding.code: finding for finding in task.findings}
    assert found["no-annotation"].where.endswith("40117100_9.2_1_p2_12.wav")
    assert found["missing-audio"].level == "warning" and "1 of 3" in found["missing-audio"].problem


def test_no_copy_and_several_copies_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no copy.*github.com.*GPL.*train_json"):
        load_task("sprsound.events2", tmp_path)
    tiny_corpora.sprsound(tmp_path / "one")
    tiny_corpora.sprsound(tmp_path / "two")
    with pytest.raises(BadInput, match=r"several copies.*one/SPRSound.*two/SPRSound"):
        load_task("sprsound.events2", tmp_path)
    second = {"train": ("1_2.0_0_p1_5", "40069321_15.3_0_p1_981")}
    tiny_corpora.sprsound(tmp_path / "three", "a", second)
    tiny_corpora.sprsound(tmp_path / "three", "c", second)
    with pytest.raises(BadInput, match="annotates the same recording"):
        load_task("sprsound.events2", tmp_path / "three")


def test_poor_quality_is_neither_normal_nor_adventitious():
    events2, events7, records3, records5 = sprsound.CARDS
    assert records3.adventitious == (2,) and records5.adventitious == (2, 3, 4) and records3.normal == 0
    assert events2.adventitious == (1,) and events7.adventitious == (1, 2, 3, 4, 5, 6)
    assert records3.counts["train"]["Adventitious"] == 126 + 248 + 95
