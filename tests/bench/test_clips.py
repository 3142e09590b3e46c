import numpy as np
import pandas as pd
import pytest
import soundfile

from bench import clips
from bench.errors import UnknownId
from bench.preflight import inspect


def corpus(folder, rate=8000, seconds=4.0):
    noise = np.random.default_rng(0)
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, noise.uniform(-0.5, 0.5, int(rate * seconds)), rate)
    rows = pd.DataFrame(
        {
            "clip_id": ["b1", "a2", "a1"],
            "path": ["b.wav", "a.wav", "a.wav"],
            "start_s": [0.0, 1.5, 0.25],
            "end_s": [1.0, 3.0, 1.25],
        }
    )
    return rows, inspect(folder, ["a.wav", "b.wav"])


def test_a_unit_is_a_recording_with_its_clips_in_order_of_time(tmp_path):
    rows, recordings = corpus(tmp_path)
    first, second = clips.units(rows, recordings)
    assert (first.path, first.start_s, first.rows) == ("a.wav", (0.25, 1.5), (2, 1))
    assert (second.path, second.rows) == ("b.wav", (0,))
    assert first.seconds == pytest.approx(2.5)


def test_the_digest_ignores_paths_and_row_order_but_not_audio_or_boundaries(tmp_path):
    rows, recordings = corpus(tmp_path)
    before = clips.digest(rows, recordings)
    renamed = rows.assign(path=rows["path"].map({"a.wav": "z.wav", "b.wav": "b.wav"})).iloc[::-1]
    assert clips.digest(renamed, {"z.wav": recordings["a.wav"], "b.wav": recordings["b.wav"]}) == before
    assert clips.digest(rows.assign(end_s=rows["end_s"] - 0.001), recordings) != before
    assert clips.digest(rows, {"a.wav": recordings["b.wav"], "b.wav": recordings["b.wav"]}) != before


def test_waves_are_the_annotated_samples_at_the_native_rate_and_resampled_otherwise(tmp_path):
    rows, recordings = corpus(tmp_path)
    unit = clips.units(rows, recordings)[0]
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    native = clips.waves(unit, tmp_path, 8000)
    np.testing.assert_array_equal(native[0], whole[2000:10000])
    doubled = clips.waves(unit, tmp_path, 16000)
    assert [len(wave) for wave in doubled] == [16000, 24000]


def test_chunks_hold_about_as_much_audio_as_asked_and_lose_nothing(tmp_path):
    rows, recordings = corpus(tmp_path)
    units = clips.units(rows, recordings)
    assert [unit for part in clips.chunks(units, seconds=1.0) for unit in part] == units
    assert len(list(clips.chunks(units, seconds=1.0))) == 2
    assert len(list(clips.chunks(units, seconds=100.0))) == 1


def test_an_unknown_clip_policy_is_refused():
    with pytest.raises(UnknownId, match="native"):
        clips.clip_policy("nativ")
