from functools import cache, partial

import pytest
import soundfile

import published_tables
import tiny_corpora
from bench.base import registry
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks._shared import table as tabular

# id: (published table, {split: clips per class}, groups)
OPEN = {
    "covid_uk.exhalation": ("t01", {"train": (652, 348), "val": (327, 173), "test": (681, 319)}, 2500),
    "covid_uk.cough": ("t02", {"train": (634, 366), "val": (296, 204), "test": (686, 314)}, 2500),
    "coughvid.covid": ("t05", {"train": (2501, 248), "val": (826, 93), "test": (2301, 206)}, 6175),
    "coughvid.sex": ("t06", {"train": (2154, 1064), "val": (717, 373), "test": (1924, 1031)}, 7263),
    "coswara.smoker": ("t08", {"train": (477, 129), "val": (120, 32), "test": (150, 40)}, 948),
    "coswara.sex": ("t09", {"train": (1111, 485), "val": (278, 122), "test": (348, 152)}, 2496),
    "kauh.obstructive": ("t10", {"train": (57, 81), "val": (6, 12), "test": (42, 36)}, 78),
    "copd.severity": (
        "t11",
        {"train": (48, 36, 60, 48, 120), "val": (12, 12, 12, 12, 36), "test": (12, 12, 12, 24, 48)},
        42,
    ),
}
FIRST, SECOND = "H002_L1", "H002_L2"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Tasks by id on a folder without any recording."""
    return cache(partial(load_task, root=tmp_path_factory.mktemp("empty")))


def pooled(task) -> dict[str, tuple[int, ...]]:
    """Clips per class of train, val and all tests together."""
    frame = task.manifest.assign(split=task.manifest["split"].str.replace(r"test.*", "test", regex=True))
    return {
        split: tuple(int((part["label"] == k).sum()) for k in range(len(task.card.classes)))
        for split, part in frame.groupby("split")
    }


@pytest.mark.parametrize("id", OPEN)
@pytest.mark.parametrize("variant", ["", f"@{tabular.LITERATURE}"])
def test_the_table_alone_has_the_published_counts(alone, id, variant):
    """A card's counts are asserted by the manifest's validation, the sums of its splits here."""
    task = alone(id + variant)
    _, expected, groups = OPEN[id]
    assert published_tables.found(task, "error") == {}
    assert len(task.manifest) == sum(map(sum, expected.values())) and task.manifest["group"].nunique() == groups
    if id != "kauh.obstructive" or not variant:
        assert pooled(task) == expected
    assert task.state == "subset" and not task.manifest["available"].any()
    assert task.manifest["path"].is_unique and task.manifest["end_s"].isna().all()
    assert set(task.manifest["split"]) == set(task.card.counts)
    with pytest.raises(BadInput, match="no clip has usable audio"):
        prepare(task)


@pytest.mark.parametrize("id", OPEN)
def test_tables_are_the_published_ones(real_data, alone, id):
    """Recording, participant, label, split, and every row of the published table once."""
    frame = alone(id).manifest
    split = frame["split"].str.partition("_")[0]
    have = set(zip(frame["clip_id"], frame["group"], frame["label"].astype(str), split))
    expected = set()
    for row in published_tables.published(real_data, OPEN[id][0]):
        name = row["recording"].removesuffix(".wav")
        name = name.partition("_")[0] if id.startswith("kauh") else name
        expected.add((name, row["participant"] or name, row["label"], row["split"]))
    assert have == expected and len(frame) == len(expected)


@pytest.mark.parametrize(("id", "table"), [("coswara.smoker", "t08"), ("coswara.sex", "t09")])
def test_the_other_split_is_the_published_one(real_data, alone, id, table):
    frame = alone(f"{id}@google").manifest
    have = dict(zip(frame["clip_id"], frame["split"].str.partition("_")[0]))
    rows = published_tables.published(real_data, table)
    assert have == {row["recording"].removesuffix(".wav"): row["split_google"] for row in rows}


def test_counts_are_those_of_the_published_arrays(real_data, alone):
    counted = published_tables.counts(real_data)
    for id, name in {
        "covid_uk.exhalation": "T1",
        "covid_uk.cough": "T2",
        "coughvid.covid": "T5",
        "coughvid.sex": "T6",
        "coswara.smoker": "T8_default",
        "coswara.sex": "T9_default",
        "copd.severity": "T11",
        f"kauh.obstructive@{tabular.LITERATURE}": "T10_as_run (leaky)",
    }.items():
        assert pooled(alone(id)) == {split: tuple(counted[name][split].values()) for split in ("train", "val", "test")}
    for id, name in {"coswara.smoker@google": "T8_google", "coswara.sex@google": "T9_google"}.items():
        have = pooled(alone(id))
        assert have["test"] == tuple(counted[name]["test"].values())
        assert tuple(map(sum, zip(have["train"], have["val"]))) == tuple(counted[name]["train+val"].values())


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".WAV"])
@pytest.mark.parametrize("below", ["", "COPD/RespiratoryDatabase@TR"])
def test_audio_is_found_wherever_it_was_unpacked(tmp_path, suffix, below):
    published_tables.copy(tmp_path / below, (FIRST, SECOND), suffix)
    task = load_task("copd.severity", tmp_path)
    assert task.manifest["available"].sum() == 2 and len(prepare(task).rows) == 2
    assert all((tmp_path / path).is_file() for path in task.manifest.loc[task.manifest["available"], "path"])


def test_a_half_copied_corpus_is_a_subset(tmp_path):
    published_tables.copy(tmp_path / "copd", [FIRST])
    task = load_task("copd.severity", tmp_path)
    missing = published_tables.found(task, "warning")["missing-audio"]
    assert task.state == "subset" and "503 of 504" in missing.problem and missing.where == "copd"


@pytest.mark.long
def test_a_whole_copy_is_complete_and_formats_share_a_digest(tmp_path):
    names = list(load_task("copd.severity", tmp_path).manifest["clip_id"])
    folder = published_tables.copy(tmp_path / "copd", names)
    task = load_task("copd.severity", tmp_path)
    assert task.state == "complete" and task.findings == ()
    first = prepare(task).digest
    for path in folder.glob("H002_*.wav"):
        soundfile.write(path.with_suffix(".flac"), *soundfile.read(path, dtype="int16"))
        path.unlink()
    assert prepare(load_task("copd.severity", tmp_path)).digest == first


def test_a_recording_that_is_there_twice_is_told(tmp_path):
    published_tables.copy(tmp_path / "a", [FIRST], ".ogg")
    published_tables.copy(tmp_path / "b", [FIRST])
    task = load_task("copd.severity", tmp_path)
    again = published_tables.found(task, "warning")["duplicate-audio"]
    assert again.where == f"a/{FIRST}.ogg" and f"b/{FIRST}.wav" in set(task.manifest["path"])


@pytest.mark.parametrize("suffix", [".webm", ".m4a"])
def test_a_format_that_is_not_read_is_an_error_with_the_way_out(tmp_path, suffix):
    folder = published_tables.copy(tmp_path / "copd", [FIRST])
    (folder / f"{SECOND}{suffix}").write_bytes(b"?")
    task = load_task("copd.severity", tmp_path)
    fault = published_tables.found(task, "error")["format"]
    assert fault.clips == (SECOND,) and f"ffmpeg -i {SECOND}{suffix} {SECOND}.wav" in fault.remedy
    assert "503 of 504" not in published_tables.found(task)["missing-audio"].problem
    with pytest.raises(BadInput, match="not read"):
        prepare(task)
    prepared = prepare(task, "exclude")
    assert list(prepared.rows["clip_id"]) == [FIRST] and prepared.incomplete


def test_recordings_beside_those_of_the_task_are_told(tmp_path):
    published_tables.copy(tmp_path / "copd", [FIRST, "H999_L1"])
    published_tables.copy(tmp_path / "elsewhere", ["talk"])
    (tmp_path / "copd" / f"._{SECOND}.wav").write_bytes(b"left by an unpacker")
    task = load_task("copd.severity", tmp_path)
    assert published_tables.found(task, "note")["other-recordings"].problem.startswith("1 other recordings")
    assert task.manifest["available"].sum() == 1


def test_a_simulated_copy_says_so(tmp_path):
    published_tables.copy(tmp_path / "copd", [FIRST])
    (tmp_path / "copd" / "SIMULATED.json").write_text("{}")
    assert load_task("copd.severity", tmp_path).state == "simulated subset"


def test_counts_of_a_pooled_test():
    counts = tabular.counted(("no", "yes"), {"train": (3, 1), "test": (2, 0), "test_b": (1, 1)}, {"train": 2})
    assert counts["train"] == {"recordings": 4, "patients": 2, "no": 3, "yes": 1}
    card = registry.task_card("covid_uk.cough")
    assert tabular.as_run(card).counts["test"] == {
        "recordings": 1000,
        "patients": 1000,
        "PCR negative": 686,
        "PCR positive": 314,
    }


@pytest.mark.parametrize("id", OPEN)
def test_groups_are_on_one_side_of_the_headline_split(alone, id):
    frame = alone(id).manifest
    trained = frame["split"].isin(("train", "val"))
    assert not set(frame.loc[trained, "group"]) & set(frame.loc[~trained, "group"])


def test_a_tone_of_every_recording_differs(tmp_path):
    """Two recordings of equal audio would hide a wrong join."""
    tiny_corpora.tone(tmp_path / f"{FIRST}.wav", 0.25)
    tiny_corpora.tone(tmp_path / f"{SECOND}.wav", 0.25)
    assert (tmp_path / f"{FIRST}.wav").read_bytes() != (tmp_path / f"{SECOND}.wav").read_bytes()
