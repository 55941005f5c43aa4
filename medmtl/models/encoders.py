"""What an encoder is, and the registry of those that can be chosen by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor, nn

from medmtl.errors import ConfigError
from medmtl.models.buffers import set_batch_norm_momentum
from medmtl.registry import Registry

STRIDES = (2, 4, 8, 16, 32)


class Encoder(nn.Module, ABC):
    """A feature pyramid: level ``i`` (from 1) has stride ``strides[i - 1]`` and ``channels[i - 1]`` channels.

    The backbone is held as ``self.network``. Any input size: level ``i`` has ``ceil(size / strides[i - 1])`` cells a side.
    A stride is ``2**i``, or less where an encoder stops to halve the size; there every ``2**i / strides[i - 1]``-th cell
    stands for one of a plain pyramid.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...] = STRIDES
    frozen: int = 0
    """Levels, from the finest, that do not learn: neither weights nor running statistics."""

    def freeze(self, levels: int) -> None:
        """Keeps the first levels as they are; in training nothing is computed backward through them.

        Args:
            levels: How many, from the finest; what comes before the first level is frozen with it.

        Raises:
            ConfigError: The encoder has fewer levels.
        """
        stages = self.stages()
        if not 0 <= levels <= len(stages):
            raise ConfigError(
                "an encoder cannot freeze more levels than it has",
                where="model.encoder.frozen_levels",
                found=f"{levels} of {len(stages)}",
            )
        self.frozen = levels
        for module in self._still_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As a module's own, but frozen levels stay in evaluation mode."""
        super().train(mode)
        for module in self._still_modules():
            module.training = False
        return self

    def _still_modules(self) -> list[nn.Module]:
        """The modules of frozen levels, and those that no level holds, such as the stem; none where nothing is frozen."""
        if not self.frozen:
            return []
        learning = {id(part) for blocks in self.stages()[self.frozen :] for block in blocks for part in block.modules()}
        network: nn.Module = self.network  # type: ignore[assignment]
        return [part for part in network.modules() if learning.isdisjoint(map(id, part.modules()))]

    def dilate(self, output_stride: int) -> None:
        """Keeps the size from the level of ``output_stride`` on: steps become gaps in the kernels, weights stay.

        Args:
            output_stride: 8 or 16 pixels a cell of the deepest level.

        Raises:
            ConfigError: The encoder does not offer it.
        """
        raise ConfigError(
            "this encoder has one output stride only",
            where="model.encoder.output_stride",
            found=f"{output_stride} for {type(self).__name__}",
            remedy="leave it out, or choose an efficientnet-lite",
        )

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """The modules of each level, in the order in which they run; the last one's output is the level's feature."""

    @abstractmethod
    def stage(self, level: int, x: Tensor) -> Tensor:
        """Runs one level (0-based) on the feature of the level before it."""

    def forward(self, x: Tensor, levels: int | None = None) -> list[Tensor]:
        """Computes the first ``levels`` levels and nothing beyond them.

        Args:
            x: Normalized image (B, 3, H, W).
            levels: How many levels, from 1; None for all.

        Returns:
            Features (B, channels[i], ceil(H / strides[i]), ceil(W / strides[i])), finest first.

        Raises:
            ValueError: ``levels`` is out of range.
        """
        levels = len(self.channels) if levels is None else levels
        if not 1 <= levels <= len(self.channels):
            raise ValueError(f"levels must be 1 to {len(self.channels)}, found {levels}")
        features: list[Tensor] = []
        for level in range(levels):
            # Explanations, in evaluation mode, may ask for gradients of frozen levels.
            with nullcontext() if level >= self.frozen or not self.training else torch.no_grad():
                x = self.stage(level, x)
            features.append(x)
        return features


EncoderBuilder = Callable[[str], Encoder]
encoders: Registry[EncoderBuilder] = Registry("encoder")


def build_encoder(
    name: str,
    weights: str = "imagenet",
    batch_norm_momentum: float | None = None,
    output_stride: int = 32,
    frozen_levels: int = 0,
) -> Encoder:
    """Makes an encoder.

    Args:
        name: A name in ``encoders``.
        weights: ``imagenet``, ``none`` (random, from torch's current generator) or the path of a local file.
        batch_norm_momentum: Weight of a new batch in the running statistics; the published networks' 0.01 is slow for
            runs of a few hundred steps. None keeps it.
        output_stride: Pixels a cell of the deepest level: 32 as published, or 16 or 8 by dilation.
        frozen_levels: Levels, from the finest, that do not learn.

    Raises:
        ConfigError: The name is not known, the encoder offers no other output stride, or has fewer levels.
        CheckpointError: The weights cannot be had or do not fit.
    """
    encoder = encoders.get(name, where="model.encoder.name")(weights)
    if batch_norm_momentum is not None:
        set_batch_norm_momentum(encoder, batch_norm_momentum)
    if output_stride < encoder.strides[-1]:
        encoder.dilate(output_stride)
    encoder.freeze(frozen_levels)
    return encoder
