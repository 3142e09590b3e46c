import dataclasses
import math

import pytest
import torch

from bench.finetune.data.augment import augment_waves, draw_waves, mask_spectrogram, mix_styles
from bench.finetune.methods.shared.mixing import beta_shares
from bench.finetune.recipe import Spectrogram, Waveform


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def augmented(wave, waveform):
    return augment_waves(wave, draw_waves(*wave.shape, waveform, 1000, source()))


def test_nothing_asked_changes_nothing():
    wave = torch.randn(3, 50, generator=source())
    assert torch.equal(augmented(wave, Waveform()), wave)


def test_a_shift_is_circular_and_within_reach():
    wave = torch.arange(100.0).repeat(20, 1)
    shifted = augmented(wave, Waveform(shift_s=0.01))
    moves = [(int(row.argmin()) + 50) % 100 - 50 for row in shifted]
    assert max(moves) <= 10 and min(moves) >= -10 and len(set(moves)) > 5
    assert all(torch.equal(row.roll(-move), wave[0]) for row, move in zip(shifted, moves))


def test_gain_and_noise_keep_to_their_levels():
    wave = torch.sin(torch.arange(4000.0)).repeat(40, 1)
    level = wave.square().mean(1).sqrt()
    gains = 20 * torch.log10(augmented(wave, Waveform(gain_db=6.0)).square().mean(1).sqrt() / level)
    assert gains.min() > -6.01 and gains.max() < 6.01 and gains.std() > 1
    noise = augmented(wave, Waveform(noise_snr_db=(10.0, 10.0))) - wave
    snr_db = 20 * torch.log10(level / noise.square().mean(1).sqrt())
    assert torch.allclose(snr_db, torch.full((40,), 10.0), atol=0.5)  # 5 standard errors: 4.34 sqrt(2 / 4000) dB
    silence = augmented(torch.zeros(2, 10), Waveform(noise_snr_db=(10.0, 20.0), gain_db=3.0))
    assert torch.equal(silence, torch.zeros(2, 10))


def test_masks_are_bands_and_frames_of_bounded_width_filled_as_asked():
    x = torch.rand(64, 30, 20, generator=source()) + 1
    choice = Spectrogram(band_mask=4, bands=1, frame_mask=0, fill="zero")
    hidden = mask_spectrogram(x, choice, source()) == 0
    width = hidden[:, 0].sum(-1)
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))  # whole bands
    assert width.max() == 3 and width.min() == 0  # floor of U(0, 4)
    filled = mask_spectrogram(x, Spectrogram(frame_mask=5, frames=2, band_mask=0), source())
    changed = filled != x
    assert torch.equal(changed, changed[:, :, :1].expand_as(changed)) and changed.any()
    means = x.mean(dim=(1, 2))[:, None, None].expand_as(x)
    assert torch.equal(filled[changed], means[changed])


def test_a_mask_wider_than_the_clip_leaves_something():
    x = torch.ones(200, 3, 2)
    out = mask_spectrogram(x, Spectrogram(band_mask=50, frame_mask=50, bands=1, frames=1, fill="zero"), source())
    assert out.flatten(1).any(1).float().mean() > 0.3
    assert not math.isnan(float(out.sum()))


def test_the_same_generator_gives_the_same_draws():
    x = torch.rand(4, 30, 20, generator=source())
    choice = Spectrogram(band_mask=8, frame_mask=8)
    assert torch.equal(mask_spectrogram(x, choice, source(1)), mask_spectrogram(x, choice, source(1)))
    assert not torch.equal(mask_spectrogram(x, choice, source(1)), mask_spectrogram(x, choice, source(2)))


def test_masks_that_are_shared_hide_the_same_of_every_clip():
    x = torch.rand(5, 30, 20, generator=source()) + 1
    choice = Spectrogram(band_mask=8, frame_mask=8, fill="zero", shared=True)
    hidden = mask_spectrogram(x, choice, source()) == 0
    assert hidden.any() and torch.equal(hidden, hidden[:1].expand_as(hidden))


def test_the_batch_s_mean_fills_bands_before_frames():
    x = torch.rand(4, 30, 20, generator=source()) + 1
    bands = mask_spectrogram(x, Spectrogram(band_mask=8, fill="batch"), source())
    changed = bands != x
    assert changed.any() and torch.equal(bands[changed], x.mean().expand_as(bands[changed]))
    both = mask_spectrogram(x, Spectrogram(band_mask=8, frame_mask=9, fill="batch"), source())
    later = both != bands
    assert later.any() and torch.equal(both[later], bands.mean().expand_as(both[later]))


def test_some_clips_are_left_unmasked_or_if_masks_are_shared_some_batches():
    x = torch.rand(4000, 3, 20, generator=source())
    masks = Spectrogram(band_mask=19, bands=9, skipped=0.1587)
    left = (mask_spectrogram(x, masks, source()) == x).flatten(1).all(1).float().mean()
    assert abs(left - 0.1587) < 5 * (0.1587 * 0.8413 / 4000) ** 0.5
    shared = dataclasses.replace(masks, shared=True)
    whole = [(mask_spectrogram(x[:4], shared, source(i)) == x[:4]).flatten(1).all(1) for i in range(1000)]
    assert all(bool(each.all()) == bool(each.any()) for each in whole)
    assert abs(sum(map(float, (each.all() for each in whole))) / 1000 - 0.1587) < 5 * (0.1587 * 0.8413 / 1000) ** 0.5


@pytest.mark.parametrize("clips, frames", [(4, 7), (1, 7), (3, 1)])
def test_styles_and_their_gradient_are_the_plain_formula(clips, frames):
    x = torch.randn(clips, frames, 3, generator=source(1), dtype=torch.float64).requires_grad_()
    ours = mix_styles(x, Spectrogram(mixstyle=1.0, mixstyle_alpha=0.5), source(3))
    draws = source(3)
    torch.rand((), generator=draws)
    share = beta_shares(draws, 0.5, clips).double()
    partner = torch.randperm(clips, generator=draws)
    value = x.detach()
    plain = torch.zeros_like(value)
    slope = torch.zeros_like(value)
    for b in range(3):
        mean = [sum(value[i, t, b] for t in range(frames)) / frames for i in range(clips)]
        spread = [sum((value[i, t, b] - mean[i]) ** 2 for t in range(frames)) / frames for i in range(clips)]
        sigma = [(each + 1e-6) ** 0.5 for each in spread]
        for i in range(clips):
            p, s = int(partner[i]), share[i]
            slope[i, :, b] = (s * sigma[i] + (1 - s) * sigma[p]) / sigma[i]
            plain[i, :, b] = (value[i, :, b] - mean[i]) * slope[i, 0, b] + s * mean[i] + (1 - s) * mean[p]
    torch.testing.assert_close(ours.detach(), plain)
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), x)[0], slope)  # statistics pass no gradient


def test_styles_are_mixed_in_the_share_of_views_and_without_it_nothing_is_drawn():
    x, generator = torch.randn(4, 6, 3, generator=source(1)), source(2)
    mixed = [not torch.equal(mix_styles(x, Spectrogram(mixstyle=0.3), generator), x) for _ in range(400)]
    # a permutation of four leaves all in place once in 24
    assert abs(sum(mixed) / 400 - 0.3 * 23 / 24) < 5 * (0.21 / 400) ** 0.5
    untouched, state = Spectrogram(band_mask=3), generator.get_state()
    assert mix_styles(x, untouched, generator) is x and torch.equal(generator.get_state(), state)
    assert Spectrogram(mixstyle=0.1).used and not Spectrogram().used
