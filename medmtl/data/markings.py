"""Markings of experts in DIARETDB1 version 2.1: from XML to regions, and from four experts to one truth.

Rule (Kauppi et al. 2007, section 3): each expert's regions of one type are filled with the confidence of the mark, the
highest where they overlap; the mean over the four experts is the map; the truth is where it reaches 0.75.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medmtl.errors import ImageError, suggestion

EXPERTS = 4
AGREEMENT = 0.75
CONFIDENCE = {"high": 1.0, "medium": 0.75, "low": 0.25}
TYPES = ("Red_small_dots", "Haemorrhages", "Hard_exudates", "Soft_exudates", "IRMA", "Neovascularisation", "Disc",
         "Fundus_area")  # fmt: skip
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Marking:
    """One region that an expert has marked.

    Attributes:
        kind: Type of marking, one of :data:`TYPES`.
        confidence: 1.0, 0.75 or 0.25.
        points: The center (circle, ellipse) or the vertices (polygon), as (x, y) in pixels.
        radii: Along x and y before turning; empty for a polygon.
        angle: Degrees, counter-clockwise on the screen.
    """

    kind: str
    confidence: float
    points: tuple[tuple[float, float], ...]
    radii: tuple[float, ...] = ()
    angle: float = 0.0

    def paint(self, canvas: NDArray[np.float32]) -> None:
        """Raises the region's pixels in ``canvas`` (H, W) to the marking's confidence."""
        if self.radii:
            self._paint_ellipse(canvas)
        else:
            self._paint_polygon(canvas)

    def _paint_ellipse(self, canvas: NDArray[np.float32]) -> None:
        (x, y), (a, b) = self.points[0], self.radii
        reach = max(a, b)
        rows = slice(max(0, math.floor(y - reach)), max(0, math.ceil(y + reach) + 1))
        columns = slice(max(0, math.floor(x - reach)), max(0, math.ceil(x + reach) + 1))
        part = canvas[rows, columns]
        dy = np.arange(rows.start, rows.start + part.shape[0])[:, None] - y
        dx = np.arange(columns.start, columns.start + part.shape[1])[None, :] - x
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        along, across = dx * cosine - dy * sine, dx * sine + dy * cosine  # y points down, hence the signs
        inside = (along / max(a, 0.5)) ** 2 + (across / max(b, 0.5)) ** 2 <= 1.0
        np.maximum(part, np.float32(self.confidence), out=part, where=inside)

    def _paint_polygon(self, canvas: NDArray[np.float32]) -> None:
        import cv2

        region = np.zeros(canvas.shape, np.uint8)
        cv2.fillPoly(region, [np.round(np.asarray(self.points)).astype(np.int32)], 1)
        np.maximum(canvas, np.float32(self.confidence), out=canvas, where=region.astype(bool))


def parse_markings(path: Path) -> tuple[Marking, ...]:
    """Reads the markings of one expert.

    Raises:
        ImageError: The file is missing or is not a marking list.
    """
    try:
        return tuple(_marking(element) for element in _marking_list(path.read_bytes()).iter("marking"))
    except (OSError, ElementTree.ParseError, ValueError, TypeError) as error:
        remedy = "name a *_plain.xml of DIARETDB1 version 2.1"
        raise ImageError("not a readable list of markings", where=path, found=error, remedy=remedy) from error


def _marking_list(text: bytes) -> ElementTree.Element:
    if b"<!ENTITY" in text:  # the only part of XML that is dangerous here, and no marking file has it
        raise ValueError("an entity declaration")
    found = ElementTree.fromstring(text).find("markinglist")  # noqa: S314
    if found is None:
        raise ValueError("no element 'markinglist'")
    return found


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.findtext(name)
    if found is None or not found.strip():
        raise ValueError(f"a marking without '{name}'")
    return found.strip()


def _points(element: ElementTree.Element, name: str) -> tuple[tuple[float, float], ...]:
    points = []
    for child in element.findall(name):
        x, y = (float(number) for number in (child.text or "").split(","))
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError("a point that is not finite")
        points.append((x, y))
    if not points:
        raise ValueError(f"a region without '{name}'")
    return tuple(points)


def _marking(element: ElementTree.Element) -> Marking:
    kind, confidence = _text(element, "markingtype"), CONFIDENCE.get(_text(element, "confidencelevel").lower())
    if confidence is None:
        raise ValueError(f"confidence '{_text(element, 'confidencelevel')}'")
    if (polygon := element.find("polygonregion")) is not None:
        # Only direct children are vertices: the coords2d inside the centroid is not one.
        return Marking(kind, confidence, _points(polygon, "coords2d"))
    region = element.find("ellipseregion")
    region = element.find("circleregion") if region is None else region
    if region is None:
        raise ValueError("a marking without a region")
    radii = {radius.get("direction", "x"): float(radius.text or "") for radius in region.findall("radius")}
    angle = float(region.findtext("angle") or 0.0)
    pair = (radii["x"], radii.get("y", radii["x"])) if "x" in radii else (math.nan, math.nan)
    if not all(math.isfinite(radius) and radius >= 0 for radius in pair):
        raise ValueError("a region without a radius")
    return Marking(kind, confidence, _points(region, "centroid/coords2d"), pair, angle)


def confidence_map(experts: Sequence[Sequence[Marking]], kind: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Returns the mean confidence of the four experts in (H, W), from 0 to 1; an expert who is not there counts as 0.

    Args:
        experts: The markings of each expert.
        kind: Type of marking.
        shape: Height and width of the image (pixels).
    """
    total = np.zeros(shape, np.float32)
    for markings in experts:
        own = np.zeros(shape, np.float32)
        for marking in markings:
            if marking.kind == kind:
                marking.paint(own)
        total += own
    return total / np.float32(EXPERTS)


