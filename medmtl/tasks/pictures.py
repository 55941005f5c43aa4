"""Small pictures of single samples for a report: what was asked, what was said."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

COLORS = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (240, 228, 66), (86, 180, 233))
"""Okabe and Ito's colors, told apart by colour-blind readers."""

_WIDTH = 420

Image = npt.NDArray[np.uint8]


def mask_picture(image: Image, predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.uint8] | None) -> Image:
    """Image, truth and prediction side by side, each class in its color.

    Args:
        image: (H, W, 3).
        predicted: (C, H, W).
        truth: (C, H, W) of 0, 1 and 255, or None.
    """
    panels = [image]
    if truth is not None:
        panels.append(_painted(image, truth == 1))
    panels.append(_painted(image, predicted))
    return np.concatenate([_small(panel) for panel in panels], axis=1)


def caption_picture(image: Image, text: str) -> Image:
    """The image with a line of text beneath."""
    small = _small(image)
    lines = _wrap(text, 62)
    band = np.full((22 * len(lines) + 8, small.shape[1], 3), 255, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(band, line, (6, 20 + 22 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return np.concatenate([small, band])


def point_picture(image: Image, points: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_] | None) -> Image:
    """The image with outlines of the truth in blue and the candidates as orange rings.

    Args:
        image: (H, W, 3).
        points: (n, 2) as (x, y).
        truth: (H, W), or None.
    """
    factor = min(1.0, 2 * _WIDTH / image.shape[1])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if truth is not None:
        mask = cv2.resize(truth.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_AREA)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, COLORS[5], 1, cv2.LINE_AA)
    for x, y in (np.asarray(points).reshape(-1, 2) + 0.5) * factor - 0.5:
        cv2.circle(small, (round(float(x)), round(float(y))), 8, COLORS[0], 2, cv2.LINE_AA)
    return np.asarray(small)


def _painted(image: Image, masks: npt.NDArray[np.bool_]) -> Image:
    painted = (image * 0.6).astype(np.uint8)
    for index, mask in enumerate(masks):
        painted[mask] = COLORS[index % len(COLORS)]
    return painted


def _small(image: Image) -> Image:
    height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
    interpolation = cv2.INTER_AREA if image.shape[1] > _WIDTH else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (_WIDTH, height), interpolation=interpolation))


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)[:5] or [""]
