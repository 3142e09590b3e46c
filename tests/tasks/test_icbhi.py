import pytest
import soundfile

from bench.errors import BadInput
from bench.manifest import load_task, prepare
from bench.types import Finding
from tasks import icbhi
from tests.tasks import _corpora


def errors(task) -> list[Finding]:
    return [finding for finding in task.findings if finding.level == "error"]


def test_published_counts(real_data):
    """Every annotation of the corpus counts, whether or not its audio is at hand."""
    expected = {"train": (2063, 1215, 501, 363), "test": (1560, 617, 373, 86), "test_overlap": (19, 32, 12, 57)}
    task = load_task("icbhi.cycles4", real_data)
    frame = task.manifest
    assert errors(task) == []
    assert len(frame) == 6898 and frame["path"].nunique() == 920 and frame["group"].nunique() == 126
    for split, counts in expected.items():
        assert tuple(frame.loc[frame["split"] == split, "label"].value_counts().sort_index()) == counts
    train, test = (set(frame.loc[frame["split"].isin(s), "group"]) for s in (("train",), ("test", "test_overlap")))
    assert train & test == {"156", "218"}
    assert not train & set(frame.loc[frame["split"] == "test", "group"])


def test_published_devices_and_binary_counts(real_data):
    frame = load_task("icbhi.cycles2", real_data).manifest
    official = frame["split"].replace("test_overlap", "test")
    counts = frame.groupby([official, "domain"]).size().to_dict()
    assert counts[("train", "LittC2SE")] == 594 and ("test", "LittC2SE") not in counts
    assert counts[("train", "Litt3200")] == 41 and counts[("test", "Litt3200")] == 461
    assert frame[official == "test"]["label"].value_counts().to_dict() == {0: 1579, 1: 1177}


def test_labels_are_the_two_flags(tmp_path):
    _corpora.icbhi(tmp_path)
    four, two = (load_task(id, tmp_path).manifest for id in ("icbhi.cycles4", "icbhi.cycles2"))
    assert list(four["label"][:4]) == [0, 1, 2, 3] and list(two["label"][:4]) == [0, 1, 1, 1]
    assert four["clip_id"][0] == "101_1b1_Al_sc#c000" and four["end_s"][3] == 2.0


def test_overlap_patients_have_a_split_of_their_own(tmp_path):
    _corpora.icbhi(tmp_path)
    frame = load_task("icbhi.cycles4", tmp_path).manifest
    assert dict(zip(frame["path"].str.extract(r"/(\d{3}_\w\w\w)")[0], frame["split"])) == {
        "101_1b1": "test",
        "107_2b3": "train",
        "156_2b3": "train",
        "156_8b3": "test_overlap",
    }


@pytest.mark.parametrize("below", ["", "ICBHI", "ICBHI/ICBHI_final_database"])
def test_the_corpus_is_found_from_any_folder_above_it(tmp_path, below):
    _corpora.icbhi(tmp_path)
    task = load_task("icbhi.cycles4", tmp_path / below)
    assert len(task.manifest) == 20 and all((task.root / path).is_file() for path in task.manifest["path"])


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_split_file_variants_agree(tmp_path, ends):
    _corpora.icbhi(tmp_path)
    lines = [f"{name}\t{half}" for name, half in _corpora.ICBHI_SPLIT.items()] + ["226_1b1_Pl_sc_Meditron\ttrain"]
    (tmp_path / "ICBHI" / icbhi.SPLIT_FILE).write_bytes(ends.join([*lines, ""]).encode())
    task = load_task("icbhi.cycles4", tmp_path)
    assert errors(task) == [] and len(task.manifest) == 20


def test_without_split_file_the_official_split_holds(tmp_path):
    _corpora.icbhi(tmp_path / "with")
    _corpora.icbhi(tmp_path / "without", split_file=False)
    with_file, without = (load_task("icbhi.cycles4", tmp_path / name).manifest for name in ("with", "without"))
    assert list(with_file["split"]) == list(without["split"])


def test_a_split_that_is_not_the_official_one_is_an_error(tmp_path):
    _corpora.icbhi(tmp_path, {**_corpora.ICBHI_SPLIT, "101_1b1_Al_sc_Meditron": "train"})
    (finding,) = errors(load_task("icbhi.cycles4", tmp_path))
    assert finding.where.endswith(icbhi.SPLIT_FILE) and "101_1b1_Al_sc_Meditron in train" in finding.problem


def test_simulated_corpora_have_their_own_split(tmp_path):
    _corpora.icbhi(tmp_path, {"101_1b1_Al_sc_Litt3200": "train", "102_1b1_Al_sc_LittC2SE": "test"}, simulated=True)
    task = load_task("icbhi.cycles4", tmp_path)
    assert task.state == "simulated" and errors(task) == []
    assert sorted(set(task.manifest["domain"])) == ["Litt3200", "LittC2SE"]


