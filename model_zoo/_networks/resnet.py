"""ResNet-18 on log-mel spectrograms, to be trained from scratch.

He et al., Deep residual learning for image recognition, CVPR 2016 (arXiv 1512.03385), table 1: a 7 x 7 convolution of
stride 2, a 3 x 3 maximum of stride 2, four stages of two basic blocks with 64, 128, 256 and 512 channels, the later
three halving the map; projection shortcuts (option B); initialisation of He et al., Delving deep into rectifiers, ICCV
2015, by fan-out. Input: one channel, under a batch norm over mel bands as in PANNs (arXiv 1912.10211), whose front end
at 16 kHz it takes. The embedding is the mean over the last map.
"""

from __future__ import annotations

from torch import Tensor, nn

from bench.encoders.blocks import split_around_stack
from model_zoo._adapters import row_ends
from model_zoo._adapters.row_ends import Ragged, Rows
from model_zoo._networks.cnn14 import BANDS, Map
from model_zoo._networks.on_log_mel import OnLogMel

WIDTHS = (64, 128, 256, 512)
REPEATS = 2  # blocks of a stage


class Basic(Ragged):
    """Two 3 x 3 convolutions with batch norm, the first of ``stride``, and a shortcut around them."""

    def __init__(self, inside: int, out: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride > 1 or inside != out:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        y, inner = row_ends.through(self.conv1, x, rows)
        y, rows_out = row_ends.through(self.conv2, self.bn1(y).relu(), inner)
        return (self.bn2(y) + self.shortcut(x)).relu(), rows_out


class Net(nn.Module):
    """Log-mel (B, frames, 64) to the stages' maps."""

    def __init__(self):
        super().__init__()
        self.bn0 = nn.BatchNorm1d(BANDS)
        self.conv1, self.bn1 = nn.Conv2d(1, WIDTHS[0], 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTHS[0])
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.stages = nn.ModuleList()
        for stage, out in enumerate(WIDTHS):
            inside, stride = (WIDTHS[stage - 1], 2) if stage else (out, 1)
            rest = [Basic(out, out, 1) for _ in range(REPEATS - 1)]
            self.stages.append(nn.Sequential(Basic(inside, out, stride), *rest))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def normalised(self, mel: Tensor) -> Tensor:
        """The mel spectrogram (B, frames, 64) in dB after the batch norm over bands, in the same shape."""
        return self.bn0(mel.transpose(1, 2)).transpose(1, 2)

    def forward(self, x: Tensor, rows: Rows | None = None) -> list[Map]:
        """Every stage's output of x (B, frames, 64), normalised; F' is 2 at the end."""
        x, rows = row_ends.through(self.conv1, x[:, None], rows)
        x, rows = row_ends.through(self.pool, self.bn1(x).relu(), rows)
        outputs = []
        for stage in self.stages:
            x, rows = row_ends.through(stage, x, rows)
            outputs.append((x.permute(0, 2, 3, 1), rows))
        return outputs

    def embedding(self, last: Map) -> Tensor:
        """The mean (B, 512) over the last map."""
        hidden, rows = last
        return row_ends.mean(hidden, rows and rows.along(1), (1, 2))


class Resnet(OnLogMel):
    """``scratch.resnet18``."""

    strides = (4, 8, 16, 32)

    def network(self) -> nn.Module:
        return Net()

    def blocks(self) -> list[nn.Module]:
        """The stem, then the basic blocks."""
        return split_around_stack(self, [block for stage in self.net.stages for block in stage])
