"""What fine-tuning asks of every encoder: taps, blocks in order, gradients. On the reduced networks of the fixtures."""

import copy

import pytest
import torch

from bench.base.errors import BadInput
from bench.encoders.blocks import split_at_longest_stack
from bench.finetune.model.lora import add_adapters
from bench.finetune.recipe import Lora
from model_zoo import panns
from model_zoo._networks import cnn14
from parity import build, cases
from parity.golden import COMPACT, Golden
from reduced import batch, from_fixture, untrained

# one of a network's policies is enough where they differ in front of the taps alone
CASES = {str(case): case for case in {case.fixture: case for case in reversed(cases()) if not case.released}.values()}
CASES |= {str(case): case for case in cases() if case.encoder in ("audiomae.base@opera", "beats.iter3@upstream-mask")}
BOTH = ("ast", "atst", "audiomae", "beats", "m2d", "clap.ms2023", "clap.laion", "opera.ct", "opera.gt", "hear")
BOTH += ("dasheng", "ced", "eat", "htsat", "matpac", "passt")


BUILT = {}


@pytest.fixture(params=[*CASES, "efficientat.mn04"])
def encoder(request, tmp_path):
    """A network of one fixture, built once, with weights of the test's own."""
    if request.param not in BUILT and request.param == "efficientat.mn04":
        BUILT[request.param] = untrained(request.param)  # its fixture needs the released weights
    elif request.param not in BUILT:
        BUILT[request.param] = from_fixture(CASES[request.param], request, tmp_path)
    return copy.deepcopy(BUILT[request.param])


def recorded(encoder, wave, length, change=lambda x: x):
    """The answer with every tap set to ``change``, and {tap: the tensors that it was given}."""
    seen = {name: [] for name in encoder.offers}
    for name in encoder.offers:
        encoder.taps[name] = lambda x, name=name: (seen[name].append(x), change(x))[1]
    with torch.inference_mode():
        tokens = encoder(wave, length)
    encoder.taps.clear()
    return tokens, seen


@pytest.mark.long
def test_taps_are_called_once_with_whole_clips_and_change_nothing_by_themselves(encoder):
    id = encoder.card.id
    assert encoder.offers == ({"spectrogram", "patches"} if id.startswith(BOTH) else {"spectrogram"})
    pieces = id.startswith(
        ("atst", "m2d.80x200", "audiomae.base@opera", "opera", "vggish", "hear", "dasheng", "ced", "htsat", "matpac")
    )
    wave, length = batch(encoder, *[11.0 if pieces else 1.3] * 2)
    with torch.inference_mode():
        plain = encoder(wave, length)
    tapped, seen = recorded(encoder, wave, length)
    assert torch.equal(tapped.clip, plain.clip)
    assert all(torch.equal(a.hidden, b.hidden) for a, b in zip(tapped.layers, plain.layers, strict=True))
    for name, tensors in seen.items():
        (x,) = tensors
        assert x.ndim == 3 and len(x) == 2, name
        if name == "patches":
            grid = tapped.layers[0].hidden
            assert x.shape[1:] == (grid.shape[1] * grid.shape[2], grid.shape[3])
        else:
            assert x.shape[2] in (64, 80, 128, 256) and x.shape[1] > 64


