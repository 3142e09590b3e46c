"""Networks trained from scratch: plans, initialisation, contract, and that nothing scores them untrained."""

import numpy as np
import pytest
import torch

from bench import hear
from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.cli import texts
from bench.encoders.batches import collate
from bench.encoders.contract import check_encoder
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.runs.choices import EncoderChoice
from bench.runs.out_of_domain import run_transfers
from bench.runs.suite import run_suite
from bench.runs.sweep import grid, plan
from model_zoo import scratch
from model_zoo._networks import inception

IDS = [card.id for card in scratch.CARDS]


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def batch(encoder, *seconds):
    rng = np.random.default_rng(0)
    rate = encoder.card.sample_rate
    return collate(encoder, [(0.1 * rng.standard_normal(round(s * rate))).astype(np.float32) for s in seconds])


@pytest.fixture(params=IDS)
def encoder(request):
    return load_encoder(request.param)


@pytest.mark.long
@pytest.mark.parametrize("id", [id for id in IDS if id != "scratch.cnn10"])  # CNN6 but for its block
def test_fits_the_contract(id):
    encoder = load_encoder(id)
    assert check_encoder(encoder) == []
    assert parameters(encoder) == encoder.card.params


def test_cnn6_is_the_papers():
    """PANNs, table 2 and section VI: CNN6 has 4,837,455 parameters with its tagger of 527 classes."""
    convolutions = [25 * a * b + 2 * b for a, b in ((1, 64), (64, 128), (128, 256), (256, 512))]  # with batch norm
    assert parameters(load_encoder("scratch.cnn6")) == 2 * 64 + sum(convolutions) + 512 * 512 + 512 == 4_567_104
    assert 4_567_104 + 512 * 527 + 527 == 4_837_455


def test_cnn10_is_the_papers():
    """5,219,279 parameters with the tagger."""
    sizes = ((1, 64), (64, 128), (128, 256), (256, 512))
    blocks = [9 * a * b + 9 * b * b + 4 * b for a, b in sizes]
    assert parameters(load_encoder("scratch.cnn10")) == 2 * 64 + sum(blocks) + 512 * 512 + 512 == 4_948_928
    assert 4_948_928 + 512 * 527 + 527 == 5_219_279


def test_resnet18_is_the_papers():
    """The usual 11,689,512 parameters for three colours and 1,000 classes, less two colours and the classifier, and a
    batch norm over bands more."""
    assert parameters(load_encoder("scratch.resnet18")) == 11_689_512 - 1_000 * 513 - 2 * 64 * 49 + 2 * 64


