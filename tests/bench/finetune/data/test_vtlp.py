import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune.data.vtlp import perturb_tracts, read_at, require_bands, stretched_hz
from bench.finetune.recipe import Spectrogram
from toy_finetune import tiny

HZ = torch.tensor([60.0, 200.0, 450.0, 900.0, 1700.0, 3000.0, 4700.0, 6000.0, 7900.0], dtype=torch.float64)
NYQUIST = 8000.0


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def plainly_stretched(f, a, boundary):
    reached = boundary * min(a, 1.0)
    if f <= reached / a:
        return a * f
    return NYQUIST - (NYQUIST - reached) / (NYQUIST - reached / a) * (NYQUIST - f)


def plainly_read(row, centres, hz):
    """(value, {band: its weight}) of one frame's bands at a frequency."""
    if hz <= centres[0]:
        return row[0], {0: 1.0}
    for k in range(len(centres) - 1):
        if hz <= centres[k + 1]:
            share = (hz - centres[k]) / (centres[k + 1] - centres[k])
            return (1 - share) * row[k] + share * row[k + 1], {k: 1 - share, k + 1: share}
    return row[-1], {len(centres) - 1: 1.0}


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.0, 1.07, 1.2])
def test_frequencies_are_stretched_by_the_formula_of_the_source(factor):
    ours = stretched_hz(HZ, torch.tensor([factor], dtype=torch.float64), 4800.0, NYQUIST)[0]
    plain = [plainly_stretched(float(f), factor, 4800.0) for f in HZ]
    torch.testing.assert_close(ours, torch.tensor(plain, dtype=torch.float64), rtol=1e-12, atol=0)
    ends = torch.tensor([0.0, 4800 * min(factor, 1) / factor, NYQUIST], dtype=torch.float64)
    reached = stretched_hz(ends, torch.tensor([factor], dtype=torch.float64), 4800.0, NYQUIST)[0]
    torch.testing.assert_close(
        reached, torch.tensor([0.0, 4800 * min(factor, 1), NYQUIST], dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert bool((ours.diff() > 0).all())


@pytest.mark.parametrize("beside", [False, True])
def test_what_is_read_and_its_gradient_are_the_plain_sums(beside):
    x = torch.randn(3, 4, len(HZ) * (1 + beside), generator=source(), dtype=torch.float64).requires_grad_()
    band_hz = torch.cat([HZ, 0.5 * HZ]) if beside else HZ
    settings = Spectrogram(vtlp=0.2, vtlp_hz=4800.0)
    ours = perturb_tracts(x, band_hz, settings, NYQUIST, source(5))
    weight = torch.randn(x.shape, generator=source(1), dtype=torch.float64)
    grad = torch.autograd.grad((weight * ours).sum(), x)[0]
    factors = 1 + 0.2 * (2 * torch.rand(3, generator=source(5), dtype=torch.float64) - 1)
    value, plain, slope = x.detach(), torch.zeros_like(x), torch.zeros_like(x)
    for first in range(0, len(band_hz), len(HZ)):
        centres = band_hz[first : first + len(HZ)].tolist()
        for i, t, j in ((i, t, j) for i in range(3) for t in range(4) for j in range(len(HZ))):
            hz = plainly_stretched(centres[j], float(factors[i]), 4800.0)
            row = value[i, t, first : first + len(HZ)]
            plain[i, t, first + j], parts = plainly_read(row, centres, hz)
            for k, share in parts.items():
                slope[i, t, first + k] += share * weight[i, t, first + j]
    torch.testing.assert_close(ours.detach(), plain)
    torch.testing.assert_close(grad, slope)


def test_a_factor_of_one_changes_nothing_and_a_single_band_has_nothing_to_read_between():
    x = torch.randn(2, 5, len(HZ), generator=source())
    assert torch.equal(read_at(x, HZ, HZ.expand(2, -1)), x)
    single = torch.randn(2, 5, 1, generator=source())
    assert torch.equal(perturb_tracts(single, HZ[:1], Spectrogram(vtlp=0.5), NYQUIST, source()), single)


def test_a_peak_moves_down_by_the_factor_where_bands_are_read_above_their_centres():
    hz = torch.arange(1, 200, dtype=torch.float64) * 40  # bands of equal width
    x = torch.exp(-(((hz - 2000) / 200) ** 2))[None, None]
    moved = read_at(x, hz, stretched_hz(hz, torch.tensor([1.25], dtype=torch.float64), 4800.0, NYQUIST))
    assert float(hz[moved[0, 0].argmax()]) == 1600.0


def test_factors_are_drawn_within_their_bounds_and_nothing_is_drawn_unasked():
    x = torch.linspace(0, 1, 399).expand(500, 1, -1).contiguous()
    hz = torch.arange(1, 400, dtype=torch.float64) * 10  # x is linear in frequency, so that it shows the factor
    read = perturb_tracts(x, hz, Spectrogram(vtlp=0.1), NYQUIST, source())[:, 0, 199]
    factor = (read * 398 + 1) / 200
    assert float(factor.min()) >= 0.9 - 1e-5 and float(factor.max()) <= 1.1 + 1e-5
    assert abs(float(factor.mean()) - 1) < 5 * 0.2 / (12 * 500) ** 0.5
    generator = source()
    state = generator.get_state()
    assert perturb_tracts(x, hz, Spectrogram(band_mask=3), NYQUIST, generator) is x
    assert torch.equal(generator.get_state(), state)
    assert Spectrogram(vtlp=0.1).used


def test_an_encoder_without_known_bands_and_a_boundary_beyond_its_audio_are_refused():
    encoder = tiny()
    require_bands(encoder, Spectrogram(vtlp_hz=1e6))  # not asked for
    encoder.centres = None
    with pytest.raises(BadInput, match=r"does not say at which its bands lie.*give the encoder band_hz"):
        require_bands(encoder, Spectrogram(vtlp=0.1))
    encoder.centres = HZ / encoder.card.sample_rate
    half = encoder.card.sample_rate / 2
    with pytest.raises(BadInput, match=f"ends at {half:g} Hz.*say a vtlp_hz below {half:g}"):
        require_bands(encoder, Spectrogram(vtlp=0.1, vtlp_hz=half))
    require_bands(encoder, Spectrogram(vtlp=0.1, vtlp_hz=half - 1))
