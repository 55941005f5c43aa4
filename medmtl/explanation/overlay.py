"""Evidence over the original picture, in its own pixels, on a fixed scale, blank where nothing passes the threshold."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from medmtl.errors import EvaluationError
from medmtl.explanation.color import OPACITY, blend, colorize, visible
from medmtl.explanation.markers import DARK, WHITE, Marker, draw_markers, place_markers
from medmtl.explanation.panel import LEAST_WIDTH, NOTHING, draw_panel
from medmtl.explanation.scale import ClassScale

MOST_MARKERS = 30
_PANEL_COLOR = (24, 24, 27)

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]


def draw_overlay(
    image: Bytes,
    evidence: Floats,
    scale: ClassScale,
    candidates: pd.DataFrame,
    *,
    opacity: float = OPACITY,
    most_markers: int = MOST_MARKERS,
) -> Bytes:
    """Draws one class's evidence over an image, and a panel with the scale bar below it.

    The first H rows and W columns are the original picture; pixels without evidence, contour or number keep their bytes.

    Args:
        image: (H, W, 3), red, green, blue.
        evidence: (H, W) in logits; NaN or minus infinity where nothing is known.
        scale: The class's scale, the same for every image.
        candidates: A table with the columns number, x, y, score (see ``candidate_table``); those below the threshold
            are not drawn.
        opacity: Opacity of the colors, in [0, 1].
        most_markers: The strongest candidates get a number, at most this many; the table holds all.

    Returns:
        (H + panel, max(W, 384), 3).

    Raises:
        EvaluationError: The image is not 8-bit RGB, or the map has another size.
    """
    _check(image, evidence)
    region = visible(evidence, scale)
    marked = candidates[candidates["score"] >= scale.threshold].sort_values("number")
    picture = outline(blend(image, colorize(evidence, scale, opacity=opacity)), region, line_width(image.shape[1]))
    picture = _with_markers(picture, region, marked.head(most_markers))
    return stacked(picture, draw_panel(image.shape[1], scale, _result(region, len(marked), most_markers)))


def _check(image: Bytes, evidence: Floats) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise EvaluationError("an overlay needs an 8-bit RGB image", found=f"{image.dtype} {image.shape}")
    if evidence.shape != image.shape[:2]:
        sizes = f"image {image.shape[:2]}, map {evidence.shape}"
        raise EvaluationError("map and image differ in size", found=sizes, remedy="restore the map to original pixels")


def _result(region: npt.NDArray[np.bool_], found: int, most: int) -> str:
    if not region.any() and not found:
        return NOTHING
    noun = "candidate" if found == 1 else "candidates"
    numbered = f", strongest {most} numbered" if found > most else ""
    return f"{found} {noun} above threshold{numbered}"


def line_width(width: int) -> int:
    """Width of an outline on a picture of ``width`` pixels."""
    return max(1, round(width / 900))


def label_size(width: int) -> int:
    """Height of a number on a picture of ``width`` pixels."""
    return max(9, round(width * 0.018))


def outline(picture: Bytes, region: npt.NDArray[np.bool_], line: int, color: tuple[int, int, int] = WHITE) -> Bytes:
    """Outlines a region from outside, with a dark rim, so that the line does not cover a lesion of a few pixels.

    Args:
        picture: (H, W, 3); changed.
        region: (H, W).
        line: Width in pixels.
        color: Of the line.

    Returns:
        The picture.
    """
    if not region.any():
        return picture
    inside = region.astype(np.uint8)
    bright = _grown(inside, line)
    dark = _grown(bright, line)
    picture[(dark == 1) & (bright == 0)] = DARK
    picture[(bright == 1) & (inside == 0)] = color
    return picture


def _grown(mask: npt.NDArray[np.uint8], pixels: int) -> npt.NDArray[np.uint8]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return np.asarray(cv2.dilate(mask, kernel), dtype=np.uint8)


def _with_markers(picture: Bytes, region: npt.NDArray[np.bool_], candidates: pd.DataFrame) -> Bytes:
    if candidates.empty:
        return picture
    size = label_size(picture.shape[1])
    columns = (candidates[key].to_numpy() for key in ("number", "x", "y"))
    markers = [Marker(int(number), float(x), float(y)) for number, x, y in zip(*columns, strict=True)]
    canvas = Image.fromarray(picture)
    draw_markers(canvas, place_markers(markers, region, size), size)
    return np.asarray(canvas).copy()


def stacked(picture: Bytes, panel: Bytes) -> Bytes:
    """A panel (h, max(W, 384), 3) under a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    out = np.full((height + panel.shape[0], max(width, LEAST_WIDTH), 3), _PANEL_COLOR, dtype=np.uint8)
    out[:height, :width] = picture
    out[height:, : panel.shape[1]] = panel
    return out
