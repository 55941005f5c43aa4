"""From a map a layer to one map an image: positive part, the image's size, layers fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from medmtl.errors import EvaluationError
from medmtl.explanation.cam.recording import Recorded, Score, class_logit, record

Floats = npt.NDArray[np.float32]
Fuse = Callable[[Sequence[Floats]], Floats]
LayerMap = Callable[[Recorded, int, Tensor | None], npt.NDArray[np.floating]]
"""From a forward pass, the number of a layer and its gradient (times the layer's cells) to maps (B, h, w)."""


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be mapped: images (B, 3, H, W) by a view that gives logits (B, K), at some layers, for some classes.

    Attributes:
        view: The view.
        images: The images.
        layers: The layers.
        channels: The classes, at least one; a None where there is one logit.
    """

    view: nn.Module
    images: Tensor
    layers: tuple[nn.Module, ...]
    channels: tuple[int | None, ...]


Maps = Callable[[Request], list[Floats]]
"""Gives (B, H, W), zero or more, for each class."""


def each_class(one: Callable[[Request, int | None], Floats]) -> Maps:
    """Makes a method of a function that maps one class of those that a request names.

    Args:
        one: The function.
    """
    return lambda request: [one(request, channel) for channel in request.channels]


def strongest(maps: Sequence[Floats]) -> Floats:
    """The maximum over layers, which keeps what only a fine layer sees (advice of LayerCAM's author, torch-cam#76)."""
    return np.asarray(np.max(maps, axis=0), dtype=np.float32)


def geometric_mean(maps: Sequence[Floats]) -> Floats:
    """The geometric mean over layers: high only where all layers are, and still in their unit."""
    return np.asarray(np.prod([np.power(one, 1 / len(maps)) for one in maps], axis=0), dtype=np.float32)


def layered(
    layer_map: LayerMap,
    needs: Literal["features", "gradient", "curvature"] = "gradient",
    *,
    score: Score = class_logit,
    fuse: Fuse = strongest,
) -> Maps:
    """Makes a method of a function of one layer; the classes share one forward pass.

    Args:
        layer_map: The function.
        needs: ``features`` alone, their ``gradient``, or its graph too (``curvature``).
        score: What the gradient is of.
        fuse: How layers become one map.
    """

    def of_class(seen: Recorded, *, last: bool) -> Floats:
        gradients: Sequence[Tensor | None] = [None] * len(seen.layers)
        if needs != "features":
            found = seen.gradients(score, graph=needs == "curvature", again=not last)
            gradients = [_by_cells(one) for one in found]
        cells = [layer_map(seen, number, gradient) for number, gradient in enumerate(gradients)]
        return fuse([resized(one, seen.images) for one in cells])

    def maps(request: Request) -> list[Floats]:
        seen = record(request.view, request.images, request.layers, request.channels[0])
        classes = [seen.of(channel) for channel in request.channels]
        return [of_class(one, last=one is classes[-1]) for one in classes]

    return maps


def _by_cells(gradient: Tensor | None) -> Tensor:
    """The gradient times the layer's number of cells: what average pooling divides by, so that maps are local logits."""
    if gradient is None:
        raise EvaluationError("each target layer must act on the logit, once", found="a layer without gradient")
    return gradient * (gradient.shape[-2] * gradient.shape[-1])


def resized(cells: npt.NDArray[np.floating], images: Tensor) -> Floats:
    """The positive part of maps (B, h, w) at the size of the images, by linear interpolation: (B, H, W)."""
    height, width = images.shape[-2:]
    positive = np.maximum(np.asarray(cells, dtype=np.float32), 0)
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in positive])