def consensus_mask(
    experts: Sequence[Sequence[Marking]], kind: str, shape: tuple[int, int], *, any_mark: bool = False
) -> NDArray[np.uint8]:
    """Returns 1 where the mean confidence reaches 0.75, or with ``any_mark`` where any expert marked; shape (H, W)."""
    confidence = confidence_map(experts, kind, shape)
    return (confidence > 0 if any_mark else confidence >= AGREEMENT - _TOLERANCE).astype(np.uint8)


def expert_files(pattern: Path) -> list[Path]:
    """Returns the files of the experts that a pattern (``image005_*_plain.xml``) names.

    Raises:
        ImageError: There is none, or there are more than four.
    """
    files = sorted(pattern.parent.glob(pattern.name)) if pattern.parent.is_dir() else []
    if not 1 <= len(files) <= EXPERTS:
        remedy = f"the pattern must name the files of 1 to {EXPERTS} experts of one image"
        raise ImageError("not the markings of one image", where=pattern, found=f"{len(files)} files", remedy=remedy)
    return files


@lru_cache(maxsize=512)
def _parsed(path: Path, changed: int) -> tuple[Marking, ...]:
    return parse_markings(path)


def read_markings_mask(pattern: Path, fragment: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Renders the truth of one type of marking.

    Args:
        pattern: The files of the experts of one image.
        fragment: ``TYPE``, or ``TYPE:any`` for where any expert marked.
        shape: Height and width of the image (pixels).

    Returns:
        0 and 1, shape (H, W).

    Raises:
        ImageError: There are no such files, they cannot be read, or there is no such type.
    """
    kind, _, mode = fragment.partition(":")
    if kind not in TYPES or mode not in {"", "any"}:
        remedy = suggestion(kind, TYPES)
        raise ImageError("unknown type of marking", where=pattern, found=f"'{fragment}'", remedy=remedy)
    experts = [_parsed(path, path.stat().st_mtime_ns) for path in expert_files(pattern)]
    return consensus_mask(experts, kind, shape, any_mark=mode == "any")
