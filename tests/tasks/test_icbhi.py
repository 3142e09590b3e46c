import pytest
import soundfile

import tiny_corpora
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from bench.scores import label_kinds
from bench.types import Finding
from tasks import icbhi
from tasks._shared import icbhi_copy, icbhi_splits, layout


def errors(task) -> list[Finding]:
    return [finding for finding in task.findings if finding.level == "error"]


def test_labels_are_the_two_flags(tmp_path):
    tiny_corpora.icbhi(tmp_path)
    ids = ("icbhi.cycles4", "icbhi.cycles2", "icbhi.bits")
    four, two, bits = (load_task(id, tmp_path).manifest for id in ids)
    assert list(four["label"][:4]) == [0, 1, 2, 3] and list(two["label"][:4]) == [0, 1, 1, 1]
    assert label_kinds.bits(bits["label"][:4], 2).tolist() == [
        [False, False],
        [True, False],
        [False, True],
        [True, True],
    ]
    assert four["clip_id"][0] == "101_1b1_Al_sc#c000" and four["end_s"][3] == 2.0


def test_overlap_patients_have_a_split_of_their_own(tmp_path):
    tiny_corpora.icbhi(tmp_path)
    frame = load_task("icbhi.cycles4", tmp_path).manifest
    assert dict(zip(frame["path"].str.extract(r"/(\d{3}_\w\w\w)")[0], frame["split"])) == {
        "101_1b1": "test",
        "107_2b3": "train",
        "156_2b3": "train",
        "156_8b3": "test_overlap",
    }


@pytest.mark.parametrize("below", ["", "ICBHI", "ICBHI/ICBHI_final_database"])
def test_the_corpus_is_found_from_any_folder_above_it(tmp_path, below):
    tiny_corpora.icbhi(tmp_path)
    task = load_task("icbhi.cycles4", tmp_path / below)
    assert len(task.manifest) == 20 and all((task.root / path).is_file() for path in task.manifest["path"])


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_split_file_variants_agree(tmp_path, ends):
    tiny_corpora.icbhi(tmp_path)
    lines = [f"{name}\t{half}" for name, half in tiny_corpora.ICBHI_SPLIT.items()] + ["226_1b1_Pl_sc_Meditron\ttrain"]
    (tmp_path / "ICBHI" / icbhi.SPLIT_FILE).write_bytes(ends.join([*lines, ""]).encode())
    task = load_task("icbhi.cycles4", tmp_path)
    assert errors(task) == [] and len(task.manifest) == 20


def test_the_phantom_line_of_another_device_is_not_a_second_recording(tmp_path):
    """Some copies of the split file name 226_1b1_Pl twice, once with a device that it was not recorded with."""
    split = {**tiny_corpora.ICBHI_SPLIT, "226_1b1_Pl_sc_LittC2SE": "train"}
    tiny_corpora.icbhi(tmp_path, split)
    lines = [f"{name}\t{half}" for name, half in split.items()] + ["226_1b1_Pl_sc_Meditron\ttrain"]
    (tmp_path / "ICBHI" / icbhi.SPLIT_FILE).write_text("\n".join(lines))
    task = load_task("icbhi.cycles4", tmp_path)
    rows = task.manifest[task.manifest["clip_id"].str.startswith("226_1b1_Pl")]
    assert errors(task) == [] and len(rows) == 4 and len(task.manifest) == 24
    assert set(rows["domain"]) == {"LittC2SE"} and set(rows["split"]) == {"train"} and rows["available"].all()


def test_without_split_file_the_official_split_holds(tmp_path):
    tiny_corpora.icbhi(tmp_path / "with")
    tiny_corpora.icbhi(tmp_path / "without", split_file=False)
    with_file, without = (load_task("icbhi.cycles4", tmp_path / name).manifest for name in ("with", "without"))
    assert list(with_file["split"]) == list(without["split"])


def test_a_split_that_is_not_the_official_one_is_an_error(tmp_path):
    tiny_corpora.icbhi(tmp_path, {**tiny_corpora.ICBHI_SPLIT, "101_1b1_Al_sc_Meditron": "train"})
    (finding,) = errors(load_task("icbhi.cycles4", tmp_path))
    assert finding.where.endswith(icbhi.SPLIT_FILE) and "101_1b1_Al_sc_Meditron in train" in finding.problem


def test_simulated_corpora_have_their_own_split(tmp_path):
    tiny_corpora.icbhi(tmp_path, {"101_1b1_Al_sc_Litt3200": "train", "102_1b1_Al_sc_LittC2SE": "test"}, simulated=True)
    task = load_task("icbhi.cycles4", tmp_path)
    assert task.state == "simulated" and errors(task) == []
    assert sorted(set(task.manifest["domain"])) == ["Litt3200", "LittC2SE"]


