"""PANNs' small networks, CNN6 and CNN10, to be trained from scratch.

Kong et al., PANNs: Large-scale pretrained audio neural networks for audio pattern recognition, IEEE/ACM TASLP 2020
(arXiv 1912.10211), table 2: a batch norm over mel bands; four blocks of 64, 128, 256 and 512 channels, in CNN6 one
5 x 5 convolution each and in CNN10 two 3 x 3 convolutions, every one with batch norm and ReLU, and an average over
2 x 2 behind each block; mean over bands, mean + max over time, a linear layer of 512 with ReLU. Dropout as in the
authors' code: 0.2 behind every block, 0.5 before and behind the linear layer. Their SpecAugment is the trainer's
business.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import dropout

from bench.encoders.blocks import split_around_stack
from model_zoo._adapters import row_ends
from model_zoo._adapters.row_ends import Ragged, Rows
from model_zoo._networks import cnn14
from model_zoo._networks.on_log_mel import OnLogMel

PLAN = cnn14.Geometry((64, 128, 256, 512), 512)
BLOCK_DROPOUT, LINEAR_DROPOUT = 0.2, 0.5


class Wide(Ragged):
    """CNN6's block: a 5 x 5 convolution with batch norm and ReLU, then an average over ``pool`` x ``pool``."""

    def __init__(self, inside: int, out: int, pool: int):
        super().__init__()
        self.pool = pool
        self.conv1, self.bn1 = nn.Conv2d(inside, out, 5, padding=2, bias=False), nn.BatchNorm2d(out)

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        x, rows = row_ends.through(self.conv1, x, rows)
        return cnn14.averaged(self.bn1(x).relu(), rows, self.pool)


BLOCKS = {"scratch.cnn6": Wide, "scratch.cnn10": cnn14.Block}


class Net(cnn14.Cnn14):
    """Four blocks with dropout behind each."""

    def __init__(self, block: type[nn.Module]):
        super().__init__(PLAN, block, (2, 2, 2, 2))

    def forward(self, x: Tensor, rows: Rows | None = None) -> list[cnn14.Map]:
        """Every block's output of x (B, frames >= 16, 64), normalised; F' is 4 at the end."""
        x, outputs = x[:, None], []
        for block in self.stages():
            x, rows = row_ends.through(block, x, rows)
            x = dropout(x, BLOCK_DROPOUT, self.training)
            outputs.append((x.permute(0, 2, 3, 1), rows))
        return outputs

    def embedding(self, last: cnn14.Map) -> Tensor:
        """The embedding (B, 512) of the last block's output."""
        x = dropout(cnn14.mean_and_max(last), LINEAR_DROPOUT, self.training)
        return dropout(self.fc1(x).relu(), LINEAR_DROPOUT, self.training)


class Cnn(OnLogMel):
    """``scratch.cnn6`` and ``scratch.cnn10``."""

    strides = (2, 4, 8, 16)

    def network(self) -> nn.Module:
        return Net(BLOCKS[self.card.id])

    def blocks(self) -> list[nn.Module]:
        """The batch norm over bands, the convolution blocks, the linear layer."""
        return split_around_stack(self, self.net.stages(), [self.net.fc1])
