"""BagNet: a ResNet of mostly 1x1 convolutions, whose cells see a small square of the image and nothing beyond it.

Brendel and Bethge, "Approximating CNNs with bag-of-local-features models works surprisingly well on ImageNet", ICLR
2019. Structure and parameter names are those of the authors' PyTorch code, so that their weights can be given as a file;
none come with medmtl. A cell of the last two levels sees 9, 17 or 33 pixels a side, whatever the depth.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from medmtl.errors import CheckpointError
from medmtl.models.encoders import Encoder, encoders
from medmtl.models.weights import load_backbone

_STEPS = (2, 2, 2, 1)
_EXPANSION = 4
_BEFORE = (0, 0, 1, 1)
"""Places before its own cell at which the 3x3 kernel of each level begins: so the square's middle stays on the cell."""
_WIDE_KERNELS = {9: 2, 17: 3, 33: 4}
"""Pixels that a cell sees, to the number of levels whose first block has a 3x3 kernel."""
SIZES = {"": ((3, 4, 6, 3), 64), "-small": ((2, 2, 2, 2), 32)}
"""Endings of names: blocks of each level, and channels of the first. The small one is ours, for a CPU."""


class BagNetEncoder(Encoder):
    """Four levels of strides 2, 4, 8 and 8, for any input size.

    The authors' network pads nothing; here every level is padded to ``ceil(size / stride)`` cells. Away from the border
    the features are the same.

    Args:
        pixels: Side of the square that a cell of the last level sees: 9, 17 or 33.
        blocks: Bottleneck blocks of each level.
        width: Channels of the stem, and of the first level's bottlenecks.
    """

    strides = (2, 4, 8, 8)

    def __init__(self, pixels: int = 33, blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64) -> None:
        super().__init__()
        self.channels = tuple(width * 2**level * _EXPANSION for level in range(len(_STEPS)))
        network = nn.Module()
        network.conv1 = nn.Conv2d(3, width, 1, bias=False)
        network.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        network.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for level, (count, step) in enumerate(zip(blocks, _STEPS, strict=True)):
            kernel = 3 if level < _WIDE_KERNELS[pixels] else 1
            first = _Bottleneck(inputs, width * 2**level, step, kernel, _BEFORE[level] if kernel == 3 else 0)
            inputs = self.channels[level]
            rest = [_Bottleneck(inputs, width * 2**level) for _ in range(count - 1)]
            network.add_module(f"layer{level + 1}", nn.Sequential(first, *rest))
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                fan_out = math.prod(layer.kernel_size) * layer.out_channels
                nn.init.normal_(layer.weight, std=math.sqrt(2.0 / fan_out))
        self.network = network

    def stages(self) -> list[list[nn.Module]]:
        """See :class:`Encoder`."""
        return [list(self._layer(level)) for level in range(len(_STEPS))]

    def stage(self, level: int, x: Tensor) -> Tensor:
        """See :class:`Encoder`."""
        if level == 0:
            x = F.relu(self.network.bn1(self.network.conv2(self.network.conv1(x))))  # type: ignore[operator]
        return self._layer(level)(x)  # type: ignore[no-any-return]

    def _layer(self, level: int) -> nn.Sequential:
        return getattr(self.network, f"layer{level + 1}")  # type: ignore[no-any-return]


class _Bottleneck(nn.Module):
    """1x1, then 1x1 or 3x3, then 1x1; beside it the first place that the kernel reads, as in the authors' code."""

    def __init__(self, inputs: int, width: int, step: int = 1, kernel: int = 1, before: int = 0) -> None:
        super().__init__()
        self.before = before
        outputs = width * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel, step, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if step > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, step, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv2(self._padded(F.relu(self.bn1(self.conv1(x)))))
        inner = self.bn3(self.conv3(F.relu(self.bn2(inner))))
        beside = F.pad(x, (self.before, 0, self.before, 0)) if self.before else x
        beside = beside if self.downsample is None else self.downsample(beside)
        return F.relu(inner + beside[..., : inner.shape[-2], : inner.shape[-1]])

    def _padded(self, x: Tensor) -> Tensor:
        """Zeros so that there are ceil(size / step) cells, the first of which begins ``before`` places early."""
        kernel, step = self.conv2.kernel_size[0], self.conv2.stride[0]
        after = [max(0, (-(-side // step) - 1) * step + kernel - self.before - side) for side in x.shape[-2:]]
        return F.pad(x, (self.before, after[1], self.before, after[0]))


def _build(pixels: int, ending: str, weights: str) -> Encoder:
    name = f"bagnet{pixels}{ending}"
    if weights == "imagenet":
        raise CheckpointError(
            f"no weights of {name} come with medmtl",
            where="model.encoder.weights",
            found="'imagenet'",
            remedy="train from 'none', or give the path of a local file (the authors publish bagnet9, 17 and 33)",
        )
    encoder = BagNetEncoder(pixels, *SIZES[ending])
    if weights != "none":
        load_backbone(encoder.network, Path(weights))
    return encoder


for _pixels in _WIDE_KERNELS:
    for _ending in SIZES:
        encoders.register(f"bagnet{_pixels}{_ending}")(partial(_build, _pixels, _ending))
