import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from bench.base import paths
from bench.data import audio, recordings

RATE = 8000


def noise(seed: int = 0, seconds: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE))


@pytest.fixture
def corpus(tmp_path):
    for index in range(3):
        soundfile.write(tmp_path / f"{index}.wav", noise(index), RATE)
    return tmp_path


def test_a_recording_is_described(corpus):
    found = recordings.inspect(corpus, ["0.wav", "1.wav", "0.wav"])
    assert list(found) == ["0.wav", "1.wav"]
    first = found["0.wav"]
    assert (first.rate, first.channels, first.frames, first.problem) == (RATE, 1, 4000, None)
    assert first.duration_s == 0.5 and first.digest != found["1.wav"].digest


def test_identity_is_that_of_the_audio_not_of_the_file(corpus):
    wave, _ = soundfile.read(corpus / "0.wav", dtype="int16")
    soundfile.write(corpus / "same.flac", wave, RATE)
    soundfile.write(corpus / "same24.wav", wave / 32768, RATE, subtype="PCM_24")
    soundfile.write(corpus / "rate.wav", wave, 4000)
    soundfile.write(corpus / "stereo.wav", wave.reshape(-1, 2), RATE)
    names = ["0.wav", "same.flac", "same24.wav", "rate.wav", "stereo.wav"]
    digests = [recording.digest for recording in recordings.inspect(corpus, names).values()]
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 3


def test_bad_files_are_described_not_raised(corpus):
    (corpus / "1.wav").write_bytes((corpus / "1.wav").read_bytes()[:500])
    soundfile.write(corpus / "2.wav", np.full(10, np.nan), RATE, subtype="FLOAT")
    found = recordings.inspect(corpus, ["0.wav", "1.wav", "2.wav", "gone.wav"])
    problems = [recording.problem for recording in found.values()]
    assert problems[0] is None
    assert "truncated" in problems[1] and "NaN" in problems[2] and "no such" in problems[3]
    assert all(recording.remedy for recording in list(found.values())[1:])
    assert [bool(recording.digest) for recording in found.values()] == [True, True, False, False]
    assert [recording.short for recording in found.values()] == [False, True, False, False]  # what is there is known


def test_what_a_short_file_holds_is_what_the_mended_file_holds(corpus):
    content = (corpus / "1.wav").read_bytes()[:1044]
    (corpus / "1.wav").write_bytes(content)
    soundfile.write(corpus / "mended.wav", noise(1)[:500], RATE)
    short, mended = recordings.inspect(corpus, ["1.wav", "mended.wav"]).values()
    assert (short.digest, short.frames) == (mended.digest, mended.frames) and short.short and not mended.problem


def test_what_cannot_be_learned_from_is_a_problem_and_what_is_odd_a_remark(corpus):
    wave = noise(0)
    soundfile.write(corpus / "0.wav", np.stack([wave, -wave], axis=1), RATE)
    soundfile.write(corpus / "1.wav", np.stack([wave, 0 * wave], axis=1), RATE)
    cancelling, dead, sound = recordings.inspect(corpus, ["0.wav", "1.wav", "2.wav"]).values()
    assert "cancel" in cancelling.problem and not cancelling.digest
    assert dead.problem is None and dead.digest and [remark.code for remark in dead.remarks] == ["dead-channel"]
    assert sound.remarks == ()


def test_nothing_that_fails_on_one_file_stops_the_others(corpus, monkeypatch):
    def remarks(wave, rate, name):
        return [1 / 0] if name == "1.wav" else []

    monkeypatch.setattr(recordings.plausible, "remarks", remarks)
    (corpus / "loop").symlink_to("loop")
    found = recordings.inspect(corpus, ["0.wav", "1.wav", "2.wav", f"{'a' * 300}.wav", "loop/a.wav"])
    problems = [recording.problem for recording in found.values()]
    assert problems[0] is None and problems[2] is None
    assert problems[1] == "cannot be checked (ZeroDivisionError: division by zero)"
    assert problems[3] == "cannot be read (File name too long)" and "no such sound file" in problems[4]
    assert all(found[path].remedy for path in found if found[path].problem)


def test_remarks_are_one_warning_for_each_kind(corpus):
    odd = recordings.Remark("level", "is loud", "turn it down")
    found = {name: recordings.Recording(name, RATE, 1, 9, remarks=(odd,)) for name in "ab"}
    (warning,) = recordings.oddities(found, {"a": ("a1", "a2"), "b": ("b1",)})
    assert (warning.level, warning.code, warning.where) == ("warning", "level", "a")
    assert warning.problem == "is loud (and 1 more recordings alike)" and warning.clips == ("a1", "a2", "b1")


def test_a_second_look_opens_no_sound_file(corpus, monkeypatch):
    soundfile.write(corpus / "2.wav", np.zeros(100), RATE)  # which is remarked upon
    names = ["0.wav", "1.wav", "2.wav"]
    first = recordings.inspect(corpus, names)
    assert first["2.wav"].remarks
    monkeypatch.setattr(audio, "decoded", lambda path: pytest.fail("decoded again"))
    assert recordings.inspect(corpus, names) == first
    assert recordings.inspect(corpus.parent, [f"{corpus.name}/0.wav"])[f"{corpus.name}/0.wav"] == first["0.wav"]


def test_a_changed_or_mended_file_is_looked_at_again(corpus):
    good = (corpus / "0.wav").read_bytes()
    before = recordings.inspect(corpus, ["0.wav"])["0.wav"]
    soundfile.write(corpus / "0.wav", noise(9, 0.25), RATE)
    assert recordings.inspect(corpus, ["0.wav"])["0.wav"].frames == 2000
    (corpus / "0.wav").write_bytes(good[:200])
    assert recordings.inspect(corpus, ["0.wav"])["0.wav"].problem
    (corpus / "0.wav").write_bytes(good)
    assert recordings.inspect(corpus, ["0.wav"])["0.wav"] == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"0.wav": 3}', '{"0.wav": {"stamp": [1, 2]}}'])
def test_a_damaged_cache_is_ignored(corpus, content, monkeypatch):
    monkeypatch.setenv("RESPBENCH_CACHE", str(corpus / "cache"))
    first = recordings.inspect(corpus, ["0.wav"])
    (cache,) = (paths.cache_root() / "recordings").iterdir()
    cache.write_text(content)
    assert recordings.inspect(corpus, ["0.wav"]) == first


def test_progress_counts_every_recording(corpus):
    ticks = []

    @contextmanager
    def progress(label, total):
        ticks.append(-total)
        yield ticks.append

    for _ in range(2):
        recordings.inspect(corpus, ["0.wav", "1.wav"], progress)
        assert sum(ticks) == 0


@pytest.mark.long
def test_a_whole_corpus_is_looked_at(real_data):
    names = [path.relative_to(real_data).as_posix() for path in (real_data / "SPRSound").rglob("*.flac")]
    first = recordings.inspect(real_data, names)
    assert len(first) == 2683 and recordings.inspect(real_data, names) == first
    assert not any(recording.problem for recording in first.values())
    assert {(recording.rate, recording.channels) for recording in first.values()} == {(8000, 1)}


@pytest.mark.slow
def test_a_second_look_at_a_whole_corpus_is_fast(real_data):
    names = [path.relative_to(real_data).as_posix() for path in (real_data / "SPRSound").rglob("*.flac")]
    recordings.inspect(real_data, names)
    began = time.monotonic()
    recordings.inspect(real_data, names)
    assert time.monotonic() - began < 1
