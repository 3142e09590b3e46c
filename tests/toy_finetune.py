"""What tests of fine-tuning share: an encoder of a few hundred weights with every tap, and a short recipe."""

import torch
from torch import nn

from bench.finetune.recipe import recipe_of
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters.adapter import Adapter
from toy_methods import ToyText

RATE, FRAME, WIDTH = 4000, 200, 8


def card(**changes) -> EncoderCard:
    given = {
        "id": "test.tiny",
        "version": 1,
        "sample_rate": RATE,
        "min_s": FRAME / RATE,
        "dims": {"mean": WIDTH, "max": WIDTH},
        "grid": (FRAME / RATE, 1),
        "frontend": "power spectrum",
        "citation": "none",
        "licence": "MIT",
    }
    return EncoderCard(**(given | changes))


class Block(nn.Module):
    def __init__(self, norm: bool):
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.BatchNorm1d(WIDTH) if norm else nn.Identity()
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        y = self.norm(self.linear(x).transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(y.tanh())


class Tiny(Adapter):
    """Frames of 50 ms, their log power in 16 bands, patches, blocks, mean."""

    offers = frozenset({"spectrogram", "patches"})
    centres = (3.5 + 6 * torch.arange(16, dtype=torch.float64)) / FRAME  # of bins 1 to 6, 7 to 12, …

    def __init__(self, norm: bool = True, blocks: int = 3):
        super().__init__(card())
        self.patches = nn.Linear(16, WIDTH)
        self.layers = nn.ModuleList(Block(norm) for _ in range(blocks))

    def text_tower(self):
        return ToyText()

    def batch_length(self, n):
        return -(-n // FRAME) * FRAME

    def encode(self, wave, length):
        frames = wave.unfold(1, FRAME, FRAME)
        power = torch.fft.rfft(frames).abs().square()[..., 1:97].unflatten(-1, (16, 6)).mean(-1)
        x = self.tap("spectrogram", (power + 1e-4).log() / 4)
        x = self.tap("patches", self.patches(x))
        for layer in self.layers:
            x = layer(x)
        count = torch.full_like(length, x.shape[1])
        return Tokens((Grid(x[:, :, None], count, FRAME / RATE, "last"),))


def tiny(norm: bool = True, blocks: int = 3) -> Tiny:
    """The encoder, initialised alike every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny(norm, blocks).eval()


def recipe(**changes):
    """A short run in which all that draws draws."""
    given = {
        "name": "toy",
        "epochs": 3,
        "optimiser": {"lr": 1e-2},
        "schedule": {"warmup_epochs": 0.5},
        "batches": {"size": 8, "accumulate": 2, "pool": 3, "crop_s": 0.4},
        "waveform": {"gain_db": 3.0, "shift_s": 0.05, "noise_snr_db": [20.0, 30.0]},
        "spectrogram": {"band_mask": 4, "frame_mask": 3},
        "averaging": {"kind": "ema", "decay": 0.8},
    }
    return recipe_of(given | changes)