def test_a_leaked_patient_is_refused(tmp_path):
    split = {"101_1b1_Al_sc_X": "train", "102_1b1_Al_sc_X": "train", "101_1b1_Ar_sc_X": "test"}
    tiny_corpora.icbhi(tmp_path, split, simulated=True)
    task = load_task("icbhi.cycles4", tmp_path)
    for choice in ("error", "exclude"):
        with pytest.raises(BadInput, match="patient 101 in train and in test"):
            prepare(task, choice)


def test_old_device_names_join_and_are_mended(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Meditron.wav").rename(folder / "101_1b1_Al_sc_LittC2SE.wav")
    task = load_task("icbhi.cycles4", tmp_path)
    row = task.manifest.iloc[0]
    assert errors(task) == [] and row["available"]
    assert row["path"].endswith("LittC2SE.wav") and row["domain"] == "Meditron"


def test_flac_is_as_good_as_wav(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path)
    first = prepare(load_task("icbhi.cycles4", tmp_path))
    for path in folder.glob("*.wav"):
        wave, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path.with_suffix(".flac"), wave, rate)
        path.unlink()
    assert prepare(load_task("icbhi.cycles4", tmp_path)).digest == first.digest


def test_a_copy_without_some_audio_is_a_subset(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path, simulated=False)
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
    folder = tiny_corpora.icbhi(tmp_path)
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
    folder = tiny_corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Meditron.txt").write_text("")
    (folder / "107_2b3_Al_mc_AKGC417L.txt").unlink()
    found = {finding.code: finding for finding in errors(load_task("icbhi.cycles4", tmp_path))}
    assert found["annotation"].problem == "holds no cycle"
    assert found["no-annotation"].where.endswith("107_2b3_Al_mc_AKGC417L.wav")


def test_a_second_annotation_of_a_recording_is_an_error(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path)
    (folder / "101_1b1_Al_sc_Zoom.txt").write_text(tiny_corpora.CYCLES)
    (finding,) = errors(load_task("icbhi.cycles4", tmp_path))
    assert finding.code == "duplicate-annotation" and "101_1b1_Al_sc_Meditron.txt" in finding.problem


def test_no_copy_and_several_copies_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no copy.*bhichallenge.*free for research"):
        load_task("icbhi.cycles4", tmp_path)
    tiny_corpora.icbhi(tmp_path / "one")
    tiny_corpora.icbhi(tmp_path / "two")
    with pytest.raises(BadInput, match=r"several copies.*one/ICBHI.*two/ICBHI"):
        load_task("icbhi.cycles4", tmp_path)


def test_a_copy_without_some_annotations_is_a_subset_and_says_so(tmp_path):
    tiny_corpora.icbhi(tmp_path, simulated=False)
    task = load_task("icbhi.cycles4", tmp_path)
    (finding,) = [finding for finding in task.findings if finding.code == "missing-annotations"]
    assert finding.level == "warning" and "915 of the 920" in finding.problem and task.state == "subset"


def persons(folder, text="101\t3.0\tF\tNA\n107\t75\tM\t30\n156\tNA\tNA\tNA\n"):
    (folder.parent / "ICBHI_Challenge_demographic_information.txt").write_text(text)


def test_sex_and_age_group_are_the_copys_own(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path)
    unknown = load_task("icbhi.cycles4", tmp_path)
    assert set(unknown.manifest["meta_sex"]) == set(unknown.manifest["meta_age_group"]) == {"unknown"}
    assert any(finding.code == "demographics" and finding.level == "note" for finding in unknown.findings)
    persons(folder)
    frame = load_task("icbhi.cycles4", tmp_path).manifest.drop_duplicates("group")
    assert dict(zip(frame["group"], zip(frame["meta_sex"], frame["meta_age_group"]))) == {
        "101": ("F", "child"),
        "107": ("M", "adult"),
        "156": ("unknown", "unknown"),
    }
    assert set(layout.shipped("icbhi.csv")[0]) == {"recording", "patient", "split", "fold", "split_opera"}


def test_sex_and_age_group_are_no_part_of_the_datas_identity(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path)
    before = prepare(load_task("icbhi.cycles4", tmp_path)).digest
    persons(folder)
    assert prepare(load_task("icbhi.cycles4", tmp_path)).digest == before


DIAGNOSES = "101\tURTI\n107\tCOPD\n156\tCOPD\n158\tHealthy\n"


@pytest.mark.parametrize("name", icbhi_copy.DIAGNOSES)
def test_diseases_are_read_from_the_copys_own_file(tmp_path, name):
    folder = tiny_corpora.icbhi(tmp_path)
    text = DIAGNOSES.replace("\t", ",") if name.endswith("csv") else DIAGNOSES
    (folder.parent / name).write_text(text)
    two, three = (load_task(id, tmp_path) for id in ("icbhi.disease2", "icbhi.disease3"))
    assert dict(zip(two.manifest["clip_id"], two.manifest["label"])) == {
        "107_2b3_Al_mc": 1,
        "107_2b3_Ar_mc": 1,
        "156_2b3_Ar_mc": 1,
        "156_8b3_Al_mc": 1,
    }
    assert list(two.manifest["split"]) == ["train", "train", "train", "test_overlap"]
    assert dict(zip(three.manifest["group"], three.manifest["label"])) == {"101": 2, "107": 1, "156": 1}
    (left_out,) = [finding for finding in two.findings if finding.code == "left-out"]
    assert left_out.problem == "1 recordings of patients with another diagnosis (URTI) are left out"
    assert errors(two) == errors(three) == []
    assert prepare(three).rows["end_s"].tolist() == [2.0] * 5


