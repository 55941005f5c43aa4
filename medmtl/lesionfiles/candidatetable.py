"""A table of candidates: image, class, x, y, score, and optionally radius, mask or area of the marked region."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from medmtl.errors import ImageError, ManifestError
from medmtl.evaluation import Candidates
from medmtl.evaluation.intervals import FloatArray
from medmtl.evaluation.regions import Region, clipped_pixels
from medmtl.explanation.candidates import COLUMNS
from medmtl.lesionfiles.candidatechecks import check_coordinates, check_regions, without_copies
from medmtl.lesionfiles.columns import Columns, read_columns
from medmtl.lesionfiles.encoding import read_lesion_mask
from medmtl.lesionfiles.images import ImageIndex, Shape
from medmtl.lesionfiles.limits import FARTHEST, REGION_PIXELS

NEEDED = ("image", "class", "x", "y", "score")
OPTIONAL = ("radius", "mask", "area", "area_px")
OUTCOMES = ("rule", "outcome", "lesion", "lenient_lesions", "other_class")
"""What ``medmtl lesions`` adds to its candidates: a row a candidate and rule."""
_KNOWN = (*NEEDED, *OPTIONAL, *COLUMNS, *OUTCOMES, "coordinates", "method", "score_unit")
"""Columns that are read, and the others that ``medmtl explain``, ``evaluate`` and ``lesions`` write."""
_SAY_REGION = "say in the table what means the region: PATH#any, PATH#=N or PATH#>=N"
WHAT = "candidate table"

OutsideField = Literal["refuse", "drop", "count"]
"""What becomes of candidates outside the field of view: an error, left out, or kept (where they are mostly false)."""

Field = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CandidateTable:
    """Candidates of a table, by image number and class.

    Attributes:
        table: The table as read.
        rows: Rows of each image and class, in order.
        classes: Classes that it names, in order of appearance.
        x: Columns of pixels, shape (rows,).
        y: Rows of pixels, shape (rows,).
        score: Shape (rows,).
        radius: NaN where none is told, shape (rows,).
        area: NaN where none is told, shape (rows,).
        masks: Mask of each candidate's region as its cell says, or None where the table has none.
        skipped: How many candidates are of images that are known and not evaluated.
        notes: What a reader of the results must know.
    """

    table: Columns
    rows: Mapping[tuple[int, str], tuple[int, ...]]
    classes: tuple[str, ...]
    x: FloatArray
    y: FloatArray
    score: FloatArray
    radius: FloatArray
    area: FloatArray
    masks: tuple[str, ...] | None
    skipped: int
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, index: ImageIndex) -> CandidateTable:
        """Reads a CSV, Parquet or JSON table, also what ``medmtl explain`` writes.

        Raises:
            ManifestError: A column is missing, or a cell is wrong; with the row.
        """
        table = read_columns(path, WHAT, ("candidates",))
        if not len(table) and not table.cells:  # a JSON list without records: nothing was found
            table = Columns(table.path, table.unit, (), dict.fromkeys(NEEDED, ()), table.extra)
        table.require(NEEDED, "candidates")
        table, repeated = without_copies(table)
        notes = (*table.unread(_KNOWN, (*NEEDED, *OPTIONAL)), *repeated)
        check_coordinates(table)
        rows, skipped = _grouped(table, index)
        radius = table.numbers("radius", least=0, far=FARTHEST, optional=True)
        check_regions(table, radius)
        area = "area_px" if "area_px" in table.cells else "area"
        return cls(
            table,
            rows,
            tuple(dict.fromkeys(table.filled("class", "name the class in every row"))),
            table.numbers("x", far=FARTHEST),
            table.numbers("y", far=FARTHEST),
            table.numbers("score"),
            radius,
            table.numbers(area, least=0, optional=True),
            table.column("mask") if any(table.column("mask")) else None,
            skipped,
            notes,
        )

    def candidates(
        self, number: int, label: str, shape: Shape, field: Field | None, outside: OutsideField, *, bounded: bool
    ) -> Candidates:
        """Candidates of one image and class.

        Args:
            number: Number of the image.
            label: Class.
            shape: Height and width of the image.
            field: Its field of view, shape (H, W); None: the whole image.
            outside: What becomes of candidates outside the field of view.
            bounded: The size is that of the image, and a candidate outside it is refused.

        Raises:
            ManifestError: A candidate lies outside the image, or outside the field of view and that is refused.
            ImageError: A region's mask cannot be read, is empty, has another size, or holds values of unknown meaning.
        """
        rows = self.rows.get((number, label), ())
        if bounded:
            self._check_inside(rows, shape)
        if field is not None and outside != "count":
            rows = self._in_field(rows, field, outside)
        self._check_size(rows, shape)
        chosen = np.array(rows, dtype=np.int64)
        points = self.x[chosen], self.y[chosen], self.score[chosen]
        regions = None if self.masks is None else tuple(self._region(row, shape) for row in rows)
        radius = self.radius[chosen] if regions is None and self.discs else None
        told = self.area[chosen]
        if regions is not None:
            told = np.where(np.isfinite(told), told, [region.area for region in regions])
        elif radius is not None:
            told = np.where(np.isfinite(told), told, np.maximum(np.pi * radius**2, 1.0))
        return Candidates(*points, np.where(np.isfinite(told), told, 1.0), radius=radius, regions=regions)

    @property
    def discs(self) -> bool:
        """Whether candidates have radii."""
        return bool(len(self.radius) and np.isfinite(self.radius).any())

    def reach(self, number: int) -> tuple[float, float]:
        """The largest y and x of the candidates of an image, with their radii; 0 without any."""
        rows = [row for (image, _), members in self.rows.items() if image == number for row in members]
        if not rows:
            return 0.0, 0.0
        radius = np.nan_to_num(self.radius[rows])
        return float((self.y[rows] + radius).max()), float((self.x[rows] + radius).max())

    def outside(self, number: int, label: str, field: Field) -> int:
        """How many candidates of one image and class lie outside the field of view.

        Args:
            number: Number of the image.
            label: Class.
            field: Its field of view, shape (H, W).
        """
        rows = self.rows.get((number, label), ())
        return len(rows) - len(self._in_field(rows, field, "drop"))

    def _check_inside(self, rows: Sequence[int], shape: Shape) -> None:
        height, width = shape
        x, y = self.x[list(rows)], self.y[list(rows)]
        outside = np.flatnonzero((x < -0.5) | (x >= width - 0.5) | (y < -0.5) | (y >= height - 0.5))
        if outside.size:
            row = rows[int(outside[0])]
            more = f" (and {outside.size - 1} more of this image and class)" if outside.size > 1 else ""
            found = f"x={self.x[row]:g}, y={self.y[row]:g} in {width}x{height} pixels{more}"
            remedy = f"give original pixels, 0-based pixel centers: x from 0 to {width - 1}, y from 0 to {height - 1}"
            raise ManifestError(
                "a candidate outside its image", where=self.table.place(row), found=found, remedy=remedy
            )

    def _check_size(self, rows: Sequence[int], shape: Shape) -> None:
        """Refuses discs whose pixels no memory holds; those of images of known size end with the image."""
        sizes = [row for row in rows if self.radius[row] > math.sqrt(REGION_PIXELS) / 2]
        for row, radius in zip(sizes, self.radius[sizes].tolist(), strict=True):
            ends = (self.x[row] - radius, self.y[row] - radius, self.x[row] + radius, self.y[row] + radius)
            if clipped_pixels(ends, shape) > REGION_PIXELS:
                remedy = "correct its radius, or tell the size of its image (width and height in --images)"
                found, where = f"radius {radius:g}", self.table.place(row)
                raise ManifestError("a candidate too large to be held", where=where, found=found, remedy=remedy)

    def _in_field(self, rows: tuple[int, ...], field: Field, outside: OutsideField) -> tuple[int, ...]:
        chosen = list(rows)
        x, y = (np.floor(part[chosen] + 0.5).astype(np.int64) for part in (self.x, self.y))
        inside = field[y, x]
        if outside == "refuse" and not inside.all():
            row = rows[int(np.argmin(inside))]
            more = f" (and {int((~inside).sum()) - 1} more of this image and class)" if (~inside).sum() > 1 else ""
            found = f"x={self.x[row]:g}, y={self.y[row]:g}{more}"
            remedy = "are these original pixels? --outside-field drop leaves such candidates out, count keeps them"
            where = self.table.place(row)
            raise ManifestError("a candidate outside the field of view", where=where, found=found, remedy=remedy)
        return tuple(row for row, stays in zip(rows, inside.tolist(), strict=True) if stays)

    def _region(self, row: int, shape: Shape) -> Region:
        reference = self.table.mask("mask", row)
        if reference is None:
            return Region.circle(self.x[row], self.y[row], self.radius[row], shape)
        region = Region.of_mask(read_lesion_mask(reference, shape, _SAY_REGION))
        if not region.area:
            remedy = "give the mask of the candidate's region, as large as its image"
            raise ImageError(
                f"the mask of the candidate in {self.table.unit} {self.table.places[row]} is empty",
                where=reference.path,
                remedy=remedy,
            )
        return region


def _grouped(table: Columns, index: ImageIndex) -> tuple[dict[tuple[int, str], tuple[int, ...]], int]:
    """Rows of each evaluated image and class, and how many rows are of other known images."""
    names = table.filled("image", "name the image in every row")
    numbers = {name: index.find(name) for name in dict.fromkeys(names)}
    groups: dict[tuple[int, str], list[int]] = {}
    skipped = 0
    for row, (name, label) in enumerate(zip(names, table.column("class"), strict=True)):
        number = numbers[name]
        if number is not None:
            groups.setdefault((number, label), []).append(row)
        elif index.is_other(name):
            skipped += 1
        else:
            raise index.unknown(name, table.place(row))
    return {key: tuple(rows) for key, rows in groups.items()}, skipped
