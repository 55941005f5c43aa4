"""The regions of a map at or above its threshold, each with the candidates that lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage
from skimage.measure import find_contours

from medmtl.evaluation.candidates import EIGHT
from medmtl.explanation.color import visible
from medmtl.explanation.scale import ClassScale

Ring = npt.NDArray[np.float64]
"""(n, 2): x and y of a closed line, the first point again at its end."""


@dataclass(frozen=True, eq=False)
class Region:
    """An 8-connected region, in original pixels.

    Attributes:
        mask: (h, w), the region within its box.
        left: Column of the box.
        top: Row of the box.
        candidates: Rows of the candidates' table whose points lie in it.
    """

    mask: npt.NDArray[np.bool_]
    left: int
    top: int
    candidates: pd.DataFrame

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())

    def rings(self) -> list[Ring]:
        """Outlines half a pixel about the pixels' centers, (x, y) 0-based centers: the outer one, then the holes."""
        lines = find_contours(np.pad(self.mask, 1).astype(np.float64), 0.5, fully_connected="high")
        rings = [line[:, ::-1] - 1 + [self.left, self.top] for line in lines]
        sizes = [abs(signed_area(ring)) for ring in rings]
        outer = int(np.argmax(sizes))
        turned = [_turned(ring, positive=index == outer) for index, ring in enumerate(rings)]
        return [turned[outer], *(ring for index, ring in enumerate(turned) if index != outer)]


def map_regions(
    evidence: npt.NDArray[np.floating], scale: ClassScale, candidates: pd.DataFrame
) -> tuple[list[Region], pd.DataFrame]:
    """Cuts a map into its visible regions.

    Args:
        evidence: (H, W) in logits; NaN where nothing is known.
        scale: The class's scale.
        candidates: As ``candidate_table`` gives them.

    Returns:
        The regions, top first, and the candidates that lie in none: their peak is the network's own, in cells of its
        map, and may be lower once it is drawn in original pixels.
    """
    labels, _ = ndimage.label(visible(evidence, scale), EIGHT)
    holder = _labels_at(labels, candidates)
    regions = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = box
        regions.append(Region(labels[box] == number, columns.start, rows.start, candidates[holder == number]))
    return regions, candidates[holder == 0]


def signed_area(ring: Ring) -> float:
    """Area by the shoelace formula, positive where y follows x (counter-clockwise with y up)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def _turned(ring: Ring, *, positive: bool) -> Ring:
    return ring if (signed_area(ring) > 0) == positive else ring[::-1]


def _labels_at(labels: npt.NDArray[np.integer], candidates: pd.DataFrame) -> npt.NDArray[np.int64]:
    columns, rows = (np.floor(candidates[key].to_numpy(dtype=float) + 0.5).astype(int) for key in ("x", "y"))
    inside = (rows >= 0) & (columns >= 0) & (rows < labels.shape[0]) & (columns < labels.shape[1])
    found = np.zeros(len(candidates), dtype=np.int64)
    found[inside] = labels[rows[inside], columns[inside]]
    return found
