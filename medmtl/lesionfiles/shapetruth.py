"""Truth as shapes: a table of boxes, circles or points, or the boxes of a COCO file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medmtl.errors import ManifestError
from medmtl.evaluation import Targets
from medmtl.evaluation.intervals import FloatArray
from medmtl.evaluation.regions import Region
from medmtl.lesionfiles.columns import Columns
from medmtl.lesionfiles.images import EvaluatedImage, ImageIndex, Shape

Field = npt.NDArray[np.bool_]
BOX, CIRCLE, POINT = ("x0", "y0", "x1", "y1"), ("x", "y", "radius"), ("x", "y")


@dataclass(frozen=True)
class ShapeTruth:
    """Lesions as boxes, circles or points in original pixels, 0-based pixel centers.

    Attributes:
        kind: What the truth is, in words.
        index: The evaluated images.
        classes: Classes of lesions.
        files: What was read to know all this.
        notes: What a reader of the results must know.
        numbers: Coordinates of each shape: x0, y0, x1, y1 (box), x, y, radius (circle) or x, y (point).
        members: Rows of ``numbers`` by image number and class.
        places: Where each shape is told of.
    """

    kind: str
    index: ImageIndex
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    numbers: FloatArray
    members: Mapping[tuple[int, str], tuple[int, ...]]
    places: tuple[str, ...]

    def shape(self, number: int) -> Shape | None:
        """Height and width of an image; None: not known.

        Raises:
            ImageError: The picture is broken, or of another size than told.
        """
        return self.index.images[number].shape()

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
        regions = [self._region(row, shape) for row in rows]
        return Targets.of_regions(regions, shape, valid=field, min_area=min_area)

    def _region(self, row: int, shape: Shape) -> Region:
        values = [float(value) for value in self.numbers[row]]
        x, y = ((values[0] + values[2]) / 2, (values[1] + values[3]) / 2) if len(values) == len(BOX) else values[:2]
        if not (-0.5 <= x < shape[1] - 0.5 and -0.5 <= y < shape[0] - 0.5):
            found = f"its center at x={x:g}, y={y:g} in {shape[1]}x{shape[0]} pixels"
            remedy = "give original pixels, 0-based pixel centers"
            raise ManifestError("a lesion outside its image", where=self.places[row], found=found, remedy=remedy)
        if len(values) == len(BOX):
            return Region.box(*values, shape)
        return Region.circle(*values, shape) if len(values) == len(CIRCLE) else Region.point(*values, shape)


def table_truth(table: Columns, images: ImageIndex | None) -> ShapeTruth:
    """A table with the columns image, class and x0, y0, x1, y1 (boxes), x, y, radius (circles) or x, y (points).

    A row that names an image and nothing else is an image without lesions. Every image is known for every class.

    Args:
        table: As read.
        images: The evaluated images; None: those that the table names.

    Raises:
        ManifestError: A column is missing, a cell is wrong, or an image is not among the evaluated ones.
    """
    form, kind = _form(table)
    table.require(["image", "class"], "lesions")
    names, labels = table.filled("image", "name the image in every row"), table.column("class")
    cells = [table.column(name) for name in form]
    empty = [not label and not any(column[row] for column in cells) for row, label in enumerate(labels)]
    lesions = [row for row, nothing in enumerate(empty) if not nothing]
    table.refuse([row for row in lesions if not labels[row]], "class", "is empty", "name the class of each lesion")
    filled = Columns(
        table.path,
        table.unit,
        tuple(table.places[row] for row in lesions),
        {name: tuple(table.cells[name][row] for row in lesions) for name in table.cells},
    )
    columns = [filled.numbers(name, **({"above": 0.0} if name == "radius" else {})) for name in form]
    _check_boxes(filled, columns, form)
    index = images or _own_images(table, names)
    numbers, skipped = _numbered(filled, index)
    members: dict[tuple[int, str], list[int]] = {}
    for row, number in enumerate(numbers):
        if number is not None:
            members.setdefault((number, filled.cells["class"][row]), []).append(row)
    notes = (f"{skipped} lesions are of images that are not evaluated",) if skipped else ()
    if images is None:
        notes += ("evaluated are the images that the truth names; others, with lesions or without, are not (--images)",)
    classes = tuple(dict.fromkeys(filled.cells["class"]))
    places = tuple(filled.place(row) for row in range(len(filled)))
    return ShapeTruth(kind, index, classes, (table.path,), notes, np.stack(columns, axis=1), _tuples(members), places)


def _tuples(members: Mapping[tuple[int, str], list[int]]) -> dict[tuple[int, str], tuple[int, ...]]:
    return {key: tuple(rows) for key, rows in members.items()}


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
    raise ManifestError("not a truth table", where=table.path, found=", ".join(table.cells) or "no column", remedy=remedy)


def _check_boxes(table: Columns, columns: Sequence[FloatArray], form: Sequence[str]) -> None:
    if form is not BOX:
        return
    for low, high, name in ((columns[0], columns[2], "x1"), (columns[1], columns[3], "y1")):
        rows = np.flatnonzero(high < low).tolist()
        table.refuse(rows, name, "comes before its start", "give two corners, not a corner and a size")


def _own_images(table: Columns, names: Sequence[str]) -> ImageIndex:
    places = {name: table.place(row) for row, name in reversed(list(enumerate(names)))}
    return ImageIndex.of(
        [EvaluatedImage(id=name, place=places[name], patient=name) for name in dict.fromkeys(names)]
    )


def _numbered(table: Columns, index: ImageIndex) -> tuple[list[int | None], int]:
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
    return [found[name] for name in names], sum(found[name] is None for name in names)


def coco_truth(path: Path, content: Mapping[str, Any], images: ImageIndex | None, pictures: Path) -> ShapeTruth:
    """The boxes of a COCO file; all its images are evaluated unless others are named.

    COCO's x, y, width, height are edges of pixels; whole numbers give the same pixels here.

    Args:
        path: The file.
        content: What is in it.
        images: The evaluated images; None: those of the file.
        pictures: Folder that file names are relative to.

    Raises:
        ManifestError: The file misses something, or contradicts itself.
    """
    names = {item.get("id"): str(item.get("name", "")) for item in _items(path, content, "categories")}
    listed = {item.get("id"): item for item in _items(path, content, "images")}
    own = [_coco_image(path, item, pictures) for item in listed.values()]
    if len(own) != len(content["images"]):
        remedy = "give each image an id of its own"
        raise ManifestError("the same image id twice", where=path, found=f"{len(content['images'])} images", remedy=remedy)
    index = images or ImageIndex.of(own)
    numbers = {key: index.find(image.id) for key, image in zip(listed, own, strict=True)}
    boxes, members, places = [], {}, []
    for row, item in enumerate(_items(path, content, "annotations"), start=1):
        place = f"{path}, annotation {row}"
        boxes.append(_coco_box(place, item))
        places.append(place)
        image, label = _coco_keys(place, item, numbers, names)
        if image is not None:
            members.setdefault((image, label), []).append(row - 1)
    classes = tuple(dict.fromkeys(names.values()))
    table = np.array(boxes, dtype=np.float64).reshape(-1, len(BOX))
    return ShapeTruth("boxes of a COCO file", index, classes, (path,), (), table, _tuples(members), tuple(places))


def _items(path: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = content.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        remedy = "a COCO file has images, categories and annotations, each a list of objects"
        raise ManifestError(f"no list '{key}'", where=path, found=", ".join(map(str, content)), remedy=remedy)
    return items


def _coco_image(path: Path, item: Mapping[str, Any], pictures: Path) -> EvaluatedImage:
    name, sides = item.get("file_name"), (item.get("height"), item.get("width"))
    if not isinstance(name, str) or not name or not all(isinstance(side, int) and side > 0 for side in sides):
        remedy = "each image needs file_name, width and height"
        raise ManifestError("an image that says too little", where=path, found=dict(item), remedy=remedy)
    size = (int(sides[0] or 0), int(sides[1] or 0))
    identity = Path(name).stem
    return EvaluatedImage(id=identity, place=f"{path}, image '{name}'", patient=identity, picture=pictures / name, size=size)


def _coco_box(place: str, item: Mapping[str, Any]) -> list[float]:
    box = item.get("bbox")
    if item.get("iscrowd"):
        remedy = "outline each lesion on its own"
        raise ManifestError("an annotation of a crowd is no lesion", where=place, found="iscrowd", remedy=remedy)
    try:
        x, y, width, height = (float(value) for value in box or ())
    except (TypeError, ValueError):
        x = math.nan
    if not math.isfinite(x) or not all(map(math.isfinite, (y, width, height))) or width <= 0 or height <= 0:
        raise ManifestError("not a box", where=place, found=box, remedy="give bbox as [x, y, width, height] above zero")
    return [x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5]


def _coco_keys(
    place: str, item: Mapping[str, Any], images: Mapping[Any, int | None], names: Mapping[Any, str]
) -> tuple[int | None, str]:
    for key, known in (("image_id", images), ("category_id", names)):
        if item.get(key) not in known:
            remedy = "every annotation names an image and a category of the file"
            raise ManifestError(f"unknown {key}", where=place, found=item.get(key), remedy=remedy)
    return images[item["image_id"]], names[item["category_id"]]
