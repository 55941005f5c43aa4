"""What a head is, and the two that end in logits of the whole image: classification and class maps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from medmtl.errors import ConfigError
from medmtl.models.attention import GatedAttention, attend
from medmtl.models.encoders import STRIDES
from medmtl.models.pooling import build_pooling, cells_inside, mean

_LEAST_STRIDE = 4


class Head(nn.Module, ABC):
    """Reads the first ``levels`` features of an encoder, finest first."""

    levels: int

    @abstractmethod
    def forward(self, features: Sequence[Tensor], size: tuple[int, int], valid: Tensor | None = None) -> Any:
        """Makes the task's output.

        Args:
            features: At least ``levels`` features, finest first.
            size: Height and width of the image.
            valid: Field of view (B, 1, H, W), boolean or 0/1; None where all pixels count.
        """

    def merged(self) -> nn.Module | None:
        """The part that fuses levels to (B, C, h, w), which class-activation methods look at; None: the deepest level."""
        return None


class ClassificationHead(Head):
    """Global average pooling of the coarsest level, dropout, one linear layer.

    Args:
        channels: The encoder's channels, finest first.
        outputs: Number of logits.
        dropout: Probability, 0 to 1.
        prior: Probability that an untrained head gives for every output; None leaves the bias at 0.
        strides: The encoder's strides.
    """

    def __init__(
        self,
        channels: Sequence[int],
        outputs: int,
        dropout: float = 0.0,
        *,
        prior: float | None = None,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__()
        self.levels = len(channels)
        self.stride = strides[self.levels - 1]
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels[-1], outputs)
        initialize_output(self.output, prior)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int], valid: Tensor | None = None) -> Tensor:
        """Gives logits (B, outputs); cells outside ``valid`` are not averaged."""
        inside = None if valid is None else cells_inside(valid, self.stride)
        return self.output(self.dropout(mean(features[self.levels - 1], inside)))  # type: ignore[no-any-return]


class ClassMaps(NamedTuple):
    """Evidence by place, and for the image; the pooled maps are the image's logits.

    Attributes:
        maps: Logits (B, C, h, w).
        logits: Of the image (B, C), float32.
        attention: Scores of attention pooling (B, C, h, w), before the softmax; None for any other pooling.
        evidence: The maps less the class's bias (B, C, h, w); None where nobody asked for it.
    """

    maps: Tensor
    logits: Tensor
    attention: Tensor | None = None
    evidence: Tensor | None = None


class ClassMapHead(Head):
    """A map of logits for each class, pooled to the image's logit: places from image-level labels.

    An untrained head says "unlikely" everywhere: small weights and a bias at the prior's logit (Lin et al., "Focal loss
    for dense object detection", ICCV 2017, section 4.1), so that a map is blank until something was learned.

    Args:
        channels: The encoder's channels, finest first.
        classes: Number of maps.
        stride: Pixels a cell of the map: 4, 8, 16 or 32.
        pooling: ``lse``, ``mean``, ``max``, ``topk`` or ``attention``.
        sharpness: r of ``lse``.
        top_cells: k of ``topk``; None for a share of the cells.
        top_share: That share.
        fuse: Channels of a top-down fusion of the deeper levels into the map's level (Lin et al., "Feature pyramid
            networks for object detection", CVPR 2017); 0 reads that level alone and computes no deeper one.
        prior: Probability of a class that an untrained head gives.
        dropout: Probability that a feature channel is dropped in training.
        keep_evidence: Also give the maps less the bias, for a loss that needs them.
        level: The encoder level that is read, from 1; None for the last one of the stride (with ``fuse`` the first).
        strides: The encoder's strides.

    Raises:
        ConfigError: An argument is out of its range.
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        stride: int = 16,
        pooling: str = "lse",
        sharpness: float = 4.0,
        *,
        top_cells: int | None = None,
        top_share: float = 0.02,
        fuse: int = 0,
        prior: float = 0.02,
        dropout: float = 0.0,
        keep_evidence: bool = False,
        level: int | None = None,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.keep_evidence = keep_evidence
        level = _level_of(stride, strides, level, first=fuse > 0)
        self.levels = len(channels) if fuse else level
        width = fuse or channels[level - 1]
        self.attention = GatedAttention(width, classes) if pooling == "attention" else None
        self.pool = build_pooling("mean" if self.attention else pooling, sharpness, cells=top_cells, share=top_share)
        self.merge: nn.Module = TopDownFusion(channels, level, fuse, strides) if fuse else _Level(level)
        self.dropout = nn.Dropout2d(dropout)
        self.output = nn.Conv2d(width, classes, kernel_size=1)
        initialize_output(self.output, prior)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int], valid: Tensor | None = None) -> ClassMaps:
        """Gives maps (B, C, ceil(H / stride), ceil(W / stride)) and logits (B, C) over the cells inside ``valid``."""
        merged = self.dropout(self.merge(features))
        maps = self.output(merged)
        scores = None if self.attention is None else self.attention(merged)
        evidence = (
            maps - self.output.bias[:, None, None] if self.keep_evidence and self.output.bias is not None else None
        )
        return ClassMaps(maps, self.pooled(maps, valid, scores), scores, evidence)

    def merged(self) -> nn.Module | None:
        """The fusion of the levels; None without one."""
        return self.merge if isinstance(self.merge, TopDownFusion) else None

    def pooled(self, maps: Tensor, valid: Tensor | None = None, attention: Tensor | None = None) -> Tensor:
        """From maps of this head, also merged ones, to the image's logits (B, C).

        Args:
            maps: Logits (B, C, h, w).
            valid: Field of view (B, 1, H, W) in pixels, boolean or 0/1, H and W being stride times the maps' sides or
                up to stride - 1 less; None where all cells count.
            attention: The scores that came with the maps, where this head pools by attention.
        """
        inside = None if valid is None else cells_inside(valid, self.stride)
        return self.pool(maps, inside) if attention is None else attend(maps, attention, inside)


