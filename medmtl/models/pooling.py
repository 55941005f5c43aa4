"""From a map of logits to one logit an image: pure functions, optionally over the field of view only.

All take maps (B, C, h, w) and an optional boolean mask (B, 1, h, w) of the cells that count, and give (B, C). An image
without any cell that counts is pooled over all its cells: a failed field-of-view mask must not make NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from medmtl.errors import ConfigError
from medmtl.registry import Registry

Pooling = Callable[[Tensor, Tensor | None], Tensor]
poolings: Registry[Callable[..., Tensor]] = Registry("pooling")


@poolings.register("lse")
def log_sum_exp(maps: Tensor, valid: Tensor | None = None, *, sharpness: float = 4.0) -> Tensor:
    """(1/r) log mean exp(r x): between the mean (r → 0) and the maximum (r → ∞); a constant map gives its constant.

    Pinheiro and Collobert, "From image-level to pixel-level labeling with convolutional networks", CVPR 2015, eq. 4.

    Args:
        maps: Logits (B, C, h, w).
        valid: Cells that count (B, 1, h, w), boolean.
        sharpness: r > 0.
    """
    scaled = sharpness * maps.float().flatten(2)
    if valid is None:
        return (scaled.logsumexp(2) - math.log(scaled.shape[2])) / sharpness
    inside = _counting(valid)
    return (scaled.masked_fill(~inside, -torch.inf).logsumexp(2) - inside.sum(2).log()) / sharpness


@poolings.register("mean")
def mean(maps: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over the cells that count; maps (B, C, h, w), valid (B, 1, h, w) boolean."""
    cells = maps.float().flatten(2)
    if valid is None:
        return cells.mean(2)
    inside = _counting(valid)
    return cells.masked_fill(~inside, 0.0).sum(2) / inside.sum(2)


@poolings.register("max")
def maximum(maps: Tensor, valid: Tensor | None = None) -> Tensor:
    """Maximum over the cells that count; maps (B, C, h, w), valid (B, 1, h, w) boolean."""
    cells = maps.float().flatten(2)
    return (cells if valid is None else cells.masked_fill(~_counting(valid), -torch.inf)).amax(2)


def build_pooling(name: str, sharpness: float = 4.0) -> Pooling:
    """The pooling of that name: ``lse``, ``mean`` or ``max``.

    Args:
        name: A name in ``poolings``.
        sharpness: r of ``lse``; the others have none.

    Raises:
        ConfigError: The name is not known, or the sharpness not positive.
    """
    function = poolings.get(name)
    if name != "lse":
        return function
    if not sharpness > 0:
        raise ConfigError("the sharpness of log-sum-exp pooling must be positive", found=sharpness)
    return partial(function, sharpness=sharpness)


def cells_inside(mask: Tensor, stride: int) -> Tensor:
    """Cells of a level of which at least half of the pixels lie inside a mask.

    Args:
        mask: Field of view (B, 1, H, W), boolean or 0/1.
        stride: Pixels a cell.

    Returns:
        Boolean (B, 1, ceil(H / stride), ceil(W / stride)); at the rim only pixels of the image are counted.
    """
    share = F.avg_pool2d(mask.float(), stride, stride, ceil_mode=True, count_include_pad=False)
    return share >= 0.5


def _counting(valid: Tensor) -> Tensor:
    inside = valid.flatten(2).bool()
    return inside | ~inside.any(2, keepdim=True)
