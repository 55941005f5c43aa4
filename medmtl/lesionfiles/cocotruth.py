"""Truth as the boxes of a COCO file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medmtl.errors import ManifestError
from medmtl.lesionfiles.images import EvaluatedImage, ImageIndex
from medmtl.lesionfiles.limits import FARTHEST
from medmtl.lesionfiles.shapetruth import BOX, IGNORE, ShapeTruth, counted_once


def coco_truth(path: Path, content: Mapping[str, Any], images: ImageIndex | None, pictures: Path) -> ShapeTruth:
    """The boxes of a COCO file; all its images are evaluated unless others are named.

    COCO's x, y, width, height are edges of pixels; whole numbers give the same pixels here. An annotation with
    ``"ignore": 1`` is a finding that counts neither way.

    Args:
        path: The file.
        content: What is in it.
        images: The evaluated images; None: those of the file.
        pictures: Folder that file names are relative to.

    Raises:
        ManifestError: The file misses something, or contradicts itself.
    """
    names = {key: _coco_name(path, item) for key, item in _by_id(path, content, "categories").items()}
    listed = _by_id(path, content, "images")
    own = [_coco_image(path, item, pictures) for item in listed.values()]
    index = images or ImageIndex.of(own)
    numbers = {key: index.find(image.id) for key, image in zip(listed, own, strict=True)}
    boxes: list[list[float]] = []
    places: list[str] = []
    ignored: list[bool] = []
    members: dict[tuple[int, str], list[int]] = {}
    for row, item in enumerate(_items(path, content, "annotations"), start=1):
        place = f"{path}, annotation {row}"
        boxes.append(_coco_box(place, item))
        places.append(place)
        ignored.append(_coco_ignored(place, item))
        image, label = _coco_keys(place, item, numbers, names)
        if image is not None:
            members.setdefault((image, label), []).append(row - 1)
    classes = tuple(dict.fromkeys(names.values()))
    table = np.array(boxes, dtype=np.float64).reshape(-1, len(BOX))
    marks = np.array(ignored, dtype=bool)
    told, notes = counted_once(members, table, marks)
    return ShapeTruth("boxes of a COCO file", index, classes, (path,), notes, table, told, tuple(places), marks)


def _items(path: Path, content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = content.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        remedy = "a COCO file has images, categories and annotations, each a list of objects"
        raise ManifestError(f"no list '{key}'", where=path, found=", ".join(map(str, content)), remedy=remedy)
    return items


def _by_id(path: Path, content: Mapping[str, Any], key: str) -> dict[Any, dict[str, Any]]:
    """The objects of a list by their ids, by which annotations name them."""
    found: dict[Any, dict[str, Any]] = {}
    for row, item in enumerate(_items(path, content, key), start=1):
        name, one = item.get("id"), _ONE[key]
        if not _is_id(name):
            remedy = "give a number or a text as id"
            raise ManifestError(f"no usable id of the {one}", where=f"{path}, {one} {row}", found=name, remedy=remedy)
        if name in found:
            remedy = f"give each {one} an id of its own"
            raise ManifestError(f"the same {one} id twice", where=f"{path}, {one} {row}", found=name, remedy=remedy)
        found[name] = item
    return found


_ONE = {"images": "image", "categories": "category"}


def _is_id(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value == value  # NaN is nobody's id
    return number or (isinstance(value, str) and bool(value))


def _coco_name(path: Path, item: Mapping[str, Any]) -> str:
    name = item.get("name")
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name):
        remedy = "each category needs a name"
        raise ManifestError("a category that says too little", where=path, found=dict(item), remedy=remedy)
    return str(name)


def _coco_image(path: Path, item: Mapping[str, Any], pictures: Path) -> EvaluatedImage:
    name, sides = item.get("file_name"), (item.get("height"), item.get("width"))
    if not isinstance(name, str) or not name or not all(type(side) is int and 0 < side <= FARTHEST for side in sides):
        remedy = f"each image needs file_name, width and height, whole numbers from 1 to {FARTHEST}"
        raise ManifestError("an image that says too little", where=path, found=dict(item), remedy=remedy)
    size = (int(sides[0] or 0), int(sides[1] or 0))
    identity = Path(name).stem
    return EvaluatedImage(
        id=identity, place=f"{path}, image '{name}'", patient=identity, picture=pictures / name, size=size
    )


def _coco_box(place: str, item: Mapping[str, Any]) -> list[float]:
    box = item.get("bbox")
    if item.get("iscrowd"):
        remedy = "outline each lesion on its own"
        raise ManifestError("an annotation of a crowd is no lesion", where=place, found="iscrowd", remedy=remedy)
    try:
        x, y, width, height = (float(value) for value in (box if isinstance(box, list) else ()))
    except (TypeError, ValueError, OverflowError):
        x = math.nan
    if not math.isfinite(x) or not all(map(math.isfinite, (y, width, height))) or width <= 0 or height <= 0:
        raise ManifestError("not a box", where=place, found=box, remedy="give bbox as [x, y, width, height] above zero")
    if max(map(abs, (x, y, width, height))) > FARTHEST:
        remedy = "give original pixels"
        raise ManifestError(f"a box beyond {FARTHEST} pixels", where=place, found=box, remedy=remedy)
    return [x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5]


def _coco_ignored(place: str, item: Mapping[str, Any]) -> bool:
    value = item.get(IGNORE, 0)
    if value not in (0, 1):
        remedy = "give ignore as 1 for a finding that counts neither way, otherwise 0, or leave it out"
        raise ManifestError("ignore is neither 1 nor 0", where=place, found=value, remedy=remedy)
    return bool(value)


def _coco_keys(
    place: str, item: Mapping[str, Any], images: Mapping[Any, int | None], names: Mapping[Any, str]
) -> tuple[int | None, str]:
    for key, known in (("image_id", images), ("category_id", names)):
        name = item.get(key)
        if not _is_id(name) or name not in known:
            remedy = "every annotation names an image and a category of the file"
            raise ManifestError(f"unknown {key}", where=place, found=name, remedy=remedy)
    return images[item["image_id"]], names[item["category_id"]]
