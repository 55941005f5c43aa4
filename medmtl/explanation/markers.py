"""Numbers beside candidates, placed so that they hide neither the candidate nor other evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
Point = tuple[float, float]
WHITE = (255, 255, 255)
DARK = (10, 10, 10)
_DIRECTIONS = 16
_RINGS = (1.0, 1.6, 2.4, 3.4)


@dataclass(frozen=True)
class Marker:
    """A number and the candidate's peak that it belongs to, in original pixels (0-based centers)."""

    number: int
    x: float
    y: float


@dataclass(frozen=True)
class Placed:
    """A marker with its label's box (left, top, right, bottom) and the line from there toward the peak, in pixels."""

    marker: Marker
    box: Box
    line: tuple[Point, Point] | None


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The sans-serif font that comes with Matplotlib, so that pictures are the same on every machine."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def place_markers(markers: Sequence[Marker], occupied: Mask, size: int) -> list[Placed]:
    """Chooses for each label the place that hides least: evidence, peaks and labels that already lie there.

    Args:
        markers: In the order in which they choose.
        occupied: (H, W), the evidence that must stay visible.
        size: Height of the label's font in pixels.

    Returns:
        One placed marker for each marker, in order; boxes lie inside the image where it is large enough.
    """
    cost = occupied.astype(np.float32)
    for marker in markers:  # a peak is what the reader looks for: it costs more than its surroundings
        _paint(cost, (marker.x - size / 4, marker.y - size / 4, marker.x + size / 4, marker.y + size / 4), 4.0)
    placed = []
    for marker in markers:
        box = min(_boxes(marker, size, cost.shape), key=lambda option: _price(cost, option, marker, size))
        _paint(cost, box, 20.0)
        placed.append(Placed(marker, box, _leader(marker, box, occupied, size)))
    return placed


def draw_markers(
    picture: Image.Image, placed: Sequence[Placed], size: int, *, color: tuple[int, int, int] = WHITE
) -> None:
    """Draws each number with a dark rim, and its line; changes ``picture``.

    Args:
        picture: The picture to draw on.
        placed: What :func:`place_markers` chose.
        size: Height of the label's font in pixels.
        color: Of numbers and lines.
    """
    draw = ImageDraw.Draw(picture)
    line = max(1, round(size / 10))
    for item in placed:
        if item.line is not None:
            draw.line(item.line, fill=DARK, width=3 * line)
            draw.line(item.line, fill=color, width=line)
    for item in placed:
        center = ((item.box[0] + item.box[2]) / 2, (item.box[1] + item.box[3]) / 2)
        rim = max(1, round(size / 8))
        text = str(item.marker.number)
        draw.text(center, text, color, font(size, bold=True), "mm", stroke_width=rim, stroke_fill=DARK)


def _boxes(marker: Marker, size: int, shape: tuple[int, ...]) -> list[Box]:
    width = round(size * (0.5 + 0.7 * len(str(marker.number))))
    height = round(1.2 * size)
    options = []
    for ring in _RINGS:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * (step / _DIRECTIONS - 1 / 8)  # up and right first
            x = marker.x + math.cos(angle) * ring * (size + width / 2)
            y = marker.y + math.sin(angle) * ring * (size + height / 2)
            left = round(min(max(x - width / 2, 0), max(shape[1] - width, 0)))
            top = round(min(max(y - height / 2, 0), max(shape[0] - height, 0)))
            options.append((left, top, left + width, top + height))
    return options


def _price(cost: npt.NDArray[np.float32], box: Box, marker: Marker, size: int) -> float:
    left, top, right, bottom = box
    covered = float(cost[top:bottom, left:right].sum()) / max((right - left) * (bottom - top), 1)
    distance = math.hypot((left + right) / 2 - marker.x, (top + bottom) / 2 - marker.y) / size
    return 10 * covered + 0.3 * distance


def _paint(cost: npt.NDArray[np.float32], box: tuple[float, float, float, float], value: float) -> None:
    left, top, right, bottom = (max(round(edge), 0) for edge in box)
    cost[top : bottom + 1, left : right + 1] += value


def _leader(marker: Marker, box: Box, occupied: Mask, size: int) -> tuple[Point, Point] | None:
    """From the label's edge toward the peak, ending before evidence and before the peak; None where there is no room."""
    left, top, right, bottom = box
    start = (min(max(marker.x, left), right), min(max(marker.y, top), bottom))
    reach = math.hypot(marker.x - start[0], marker.y - start[1])
    steps = np.arange(0, reach - 0.45 * size)
    if not steps.size:
        return None
    x = start[0] + steps / reach * (marker.x - start[0])
    y = start[1] + steps / reach * (marker.y - start[1])
    rows = np.clip(np.round(y).astype(int), 0, occupied.shape[0] - 1)
    columns = np.clip(np.round(x).astype(int), 0, occupied.shape[1] - 1)
    hidden = np.flatnonzero(occupied[rows, columns])
    last = (hidden[0] if hidden.size else steps.size) - 1 - round(0.15 * size)  # and stays off the contour
    return None if last < 0.4 * size else (start, (float(x[last]), float(y[last])))
