"""Simulated corpora: layouts, counts, reproducibility, exact knobs, and publication all at once or not at all."""

import filecmp
import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench import simulate
from bench.base.errors import BadInput, UnknownId
from bench.data.simulate import generate, lookalikes

TINY_ICBHI = {"patients": 10, "cycles": 3, "cycle_s": 0.6}
TINY_SPR = {"patients": 18, "recordings_per_patient": 2}
SPR_FOLDERS = {"train": "train_json", "inter": "test_json/inter_test_json", "intra": "test_json/intra_test_json"}


@pytest.fixture(scope="module")
def icbhi(tmp_path_factory):
    folder = tmp_path_factory.mktemp("icbhi") / "ICBHI"
    return folder, simulate.icbhi(folder, **TINY_ICBHI)


@pytest.fixture(scope="module")
def sprsound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sprsound") / "SPRSound"
    return folder, simulate.sprsound(folder)


@pytest.fixture
def without_audio(monkeypatch):
    """Annotations alone, for tests that only count."""
    monkeypatch.setattr("bench.data.simulate.lookalikes.write_audio", lambda *args: None)


def icbhi_split(folder):
    return dict(line.split("\t") for line in (folder / "ICBHI_challenge_train_test.txt").read_text().splitlines())


def icbhi_cycles(folder):
    """{recording: [(start_s, end_s, crackle, wheeze), …]}"""
    files = (folder / "ICBHI_final_database").glob("*.txt")
    return {f.stem: [tuple(map(float, row.split("\t"))) for row in f.read_text().splitlines()] for f in files}


def spr_files(folder, split):
    return {f.stem: json.loads(f.read_text()) for f in (folder / SPR_FOLDERS[split]).glob("*.json")}


def patients(stems):
    return {stem.split("_")[0] for stem in stems}


def same_files(a, b):
    """Whether two folders hold the same files, byte by byte."""
    names = sorted(p.relative_to(a) for p in a.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(b) for p in b.rglob("*") if p.is_file())
    return [name for name in names if not filecmp.cmp(a / name, b / name, shallow=False)] == []


# --------------------------------------------------------------------------- ICBHI


def test_icbhi_layout(icbhi):
    folder, _ = icbhi
    split, cycles = icbhi_split(folder), icbhi_cycles(folder)
    waves = {f.stem for f in (folder / "ICBHI_final_database").glob("*.wav")}
    assert set(split) == set(cycles) == waves
    assert len({tuple(stem.split("_")[:4]) for stem in waves}) == len(waves)
    for stem, rows in cycles.items():
        patient, _, location, mode, device = stem.split("_")
        assert 301 <= int(patient) <= 999 and location in {"Tc", "Al", "Ar", "Pl", "Pr", "Ll", "Lr"}
        assert mode in {"sc", "mc"} and device in lookalikes.ICBHI_DEVICES
        assert all(a[1] == b[0] for a, b in pairwise(rows))  # contiguous
        assert all(0 <= start < end for start, end, *_ in rows)
        assert rows[-1][1] <= soundfile.info(folder / "ICBHI_final_database" / f"{stem}.wav").duration
    listed = {row.split("\t")[0] for row in (folder / "ICBHI_Challenge_diagnosis.txt").read_text().splitlines()}
    assert listed == patients(waves)


def test_icbhi_native_rates_follow_the_device(icbhi):
    folder, _ = icbhi
    rates = defaultdict(set)
    for wave in (folder / "ICBHI_final_database").glob("*.wav"):
        info = soundfile.info(wave)
        assert (info.channels, info.subtype) == (1, "PCM_16")
        rates[wave.stem.rsplit("_", 1)[1]].add(info.samplerate)
    assert {device: len(found) for device, found in rates.items()} == dict.fromkeys(lookalikes.ICBHI_DEVICES, 1)
    assert len(set.union(*rates.values())) == 4


