"""The panel under an overlay: class, result, scale bar in its unit (of logits also probability), and what it may be used for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from medmtl.explanation.color import color_table, probability
from medmtl.explanation.markers import font
from medmtl.explanation.scale import ClassScale

RESEARCH_ONLY = "Research use only. Not a diagnosis."
FIXED = "Fixed scale: same evidence, same color in every image."
NOTHING = "nothing above threshold"
LEAST_WIDTH = 384
_BACKGROUND = (24, 24, 27)
_TEXT = (244, 244, 245)
_QUIET = (161, 161, 170)
_TICKS = 5

Color = tuple[int, int, int]


@dataclass(frozen=True)
class _Layout:
    """Sizes in pixels, all in proportion to the width."""

    width: int

    @property
    def unit(self) -> float:
        return self.width / 100

    @property
    def text(self) -> int:
        return max(11, round(1.7 * self.unit))

    @property
    def pad(self) -> int:
        return round(1.1 * self.text)

    @property
    def bar(self) -> int:
        return round(1.3 * self.text)

    @property
    def rows(self) -> tuple[int, int, int, int, int]:
        """Tops of title, bar, logits, probabilities and footer."""
        title = self.pad
        bar = title + round(2.0 * self.text)
        logits = bar + self.bar + round(0.5 * self.text)
        return title, bar, logits, logits + round(1.35 * self.text), logits + round(3.3 * self.text)

    @property
    def height(self) -> int:
        return self.rows[-1] + round(1.2 * self.text) + self.pad // 2


def panel_width(width: int) -> int:
    """Width of the panel under a picture of ``width`` pixels: never so small that its text cannot be read."""
    return max(width, LEAST_WIDTH)


def draw_panel(width: int, scale: ClassScale, result: str) -> npt.NDArray[np.uint8]:
    """Draws the panel.

    Args:
        width: Width of the picture above it, in pixels.
        scale: The class's scale.
        result: What was found, in a few words.

    Returns:
        (h, max(width, 384), 3), red, green, blue; h in proportion to the width.
    """
    layout = _Layout(panel_width(width))
    picture = Image.new("RGB", (layout.width, layout.height), _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    _title(draw, layout, scale.name, result)
    _bar(picture, draw, layout, scale)
    small = font(max(10, round(0.82 * layout.text)))
    draw.text((layout.pad, layout.rows[4]), RESEARCH_ONLY, _TEXT, small)
    used = layout.pad + small.getlength(RESEARCH_ONLY)
    if used + small.getlength(FIXED) + 2 * layout.pad <= layout.width:
        draw.text((layout.width - layout.pad, layout.rows[4]), FIXED, _QUIET, small, "ra")
    return np.asarray(picture).copy()


def _title(draw: ImageDraw.ImageDraw, layout: _Layout, name: str, result: str) -> None:
    quiet, bold = font(layout.text), font(round(1.15 * layout.text), bold=True)
    draw.text((layout.width - layout.pad, layout.rows[0]), result, _TEXT, quiet, "ra")
    room = layout.width - 3 * layout.pad - quiet.getlength(result)
    draw.text((layout.pad, layout.rows[0]), shortened(name, bold, room), _TEXT, bold, "la")


def shortened(text: str, used: ImageFont.FreeTypeFont, room: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than the room.

    Args:
        text: Any text.
        used: The font.
        room: Pixels.
    """
    text = " ".join(text.split())  # a line break would draw over the bar
    if used.getlength(text) <= room:
        return text
    while text and used.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _bar(picture: Image.Image, draw: ImageDraw.ImageDraw, layout: _Layout, scale: ClassScale) -> None:
    small = font(max(10, round(0.9 * layout.text)))
    left = layout.pad + round(
        max(map(small.getlength, ("probability", scale.unit))) + 2.2 * layout.text
    )  # and half a label
    right = layout.width - layout.pad - round(1.6 * layout.text)  # room for half of the last tick's label
    positions = np.linspace(0, len(color_table()) - 1, right - left).round().astype(int)
    strip = np.repeat(color_table()[positions][None], layout.bar, axis=0)
    picture.paste(Image.fromarray(strip), (left, layout.rows[1]))
    labels = ("evidence", scale.unit if scale.unit != "none" else "no unit", "probability" if scale.in_logits else "")
    for label, row in zip(labels, layout.rows[1:4], strict=True):
        lift = (layout.bar - small.size) // 2 - 1 if label == "evidence" else 0
        draw.text((layout.pad, row + lift), label, _QUIET, small)
    for index, value in enumerate(np.linspace(scale.threshold, scale.top, _TICKS)):
        x = left + (right - left - 1) * index / (_TICKS - 1)
        sign = "≥ " if index == _TICKS - 1 else ""
        bottom = layout.rows[1] + layout.bar
        draw.line([(x, bottom), (x, bottom + layout.text // 3)], fill=_QUIET, width=max(1, layout.text // 12))
        draw.text((x, layout.rows[2]), sign + _number(float(value)), _TEXT, small, "ma")
        if scale.in_logits:
            draw.text((x, layout.rows[3]), sign + _percent(float(value)), _TEXT, small, "ma")


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"


def _percent(logit: float) -> str:
    value = float(probability(logit))
    return ".999" if value >= 0.9995 else f"{value:.3f}".lstrip("0")
