import numpy as np
import pandas as pd
import pytest
import soundfile

from bench.base.errors import BadInput, UnknownId
from bench.data import clips
from bench.data.policies import dither, literature
from bench.data.recordings import inspect


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


def test_a_policy_shapes_the_clip_at_the_encoders_rate(tmp_path):
    rows, recordings = corpus(tmp_path)
    unit = clips.units(rows, recordings)[0]
    native, tiled = (clips.waves(unit, tmp_path, 16000, policy) for policy in ("native", "tile8"))
    for wave, out in zip(native, tiled):
        np.testing.assert_array_equal(out, literature.tile8(wave, 16000))


def test_an_unknown_clip_policy_is_refused():
    with pytest.raises(UnknownId, match="native"):
        clips.clip_policy("nativ")


@pytest.mark.parametrize("name", clips.CLIP_POLICIES)
@pytest.mark.parametrize("rate", [8000, 22050])
def test_policies_leave_the_clip_alone_and_give_finite_float32(name, rate):
    for wave in (np.linspace(-0.5, 0.5, 3000, dtype=np.float32), np.zeros(5000, np.float32), np.ones(1, np.float32)):
        before = wave.copy()
        out = clips.clip_policy(name)(wave, rate, "a clip")
        assert out.dtype == np.float32 and np.isfinite(out).all() and len(out) >= len(wave)
        np.testing.assert_array_equal(wave, before)


def test_policies_joined_by_plus_are_applied_in_order():
    wave = np.full(1000, 0.25, np.float32)
    expected = dither.dithered(literature.tile8(wave, 8000), "a clip")
    np.testing.assert_array_equal(clips.clip_policy("tile8+dither16")(wave, 8000, "a clip"), expected)
    assert len(clips.clip_policy("dither16+tile8")(wave, 8000, "a clip")) == 8 * 8000
    for name in ("native+dither16", "dither16+native", "native+native"):
        with pytest.raises(BadInput, match="leave native out"):
            clips.clip_policy(name)


@pytest.mark.parametrize(
    "name",
    [
        "dither16+dither16",
        "lowpass4k+dither16",
        "dither16+tile8+lowpass2k",
        "lowpass2k+lowpass4k",
        "dither16.2+tile8+dither16.2",
    ],
)
def test_the_same_dither_is_not_added_twice(name):
    with pytest.raises(BadInput, match="adds the same dither twice"):
        clips.clip_policy(name)


def test_other_draws_of_the_dither_may_be_joined():
    for name in ("dither16+dither16.1", "dither16.1+dither16.2", "lowpass2k+dither16.1"):
        assert len(clips.clip_policy(name)(np.zeros(100, np.float32), 8000, "a clip")) == 100


def test_dither_of_a_clip_is_the_same_whatever_else_is_asked_of_its_recording(tmp_path):
    rows, recordings = corpus(tmp_path)
    alone = clips.units(rows[rows["clip_id"] == "a2"], recordings)[0]
    (first,) = clips.waves(alone, tmp_path, 16000, "dither16")
    plain = clips.waves(clips.units(rows, recordings)[0], tmp_path, 16000)
    both = clips.waves(clips.units(rows, recordings)[0], tmp_path, 16000, "dither16")
    np.testing.assert_array_equal(first, both[1])
    added = [(dithered - native)[:16000] for dithered, native in zip(both, plain)]
    assert abs(np.corrcoef(added)[0, 1]) < 0.05  # two clips of one recording get two dithers
    other = clips.waves(alone, tmp_path, 16000, "dither16.1")[0]
    assert not np.array_equal(other, first) and np.abs(other - first).max() <= 4 * dither.STEP


@pytest.mark.parametrize("name", ["dither16.0", "dither16.", "dither16.01", "tile8+", "tile8+dither"])
def test_what_is_no_policy_is_refused(name):
    with pytest.raises(UnknownId, match="dither16"):
        clips.clip_policy(name)


def test_lengths_are_kept_where_it_is_said():
    wave = np.full(3000, 0.1, np.float32)
    for name in (*clips.CLIP_POLICIES, "lowpass2k+dither16.2", "dither16+tile8"):
        kept = len(clips.clip_policy(name)(wave, 8000, "a clip")) == len(wave)
        assert clips.keeps_lengths(name) == kept, name
    assert set(clips.LOW_PASSES) < set(clips.CLIP_POLICIES)