def test_reduced_ast_has_the_papers_plan_at_its_geometry():
    """Gong et al. 2021, section 2: patches, two tokens, positions, blocks of attention and a perceptron of 4 D."""
    d, patches = 192, (128 // 16) * (1024 // 16)
    block = 4 * (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d
    assert parameters(load_encoder("scratch.ast")) == (256 * d + d) + (2 + 2 + patches) * d + 4 * block + 2 * d


@pytest.mark.parametrize(
    ("id", "shapes"),
    [
        ("scratch.ast", [(6, 8, 192)] * 4),
        ("scratch.cnn6", [(50, 32, 64), (25, 16, 128), (12, 8, 256), (6, 4, 512)]),
        ("scratch.cnn10", [(50, 32, 64), (25, 16, 128), (12, 8, 256), (6, 4, 512)]),
        ("scratch.resnet18", [(26, 16, 64), (13, 8, 128), (7, 4, 256), (4, 2, 512)]),
        ("scratch.inception", [(49, 32, 64), (25, 16, 64), (25, 16, 128), (13, 8, 128), (13, 8, 256), (13, 8, 256)]),
    ],
)
def test_maps_shrink_as_planned(id, shapes):
    encoder = load_encoder(id)
    with torch.inference_mode():
        tokens = encoder(*batch(encoder, 1.0))
    assert [tuple(grid.hidden.shape[1:]) for grid in tokens.layers] == shapes
    assert tokens.clip.shape == (1, encoder.card.dims["published"])


def test_blocks_hold_every_parameter_once(encoder):
    listed = [id(p) for block in encoder.blocks() for p in block.parameters()]
    assert sorted(listed) == sorted(id(p) for p in encoder.parameters())
    wanted = {"scratch.cnn6": 6, "scratch.cnn10": 6, "scratch.resnet18": 9, "scratch.inception": 8, "scratch.ast": 6}
    assert len(encoder.blocks()) == wanted[encoder.card.id]


@pytest.mark.long
def test_training_reaches_every_parameter_and_the_tap(encoder):
    encoder.train()
    wave, length = batch(encoder, 1.0, 1.0)
    seen = []
    encoder.taps["spectrogram"] = lambda x: (seen.append(x), x)[1]
    torch.manual_seed(0)
    encoder(wave, length).clip.square().mul(torch.arange(2)[:, None] + 1).mean().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    (x,) = seen
    assert x.shape[::2] == (2, 128 if encoder.card.id in ("scratch.inception", "scratch.ast") else 64)
    if encoder.needs_stats:
        return  # normalised by statistics that are measured beforehand
    torch.testing.assert_close(x.mean(dim=(0, 1)), torch.zeros(x.shape[2]), atol=1e-3, rtol=0)  # behind its batch norm


def test_activations_that_are_computed_again_change_no_number(monkeypatch):
    found = []
    for kept in (inception.KEPT, 0):
        monkeypatch.setattr(inception, "KEPT", kept)
        encoder = load_encoder("scratch.inception").train()
        for lengths in ((0.7, 0.7, 0.7), (0.7, 0.4, 0.5)):
            loss = encoder(*batch(encoder, *lengths)).clip.square().mul(torch.arange(3)[:, None] + 1).mean()
            loss.backward()
        found.append([loss, *(p.grad for p in encoder.parameters()), *encoder.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.long
def test_seeds_determine_the_initialisation_and_the_global_generator_is_left_alone(encoder):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    again = load_encoder(encoder.card.id)
    encoder.reset(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert any(not torch.equal(first[name], tensor) for name, tensor in encoder.state_dict().items())
    encoder.train()
    encoder(*batch(encoder, 1.0, 1.0))  # batch norms measure
    encoder.reset(0)
    for state in (again.state_dict(), encoder.state_dict()):
        assert all(torch.equal(first[name], tensor) for name, tensor in state.items())
    assert encoder.training  # the mode is the trainer's


def test_features_are_the_learned_combination_of_the_branches():
    """A linear head on them is the combination of the branches' own logits."""
    encoder = load_encoder("scratch.inception")
    encoder.net.mix.data = torch.tensor([0.3, -0.8])
    wave, length = batch(encoder, 0.7, 0.7)
    heads = [torch.nn.Linear(128, 3, bias=False) for _ in range(2)]
    with torch.inference_mode():
        clip = encoder(wave, length).clip
        x = encoder.net.bn0(encoder.spectrograms(wave[:, : encoder.batch_length(5600)]).transpose(1, 2)).transpose(1, 2)
        features = [branch(half)[1] for branch, half in zip(encoder.net.branches, x.chunk(2, dim=2), strict=True)]
        logits = [weight * head(f) for weight, head, f in zip(encoder.combination, heads, features, strict=True)]
        joined = clip @ torch.cat([head.weight for head in heads], dim=1).T
    torch.testing.assert_close(joined, sum(logits))
    assert encoder.combination.sum().item() == pytest.approx(1.0)


def test_attention_has_four_heads_that_look_at_tokens_of_any_number():
    pool = load_encoder("scratch.inception").net.branches[0].pool
    x = torch.randn(2, 128, 5, 8)
    tokens = (x.permute(0, 2, 3, 1) + pool.band).flatten(1, 2)
    found = []
    for head in range(4):
        part = slice(32 * head, 32 * head + 32)
        weight = (pool.query[head, 0] @ pool.key(tokens)[..., part].transpose(1, 2) / 32**0.5).softmax(dim=1)
        found.append((weight[..., None] * pool.value(tokens)[..., part]).sum(dim=1))
    torch.testing.assert_close(pool(x), pool.norm(pool.out(torch.cat(found, dim=1))), atol=1e-5, rtol=1e-4)


def test_nothing_scores_them_untrained(tmp_path):
    told = r"scratch\.cnn6: is trained from scratch, so there is nothing to score before.*respbench finetune --encoder"
    choice = EncoderChoice("scratch.cnn6")
    with pytest.raises(BadInput, match=told):
        run_suite(["sprsound.events2"], [choice], tmp_path, skip_absent=True)
    asked = grid.SweepGrid(tasks=("sprsound.events2",), encoders=(choice,))
    with pytest.raises(BadInput, match=told):
        plan.plan(asked, tmp_path)
    with pytest.raises(BadInput, match=told):
        FeatureStore(load_encoder("scratch.cnn6"), None)
    with pytest.raises(BadInput, match=told):
        hear.load_model("scratch.cnn6")


def test_out_of_domain_reports_refuse_them_too(simulated, tmp_path):
    with pytest.raises(BadInput, match=r"scratch\.cnn6: is trained from scratch"):
        run_transfers(["transfer.icbhi-sprsound"], [EncoderChoice("scratch.cnn6")], tmp_path, root=simulated)


def test_they_have_no_twin_and_are_listed_as_what_they_are():
    with pytest.raises(UnknownId):
        registry.encoder_card("random.scratch.cnn6")
    with pytest.raises(BadInput, match="takes no weights"):
        load_encoder("scratch.cnn6", "file.pt")
    rows = {row["id"]: row for row in texts.encoders()}
    assert rows["scratch.cnn6"]["weights_present"] == "trained from scratch"
    assert rows["fbank.stats"]["weights_present"] == "none needed"
    line = next(x for x in texts.encoder_table(list(rows.values()), present=False).splitlines() if "scratch.cnn6" in x)
    assert "trained from scratch" in line