def test_a_leaked_patient_is_refused(tmp_path):
    split = {"101_1b1_Al_sc_X": "train", "102_1b1_Al_sc_X": "train", "101_1b1_Ar_sc_X": "test"}
    _corpora.icbhi(tmp_path, split, simulated=True)
    task = load_task("icbhi.cycles4", tmp_path)
    for choice in ("error", "exclude"):
        with pytest.raises(BadInput, match="patient 101 in train and in test"):
            prepare(task, choice)


def test_old_device_names_join_and_are_mended(tmp_path):
    folder = _corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Meditron.wav").rename(folder / "101_1b1_Al_sc_LittC2SE.wav")
    task = load_task("icbhi.cycles4", tmp_path)
    row = task.manifest.iloc[0]
    assert errors(task) == [] and row["available"]
    assert row["path"].endswith("LittC2SE.wav") and row["domain"] == "Meditron"


def test_flac_is_as_good_as_wav(tmp_path):
    folder = _corpora.icbhi(tmp_path)
    first = prepare(load_task("icbhi.cycles4", tmp_path))
    for path in folder.glob("*.wav"):
        wave, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".flac"), wave, rate)
        path.unlink()
    assert prepare(load_task("icbhi.cycles4", tmp_path)).digest == first.digest


def test_a_copy_without_some_audio_is_a_subset(tmp_path):
    folder = _corpora.icbhi(tmp_path, simulated=False)
    for name in ("107_2b3_Al_mc_AKGC417L", "107_2b3_Ar_mc_AKGC417L"):
        (folder / f"{name}.wav").unlink()
    task = load_task("icbhi.cycles4", tmp_path)
    (finding,) = [finding for finding in task.findings if finding.code == "missing-audio"]
    assert finding.level == "warning" and "2 of 5" in finding.problem
    assert task.state == "subset" and (~task.manifest["available"]).sum() == 8
    assert len(prepare(task).rows) == 12


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0.0\t1.0\t0\n", "line 2"),
        ("0.0\tx\t0\t0\n", "not a number"),
        ("0.0\tnan\t0\t0\n", "not a number"),
        ("0.0\t1.0\t0\t2\n", "line 2"),
    ],
)
def test_a_malformed_annotation_is_one_error_and_costs_its_recording(tmp_path, line, said):
    folder = _corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Meditron.txt").write_text("0.0\t0.5\t0\t0\n" + line)
    task = load_task("icbhi.cycles4", tmp_path)
    (finding,) = errors(task)
    assert finding.where.endswith("101_1b1_Al_sc_Meditron.txt") and said in finding.problem and finding.remedy
    assert len(task.manifest) == 16
    with pytest.raises(BadInput, match=r"101_1b1_Al_sc_Meditron.txt.*--on-bad-clip=exclude"):
        prepare(task)
    prepared = prepare(task, "exclude")
    assert len(prepared.rows) == 16 and prepared.excluded == (finding,) and prepared.incomplete


def test_an_empty_annotation_and_audio_without_one_are_errors(tmp_path):
    folder = _corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Meditron.txt").write_text("")
    (folder / "107_2b3_Al_mc_AKGC417L.txt").unlink()
    found = {finding.code: finding for finding in errors(load_task("icbhi.cycles4", tmp_path))}
    assert found["annotation"].problem == "holds no cycle"
    assert found["no-annotation"].where.endswith("107_2b3_Al_mc_AKGC417L.wav")


def test_a_second_annotation_of_a_recording_is_an_error(tmp_path):
    folder = _corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Zoom.txt").write_text(_corpora.CYCLES)
    (finding,) = errors(load_task("icbhi.cycles4", tmp_path))
    assert finding.code == "duplicate-annotation" and "101_1b1_Al_sc_Meditron.txt" in finding.problem


def test_no_copy_and_several_copies_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no copy.*bhichallenge.*free for research"):
        load_task("icbhi.cycles4", tmp_path)
    _corpora.icbhi(tmp_path / "one")
    _corpora.icbhi(tmp_path / "two")
    with pytest.raises(BadInput, match=r"several copies.*one/ICBHI.*two/ICBHI"):
        load_task("icbhi.cycles4", tmp_path)


def test_cards_describe_the_scores():
    four, two = icbhi.CARDS
    assert four.adventitious == (1, 2, 3) and two.adventitious == (1,)
    assert list(four.tests) == ["corrected", "official"]
    assert two.counts["test_overlap"] == {"recordings": 12, "patients": 2, "normal": 19, "abnormal": 101}
