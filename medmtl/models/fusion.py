"""What sub-models show each other, and how it joins one's own features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

Exchanged = list[Tensor]
"""Normalized features of the exchanged levels, the deepest last: (B, channels, h, w)."""

SCALES = ("bottleneck", "all")
FORMS = ("map", "vector")


def exchanged(features: Sequence[Tensor], scales: str = "bottleneck", form: str = "map") -> Exchanged:
    """Features as others may see them: zero mean and unit variance in each image, no learned scale, float32.

    Normalizing gives the radius of a perturbation one meaning for all tasks and levels.

    Args:
        features: A pyramid, finest first.
        scales: ``bottleneck`` or ``all``.
        form: ``map``, or ``vector`` for the mean over the image.
    """
    levels = features[-1:] if scales == "bottleneck" else features
    wide = [level.float() if form == "map" else level.float().mean((2, 3), keepdim=True) for level in levels]
    return [F.group_norm(level, 1) for level in wide]


class Fusion(nn.Module):
    """Adds a 1×1 convolution of the others' features to one's own: concatenation and a 1×1 convolution in one.

    A map of another size is interpolated; on a task without maps of its own (classification) the head's pooling
    averages what was added, and a vector is spread over the whole map.

    Args:
        own: Channels of one's own levels, finest first.
        others: The same of the other tasks.
        scales: ``bottleneck`` or ``all``.
    """

    def __init__(self, own: Sequence[int], others: Mapping[str, Sequence[int]], scales: str = "bottleneck") -> None:
        super().__init__()
        self.scales = scales
        self.project = nn.ModuleDict(
            {task: nn.ModuleList(_layers(own, channels, scales)) for task, channels in others.items()}
        )

    def forward(self, features: Sequence[Tensor], others: Mapping[str, Exchanged]) -> list[Tensor]:
        """Gives the features with the exchanged levels replaced.

        Args:
            features: One's own pyramid, finest first.
            others: By task, what `exchanged` gave.
        """
        fused = list(features)
        for task, shown in others.items():
            for place, layer, level in self._pairs(task, shown, len(fused)):
                added = layer(level)
                if added.shape[-2:] != fused[place].shape[-2:]:
                    size = fused[place].shape[-2:]
                    added = F.interpolate(added, size=size, mode="bilinear", align_corners=False)
                fused[place] = fused[place] + added
        return fused

    def _pairs(self, task: str, shown: Exchanged, depth: int) -> list[tuple[int, nn.Module, Tensor]]:
        layers = list(self.project[task].children())
        if self.scales == "bottleneck":
            return [(depth - 1, layers[0], shown[0])]
        return [(place, layers[place], shown[place]) for place in range(min(depth, len(shown)))]


def _layers(own: Sequence[int], other: Sequence[int], scales: str) -> list[nn.Module]:
    pairs = [(other[-1], own[-1])] if scales == "bottleneck" else list(zip(other, own, strict=False))
    layers: list[nn.Module] = [nn.Conv2d(seen, mine, 1, bias=False) for seen, mine in pairs]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.01)  # type: ignore[arg-type]  # a module's weight
    return layers