def test_without_diagnoses_the_file_and_its_source_are_named(tmp_path):
    tiny_corpora.icbhi(tmp_path)
    with pytest.raises(BadInput, match=r"icbhi.disease2 needs.*ICBHI_Challenge_diagnosis.txt.*bhichallenge"):
        load_task("icbhi.disease2", tmp_path)


def test_unknown_and_missing_diagnoses_are_errors(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path)
    (folder / "ICBHI_Challenge_diagnosis.txt").write_text("101\tURTI\n107\tPlague\n")
    unknown, missing = errors(load_task("icbhi.disease3", tmp_path))
    assert "line 2" in unknown.problem and "Plague" in unknown.problem
    assert missing.problem == "2 patients with recordings have no diagnosis (the first is 107)"


def test_folds_keep_patients_whole_and_ignore_the_official_split(tmp_path):
    tiny_corpora.icbhi(tmp_path, dict.fromkeys(tiny_corpora.ICBHI_SPLIT, "train"))
    task = load_task("icbhi.cycles4@fold0", tmp_path)
    assert dict(zip(task.manifest["group"], task.manifest["split"])) == {"101": "train", "107": "test", "156": "test"}
    assert errors(task) == [] and task.card.known_overlap == () and task.card.tests == {"test": ("test",)}


def test_published_splits_do_not_know_simulated_patients(tmp_path):
    tiny_corpora.icbhi(tmp_path, simulated=True)
    with pytest.raises(BadInput, match=r"fold1 does not know its patients; take icbhi.bits"):
        load_task("icbhi.bits@fold1", tmp_path)


def test_a_device_left_out_takes_its_patients_with_it(tmp_path):
    names = ("301_1b1_Al_sc_A", "301_1b1_Ar_sc_Meditron", "302_1b1_Al_sc_A", "303_1b1_Al_sc_Meditron")
    tiny_corpora.icbhi(tmp_path, dict.fromkeys(names, "train"), simulated=True)
    task = load_task("icbhi.cycles2@lodo-Meditron", tmp_path)
    assert dict(zip(task.manifest["clip_id"].str[:10], task.manifest["split"])) == {
        "301_1b1_Ar": "test",
        "302_1b1_Al": "train",
        "303_1b1_Al": "test",
    }
    (note,) = [finding for finding in task.findings if finding.code == "left-out"]
    assert note.problem.startswith("1 recordings") and "(301)" in note.problem


@pytest.mark.parametrize(("patients", "said"), [(10, None), (9, "test has 9 normal and 27 abnormal cycles of 9 pat")])
def test_a_device_left_out_stays_blank_where_too_little_is_left(tmp_path, patients, said):
    names = [f"{301 + n}_1b1_Al_sc_A" for n in range(10)] + [f"{401 + n}_1b1_Al_sc_Meditron" for n in range(patients)]
    tiny_corpora.icbhi(tmp_path, dict.fromkeys(names, "train"), simulated=True)
    task = load_task("icbhi.bits@lodo-Meditron", tmp_path)
    if said is None:
        assert len(prepare(task).rows) == 80
        return
    with pytest.raises(BadInput, match=rf"lodo-Meditron: {said}.*complete the corpus.*leave the task blank"):
        prepare(task, "exclude")


def test_a_device_left_out_is_judged_by_the_audio_at_hand(real_data):
    task = load_task("icbhi.cycles2@lodo-LittC2SE", real_data)
    test = task.manifest[task.manifest["available"] & (task.manifest["split"] == "test")]
    refused = any(finding.code == "counts" for finding in task.findings)
    assert refused == (test["group"].nunique() < icbhi_splits.FEWEST_PATIENTS)


def test_cards_describe_the_scores():
    four, two, bits, disease2, disease3 = icbhi.CARDS
    assert four.adventitious == (1, 2, 3) and two.adventitious == (1,) and disease3.adventitious == (1, 2)
    assert all(list(card.tests) == ["corrected", "official"] for card in icbhi.CARDS)
    assert two.counts["test_overlap"] == {"recordings": 12, "patients": 2, "normal": 19, "abnormal": 101}
    assert bits.counts["test_overlap"] == {"recordings": 12, "patients": 2, "crackle": 89, "wheeze": 69}
    assert bits.kind == "multilabel" and bits.main_metric == "auroc.bits" and disease2.main_metric == "auroc"
