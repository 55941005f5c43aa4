"""The lesions of one image and class, from a mask, from numbered regions, or from boxes, circles and points.

A lesion of a mask is an 8-connected component inside the field of view. Lesions given one by one (boxes, circles,
points, crops) stay as many as were given, also where they overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray, IntArray
from medmtl.evaluation.region_table import RegionTable
from medmtl.evaluation.regions import Region

UNKNOWN = 255


@dataclass(frozen=True, eq=False)
class Targets:
    """The lesions of one image and class, 1 .. count.

    Attributes:
        shape: Of the image, (H, W).
        lesions: The lesions' pixels.
        hidden: Pixels of unknown truth, as one region: a candidate whose point lies there, and hits nothing, is ignored.
        irrelevant: Findings that are not to be found nor held against who finds them (LUNA16): a candidate that hits
            one by the rule of the lesions, and hits no lesion, is ignored.
        dropped: How many lesions were smaller than the least area, or outside the field; their pixels are unknown.
        beyond: How many irrelevant findings lie outside the field and are none of ``irrelevant``.
    """

    shape: tuple[int, int]
    lesions: RegionTable
    hidden: RegionTable
    irrelevant: RegionTable = field(default_factory=RegionTable.empty)
    dropped: int = 0
    beyond: int = 0

    @property
    def ignored(self) -> int:
        """Number of irrelevant findings, those outside the field included."""
        return len(self.irrelevant) + self.beyond

    @property
    def count(self) -> int:
        """Number of lesions."""
        return len(self.lesions)

    @property
    def area(self) -> IntArray:
        """Pixels of each lesion, shape (count,)."""
        return self.lesions.area

    @property
    def regions(self) -> tuple[Region, ...]:
        """The lesions one by one."""
        return self.lesions.regions()

    @cached_property
    def labels(self) -> IntArray:
        """0 where there is no lesion, 1 .. count in the lesions, shape (H, W).

        Raises:
            EvaluationError: Lesions overlap, which one image of labels cannot hold.
        """
        painted = self.lesions.paint(self.shape)
        if np.count_nonzero(painted) != int(self.area.sum()):
            raise EvaluationError(
                "these lesions overlap, so no image of labels can hold them",
                found=f"{self.count} lesions",
                remedy="use .regions, or .mask for where any lesion is",
            )
        return painted

    @cached_property
    def mask(self) -> BoolArray:
        """Where any lesion is, shape (H, W)."""
        return self.lesions.paint(self.shape) > 0

    @cached_property
    def unknown(self) -> BoolArray:
        """Where nothing is known, shape (H, W)."""
        return self.hidden.paint(self.shape) > 0

    @classmethod
    def of_regions(
        cls,
        regions: Sequence[Region],
        shape: tuple[int, int],
        *,
        valid: npt.ArrayLike | None = None,
        min_area: int = 1,
        unknown: npt.ArrayLike | None = None,
        irrelevant: Sequence[Region] = (),
    ) -> Targets:
        """Lesions given one by one; they may overlap and stay as many as they are.

        Args:
            regions: The lesions.
            shape: Of the image, (H, W).
            valid: The field of view, shape (H, W); lesion pixels outside it do not count.
            min_area: Least pixels of a lesion; smaller ones are dropped, counted, and a candidate on them is ignored.
            unknown: Where nothing is known, shape (H, W).
            irrelevant: Findings whose detection counts neither way.

        Raises:
            EvaluationError: A region reaches out of the image, or a mask has another shape.
        """
        table, ignored = RegionTable.of_regions(regions), RegionTable.of_regions(irrelevant)
        for one in (table, ignored):
            _inside_image(one, shape)
        if valid is not None:
            field_of_view = _mask(valid, shape, "valid mask")
            table, ignored = table.cut(field_of_view), ignored.cut(field_of_view)
        hidden = None if unknown is None else _mask(unknown, shape, "unknown mask")
        seen = ignored.take(np.flatnonzero(ignored.area))
        return replace(_sized(shape, table, hidden, seen, min_area), beyond=len(ignored) - len(seen))

    @classmethod
    def of_labels(cls, labels: npt.ArrayLike, valid: npt.ArrayLike | None = None, min_area: int = 1) -> Targets:
        """Lesions as an image of whole numbers: 0 where there is none, one number a lesion, connected or not.

        Args:
            labels: Shape (H, W); lesions are numbered anew 1 .. count by rising number.
            valid: The field of view, shape (H, W); lesion pixels outside it do not count.
            min_area: Least pixels of a lesion; smaller ones are dropped, counted, and a candidate on them is ignored.

        Raises:
            EvaluationError: The image is not 2-D or holds something else, or the field of view has another shape.
        """
        values = np.asarray(labels)
        if values.ndim != 2 or values.dtype.kind not in "iub" or (values.size and values.min() < 0):
            raise EvaluationError(
                "labels are whole numbers of 0 or more of shape (H, W)", found=f"{values.dtype} {values.shape}"
            )
        shape = (values.shape[0], values.shape[1])
        table = RegionTable.of_labels(values)
        if valid is not None:
            table = table.cut(_mask(valid, shape, "valid mask"))
        return _sized(shape, table, None, RegionTable.empty(), min_area)


def lesion_targets(
    mask: npt.ArrayLike,
    valid: npt.ArrayLike | None = None,
    min_area: int = 1,
    irrelevant: npt.ArrayLike | None = None,
) -> Targets:
    """Cuts a mask into lesions: its 8-connected components inside the field of view.

    Args:
        mask: 0 or 1 (or bool), or 255 where unknown, shape (H, W).
        valid: The field of view, shape (H, W); lesion pixels outside it do not count.
        min_area: Least pixels of a lesion; smaller ones are dropped, counted, and a candidate on them is ignored.
        irrelevant: Where findings are whose detection counts neither way, shape (H, W); each component is one.

    Raises:
        EvaluationError: The mask is not 2-D, holds other values, or the field of view has another shape.
    """
    values = np.asarray(mask)
    if values.ndim != 2:
        raise EvaluationError("a lesion mask has shape (H, W)", found=values.shape)
    shape = (values.shape[0], values.shape[1])
    lesion: BoolArray = values if values.dtype == bool else values == 1
    unknown: BoolArray | None = None if values.dtype == bool else values == UNKNOWN
    if unknown is not None and np.count_nonzero(values) != np.count_nonzero(lesion) + np.count_nonzero(unknown):
        raise EvaluationError(
            "a lesion mask holds 0, 1 or 255 (unknown)",
            found=np.unique(values)[:5],
            remedy="compare the mask with its lesion value first, such as mask > 0",
        )
    inside = None if valid is None else _mask(valid, shape, "valid mask")
    table, outside = _components(lesion, inside)
    apart, beyond = RegionTable.empty(), 0
    if irrelevant is not None:
        apart, beyond = _components(_mask(irrelevant, shape, "irrelevant mask"), inside)
    found = _sized(shape, table, unknown, apart, min_area)
    return replace(found, dropped=found.dropped + outside, beyond=beyond)


def _components(mask: BoolArray, inside: BoolArray | None) -> tuple[RegionTable, int]:
    """The components of what lies inside the field, and how many of the whole mask lie outside altogether."""
    seen = mask if inside is None else mask & inside
    table = RegionTable.of_components(seen)
    if inside is None or np.count_nonzero(seen) == np.count_nonzero(mask):
        return table, 0
    return table, int((RegionTable.of_components(mask).cut(inside).area == 0).sum())


def _sized(
    shape: tuple[int, int], table: RegionTable, unknown: BoolArray | None, irrelevant: RegionTable, min_area: int
) -> Targets:
    """Drops the lesions that are too small and hides their pixels."""
    small = np.flatnonzero(table.area < max(min_area, 1))
    hidden = RegionTable.empty() if unknown is None else RegionTable.of_mask(unknown)
    if len(small):
        dark = table.take(small).paint(shape) > 0
        hidden = RegionTable.of_mask(dark if unknown is None else dark | unknown)
        table = table.take(np.flatnonzero(table.area >= max(min_area, 1)))
    return Targets(shape, table, hidden, irrelevant, len(small))


def _mask(values: npt.ArrayLike, shape: tuple[int, int], name: str) -> BoolArray:
    mask = np.asarray(values).astype(bool, copy=False)
    if mask.shape != shape:
        raise EvaluationError(f"lesions and {name} need one shape (H, W)", found=f"{shape} and {mask.shape}")
    return mask


def _inside_image(table: RegionTable, shape: tuple[int, int]) -> None:
    if len(table.row) and (int(table.row.max()) >= shape[0] or int(table.stop.max()) > shape[1]):
        raise EvaluationError(
            "a lesion reaches out of the image",
            found=f"row {int(table.row.max())}, column {int(table.stop.max()) - 1} in an image of {shape[0]} x {shape[1]}",
            remedy="give the shape of the image the lesions were drawn on, as (height, width)",
        )
