"""Hits, misses and false positives over the picture: shapes and colors that colour-blind readers tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from medmtl.evaluation import Candidates, Matches, Outcome, Region, Targets
from medmtl.explanation.markers import font
from medmtl.explanation.panel import LEAST_WIDTH, RESEARCH_ONLY

Bytes = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

FOUND: Color = (86, 180, 233)
MISSED: Color = (240, 228, 66)
FALSE: Color = (255, 255, 255)
QUIET: Color = (190, 190, 196)
DARK: Color = (10, 10, 10)
_BACK: Color = (24, 24, 27)
_WIDEST, _NARROWEST = 1400, 700
_LEGEND = (
    ("found lesion", "outline", FOUND),
    ("missed lesion", "outline", MISSED),
    ("hit", "ring", FOUND),
    ("false positive", "cross", FALSE),
    ("further hit", "square", QUIET),
    ("ignored", "dot", QUIET),
)
_SHAPES = {
    Outcome.TRUE_POSITIVE: ("ring", FOUND),
    Outcome.FALSE_POSITIVE: ("cross", FALSE),
    Outcome.DUPLICATE: ("square", QUIET),
    Outcome.IGNORED: ("dot", QUIET),
}


@dataclass(frozen=True)
class Shown:
    """What is drawn of one image and class.

    Attributes:
        candidates: All of them, by falling score.
        matches: What became of them.
        targets: The lesions.
        threshold: Candidates below it are not drawn, and lesions that only such candidates hit are missed.
        outlined: Also outline the regions of false positives: the rule compares areas.
        lenient: A candidate finds every lesion that it is the first to hit.
    """

    candidates: Candidates
    matches: Matches
    targets: Targets
    threshold: float
    outlined: bool = False
    lenient: bool = False

    @cached_property
    def outcome(self) -> npt.NDArray[np.int64]:
        """What became of each drawn candidate, as figures count it."""
        strict = self.matches.outcome[: self.visible]
        if not self.lenient:
            return strict
        hits = np.isin(strict, (Outcome.TRUE_POSITIVE, Outcome.DUPLICATE))
        again = np.where(self.matches.gainless[: self.visible], Outcome.DUPLICATE, Outcome.IGNORED)
        lenient = np.where(self.matches.gains[: self.visible] > 0, Outcome.TRUE_POSITIVE, again)
        return np.where(hits, lenient, strict)

    @property
    def wrong(self) -> list[Region]:
        """The regions of drawn false positives, where they are outlined."""
        numbers = np.flatnonzero(self.outcome == Outcome.FALSE_POSITIVE).tolist() if self.outlined else []
        found = self.candidates
        if found.regions is not None:
            return [found.regions[number] for number in numbers]
        if found.radius is None:
            return []
        circles = list(zip(found.x.tolist(), found.y.tolist(), found.radius.tolist(), strict=True))
        return [Region.circle(*circles[number], self.targets.shape) for number in numbers]

    @property
    def visible(self) -> int:
        """How many candidates are drawn: the first ones, because they stand by falling score."""
        return int((self.matches.score >= self.threshold).sum())

    @property
    def found(self) -> frozenset[int]:
        """The lesions that drawn candidates find."""
        if self.lenient and self.matches.first is not None:
            first = self.matches.first
            return frozenset((np.flatnonzero((first >= 0) & (first < self.visible)) + 1).tolist())
        target = self.matches.target[: self.visible]
        return frozenset(target[self.outcome == Outcome.TRUE_POSITIVE].tolist())

    def count(self, outcome: Outcome) -> int:
        """How many drawn candidates came to this."""
        return int((self.outcome == outcome).sum())

    @property
    def said(self) -> str:
        """The result in words."""
        lesions = self.targets.count
        none = "no lesion that counts" if self.targets.dropped + self.targets.ignored else "no lesion"
        parts = [f"{len(self.found)} of {lesions} lesion{'s' if lesions != 1 else ''} found" if lesions else none]
        names = {Outcome.FALSE_POSITIVE: "false positive", Outcome.DUPLICATE: "further hit", Outcome.IGNORED: "ignored"}
        for outcome, name in names.items():
            number = self.count(outcome)
            if number or outcome == Outcome.FALSE_POSITIVE:
                parts.append(f"{number} {name}{'s' if number != 1 and outcome != Outcome.IGNORED else ''}")
        return ", ".join(parts)


def draw_outcomes(picture: Bytes, shown: Shown, title: str) -> Bytes:
    """Draws one class's lesions and candidates over a picture, with a legend below.

    Lesions are outlined from outside; hits carry the number of the candidate, 1 being the highest score.

    Args:
        picture: RGB (H, W, 3).
        shown: What to draw.
        title: First line of the legend.

    Returns:
        RGB (h, w, 3), at most 1400 pixels wide; small pictures are scaled up.
    """
    factor = _factor(picture.shape[0], picture.shape[1])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    canvas = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    line = max(1, round(size[0] / 700))
    found = shown.found
    for region in shown.wrong:
        _outline(canvas, region, factor, FALSE, line)
    for number, region in enumerate(shown.targets.regions, start=1):
        _outline(canvas, region, factor, FOUND if number in found else MISSED, line)
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for index in reversed(range(shown.visible)):  # the highest scores lie on top
        x, y = ((float(part[index]) + 0.5) * factor for part in (shown.candidates.x, shown.candidates.y))
        shape, color = _SHAPES[Outcome(int(shown.outcome[index]))]
        _symbol(draw, shape, color, (x, y), 6.0 * line, line)
        if shape == "ring":
            place = (x + 8 * line, y - 8 * line)
            draw.text(place, str(index + 1), FOUND, font(10 + 3 * line), "lb", stroke_width=line, stroke_fill=DARK)
    legend = _legend(max(size[0], LEAST_WIDTH), title, shown.said)
    room = np.full((size[1], legend.shape[1] - size[0], 3), _BACK, np.uint8)
    return np.concatenate([np.concatenate([np.asarray(image), room], axis=1), legend])


def _factor(height: int, width: int) -> float:
    """How much a picture is scaled: wide ones down to a page, small ones up by whole numbers while they stay a page."""
    if width > _WIDEST:
        return _WIDEST / width
    return float(max(1, min(math.ceil(_NARROWEST / width), _WIDEST // height)))


def _outline(canvas: Bytes, region: Region, factor: float, color: Color, line: int) -> None:
    if not region.area:
        return
    mask = np.pad(region.mask.astype(np.uint8), 1)
    size = (max(3, round(mask.shape[1] * factor)), max(3, round(mask.shape[0] * factor)))
    large = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST if factor >= 1 else cv2.INTER_AREA)
    if not large.any():  # smaller than a pixel of the drawing
        large[size[1] // 2, size[0] // 2] = 1
    grown = cv2.dilate(np.pad(large, 2 * line), np.ones((3, 3), np.uint8), iterations=line)
    offset = (round((region.left - 1) * factor) - 2 * line, round((region.top - 1) * factor) - 2 * line)
    contours, _ = cv2.findContours(grown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=offset)
    cv2.drawContours(canvas, contours, -1, DARK, line + 2, cv2.LINE_8)
    cv2.drawContours(canvas, contours, -1, color, line, cv2.LINE_8)


def _symbol(
    draw: ImageDraw.ImageDraw, shape: str, color: Color, center: tuple[float, float], size: float, line: int
) -> None:
    """Draws a symbol with a dark rim, so that it is seen on any ground."""
    x, y = center
    for ink, width in ((DARK, line + 2), (color, line)):
        if shape == "ring":
            draw.ellipse((x - size, y - size, x + size, y + size), outline=ink, width=width)
        elif shape == "cross":
            arm = 0.75 * size
            for sign in (1, -1):
                draw.line((x - arm, y - sign * arm, x + arm, y + sign * arm), fill=ink, width=width)
        elif shape == "square":
            arm = 0.7 * size
            draw.rectangle((x - arm, y - arm, x + arm, y + arm), outline=ink, width=width)
        else:
            arm = 0.3 * size + (1 if ink == DARK else 0)
            draw.ellipse((x - arm, y - arm, x + arm, y + arm), fill=ink)


def _legend(width: int, title: str, said: str) -> Bytes:
    text = max(13, round(width / 62))
    used, bold = font(text), font(text, bold=True)
    rows = [*_wrapped(title, bold, width - 2 * text), *_wrapped(said, used, width - 2 * text)]
    items = list(_placed_items(width, text))
    height = round((len(rows) + 1 + max(row for row, *_ in items) + 1) * 1.6 * text + 1.2 * text)
    panel = Image.new("RGB", (width, height), _BACK)
    draw = ImageDraw.Draw(panel)
    titles = len(_wrapped(title, bold, width - 2 * text))
    for number, words in enumerate(rows):
        draw.text((text, text * (0.7 + 1.6 * number)), words, FALSE, bold if number < titles else used)
    top = text * (0.7 + 1.6 * len(rows))
    for row, left, (name, shape, color) in items:
        middle = top + (row + 0.5) * 1.6 * text
        if shape == "outline":
            draw.rectangle((left, middle - 0.4 * text, left + 0.8 * text, middle + 0.4 * text), outline=color, width=2)
        else:
            _symbol(draw, shape, color, (left + 0.4 * text, middle), 0.45 * text, 2)
        draw.text((left + 1.3 * text, middle), name, QUIET, used, "lm")
    last = text * (0.7 + 1.6 * (len(rows) + 1 + max(row for row, *_ in items)))
    draw.text((text, last), RESEARCH_ONLY, QUIET, font(max(11, round(0.85 * text))))
    return np.asarray(panel)


def _placed_items(width: int, text: int) -> Iterable[tuple[int, float, tuple[str, str, Color]]]:
    """Lays the legend's entries out in rows: row, left edge, entry."""
    row, left = 0, float(text)
    for entry in _LEGEND:
        need = 2.8 * text + font(text).getlength(entry[0])
        if left > text and left + need > width:
            row, left = row + 1, float(text)
        yield row, left, entry
        left += need


def _wrapped(words: str, used: object, room: float) -> list[str]:
    rows: list[str] = []
    for word in words.split():
        longer = f"{rows[-1]} {word}" if rows else word
        if rows and used.getlength(longer) <= room:  # type: ignore[attr-defined]  # a font of Pillow
            rows[-1] = longer
        else:
            rows.append(word)
    return rows or [""]
