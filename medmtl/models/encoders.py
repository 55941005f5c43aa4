"""What an encoder is, and the registry of those that can be chosen by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from medmtl.models.buffers import set_batch_norm_momentum
from medmtl.registry import Registry

STRIDES = (2, 4, 8, 16, 32)


class Encoder(nn.Module, ABC):
    """A feature pyramid: level ``i`` (from 1) has stride ``2**i`` and ``channels[i - 1]`` channels.

    The backbone is held as ``self.network``. Any input size: level ``i`` has ``ceil(size / 2**i)`` cells a side.
    """

    channels: tuple[int, ...]

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """The modules of each level, in the order in which they run; the last one's output is the level's feature."""

    @abstractmethod
    def stage(self, level: int, x: Tensor) -> Tensor:
        """Runs one level (0-based) on the feature of the level before it."""

    def forward(self, x: Tensor, levels: int = 5) -> list[Tensor]:
        """Computes the first ``levels`` levels and nothing beyond them.

        Args:
            x: Normalized image (B, 3, H, W).
            levels: How many levels, 1 to 5.

        Returns:
            Features (B, channels[i], ceil(H / STRIDES[i]), ceil(W / STRIDES[i])), finest first.

        Raises:
            ValueError: ``levels`` is out of range.
        """
        if not 1 <= levels <= len(self.channels):
            raise ValueError(f"levels must be 1 to {len(self.channels)}, found {levels}")
        features: list[Tensor] = []
        for level in range(levels):
            x = self.stage(level, x)
            features.append(x)
        return features


EncoderBuilder = Callable[[str], Encoder]
encoders: Registry[EncoderBuilder] = Registry("encoder")


def build_encoder(name: str, weights: str = "imagenet", batch_norm_momentum: float | None = None) -> Encoder:
    """Makes an encoder.

    Args:
        name: A name in ``encoders``.
        weights: ``imagenet``, ``none`` (random, from torch's current generator) or the path of a local file.
        batch_norm_momentum: Weight of a new batch in the running statistics; the published networks' 0.01 is slow for
            runs of a few hundred steps. None keeps it.

    Raises:
        ConfigError: The name is not known.
        CheckpointError: The weights cannot be had or do not fit.
    """
    encoder = encoders.get(name, where="model.encoder.name")(weights)
    if batch_norm_momentum is not None:
        set_batch_norm_momentum(encoder, batch_norm_momentum)
    return encoder