def test_icbhi_counts(icbhi):
    folder, facts = icbhi
    assert json.loads((folder / simulate.MARKER).read_text()) == facts
    split, cycles = icbhi_split(folder), icbhi_cycles(folder)
    for name in ("train", "test"):
        stems = [stem for stem in split if split[stem] == name]
        bits = Counter((int(c), int(w)) for stem in stems for *_, c, w in cycles[stem])
        assert facts["counts"][name] == {
            "recordings": len(stems),
            "patients": len(patients(stems)),
            "normal": bits[0, 0],
            "crackle": bits[1, 0],
            "wheeze": bits[0, 1],
            "both": bits[1, 1],
            "total": bits.total(),
        }
        assert min(bits.values()) > 0 and len(bits) == 4


def test_icbhi_patients_are_on_one_side(icbhi):
    folder, facts = icbhi
    split = icbhi_split(folder)
    train, test = (patients(s for s in split if split[s] == side) for side in ("train", "test"))
    assert facts["leaked_patients"] == [] and not train & test
    assert (len(train), len(test)) == (6, 4)


# --------------------------------------------------------------------------- SPRSound


@pytest.mark.long
def test_sprsound_layout_and_counts(sprsound):
    folder, facts = sprsound
    for split in SPR_FOLDERS:
        files = spr_files(folder, split)
        events = Counter(event["type"] for content in files.values() for event in content["event_annotation"])
        records = Counter(content["record_annotation"] for content in files.values())
        counts = facts["counts"][split]
        assert (counts["recordings"], counts["patients"]) == (len(files), len(patients(files)))
        assert counts["events"] == events.total()
        assert {k: v for k, v in counts["event_types"].items() if v} == events
        assert {k: v for k, v in counts["record_types"].items() if v} == records
        sounds = folder / ("train_wav" if split == "train" else "test_wav")
        for stem, content in files.items():
            _, age, gender, place, _ = stem.split("_")
            assert 0 <= float(age) <= 18 and gender in "01" and place in {"p1", "p2", "p3", "p4"}
            info = soundfile.info(sounds / f"{stem}.wav")
            assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
            times = sorted((int(event["start"]), int(event["end"])) for event in content["event_annotation"])
            assert all(0 <= start < end <= 1000 * info.duration for start, end in times)
            assert all(a[1] <= b[0] for a, b in pairwise(times))
    numbers = [stem.split("_")[-1] for split in SPR_FOLDERS for stem in spr_files(folder, split)]
    assert len(set(numbers)) == len(numbers)


def test_sprsound_record_label_is_the_union_of_its_events(sprsound):
    folder, _ = sprsound
    continuous, discontinuous = {"Rhonchi", "Wheeze", "Stridor"}, {"Coarse Crackle", "Fine Crackle"}
    for split in SPR_FOLDERS:
        for content in spr_files(folder, split).values():
            kinds = {event["type"] for event in content["event_annotation"]}
            cas = bool(kinds & (continuous | {"Wheeze+Crackle"}))
            das = bool(kinds & (discontinuous | {"Wheeze+Crackle"}))
            expected = {(0, 0): "Normal", (1, 0): "CAS", (0, 1): "DAS", (1, 1): "CAS & DAS"}[cas, das]
            assert content["record_annotation"] == (expected if kinds else "Poor Quality")


@pytest.mark.parametrize("seed", range(8))
def test_every_sprsound_class_can_be_cross_validated(seed, tmp_path, without_audio):
    counts = simulate.sprsound(tmp_path / "s", seed=seed)["counts"]["train"]
    assert min(counts["event_types"].values()) >= 5 and min(counts["record_types"].values()) >= 5
    assert counts["event_types"]["Stridor"] < 0.1 * counts["events"]


def test_sprsound_events_are_unsorted_in_two_files_of_five(sprsound):
    folder, _ = sprsound
    unsorted = total = 0
    for split in SPR_FOLDERS:
        for content in spr_files(folder, split).values():
            starts = [int(event["start"]) for event in content["event_annotation"]]
            unsorted, total = unsorted + (starts != sorted(starts)), total + 1
    assert unsorted == round(0.4 * total)


