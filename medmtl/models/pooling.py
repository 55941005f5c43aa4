"""From a map of logits to one logit an image: pure functions, optionally over the field of view only.

All take maps (B, C, h, w) and an optional boolean mask (B, 1, h, w) of the cells that count, and give (B, C). An image
without any cell that counts is pooled over all its cells: a failed field-of-view mask must not make NaN.

Only the mean is additive (each cell adds its n-th part to the logit); each of the others has a gradient that sums to one.
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
_DOWN = 1 - 1e-6
"""A share of 0.02 of 50 cells is one cell, whatever floating point makes of the product."""


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
    inside = counting_cells(valid)
    return (scaled.masked_fill(~inside, -torch.inf).logsumexp(2) - inside.sum(2).log()) / sharpness


@poolings.register("mean")
def mean(maps: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over the cells that count; maps (B, C, h, w), valid (B, 1, h, w) boolean."""
    cells = maps.float().flatten(2)
    if valid is None:
        return cells.mean(2)
    inside = counting_cells(valid)
    return cells.masked_fill(~inside, 0.0).sum(2) / inside.sum(2)


@poolings.register("max")
def maximum(maps: Tensor, valid: Tensor | None = None) -> Tensor:
    """Maximum over the cells that count; maps (B, C, h, w), valid (B, 1, h, w) boolean."""
    cells = maps.float().flatten(2)
    return (cells if valid is None else cells.masked_fill(~counting_cells(valid), -torch.inf)).amax(2)


@poolings.register("topk")
def top_mean(maps: Tensor, valid: Tensor | None = None, *, cells: int | None = None, share: float = 0.02) -> Tensor:
    """Mean of the highest cells that count: between the maximum (one cell) and the mean (all of them).

    The k highest instances of a bag, as in weakly supervised learning with k instances (Li and Vasconcelos, "Multiple
    instance learning for soft bags via top instances", CVPR 2015; named from memory, its equations not looked up).

    Args:
        maps: Logits (B, C, h, w).
        valid: Cells that count (B, 1, h, w), boolean.
        cells: How many cells, at least 1; of an image with fewer, all. None: a share of them.
        share: Share of an image's own cells that count, above 0 and at most 1, rounded up to whole cells.
    """
    flat = maps.float().flatten(2)
    total = flat.shape[2]
    if valid is not None:
        inside = counting_cells(valid)
        flat, number = flat.masked_fill(~inside, -torch.inf), inside.sum(2)
    else:
        number = torch.full((1, 1), total, device=flat.device)
    taken = share * _DOWN
    most = min(cells or max(1, math.ceil(taken * total)), total)  # without a look at the mask: the graph stays static
    wanted = number.clamp(max=cells) if cells else torch.ceil(taken * number).clamp(1, most)
    chosen = torch.arange(most, device=flat.device) < wanted[..., None]
    return torch.where(chosen, flat.topk(most, dim=2).values, 0.0).sum(2) / wanted


def build_pooling(name: str, sharpness: float = 4.0, *, cells: int | None = None, share: float = 0.02) -> Pooling:
    """The pooling of that name: ``lse``, ``mean``, ``max`` or ``topk``.

    Args:
        name: A name in ``poolings``.
        sharpness: r of ``lse``; the others have none.
        cells: k of ``topk``; None: a share of the cells.
        share: That share.

    Raises:
        ConfigError: The name is not known, or an argument of the pooling is out of its range.
    """
    function = poolings.get(name)
    if name == "lse":
        if not sharpness > 0:
            raise ConfigError("the sharpness of log-sum-exp pooling must be positive", found=sharpness)
        return partial(function, sharpness=sharpness)
    if name == "topk":
        if (cells is not None and cells < 1) or not 0 < share <= 1:
            found = f"{cells} cells" if cells is not None else f"a share of {share:g}"
            raise ConfigError("top-k pooling needs at least one cell, or a share above 0 and at most 1", found=found)
        return partial(function, cells=cells, share=share)
    return function


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


def counting_cells(valid: Tensor) -> Tensor:
    """From a mask (B, 1, h, w) the cells that count, (B, 1, h·w) boolean: all of an image that has none."""
    inside = valid.flatten(2).bool()
    return inside | ~inside.any(2, keepdim=True)
