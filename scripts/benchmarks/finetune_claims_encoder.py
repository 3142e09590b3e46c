"""An encoder of nine thousand parameters with every tap, which trains in seconds: frames as tokens, two blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.types import EncoderCard, Grid, Tokens
from model_zoo._networks.on_log_mel import Scratch

RATE, FRAME, HOP = 4000, 256, 128  # Hz, samples, samples
BANDS, LOW_HZ, HIGH_HZ = 48, 60.0, 1900.0
WIDTH, BLOCKS, POSITIONS = 32, 2, 64

CARD = EncoderCard(
    id="claims.frames",
    version=1,
    sample_rate=RATE,
    min_s=FRAME / RATE,
    max_s=(FRAME + (POSITIONS - 1) * HOP) / RATE,
    dims={"mean": WIDTH, "max": WIDTH},
    grid=(HOP / RATE, 1),
    layers=BLOCKS,
    frontend="log power in 48 bands, 60-1900 Hz, of frames of 64/32 ms, 4 kHz",
    citation="none",
    licence="MIT",
    from_scratch=True,
)


class Block(nn.Module):
    """A residual layer of rectified units."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Network(nn.Module):
    """Patch embedding, positions, blocks and a last norm."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Linear(BANDS, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(POSITIONS, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(WIDTH)


class Frames(Scratch):
    """Each frame of a clip is a patch; clips of at most ``POSITIONS`` frames."""

    offers = frozenset({"spectrogram", "patches"})

    def __init__(self):
        super().__init__(CARD)
        hz = torch.fft.rfftfreq(FRAME, 1 / RATE).clamp_min(1.0)
        place = (hz / LOW_HZ).log() / torch.tensor(HIGH_HZ / LOW_HZ).log() * (BANDS - 1)  # of a bin among the bands
        bank = (1 - (place[:, None] - torch.arange(BANDS)).abs() / 2).clamp_min(0)  # four bands wide
        self.register_buffer("bank", bank / bank.sum(0).clamp_min(1e-9), persistent=False)
        self.register_buffer("window", torch.hann_window(FRAME), persistent=False)

    def network(self) -> nn.Module:
        return Network()

    def batch_length(self, n: int) -> int:
        return FRAME + -(-max(n - FRAME, 0) // HOP) * HOP

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        power = torch.fft.rfft(wave.unfold(1, FRAME, HOP) * self.window).abs().square() @ self.bank
        x = self.tap("spectrogram", (power + 1e-6).log().sub(-2.0) / 3)  # about 0 and 1 for these corpora
        x = self.tap("patches", self.net.patches(x)) + self.net.positions[: x.shape[1]]
        layers = []
        for number, block in enumerate(self.net.blocks, start=1):
            x = block(x)
            out = self.net.norm(x) if number == BLOCKS else x
            layers.append(Grid(out[:, :, None], torch.full_like(length, x.shape[1]), HOP / RATE, f"block{number}"))
        return Tokens(tuple(layers))