def test_sprsound_patients(sprsound):
    folder, _ = sprsound
    train, inter, intra = (patients(spr_files(folder, split)) for split in ("train", "inter", "intra"))
    assert intra and intra < train and not inter & train


# --------------------------------------------------------------------------- knobs


@pytest.mark.parametrize("leak", [0.25, 0.5, 1.0])
def test_leak_is_exact_and_moves_recordings_only(leak, icbhi, tmp_path):
    facts = simulate.icbhi(tmp_path / "leaky", **TINY_ICBHI, leak=leak)
    split = icbhi_split(tmp_path / "leaky")
    train, test = (patients(s for s in split if split[s] == side) for side in ("train", "test"))
    assert sorted(train & test) == facts["leaked_patients"]
    assert len(train & test) == round(leak * 4)
    assert same_files(icbhi[0] / "ICBHI_final_database", tmp_path / "leaky" / "ICBHI_final_database")


def test_leak_of_sprsound_is_between_train_and_inter(tmp_path):
    facts = simulate.sprsound(tmp_path / "s", **TINY_SPR, leak=0.5)
    train, inter, intra = (patients(spr_files(tmp_path / "s", split)) for split in ("train", "inter", "intra"))
    assert sorted(train & inter) == facts["leaked_patients"] and len(inter) == 5 and len(train & inter) == 2
    assert not inter & intra


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_label_noise_is_exact_and_swaps_normal_and_abnormal(noise, icbhi, tmp_path):
    facts = simulate.icbhi(tmp_path / "noisy", **TINY_ICBHI, label_noise=noise)
    clean, noisy = icbhi_cycles(icbhi[0]), icbhi_cycles(tmp_path / "noisy")
    wrong = [[s, k] for s in clean for k, (a, b) in enumerate(zip(clean[s], noisy[s])) if a != b]
    assert sorted(wrong) == sorted(facts["mislabelled"]) and len(wrong) == round(noise * 60)
    assert all(any(clean[s][k][2:]) != any(noisy[s][k][2:]) for s, k in wrong)
    sound = "ICBHI_final_database/" + next(iter(clean)) + ".wav"
    assert (icbhi[0] / sound).read_bytes() == (tmp_path / "noisy" / sound).read_bytes()


def test_label_noise_of_sprsound_is_exact(tmp_path):
    facts = simulate.sprsound(tmp_path / "s", **TINY_SPR, label_noise=0.2)
    assert len(facts["mislabelled"]) == round(0.2 * sum(split["events"] for split in facts["counts"].values()))


def test_full_shortcut_lets_the_device_decide(tmp_path):
    facts = simulate.icbhi(tmp_path / "c", **TINY_ICBHI, shortcut=1.0)
    for stem, rows in icbhi_cycles(tmp_path / "c").items():
        abnormal = stem.endswith(lookalikes.ICBHI_DEVICES[:2])
        assert all(any(row[2:]) == abnormal for row in rows)
    assert all(0 < facts["counts"][side]["normal"] < facts["counts"][side]["total"] for side in ("train", "test"))


def test_without_shortcut_every_device_hears_both(tmp_path, without_audio):
    simulate.icbhi(tmp_path / "c", patients=40, cycles=4, cycle_s=0.3)
    abnormal = defaultdict(list)
    for stem, rows in icbhi_cycles(tmp_path / "c").items():
        abnormal[stem.rsplit("_", 1)[1]] += [any(row[2:]) for row in rows]
    shares = [np.mean(found) for found in abnormal.values()]
    assert len(shares) == 4 and max(shares) - min(shares) < 0.2


@pytest.mark.parametrize("count", [40, 503])
def test_clips_are_as_many_as_asked_for(count, tmp_path):
    facts = simulate.clips(tmp_path / "c", count, clip_s=0.2)
    assert sum(split["total"] for split in facts["counts"].values()) == count
    assert sum(map(len, icbhi_cycles(tmp_path / "c").values())) == count


