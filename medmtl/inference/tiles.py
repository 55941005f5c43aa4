"""Maps of a large image from tiles of it: memory is bounded by the tiles, and their seams do not show."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from monai.data.utils import compute_importance_map
from monai.inferers.utils import sliding_window_inference
from torch import Tensor
from torch.nn import functional as F

from medmtl.tasks.inference_config import WHOLE

AT_ONCE = 4
"""Tiles in one forward pass."""


class Evidence(NamedTuple):
    """Maps of logits (B, C, h, w), and the scores of attention pooling that came with them, or None."""

    maps: Tensor
    attention: Tensor | None = None


Look = Callable[[Tensor], Evidence]
"""From images (B, 3, H, W) to evidence of ceil(H / stride) by ceil(W / stride) cells."""


def tiled(look: Look, image: Tensor, tile: int, overlap: float = 0.5, blend: str = "gaussian") -> Evidence:
    """The evidence of whole images, put together from tiles by MONAI's sliding window.

    Tiles start at whole cells of the deepest encoder level, so that their cells are those of the whole image. Of the
    part that neighbors share, a quarter at each tile's rim is dropped, where the network saw the tile's edge, and the
    rest is blended. Cells whose receptive field reaches at most ``tile * overlap / 4`` pixels to each side are
    therefore those of the whole image, except at the image's own border, beyond which tiles see black.

    Args:
        look: The evidence of one tile.
        image: RGB in [0, 1], (B, 3, H, W).
        tile: Side of a tile, a multiple of 32; an image no larger is looked at in one piece.
        overlap: Share of a tile's side that neighbors share, rounded to whole cells of 32 pixels.
        blend: ``gaussian`` or ``constant`` weight of a tile's pixels where tiles overlap.
    """
    height, width = image.shape[-2:]
    if max(height, width) <= tile:
        return look(image)
    shared = min(round(tile * overlap / WHOLE) * WHOLE, tile - WHOLE)
    rim = shared // 4
    before = math.ceil(rim / WHOLE) * WHOLE
    after = [_reach(side, tile, shared, before, rim) - side - before for side in (height, width)]
    padded = F.pad(image, (before, after[1], before, after[0]))
    stride: list[int] = []

    def cells(window: Tensor) -> tuple[Tensor, ...]:
        found = look(window)
        stride[:] = [tile // found.maps.shape[-1]]
        # MONAI weights the output in place
        return tuple(part.float().clone() for part in found if part is not None)

    merged = sliding_window_inference(
        padded,
        (tile, tile),
        AT_ONCE,
        cells,
        overlap=max(0.0, (shared - 0.5) / tile),  # half a pixel less, or rounding could make the steps one pixel short
        roi_weight_map=_weights(tile, rim, blend).to(image.device),
    )
    first, (rows, columns) = before // stride[0], (math.ceil(side / stride[0]) for side in (height, width))
    parts = merged if isinstance(merged, tuple) else (merged,)
    return Evidence(*(part[..., first : first + rows, first : first + columns] for part in parts))


def _reach(side: int, tile: int, shared: int, before: int, rim: int) -> int:
    """The length that whole steps of tiles cover, the last rim beyond the image's last cell."""
    whole = math.ceil(side / WHOLE) * WHOLE
    steps = math.ceil((before + whole + rim - tile) / (tile - shared))
    return tile + max(0, steps) * (tile - shared)


def _weights(tile: int, rim: int, blend: str) -> Tensor:
    """(tile, tile) weights of a tile's pixels: none at its rim."""
    weights: Tensor = compute_importance_map((tile, tile), mode=blend, sigma_scale=0.125, device="cpu").float()
    kept = torch.zeros_like(weights)
    kept[rim : tile - rim, rim : tile - rim] = 1
    return weights * kept
