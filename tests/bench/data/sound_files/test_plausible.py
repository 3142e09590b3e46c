import numpy as np
import pytest

from bench.data.sound_files import plausible

RATE = 8000
SOUND = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
OTHER = np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32)


def found(*channels: np.ndarray, rate: int = RATE) -> dict[str, plausible.Remark]:
    wave = np.stack(channels, axis=1).astype(np.float32)
    return {remark.code: remark for remark in plausible.remarks(wave, rate, "a.wav")}


@pytest.mark.parametrize(
    "channels", [(SOUND,), (SOUND, SOUND), (SOUND, OTHER), (SOUND, 0.1 * SOUND), (SOUND, -0.5 * SOUND), (SOUND,) * 4]
)
def test_sound_recordings_have_no_remarks(channels):
    assert found(*channels) == {}


@pytest.mark.parametrize("rate", [0, 1, 44, 192, 2_000_000_000])
def test_a_rate_that_nothing_records_at_is_wrong(rate):
    remark = found(SOUND, rate=rate)["rate"]
    assert remark.wrong and f"claims {rate} samples per second" in remark.problem


@pytest.mark.parametrize("rate", [500, 1000, 4000, 8000, 44100, 192_000, 384_000])
def test_rates_of_recorders_are_taken(rate):
    assert found(SOUND, rate=rate) == {}


@pytest.mark.parametrize("count", [2, 4])
def test_channels_that_cancel_are_wrong(count):
    remark = found(*[SOUND, -SOUND] * (count // 2))["cancelling"]
    assert remark.wrong and f"its {count} channels cancel each other" in remark.problem
    assert "digital silence" in remark.problem
    assert remark.remedy.endswith('ffmpeg -i a.wav -af "pan=mono|c0=c0" a.mono.wav')


def test_how_much_is_left_of_cancelling_channels_is_said():
    """Of x and -x + n/5, of equal and independent x and n, n/10 is left: 0.01 of a mean power of (1 + 1.04) / 2."""
    remark = found(SOUND, -SOUND + OTHER / 5)["cancelling"]  # mix over independent channels: 0.04 / 2.04
    assert not remark.wrong and "partly cancel each other" in remark.problem and "is 20 dB below them" in remark.problem
    assert found(SOUND, -SOUND + OTHER / 10)["cancelling"].wrong  # 0.01 / 2.01


def test_channels_cancel_whatever_stands_beside_them():
    assert found(SOUND + 0.3, 0.2 - SOUND)["cancelling"].wrong  # constants pass the mix, the sound does not
    both = found(SOUND, -SOUND, 0 * SOUND)
    assert both["cancelling"].wrong and not both["dead-channel"].wrong


@pytest.mark.parametrize("dead", [0 * SOUND, 1e-5 * OTHER])
def test_a_dead_channel_is_told(dead):
    remark = found(dead, SOUND)["dead-channel"]
    assert not remark.wrong and "channel 1 of 2 is silence" in remark.problem and "c0=c1" in remark.remedy


@pytest.mark.parametrize("stuck", [0 * SOUND + 0.999, 0 * SOUND - 1, 0.5 + 1e-5 * OTHER])
def test_a_stuck_channel_is_told(stuck):
    remark = found(SOUND, stuck)["stuck-channel"]
    assert not remark.wrong and f"channel 2 of 2 stands at {stuck.mean():.3g}" in remark.problem


@pytest.mark.parametrize("count", [1, 2])
def test_a_recording_of_nothing_is_told(count):
    assert "digital silence" in found(*[0 * SOUND] * count)["silent"].problem
    remark = found(*[0 * SOUND + 0.5] * count)["silent"]
    assert "stands at 0.5" in remark.problem and not remark.wrong


@pytest.mark.parametrize(("bits", "scale"), [(16, 20000), (24, 2e6), (32, 2e9), (8, 120)])
def test_integers_stored_as_floats_are_wrong(bits, scale):
    wave = SOUND / np.abs(SOUND).max() * scale
    remark = found(wave, wave)["level"]
    assert remark.wrong and f"{bits}-bit integers" in remark.problem and f"by {1 << (bits - 1)}" in remark.remedy


def test_samples_somewhat_above_full_scale_are_told():
    loud = SOUND / np.abs(SOUND).max()
    assert found(1.9 * loud) == {} and not found(-5 * loud)["level"].wrong
    assert found(-1e12 * loud)["level"].wrong


def test_what_is_wrong_comes_first():
    codes = [(r.code, r.wrong) for r in plausible.remarks(np.stack([1e4 * SOUND, 0 * SOUND], axis=1), RATE, "a.wav")]
    assert codes == [("level", True), ("dead-channel", False)]


def test_long_recordings_are_added_up_in_blocks():
    long = np.tile(SOUND, 20)
    assert found(long, -long)["cancelling"].wrong and found(long, long) == {}


@pytest.mark.parametrize(("value", "size"), [(0.1, 400_000), (0.5, 80_000), (0.9, 100_000), (0.0, 8000)])
@pytest.mark.parametrize("count", [1, 2])
def test_channels_that_leave_one_value_by_a_single_step_stand_still(value, size, count):
    """Their mean square less the square of their mean is nothing but rounding: it may be 0 or less."""
    wave = np.full((size, count), round(value * 2**23) / 2**23, np.float32)
    wave[5] += 2**-23
    (remark,) = plausible.remarks(wave, RATE, "a.wav")
    assert remark.code == "silent" and f"stands at {wave[0, 0]:.3g}" in remark.problem
    assert "one step of 24-bit audio" in remark.problem


@pytest.mark.parametrize(("value", "size"), [(0.1, 400_000), (0.5, 80_000), (0.9, 100_000)])
def test_the_power_of_what_hardly_moves_is_not_lost_in_its_mean(value, size):
    """One sample is two steps up in one channel and two steps down in the other: they cancel."""
    wave = np.full((size, 2), round(value * 2**23) / 2**23, np.float32)
    wave[5] += np.float32([2**-22, -(2**-22)])
    (remark,) = plausible.remarks(wave, RATE, "a.wav")
    assert remark.code == "cancelling" and remark.wrong
