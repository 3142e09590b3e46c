"""CNN14's trunk and its log-mel front end, which the CLAPs took over.

Kong et al., PANNs: Large-scale pretrained audio neural networks for audio pattern recognition, IEEE/ACM TASLP 2020
(arXiv 1912.10211), table 2: a batch norm over mel bands, six blocks of two 3 x 3 convolutions, averages of 2 x 2
behind the first five. Tensor names are those of the releases. The front end is torchlibrosa's: power of a centred
STFT, Slaney mel filters, decibels against 1. Files carry their STFT kernels, which are ignored, and their mel matrix
``melW``, which is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from bench.base.errors import CheckpointError
from model_zoo._adapters import row_ends
from model_zoo._adapters.frontend import MelSpectrogram, decibels
from model_zoo._adapters.row_ends import Ragged, Rows

BANDS, LOW_HZ, HIGH_HZ = 64, 50.0, 14000.0
POOLS = (2, 2, 2, 2, 2, 1)  # behind the blocks
STRIDES = (2, 4, 8, 16, 32, 32)  # of the blocks' outputs, in frames
TIME = 2  # the axis of time in the blocks' maps (B, C, T', F')
BANK = "logmel_extractor.melW"
IGNORED = (r"spectrogram_extractor\..*", r"logmel_extractor\..*", r"fc_audioset\..*")


Map = tuple[Tensor, Rows | None]  # (B, T', F', C), and where its rows end


class Geometry(NamedTuple):
    """Channels of the six blocks and features of the embedding."""

    widths: tuple[int, ...]
    embedding: int


FULL = Geometry((64, 128, 256, 512, 1024, 2048), 2048)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """The geometry of the trunk in ``tensors``, whose names start at ``conv_block1``. Raises ``CheckpointError``."""
    try:
        widths = tuple(len(tensors[f"conv_block{i}.conv2.weight"]) for i in range(1, len(STRIDES) + 1))
        return Geometry(widths, len(tensors["fc1.weight"]))
    except KeyError as error:
        problem = f"lacks the tensors of a CNN14 ({error})"
        raise CheckpointError(where, problem, "check that the file belongs to this encoder") from error


def stored_bank(tensors: Mapping[str, Tensor], fft: int, where: object) -> Tensor:
    """The file's mel matrix (fft // 2 + 1, 64). Raises ``CheckpointError`` when it has another shape or none."""
    bank, expected = tensors.get(BANK), (fft // 2 + 1, BANDS)
    if bank is None or bank.shape != expected or not bool(bank.isfinite().all()):
        actual = (
            "is missing" if bank is None else f"is {tuple(bank.shape)}" if bank.shape != expected else "is not finite"
        )
        raise CheckpointError(
            where,
            f"the mel matrix {BANK} {actual}, not {expected}",
            "check that the file belongs to this encoder's rate",
        )
    return bank


class LogMel(MelSpectrogram):
    """Log-mel in dB (B, frames, 64) of wave (B, T), length (B,). ``bank`` is a checkpoint's mel matrix."""

    def __init__(self, rate: int, fft: int, hop: int, high_hz: float = HIGH_HZ, bank: Tensor | None = None):
        super().__init__(rate, fft, hop, BANDS, LOW_HZ, high_hz, bank=bank)

    def forward(self, wave: Tensor, length: Tensor) -> Tensor:
        return decibels(super().forward(wave, length))


class Block(Ragged):
    """Two 3 x 3 convolutions with batch norm and ReLU, then an average over ``pool`` x ``pool``."""

    def __init__(self, inside: int, out: int, pool: int):
        super().__init__()
        self.pool = pool
        self.conv1 = nn.Conv2d(inside, out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        x, rows = row_ends.through(self.conv1, x, rows)
        x, rows = row_ends.through(self.conv2, self.bn1(x).relu(), rows)
        return averaged(self.bn2(x).relu(), rows, self.pool)


def averaged(x: Tensor, rows: Rows | None, size: int) -> tuple[Tensor, Rows | None]:
    """Averages over ``size`` x ``size``, in which the last ones of an odd length have no part, and their rows."""
    if size == 1:
        return x, rows
    return nn.functional.avg_pool2d(x, size), rows and rows.then(lambda n: n // size)


class Cnn14(nn.Module):
    """The trunk up to the embedding ``fc1``.

    It is initialised as the original is (Xavier-uniform, zero biases, from torch's global generator). ``block`` and
    ``pools`` are those of the paper's smaller networks where given.
    """

    def __init__(self, geometry: Geometry, block: type[nn.Module] = Block, pools: tuple[int, ...] = POOLS):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(BANDS)
        self.depth = len(pools)
        inside = (1, *geometry.widths[:-1])
        for i, (before, out, pool) in enumerate(zip(inside, geometry.widths, pools, strict=True), start=1):
            self.add_module(f"conv_block{i}", block(before, out, pool))
        self.fc1 = nn.Linear(geometry.widths[-1], geometry.embedding)
        for part in self.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(part.weight)
        nn.init.zeros_(self.fc1.bias)

    def stages(self) -> list[nn.Module]:
        """The convolution blocks in order."""
        return [getattr(self, f"conv_block{i}") for i in range(1, self.depth + 1)]

    def normalised(self, mel: Tensor) -> Tensor:
        """The mel spectrogram (B, frames, 64) in dB after the batch norm over bands, in the same shape."""
        bands = mel.transpose(1, 2)[..., None].contiguous()  # of other strides torch's CPU gradient is wrong
        return self.bn0(bands)[..., 0].transpose(1, 2)

    def forward(self, x: Tensor, rows: Rows | None = None) -> list[Map]:
        """Every block's output of x (B, frames >= 32, 64), normalised; F' is 2 at the end."""
        x, outputs = x[:, None], []
        for block in self.stages():
            x, rows = row_ends.through(block, x, rows)
            outputs.append((x.permute(0, 2, 3, 1), rows))
        return outputs

    def embedding(self, last: Map) -> Tensor:
        """The published embedding (B, E) of the last block's output: mean over bands, mean + max over time, fc1."""
        return self.fc1(mean_and_max(last)).relu()


def mean_and_max(last: Map) -> Tensor:
    """The mean over bands, then the sum of mean and maximum over time: (B, C)."""
    hidden, rows = last
    rows = rows and rows.along(1)
    frames = hidden.mean(dim=2)
    return row_ends.mean(frames, rows, (1,)) + row_ends.amax(frames, rows, (1,))