@pytest.mark.long
def test_what_a_tap_gives_is_what_the_network_hears(encoder):
    wave, length = batch(encoder, 1.3, 1.3)
    wave[1] = 0.5 * wave[1].flip(0)
    with torch.inference_mode():
        plain = encoder(wave, length).clip
    for name in encoder.offers:
        encoder.taps[name] = lambda x: x.flip(0)
        with torch.inference_mode():
            swapped = encoder(wave, length).clip
        encoder.taps.clear()
        torch.testing.assert_close(swapped, plain.flip(0), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(plain[0], plain[1], rtol=1e-3, atol=1e-4)


def heard(encoder, hz):
    """The spectrogram (F,) of a tone, averaged over time, before any batch norm over bands."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.num_features == len(encoder.band_hz):
            module.reset_parameters()
    rate = encoder.card.sample_rate
    wave = 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(2 * rate) / rate)[None]
    _, seen = recorded(encoder, wave, torch.tensor([2 * rate]))
    return seen["spectrogram"][0][0].mean(0)


def test_a_tone_is_heard_in_the_bands_that_are_said_to_lie_there(encoder):
    low, high = 500.0, 1500.0
    difference = heard(encoder, low) - heard(encoder, high)
    band_hz = encoder.band_hz
    assert band_hz.shape == difference.shape and band_hz.dtype == torch.float64
    assert bool((band_hz.diff() > 0).all()) and band_hz[0] > 0 and band_hz[-1] < encoder.card.sample_rate / 2
    for hz, band in ((low, int(difference.argmax())), (high, int(difference.argmin()))):
        blur = 2 / 0.025  # half of the main lobe of a Hann window of 25 ms, the shortest of any front end
        assert band_hz[band - 1] - blur < hz < band_hz[band + 1] + blur


@pytest.mark.parametrize("id", ["scratch.inception", "scratch.cnn6"])
def test_a_tone_is_heard_in_either_spectrogram_of_a_network_without_weights(id):
    encoder = untrained(id)
    for hz in (400.0, 1200.0):
        for band_hz, level in zip(encoder.band_hz.split(64), heard(encoder, hz).split(64), strict=True):
            assert bool((band_hz.diff() > 0).all())
            loudest = int(level.argmax())
            assert band_hz[loudest - 1] < hz < band_hz[loudest + 1]


def test_blocks_hold_every_parameter_once(encoder):
    blocks = encoder.blocks()
    listed = [id(p) for block in blocks for p in block.parameters()]
    assert sorted(listed) == sorted(id(p) for p in encoder.parameters())
    assert len(blocks) >= 3
    depth = encoder.card.layers
    assert len(blocks) in (depth, depth + 1, depth + 2) or encoder.card.id.startswith(
        ("clap", "opera.c", "vggish", "htsat")
    )


@pytest.mark.long
def test_training_reaches_every_parameter(encoder):
    encoder.train()
    wave, length = batch(encoder, 1.3, 1.3)
    wave[1] = 0.5 * wave[1].flip(0)
    tokens = encoder(wave, length)
    (tokens.clip.square().mean() + tokens.layers[-1].hidden.square().mean()).backward()
    trained = {name: p.grad for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained
    assert [name for name, grad in trained.items() if grad is None or not bool(grad.isfinite().all())] == []
    step = torch.optim.SGD(encoder.parameters(), lr=1e-4)
    step.step()
    step.zero_grad()
    encoder(wave, length).clip.sum().backward()  # a second step finds nothing left over from the first


@pytest.mark.long
def test_adapters_change_nothing_at_first_and_learn_everywhere(encoder):
    if not any(isinstance(module, torch.nn.Linear) for module in encoder.modules()):
        pytest.skip("no linear layers")
    wave, length = batch(encoder, 1.3, 1.3)
    wave[1] = 0.5 * wave[1].flip(0)
    with torch.inference_mode():
        plain = encoder(wave, length)
    add_adapters(encoder, Lora(rank=2), encoder.card.id)
    with torch.inference_mode():
        adapted = encoder(wave, length)
    assert torch.equal(adapted.clip, plain.clip) and torch.equal(adapted.layers[-1].hidden, plain.layers[-1].hidden)
    tokens = encoder(wave, length)
    (tokens.clip.square().sum() + tokens.layers[-1].hidden.square().sum()).backward()
    learning = {name: p.grad for name, p in encoder.named_parameters() if p.requires_grad}
    assert learning and [name for name, grad in learning.items() if grad is None] == []
    assert [name for name, grad in learning.items() if "lora_B" in name and not bool(grad.any())] == []


def test_patches_of_clips_of_several_lengths_are_refused(tmp_path):
    case = next(case for case in CASES.values() if case.encoder == "beats.iter3")
    encoder = build(case, case.weights(Golden(COMPACT, case.fixture), tmp_path))
    encoder.taps["spectrogram"] = lambda x: x
    wave, length = batch(encoder, 1.3, 2.3)
    encoder(wave, length)
    encoder.taps["patches"] = lambda x: x
    with pytest.raises(
        BadInput, match=r"beats\.iter3: patches are tapped of clips of 2 padded lengths; batch clips of"
    ):
        encoder(wave, length)


def test_a_twin_passes_them_through(monkeypatch):
    from bench.encoders.load import load_encoder

    monkeypatch.setattr(cnn14, "FULL", cnn14.Geometry((4, 6, 8, 10, 12, 14), 16))
    twin = load_encoder("random.panns.cnn14_16k")
    assert twin.offers == {"spectrogram"}
    assert twin.blocks()[1:-1] == twin.encoder.net.stages()
    called = []
    twin.taps = {"spectrogram": lambda x: (called.append(x.shape), x)[1]}
    with torch.inference_mode():
        twin(torch.zeros(2, 8000), torch.tensor([8000, 8000]))
    assert called == [(2, 51, 64)]
    assert panns.CARDS[0].id in twin.card.id


def test_an_encoder_without_parameters_has_no_blocks():
    assert split_at_longest_stack(torch.nn.ReLU()) == []


def test_blocks_around_a_list_follow_the_order_of_registration():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(torch.zeros(1))
            self.stem = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU())
            self.inner = torch.nn.Module()
            self.inner.before = torch.nn.Linear(1, 2)
            self.inner.layers = torch.nn.ModuleList(torch.nn.Linear(1, 3) for _ in range(2))
            self.inner.norm = torch.nn.LayerNorm(4)
            self.head = torch.nn.Linear(1, 5)

    net = Net()
    first, one, two, last = split_at_longest_stack(net)
    assert [one, two] == list(net.inner.layers)
    assert [id(p) for p in last.parameters()] == [id(p) for m in (net.inner.norm, net.head) for p in m.parameters()]
    assert len(list(first.parameters())) == 5
    assert split_at_longest_stack(torch.nn.Linear(1, 1))[0].get_parameter("0").shape == (1, 1)
