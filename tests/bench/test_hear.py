import subprocess
import sys

import numpy as np
import pytest
import torch

from bench import hear
from bench.base.errors import BadInput, UnknownId
from bench.encoders.batches import collate, embed
from bench.encoders.load import load_encoder
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters.adapter import Adapter

CARD = EncoderCard(
    id="toy.windows", version=1, sample_rate=16000, dims={"mean": 3, "cls": 3, "freq": 6}, frontend="", citation="",
    licence="MIT", min_s=0.1, max_s=1.0, grid=(0.1, 2), layers=1,
)  # fmt: skip


class Windows(Adapter):
    """Tokens of 0.1 s, clips padded to 1 s: mean, minimum and maximum of each token, in two equal bands."""

    def __init__(self, card=CARD, hop_s=0.1, valid=True):
        super().__init__(card)
        self.hop_s, self.counted = hop_s, valid

    def batch_length(self, n):
        return 16000

    def encode(self, wave, length):
        steps = wave.unflatten(1, (-1, 1600))
        values = torch.stack([steps.mean(2), steps.amin(2), steps.amax(2)], dim=2)
        count = torch.full_like(length, steps.shape[1])
        valid = -(-length // 1600) if self.counted else None
        grid = Grid(values[:, :, None].repeat(1, 1, 2, 1), count, self.hop_s, "tokens", valid, values[:, 0])
        return Tokens((grid,))


def breaches(module, model):
    """Where a module departs from the published rules of the API (hearbenchmark.com/hear-api.html)."""
    if not isinstance(model, torch.nn.Module):
        yield "load_model gives no torch module"
    if model.sample_rate not in (16000, 22050, 32000, 44100, 48000):
        yield f"rate {model.sample_rate}"
    for size in (model.scene_embedding_size, model.timestamp_embedding_size):
        if not isinstance(size, int):
            yield f"size {size!r} is not an int"
    for sounds, seconds in ((2, 1.07), (2, 1.98), (3, 4.0), (1, 0.05)):
        audio = 2 * torch.rand(sounds, int(seconds * model.sample_rate)) - 1
        with torch.no_grad():
            embeddings, times = module.get_timestamp_embeddings(audio, model)
            scene = module.get_scene_embeddings(audio, model)
        if scene.dtype != torch.float32 or tuple(scene.shape) != (sounds, model.scene_embedding_size):
            yield f"scene is {scene.dtype} {tuple(scene.shape)}"
        if embeddings.dtype != torch.float32 or embeddings.ndim != 3:
            yield f"embeddings are {embeddings.dtype} {tuple(embeddings.shape)}"
        if (embeddings.shape[0], embeddings.shape[2]) != (sounds, model.timestamp_embedding_size):
            yield f"embeddings are {tuple(embeddings.shape)}"
        if times.dtype != torch.float32 or times.shape != embeddings.shape[:2]:
            yield f"timestamps are {times.dtype} {tuple(times.shape)}"
        if not (float(times.min()) >= 0 and float(times.max()) <= 1000 * seconds):
            yield f"timestamps {float(times.min())} to {float(times.max())} ms of {seconds} s"
        if times.shape[1] > 1:
            gaps = times.diff(dim=1)
            if float((gaps - gaps.mean()).abs().max()) > 1:
                yield "timestamps are not regular"
            if float(times.max()) < 1000 * seconds - 2 * float(gaps.mean()):
                yield f"timestamps end at {float(times.max())} ms of {seconds} s"


def test_exports_keep_the_rules():
    module = hear.export("fbank.stats")
    assert list(breaches(module, module.load_model())) == []


@pytest.mark.parametrize(("hop_s", "valid"), [(0.1, True), (0.1, False), (0.0, True)])
def test_windows_padding_and_bands_keep_the_rules(hop_s, valid):
    model = hear.HearModel(Windows(hop_s=hop_s, valid=valid))
    assert (model.timestamp_embedding_size, model.scene_embedding_size) == (6, 3)
    assert list(breaches(hear, model)) == []


def test_timestamps_go_on_beyond_the_longest_clip():
    model = hear.HearModel(Windows())
    audio = torch.arange(40000.0)[None] / 40000
    embeddings, times = hear.get_timestamp_embeddings(audio, model)
    torch.testing.assert_close(embeddings[0, :, 0], audio[0].unflatten(0, (-1, 1600)).mean(1))
    torch.testing.assert_close(times[0], 50 + 100 * torch.arange(25.0))
    torch.testing.assert_close(embeddings[..., :3], embeddings[..., 3:])  # the bands
    scene = hear.get_scene_embeddings(audio, model)
    torch.testing.assert_close(scene[0, 0], audio[0, :16000].mean())


def test_round_trip():
    original, back = load_encoder("fbank.stats"), load_encoder("hear.bench.hear.fbank.stats")
    rng = np.random.default_rng(0)
    waves = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (1, 5000, 16000, 16100)]
    for pooling in ("published", "mean", "max", "[mean,std]"):
        np.testing.assert_array_equal(embed(back, waves, pooling), embed(original, waves, pooling))
    assert back.card.grid == original.card.grid
    assert {k: back.card.dims[k] for k in original.card.dims} == original.card.dims


def test_gradients_pass():
    model = hear.HearModel(Windows())
    audio = torch.rand(1, 20000, requires_grad=True)
    hear.get_timestamp_embeddings(audio, model)[0].sum().backward()
    assert bool((audio.grad != 0).all())


@pytest.mark.long
def test_modules_import_by_name_alone():
    code = (
        "import importlib; m = importlib.import_module('bench.hear.fbank.stats'); model = m.load_model(); "
        "print(m.__name__, model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["bench.hear.fbank.stats", "16000", "896", "128"]


def test_policies_and_weights_reach_the_encoder(monkeypatch):
    asked = []
    monkeypatch.setattr(hear, "load_encoder", lambda *given, **told: asked.append(given) or Windows())
    module = hear.export("whisper.base@short")
    module.load_model()
    module.load_model("some/file.pt")
    assert asked == [("whisper.base@short", None), ("whisper.base@short", "some/file.pt")]


def test_what_the_api_has_no_place_for(monkeypatch):
    with pytest.raises(UnknownId):
        hear.export("fbank.stat")
    with pytest.raises(BadInput, match="8000 Hz, which is not one of HEAR's rates"):
        hear.export("meta.duration").load_model()
    encoder = Windows()
    encoder.needs_stats = True
    monkeypatch.setattr(hear, "load_encoder", lambda *given, **told: encoder)
    with pytest.raises(BadInput, match="statistics of the training clips"):
        hear.load_model("fbank.stats")


def test_clips_fit_the_cards_bounds_as_everywhere():
    encoder = Windows()
    model, wave = hear.HearModel(encoder), np.linspace(-1, 1, 20000, dtype=np.float32)
    theirs = encoder(*collate(encoder, [wave])).layers[0].hidden
    torch.testing.assert_close(model(torch.from_numpy(wave)[None]).layers[0].hidden, theirs)