class TopDownFusion(nn.Module):
    """Adds the upsampled deeper levels to one level, all brought to ``width`` channels; batch norm and ReLU at the end.

    Args:
        channels: The encoder's channels, finest first.
        level: The level of the result, from 1.
        width: Channels of the result.
        strides: The encoder's strides; a level of the stride of the one before it is not upsampled.
    """

    def __init__(self, channels: Sequence[int], level: int, width: int, strides: Sequence[int] = STRIDES) -> None:
        super().__init__()
        self.level = level
        self.factors = [after // before for before, after in pairwise(strides[level - 1 : len(channels)])]
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1, bias=False) for count in channels[level - 1 :])
        self.finish = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Gives (B, width, h, w) of the level."""
        pyramid = [layer(x) for layer, x in zip(self.lateral, features[self.level - 1 :], strict=True)]
        merged = pyramid.pop()
        for finer, factor in zip(reversed(pyramid), reversed(self.factors), strict=True):
            if factor > 1:
                merged = F.interpolate(merged, scale_factor=float(factor), mode="bilinear", align_corners=False)
            merged = finer + merged[..., : finer.shape[-2], : finer.shape[-1]]
        return self.finish(merged)  # type: ignore[no-any-return]


class _Level(nn.Module):
    """Takes one level out of the pyramid."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return features[self.level - 1]


def initialize_output(layer: nn.Conv2d | nn.Linear, prior: float | None, std: float = 0.01) -> None:
    """Small normal weights, and a bias at the logit of ``prior`` (0 where it is None).

    Args:
        layer: The last layer of a head.
        prior: Probability between 0 and 1, both excluded.
        std: Standard deviation of the weights.

    Raises:
        ConfigError: The prior is out of its range.
    """
    if prior is not None and not 0 < prior < 1:
        raise ConfigError("a prior must lie between 0 and 1, both excluded", found=prior)
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.0 if prior is None else math.log(prior / (1 - prior)))


def _level_of(stride: int, strides: Sequence[int], level: int | None, *, first: bool) -> int:
    """The encoder level, from 1, of a map's stride: the one asked for, or the first or last of that stride."""
    known = [place for place, value in enumerate(strides, start=1) if value == stride and value >= _LEAST_STRIDE]
    if not known:
        offered = sorted({value for value in strides if value >= _LEAST_STRIDE})
        remedy = f"the encoder has levels of stride {', '.join(map(str, offered))}"
        raise ConfigError("no level of the encoder has this stride of class maps", found=stride, remedy=remedy)
    if level is not None and level not in known:
        found, remedy = f"level {level}", f"level {' or '.join(map(str, known))}, or leave it out"
        raise ConfigError(f"this level of the encoder has not the stride {stride}", found=found, remedy=remedy)
    return level or known[0 if first else -1]