def test_flac_holds_the_same_samples(icbhi, tmp_path):
    simulate.icbhi(tmp_path / "c", **TINY_ICBHI, audio_format="flac")
    for wave in (icbhi[0] / "ICBHI_final_database").glob("*.wav"):
        flac = tmp_path / "c" / "ICBHI_final_database" / f"{wave.stem}.flac"
        assert np.array_equal(soundfile.read(wave)[0], soundfile.read(flac)[0])


# --------------------------------------------------------------------------- reproducibility and publication


def test_same_call_same_bytes(icbhi, tmp_path):
    simulate.icbhi(tmp_path / "again", **TINY_ICBHI)
    assert same_files(icbhi[0], tmp_path / "again")


@pytest.mark.long
def test_sprsound_same_call_same_bytes(tmp_path):
    for name in ("a", "b"):
        simulate.sprsound(tmp_path / name, **TINY_SPR)
    assert same_files(tmp_path / "a", tmp_path / "b")


def test_seeds_differ(icbhi, tmp_path):
    simulate.icbhi(tmp_path / "other", **TINY_ICBHI, seed=1)
    samples = [
        {f.read_bytes() for f in (folder / "ICBHI_final_database").glob("*.wav")}
        for folder in (icbhi[0], tmp_path / "other")
    ]
    assert not samples[0] & samples[1]


@pytest.mark.long
def test_corpora_are_written_once(tmp_path, monkeypatch):
    monkeypatch.setitem(simulate.SIZES, "small", {"ICBHI": TINY_ICBHI, "SPRSound": TINY_SPR})
    first = simulate.corpora(tmp_path, seed=3, snr_db=9, shortcut=0.5)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert simulate.corpora(tmp_path, seed=3, snr_db=9, shortcut=0.5) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    assert {path.name for path in tmp_path.iterdir()} == {"ICBHI", "SPRSound"}
    with pytest.raises(BadInput, match="another simulation"):
        simulate.corpora(tmp_path, seed=4)


def test_an_interrupted_call_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.data.simulate.lookalikes.json.dumps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate.sprsound(tmp_path / "SPRSound", **TINY_SPR)
    assert list(tmp_path.iterdir()) == []


def test_a_slower_process_takes_what_a_faster_one_made(tmp_path, monkeypatch):
    write = generate.write_icbhi

    def overtaken(made, *args):
        facts = write(made, *args)
        monkeypatch.undo()
        simulate.icbhi(tmp_path / "ICBHI", **TINY_ICBHI)
        return facts

    monkeypatch.setattr(generate, "write_icbhi", overtaken)
    facts = simulate.icbhi(tmp_path / "ICBHI", **TINY_ICBHI)
    assert facts == json.loads((tmp_path / "ICBHI" / simulate.MARKER).read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["ICBHI"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "recording.wav").write_bytes(b"mine")
    with pytest.raises(BadInput, match="other files"):
        simulate.icbhi(tmp_path)
    assert [path.name for path in Path(tmp_path).iterdir()] == ["recording.wav"]


@pytest.mark.parametrize(
    "knobs",
    [
        {"leak": 1.5},
        {"label_noise": -0.1},
        {"shortcut": float("nan")},
        {"snr_db": float("inf")},
        {"patients": 2},
        {"leak": 0.5, "recordings_per_patient": 1},
        {"clips": 5},
        {"cycles": 0},
    ],
)
def test_impossible_knobs_are_refused(knobs, tmp_path):
    with pytest.raises(BadInput):
        simulate.icbhi(tmp_path / "c", **knobs)
    assert not (tmp_path / "c").exists()


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(UnknownId, match="snr_db"):
        simulate.corpora(tmp_path, snr_dB=3)
    with pytest.raises(UnknownId, match="small"):
        simulate.corpora(tmp_path, size="smal")
    with pytest.raises(UnknownId, match="flac"):
        simulate.icbhi(tmp_path / "c", audio_format="flak")
    with pytest.raises(UnknownId, match="Meditron"):
        simulate.icbhi(tmp_path / "c", devices=("Meditro",))
