import numpy as np
import pytest
import torch

from model_zoo._adapters.opera_audio import LogMel, fill_with_copies, fill_with_zeros, overlapping_chunks, trim_silence


def _batch(clips: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips behind whose ends lies garbage."""
    wave = torch.full((len(clips), max(map(len, clips))), 0.9)
    for row, clip in zip(wave, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return wave, torch.tensor([len(clip) for clip in clips])


def _bounds(clip: np.ndarray) -> tuple[int, int]:
    """First and last sample of what is louder than 60 dB below the loudest frame, frame by frame."""
    padded = np.pad(clip.astype(np.float64), 800)
    rms = [np.sqrt(np.mean(padded[t : t + 1600] ** 2)) for t in range(0, len(clip) + 1, 800)]
    level = 20 * np.log10(np.maximum(rms, 1e-5))
    heard = np.flatnonzero(level - level.max() > -60)
    return 800 * heard[0], min(len(clip), 800 * (heard[-1] + 1))


def test_trimming_is_that_of_each_clip_alone():
    rng = np.random.default_rng(0)
    clips = []
    for n in (1, 500, 799, 800, 1600, 5000, 20000, 33333):
        envelope = 10.0 ** rng.uniform(-4.5, 0.0, n // 700 + 1).repeat(700)[:n]  # -90 to 0 dB
        clips.append((envelope * rng.standard_normal(n)).astype(np.float32))
    clips += [np.zeros(4000, np.float32), np.full(4000, 0.5, np.float32)]
    clips.append(np.pad(clips[5], (7000, 9000)))
    wave, length = trim_silence(*_batch(clips))
    for row, kept, clip in zip(wave, length.tolist(), clips, strict=True):
        start, end = _bounds(clip)
        assert kept == end - start
        np.testing.assert_array_equal(row[:kept], clip[start:end])
        assert not row[kept:].any()
    assert length[-3:-1].tolist() == [4000, 4000]
    assert length[-1] < 8000


@pytest.mark.parametrize("n", [1, 7, 33, 49, 50, 51, 99, 100, 130])
def test_padding(n):
    clip = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    wave, length = _batch([clip, clip[: n // 2 + 1]])
    copies, total = fill_with_copies(wave, length, 100)
    assert total[0] == max(n, 100)
    np.testing.assert_array_equal(copies[0, : total[0]], np.tile(clip, 101)[-total[0] :])
    zeros, total, filled = fill_with_zeros(wave, length, 100)
    expected, cursor = np.zeros(max(n, 100), np.float32), 0
    while cursor == 0 or (n / 100 < 0.5 and cursor + n < 100):
        expected[cursor : cursor + n] = clip
        cursor += n
    np.testing.assert_array_equal(zeros[0, : total[0]], expected)
    assert filled[0] == cursor


@pytest.mark.parametrize("n", [101, 149, 150, 230])
def test_chunks_overlap_by_half_and_the_last_one_is_filled_up(n):
    clip = np.arange(n, dtype=np.float32)
    chunks = overlapping_chunks(torch.from_numpy(clip)[None], torch.tensor([n]), 100)[0].numpy()
    starts = range(0, n - 99, 50)
    assert len(chunks) == len(starts) + 1
    for chunk, start in zip(chunks[:-1], starts, strict=True):
        np.testing.assert_array_equal(chunk, clip[start : start + 100])
    rest = clip[starts[-1] + 50 :]
    np.testing.assert_array_equal(chunks[-1], np.concatenate([clip[n - 100 + len(rest) :], rest]))


def test_log_mel_of_ragged_clips():
    rng = np.random.default_rng(0)
    clips = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (16000, 16200, 40000)]
    mel = LogMel()
    wave = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(c) for c in clips], batch_first=True)
    length = torch.tensor([len(c) for c in clips])
    together = mel(wave, length)
    for row, clip in zip(together, clips, strict=True):
        alone = mel(torch.from_numpy(clip)[None], torch.tensor([len(clip)]))[0]
        assert len(alone) == mel.frames(len(clip)) == mel.frames(mel.samples(len(clip)))
        assert alone.min() == 0
        assert alone.max() == 1
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-6, rtol=0)
        assert not row[len(alone) :].any()
    torch.testing.assert_close(mel(0.01 * wave, length), together, atol=1e-6, rtol=0)


def test_log_mel_spans_80_db_and_is_zero_for_silence():
    t = torch.arange(32000) / 16000
    tone = torch.sin(2 * torch.pi * 1000 * t)[None]
    length = torch.tensor([32000])
    spectrogram = LogMel()(tone, length)[0]
    assert spectrogram[5:-5].argmax(1).unique().numel() == 1
    assert (spectrogram[5:-5] == 0).float().mean() > 0.5  # the floor
    assert not LogMel()(torch.zeros(1, 32000), length).any()
