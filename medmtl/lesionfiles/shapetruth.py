"""Truth as shapes: a table of boxes, circles or points, one row a lesion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medmtl.errors import ManifestError
from medmtl.evaluation import Targets
from medmtl.evaluation.intervals import BoolArray, FloatArray
from medmtl.evaluation.regions import Region, clipped_pixels
from medmtl.lesionfiles.columns import Columns
from medmtl.lesionfiles.images import EvaluatedImage, ImageIndex, Shape
from medmtl.lesionfiles.lesiontruth import Field, Truth
from medmtl.lesionfiles.limits import FARTHEST, REGION_PIXELS

BOX, CIRCLE, POINT = ("x0", "y0", "x1", "y1"), ("x", "y", "radius"), ("x", "y")
IGNORE = "ignore"
"""Column, and key of a COCO annotation, of findings that count neither way."""
_NEITHER = "a finding that counts neither way"


@dataclass(frozen=True)
class ShapeTruth(Truth):
    """Lesions as boxes, circles or points in original pixels, 0-based pixel centers.

    Attributes:
        numbers: Coordinates of each shape: x0, y0, x1, y1 (box), x, y, radius (circle) or x, y (point).
        members: Rows of ``numbers`` by image number and class.
        places: Where each shape is told of.
        ignored: Whether each is a finding that counts neither way: not to be found, nor held against who finds it.
    """

    numbers: FloatArray
    members: Mapping[tuple[int, str], tuple[int, ...]]
    places: tuple[str, ...]
    ignored: BoolArray

    def reach(self, number: int) -> tuple[float, float]:
        """The largest y and x that a shape of the image touches, for images of which no size is known."""
        rows = [row for label in self.classes for row in self.members.get((number, label), ())]
        values = self.numbers[rows]
        if not len(values):
            return 0.0, 0.0
        if values.shape[1] == len(BOX):
            return float(values[:, 3].max()), float(values[:, 2].max())
        radius = values[:, 2] if values.shape[1] == len(CIRCLE) else np.zeros(len(values))
        return float((values[:, 1] + radius).max()), float((values[:, 0] + radius).max())

    def targets(
        self, number: int, classes: Sequence[str], shape: Shape, field: Field | None, min_area: int
    ) -> Targets | None:
        """Lesions of an image, one a shape; those of several classes stand side by side.

        Raises:
            ManifestError: A shape's center lies outside the image.
        """
        rows = [row for label in classes for row in self.members.get((number, label), ())]
        lesions, others = (
            [self._region(row, shape) for row in rows if self.ignored[row] == kind] for kind in (False, True)
        )
        return Targets.of_regions(lesions, shape, valid=field, min_area=min_area, irrelevant=others)

    def _region(self, row: int, shape: Shape) -> Region:
        values = [float(value) for value in self.numbers[row]]
        x, y = ((values[0] + values[2]) / 2, (values[1] + values[3]) / 2) if len(values) == len(BOX) else values[:2]
        if not (-0.5 <= x < shape[1] - 0.5 and -0.5 <= y < shape[0] - 0.5):
            found = f"its center at x={x:g}, y={y:g} in {shape[1]}x{shape[0]} pixels"
            remedy = "give original pixels, 0-based pixel centers"
            raise ManifestError("a lesion outside its image", where=self.places[row], found=found, remedy=remedy)
        if len(values) == len(BOX):
            ends = (values[0], values[1], values[2], values[3])
        else:
            radius = values[2] if len(values) == len(CIRCLE) else 0.0
            ends = (x - radius, y - radius, x + radius, y + radius)
        if clipped_pixels(ends, shape) > REGION_PIXELS:
            found = f"a box of {ends[2] - ends[0]:g} x {ends[3] - ends[1]:g} pixels around it"
            remedy = (
                "correct it, or tell the size of its image (width and height in --images), beyond which nothing counts"
            )
            raise ManifestError("a lesion too large to be held", where=self.places[row], found=found, remedy=remedy)
        if len(values) == len(BOX):
            return Region.box(*ends, shape)
        return Region.circle(x, y, values[2], shape) if len(values) == len(CIRCLE) else Region.point(x, y, shape)


def table_truth(table: Columns, images: ImageIndex | None) -> ShapeTruth:
    """A table with the columns image, class and x0, y0, x1, y1 (boxes), x, y, radius (circles) or x, y (points).

    A row that names an image and nothing else is an image without lesions. Every image is known for every class. A column
    ``ignore`` (1 or 0) marks findings that count neither way.

    Args:
        table: As read.
        images: The evaluated images; None: those that the table names.

    Raises:
        ManifestError: A column is missing, a cell is wrong, or an image is not among the evaluated ones.
    """
    form, kind = _form(table)
    table.require(["image", "class"], "lesions")
    names = table.filled("image", "name the image in every row")
    filled = _lesions(table, form)
    columns = [filled.numbers(name, above=0.0 if name == "radius" else -math.inf, far=FARTHEST) for name in form]
    _check_boxes(filled, columns, form)
    index = images or _own_images(table, names)
    numbers = _numbered(filled, index)
    members: dict[tuple[int, str], list[int]] = {}
    for row, number in enumerate(numbers):
        if number is not None:
            members.setdefault((number, filled.cells["class"][row]), []).append(row)
    ignored = filled.flags(IGNORE, _NEITHER)
    shapes = np.stack(columns, axis=1)
    told, notes = counted_once(members, shapes, ignored)
    skipped = sum(number is None for number in numbers)
    passed = (f"{skipped} lesions are of images that are not evaluated",) if skipped else ()
    notes = _columns_note(table, form) + passed + notes
    if images is None:
        notes += ("evaluated are the images that the truth names; others, with lesions or without, are not (--images)",)
    classes = tuple(dict.fromkeys(filled.cells["class"]))
    places = tuple(filled.place(row) for row in range(len(filled)))
    return ShapeTruth(kind, index, classes, (table.path,), notes, shapes, told, places, ignored)


def _lesions(table: Columns, form: Sequence[str]) -> Columns:
    """The rows that tell of a lesion; the others only name an image."""
    labels, cells = table.column("class"), [table.column(name) for name in form]
    marked = table.flags(IGNORE, _NEITHER)
    told = [bool(label or marked[row] or any(column[row] for column in cells)) for row, label in enumerate(labels)]
    rows = np.flatnonzero(told).tolist()
    table.refuse([row for row in rows if not labels[row]], "class", "is empty", "name the class of each lesion")
    return Columns(
        table.path,
        table.unit,
        tuple(table.places[row] for row in rows),
        {name: tuple(table.cells[name][row] for row in rows) for name in table.cells},
    )


def _columns_note(table: Columns, form: Sequence[str]) -> tuple[str, ...]:
    wanted = (*form, IGNORE, "radius") if form is POINT else (*form, IGNORE)
    return table.unread(("image", "class", *form, IGNORE), wanted)


def counted_once(
    members: Mapping[tuple[int, str], Sequence[int]], shapes: FloatArray, ignored: BoolArray
) -> tuple[dict[tuple[int, str], tuple[int, ...]], tuple[str, ...]]:
    """Leaves out rows that tell the same shape of the same image and class again.

    Left in, one lesion would count as two, and a second hit on it as a true positive instead of a further hit. A lesion
    and a finding to be ignored at one place are two things, and both stay.

    Args:
        members: Rows by image number and class.
        shapes: Coordinates of each row's shape.
        ignored: Whether each is a finding that counts neither way.

    Returns:
        The rows that count, and notes: how many were left out, and how many findings are to be ignored.
    """
    kept = {key: _different(rows, shapes, ignored) for key, rows in members.items()}
    repeated = sum(map(len, members.values())) - sum(map(len, kept.values()))
    count = sum(int(ignored[list(rows)].sum()) for rows in kept.values())
    notes = (
        (repeated, "lesions are told again, with equal image, class and coordinates: each is counted once"),
        (count, "findings are to be ignored: a candidate that hits one, and no lesion, counts neither way"),
    )
    return kept, tuple(f"{number} {said}" for number, said in notes if number)


def _different(rows: Sequence[int], shapes: FloatArray, ignored: BoolArray) -> tuple[int, ...]:
    """The first of each set of equal rows, in order."""
    first: dict[tuple[float, ...], int] = {}
    for row in rows:
        first.setdefault((*shapes[row].tolist(), float(ignored[row])), row)
    return tuple(first.values())


def _form(table: Columns) -> tuple[tuple[str, ...], str]:
    """Which shapes the columns tell of."""
    boxes, circles = all(name in table.cells for name in BOX), all(name in table.cells for name in CIRCLE)
    points = all(name in table.cells for name in POINT)
    if boxes and points:
        remedy = "keep x0, y0, x1, y1 for boxes, or x, y and radius"
        raise ManifestError("lesions told in two ways", where=table.path, found=", ".join(table.cells), remedy=remedy)
    if boxes:
        return BOX, "a table of boxes"
    if circles:
        return CIRCLE, "a table of circles"
    if points:
        return POINT, "a table of points"
    remedy = (
        "give image, class and x0, y0, x1, y1 (boxes), x, y, radius (circles) or x, y (points); "
        "or a manifest with columns mask:CLASS"
    )
    raise ManifestError(
        "not a truth table", where=table.path, found=", ".join(table.cells) or "no column", remedy=remedy
    )


def _check_boxes(table: Columns, columns: Sequence[FloatArray], form: Sequence[str]) -> None:
    if form is not BOX:
        return
    for low, high, name in ((columns[0], columns[2], "x1"), (columns[1], columns[3], "y1")):
        rows = np.flatnonzero(high < low).tolist()
        table.refuse(rows, name, "comes before its start", "give two corners, not a corner and a size")


def _own_images(table: Columns, names: Sequence[str]) -> ImageIndex:
    places = {name: table.place(row) for row, name in reversed(list(enumerate(names)))}
    return ImageIndex.of([EvaluatedImage(id=name, place=places[name], patient=name) for name in dict.fromkeys(names)])


def _numbered(table: Columns, index: ImageIndex) -> list[int | None]:
    """The image of each row; None where it is known and not evaluated."""
    names = table.cells["image"]
    found = {name: index.find(name) for name in dict.fromkeys(names)}
    for row, name in enumerate(names):
        if found[name] is None and not index.is_other(name):
            raise ManifestError(
                "a lesion of an image that is not among the evaluated ones",
                where=table.place(row),
                found=f"'{name}'",
                remedy="add it to --images",
            )
    return [found[name] for name in names]
