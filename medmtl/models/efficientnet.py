"""EfficientNet-B0 to B7 from MONAI as feature pyramids."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from monai.networks.nets.efficientnet import EfficientNetBNFeatures, EfficientNetEncoder
from torch import Tensor, nn

from medmtl.errors import CheckpointError
from medmtl.models.encoders import Encoder, encoders
from medmtl.models.padding import StridePadding
from medmtl.models.weights import load_backbone

_STACKS = ((0,), (1,), (2,), (3, 4), (5, 6))  # each level begins with the stack that halves the size
NAMES = tuple(f"efficientnet-b{size}" for size in range(8))


class MonaiEfficientNet(Encoder):
    """MONAI's EfficientNet as a feature pyramid for any input size.

    MONAI pads for the resolution of the ImageNet training; here the padding follows the input.

    Args:
        name: ``efficientnet-b0`` to ``efficientnet-b7``.
        pretrained: ImageNet weights through MONAI's own loader, which needs the network or torch's download cache.
    """

    def __init__(self, name: str = "efficientnet-b0", *, pretrained: bool = False) -> None:
        super().__init__()
        known = dict(
            zip(EfficientNetEncoder.get_encoder_names(), EfficientNetEncoder.num_channels_per_output(), strict=True)
        )
        self.channels = known[name]
        network = EfficientNetBNFeatures(name, pretrained=pretrained, progress=False)
        del network._conv_head, network._bn1, network._fc
        _prepare(network)
        self.network = network

    def stages(self) -> list[list[nn.Module]]:
        """See :class:`Encoder`."""
        return [[block for stack in stacks for block in self.network._blocks[stack]] for stacks in _STACKS]

    def stage(self, level: int, x: Tensor) -> Tensor:
        """See :class:`Encoder`."""
        if level == 0:
            x = self.network._conv_stem(self.network._conv_stem_padding(x))
            x = self.network._swish(self.network._bn0(x))
        for stack in _STACKS[level]:
            x = self.network._blocks[stack](x)
        return x


def _prepare(network: nn.Module) -> None:
    """Padding that follows the input, and torch's own SiLU (the same function, but one that can be compiled)."""
    network._conv_stem_padding = StridePadding(3)
    network._swish = nn.SiLU()
    for stack in network._blocks:  # type: ignore[union-attr]
        for block in stack:
            block._swish = nn.SiLU()
            convolution = block._depthwise_conv
            kernel = convolution.kernel_size[0]
            if block.stride == 2:
                block._depthwise_conv_padding = StridePadding(kernel)
            else:
                block._depthwise_conv_padding = nn.Identity()
                convolution.padding = (kernel // 2, kernel // 2)


def nested_name(name: str, stack_of: dict[int, int]) -> str:
    """From the published files' ``_blocks.7.x`` to MONAI's ``_blocks.3.7.x``; MONAI's own names stay."""
    match = re.match(r"_blocks\.(\d+)\.([^\d].*)$", name)
    return f"_blocks.{stack_of[int(match[1])]}.{match[1]}.{match[2]}" if match and int(match[1]) in stack_of else name


def _stack_of(network: nn.Module) -> dict[int, int]:
    stacks = network._blocks
    return {int(block): int(stack) for stack, blocks in stacks.named_children() for block, _ in blocks.named_children()}  # type: ignore[union-attr]


def _build(name: str, weights: str) -> Encoder:
    if weights == "imagenet":
        return _download(name)
    encoder = MonaiEfficientNet(name)
    if weights != "none":
        rename = partial(nested_name, stack_of=_stack_of(encoder.network))
        load_backbone(encoder.network, Path(weights), rename)
    return encoder


def _download(name: str) -> Encoder:
    try:
        return MonaiEfficientNet(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the ImageNet weights of {name} cannot be downloaded",
            found=(str(error).splitlines() or [type(error).__name__])[0],
            remedy="give the path of a local file, 'none', or the encoder efficientnet-lite0, whose weights are installed",
        ) from error


for _name in NAMES:
    encoders.register(_name)(partial(_build, _name))
