"""All classes in one picture: outlines and numbers in the classes' colors, nothing filled, a legend below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from medmtl.explanation.color import CLASS_COLORS, visible
from medmtl.explanation.markers import Marker, draw_markers, font, place_markers
from medmtl.explanation.overlay import MOST_MARKERS, label_size, line_width, outline, stacked
from medmtl.explanation.panel import NOTHING, RESEARCH_ONLY, panel_width, shortened
from medmtl.explanation.shown import ShownClass

Bytes = npt.NDArray[np.uint8]
Color = tuple[int, int, int]
_BACKGROUND, _TEXT = (24, 24, 27), (244, 244, 245)


def class_color(index: int) -> Color:
    """The color of a class by its place; from the seventh on colors come again, and the numbers tell them apart."""
    return CLASS_COLORS[index % len(CLASS_COLORS)]


def draw_together(image: Bytes, classes: Sequence[ShownClass], *, most_markers: int = MOST_MARKERS) -> Bytes:
    """Outlines every class's evidence at or above its threshold, with the numbers of its candidates.

    Pixels without an outline or a number keep their bytes: nothing is laid over a lesion.

    Args:
        image: (H, W, 3), red, green, blue.
        classes: The classes, of one size with the image.
        most_markers: The strongest candidates of a class get a number, at most this many.

    Returns:
        (H + legend, max(W, 384), 3).
    """
    regions = [visible(entry.evidence, entry.scale) for entry in classes]
    occupied = np.any(regions, axis=0) if regions else np.zeros(image.shape[:2], dtype=bool)
    picture, line = image.copy(), 2 * line_width(image.shape[1])  # a hue needs more than a pixel
    for index, region in enumerate(regions):
        picture = outline(picture, region, line, class_color(index))
    size = label_size(image.shape[1])
    canvas = Image.fromarray(picture)
    for index, entry in enumerate(classes):
        rows = entry.candidates.sort_values("number").head(most_markers)
        columns = (rows[key].to_numpy() for key in ("number", "x", "y"))
        markers = [Marker(int(number), float(x), float(y)) for number, x, y in zip(*columns, strict=True)]
        placed = place_markers(markers, occupied, size)
        draw_markers(canvas, placed, size, color=class_color(index))
        for item in placed:  # the next class's numbers keep off
            left, top, right, bottom = item.box
            occupied[top:bottom, left:right] = True
    return stacked(np.asarray(canvas).copy(), _legend(image.shape[1], classes))


def _legend(width: int, classes: Sequence[ShownClass]) -> Bytes:
    """A line a class: its color, its name, how many candidates."""
    text = max(11, round(0.017 * panel_width(width)))
    pad, row = round(1.1 * text), round(1.9 * text)
    picture = Image.new("RGB", (panel_width(width), 2 * pad + row * (len(classes) + 1)), _BACKGROUND)
    draw, used = ImageDraw.Draw(picture), font(text)
    for index, entry in enumerate(classes):
        top = pad + index * row
        draw.rectangle((pad, top, pad + 2 * text, top + text), outline=class_color(index), width=max(2, text // 5))
        count = len(entry.candidates)
        result = f"{count} candidate{'s' * (count != 1)} at {entry.scale.threshold:.2f}{' logits' * entry.scale.in_logits} or more"
        said = result if count or visible(entry.evidence, entry.scale).any() else NOTHING
        draw.text((picture.width - pad, top), said, _TEXT, used, "ra")
        room = picture.width - 5 * pad - 2 * text - used.getlength(said)
        draw.text((2 * pad + 2 * text, top), shortened(entry.scale.name, used, room), _TEXT, used)
    draw.text((pad, pad + row * len(classes)), RESEARCH_ONLY, _TEXT, font(max(10, round(0.82 * text))))
    return np.asarray(picture).copy()
