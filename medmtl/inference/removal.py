"""Take the evidence away and look again: what a network did not need to see first, it shows when the rest is gone.

After González-Gonzalo et al., "Iterative augmentation of visual evidence for weakly-supervised lesion localization in
deep interpretability frameworks", arXiv 1910.07373, whose abstract gives the idea and its gain; how places are chosen,
filled and put together is ours.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from medmtl.evaluation import peaks
from medmtl.inference.tiles import Evidence
from medmtl.tasks.inference_config import RemovalConfig

Mask = npt.NDArray[np.bool_]
LookWithout = Callable[[Mask], Evidence]
"""The evidence (1, C, h, w) of one image without the pixels of a mask (H, W)."""

_INPAINT_RADIUS = 3.0


def iterated(look: LookWithout, field: Mask, settings: RemovalConfig) -> tuple[Evidence, list[Mask]]:
    """The maximum over several looks at one image, before each of which the places found so far are taken away.

    A place is a peak of the last map at or above the threshold, of any class, that lies on no place taken before; a look
    without one is the last. What is seen where something was taken away is the filling, and does not count.

    Args:
        look: The evidence of the image without some pixels.
        field: (H, W), field of view.
        settings: Rounds, threshold, radius, places.

    Returns:
        The evidence, and what had been taken away before each look, the first of them nothing.
    """
    removed = [np.zeros(field.shape, dtype=bool)]
    latest = total = look(removed[0])
    for _ in range(settings.rounds):
        points = _new_places(latest.maps, field, removed[-1], settings)
        if not len(points):
            break
        removed.append(removed[-1] | discs(points, settings.radius, field.shape))
        latest = look(removed[-1])
        total = _highest(total, latest, removed[-1])
    return total, removed


def discs(points: npt.NDArray[np.int64], radius: float, shape: tuple[int, ...]) -> Mask:
    """(H, W): pixels at most ``radius`` from any of the points, (n, 2) as (row, column)."""
    seeds = np.ones(shape, dtype=np.uint8)
    seeds[points[:, 0], points[:, 1]] = 0
    return np.asarray(cv2.distanceTransform(seeds, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius)


def filled(image: Tensor, removed: Mask, field: Mask, fill: str = "inpaint") -> Tensor:
    """An image without some pixels; the others stay as they are, bit for bit.

    Args:
        image: RGB in [0, 1], (1, 3, h, w), at any resolution.
        removed: (H, W), pixels to take away.
        field: (H, W), field of view.
        fill: ``inpaint``: from around them (Telea, Journal of Graphics Tools 9, 2004); ``mean``: the mean color of what
            is left of the field.
    """
    if not removed.any():
        return image
    mask, inside = (_at_size(part, image.shape[-2:]) for part in (removed, field))
    if fill == "mean":
        left = image[0][:, torch.from_numpy(inside & ~mask).to(image.device)]
        color = left.mean(1) if left.shape[1] else image.new_zeros(3)
        new = color[None, :, None, None].expand_as(image)
    else:
        pixels = (image[0].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        painted = cv2.inpaint(np.ascontiguousarray(pixels), mask.astype(np.uint8), _INPAINT_RADIUS, cv2.INPAINT_TELEA)
        new = torch.from_numpy(painted).to(image.device).permute(2, 0, 1)[None].to(image.dtype) / 255
    return torch.where(torch.from_numpy(mask).to(image.device), new, image)


def _new_places(maps: Tensor, field: Mask, removed: Mask, settings: RemovalConfig) -> npt.NDArray[np.int64]:
    """(n, 2) as (row, column), the highest first."""
    shown = F.interpolate(maps.float(), size=field.shape, mode="bilinear", align_corners=False)[0].cpu().numpy()
    found = [peaks(one, settings.threshold, settings.radius, valid=field) for one in shown]
    points = np.concatenate([np.stack([item.y, item.x], axis=1) for item in found]).astype(np.int64)
    order = np.argsort(-np.concatenate([item.score for item in found]), kind="stable")
    points = points[order]
    return points[~removed[points[:, 0], points[:, 1]]][: settings.places]


def _highest(total: Evidence, latest: Evidence, removed: Mask) -> Evidence:
    cells = F.adaptive_max_pool2d(torch.from_numpy(removed).float()[None, None], latest.maps.shape[-2:])
    better = (latest.maps > total.maps) & (cells.to(latest.maps.device) == 0)
    maps = torch.where(better, latest.maps, total.maps)
    if total.attention is None or latest.attention is None:
        return Evidence(maps)
    return Evidence(maps, torch.where(better, latest.attention, total.attention))


def _at_size(mask: Mask, size: tuple[int, ...]) -> Mask:
    if mask.shape == tuple(size):
        return mask
    resized = cv2.resize(mask.astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized > 0)
