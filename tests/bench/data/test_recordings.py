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
    (warning,) = recordings.oddities(found, [("b", "b1", 0, 1), ("a", "a1", 0, 1), ("a", "a2", 1, 2)])
    assert (warning.level, warning.code, warning.where) == ("warning", "level", "a")
    assert warning.problem == "is loud (and 1 more recordings alike)" and warning.clips == ("a1", "a2", "b1")


def test_a_second_look_opens_no_sound_file(corpus, monkeypatch):
    soundfile.write(corpus / "2.wav", np.zeros(100), RATE)  # which is remarked upon
    names = ["0.wav", "1.wav", "2.wav"]
    first = recordings.inspect(corpus, names)
    assert first["2.wav"].remarks
    monkeypatch.setattr(audio, "decoded", lambda path: pytest.fail("decoded again"))
    assert recordings.inspect(corpus, names) == first
    whole = {name: [(0.0, np.nan), (0.0, 9.0)] for name in names}  # of which nothing more is to be known
    assert recordings.inspect(corpus, names, clips=whole) == first
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


SECOND = RATE  # samples


def parts(folder, channels, clips, name="a.wav"):
    """The findings about clips of a recording of these channels: {clip: code of an error}, and warnings by code."""
    soundfile.write(folder / name, np.stack(channels, axis=1), RATE, subtype="FLOAT")
    starts, ends = np.array(clips, float).T
    recording = recordings.inspect(folder, [name], clips={name: clips})[name]
    ids = [f"clip{k}" for k in range(len(clips))]
    errors = recordings.clip_faults(name, recording, ids, starts, ends)
    wrong = {clip for finding in errors for clip in finding.clips}
    used = [(name, clip, *span) for clip, span in zip(ids, clips) if clip not in wrong]
    warnings = {finding.code: finding for finding in recordings.oddities({name: recording}, used)}
    return recording, errors, warnings


@pytest.mark.parametrize("clip", [(1.0, 2.0), (1.25, 1.5), (1.0, 1.01)])
def test_channels_that_cancel_within_a_clip_are_an_error_about_the_clip(tmp_path, clip):
    left, right = noise(0, 4), noise(1, 4)
    right[SECOND : 2 * SECOND] = -left[SECOND : 2 * SECOND]
    recording, (error,), warnings = parts(tmp_path, [left, right], [(0, 1), clip, (2, 3)])
    assert (error.level, error.code, error.where, error.clips) == ("error", "cancelling", "a.wav", ("clip1",))
    assert error.problem.startswith(f"clip1, {clip[0]:.3f} to {clip[1]:.3f} s: its 2 channels cancel each other")
    assert "ffmpeg -i a.wav" in error.remedy and not warnings and not recording.problem


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [(0, "dead-channel", "channel 2 of 2 is silence"), (0.7, "stuck-channel", "stands at 0.7")],
)
def test_a_channel_that_is_dead_within_clips_is_one_warning(tmp_path, value, code, said):
    left, right = noise(0, 4), noise(1, 4)
    right[SECOND : 3 * SECOND] = value
    _, errors, warnings = parts(tmp_path, [left, right], [(0, 1), (1, 2), (2, 2.5), (1.2, 2.8)])
    assert not errors and list(warnings) == [code] and warnings[code].clips == ("clip1", "clip2", "clip3")
    assert warnings[code].problem.startswith("clip1, 1.000 to 2.000 s: ") and said in warnings[code].problem
    assert warnings[code].problem.endswith("(and 2 more clips alike)")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("value", [0, 0.25])
def test_silence_within_a_clip_is_a_warning_as_it_is_of_a_whole_recording(tmp_path, count, value):
    wave = noise(0, 4)
    wave[SECOND : 2 * SECOND] = value
    _, errors, warnings = parts(tmp_path, [wave] * count, [(0, 1), (1, 2), (1.5, 3)])
    assert not errors and warnings["silent"].clips == ("clip1",)
    assert "clip1, 1.000 to 2.000 s: " in warnings["silent"].problem


def test_a_clip_is_heard_to_its_last_sample(tmp_path):
    wave = np.zeros(4 * SECOND)
    wave[2 * SECOND - 1], wave[0] = 0.1, 0.1
    _, _, warnings = parts(tmp_path, [wave], [(1, 2), (1, 2 - 1 / RATE)])
    assert warnings["silent"].clips == ("clip1",)


def test_what_is_known_of_the_whole_is_not_said_of_its_clips(tmp_path):
    wave = noise(0, 4)
    for channels, codes in (([0 * wave] * 2, ["silent"]), ([wave, 0 * wave], ["dead-channel"])):
        recording, errors, warnings = parts(tmp_path, channels, [(0, 1), (1, 2)], f"{codes[0]}.wav")
        assert not errors and list(warnings) == codes and not recording.clips
        assert warnings[codes[0]].clips == ("clip0", "clip1")


def test_other_clips_of_a_known_recording_are_looked_at_and_kept_beside_the_first(tmp_path, monkeypatch):
    wave = noise(0, 4)
    wave[SECOND : 2 * SECOND] = 0
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    looks = [{"a.wav": [(1.0, 2.0)]}, {"a.wav": [(1.25, 1.5), (2.0, np.nan)]}, {}]
    found = [recordings.inspect(tmp_path, ["a.wav"], clips=clips)["a.wav"] for clips in looks]
    spans = [[span[:2] for span in recording.clips] for recording in found]
    assert spans == [[(8000, 16000)], [(8000, 16000), (10000, 12000)], [(8000, 16000), (10000, 12000)]]
    assert len({recording.digest for recording in found}) == 1
    monkeypatch.setattr(audio, "decoded", lambda path: pytest.fail("decoded again"))
    for clips in looks:
        assert recordings.inspect(tmp_path, ["a.wav"], clips=clips)["a.wav"] == found[-1]


@pytest.mark.parametrize("remainder", [0.15, 0.2, 0.25])
def test_recordings_that_partly_cancel_are_kept_in_the_cache_as_others_are(tmp_path, remainder, monkeypatch):
    wave = noise(0)
    soundfile.write(tmp_path / "a.wav", np.stack([wave, -wave + remainder * noise(1)], axis=1), RATE, subtype="FLOAT")
    first = recordings.inspect(tmp_path, ["a.wav"])
    assert [remark.code for remark in first["a.wav"].remarks] == ["cancelling"]
    monkeypatch.setattr(audio, "decoded", lambda path: pytest.fail("decoded again"))
    assert recordings.inspect(tmp_path, ["a.wav"]) == first


@pytest.mark.parametrize("clip", [(np.nan, 1.0), (-1.0, 1.0), (np.inf, 1.0), (9.0, 10.0), (2.0, 1.0), (1.0, np.inf)])
def test_spans_that_are_none_stop_nothing(tmp_path, clip):
    recording, *_ = parts(tmp_path, [noise(0, 4)], [clip])
    assert not recording.problem and not recording.clips


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
