"""Segmentation: MONAI's U-Net decoder on the encoder's levels, for any image size."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.flexible_unet import UNetDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from medmtl.errors import ConfigError
from medmtl.models.encoders import STRIDES
from medmtl.models.heads import Head, initialize_output
from medmtl.models.padding import pad_to

_IMAGE_CHANNELS = 3
DECODER_CHANNELS = (128, 64, 32, 24, 16)


class SegmentationHead(Head):
    """U-Net decoder and a 3×3 convolution to logits in the image's own size.

    The features are padded to whole cells of the coarsest level and the result is cut back, so that every size works.

    Args:
        encoder_channels: The encoder's channels, finest first; a shorter tuple makes a shallower decoder.
        classes: Number of logit maps.
        decoder_channels: Channels of the blocks, coarsest first; as many as there are levels down to
            ``output_stride``, further ones are left out.
        output_stride: 1 decodes to full resolution; 2 or 4 stop there and upsample the logits (faster).
        prior: Probability of a class that an untrained head gives; None leaves the bias at 0. Where the class is rare a
            bias of 0 costs dear: the first steps lower every weight of the output, and the few channels behind a ReLU
            then learn to fall silent on the class, whose logit can never exceed the bias.
        strides: The encoder's strides; of a level that is finer than ``2**level`` only the cells of a plain pyramid
            are read.

    Raises:
        ConfigError: Channels and levels do not fit together.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int],
        classes: int,
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
        *,
        output_stride: int = 1,
        prior: float | None = None,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__()
        if output_stride not in (1, 2, 4):
            raise ConfigError("the output stride of a segmentation must be 1, 2 or 4", found=output_stride)
        self.levels = len(encoder_channels)
        self.output_stride = output_stride
        self.steps = [2**level // stride for level, stride in enumerate(strides[: self.levels], start=1)]
        self.skipped = output_stride.bit_length() - 1
        blocks = self.levels - self.skipped
        if blocks < 2 or len(decoder_channels) < blocks:
            what = f"a decoder from level {self.levels} to stride {output_stride} needs {max(blocks, 2)} blocks"
            raise ConfigError(what, where="decoder_channels", found=tuple(decoder_channels))
        pyramid = (_IMAGE_CHANNELS, *encoder_channels)[self.skipped :]
        self.decoder = _decoder(pyramid, decoder_channels[:blocks])
        self.output = nn.Conv2d(decoder_channels[blocks - 1], classes, kernel_size=3, padding=1)
        # Weights of the usual size, of both signs: the tiny ones of a class map let all channels take the first step's sign.
        initialize_output(self.output, prior, std=(9 * decoder_channels[blocks - 1]) ** -0.5)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int], valid: Tensor | None = None) -> Tensor:
        """Gives logits (B, classes, H, W) for ``size`` = (H, W); ``valid`` is not used."""
        used = self._whole_cells(features, size)
        logits = self.output(self.decoder(used, skip_connect=len(used) - 1))
        if self.output_stride > 1:
            logits = F.interpolate(logits, scale_factor=float(self.output_stride), mode="bilinear", align_corners=False)
        return logits[..., : size[0], : size[1]]  # type: ignore[no-any-return]

    def _whole_cells(self, features: Sequence[Tensor], size: tuple[int, int]) -> list[Tensor]:
        """The levels that the decoder reads, each with exactly twice the cells of the next."""
        rows, columns = (-(-side // 2**self.levels) for side in size)
        padded = []
        for index in range(self.skipped, self.levels):
            factor = 2 ** (self.levels - 1 - index)
            step = self.steps[index]
            padded.append(pad_to(features[index][..., ::step, ::step], rows * factor, columns * factor))
        return padded


def _decoder(pyramid: Sequence[int], channels: Sequence[int]) -> nn.Module:
    """MONAI's decoder with the settings of its FlexibleUNet."""
    return UNetDecoder(  # type: ignore[no-any-return]
        spatial_dims=2,
        encoder_channels=pyramid,
        decoder_channels=channels,
        act=("relu", {"inplace": True}),
        norm=("batch", {"eps": 1e-3, "momentum": 0.1}),
        dropout=0.0,
        bias=False,
        upsample="nontrainable",
        pre_conv="default",
        interp_mode="nearest",
        align_corners=None,
        is_pad=False,
    )
