"""Regions of all images in one COCO file: boxes, exact masks as run lengths, and the candidates of each region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medmtl.explanation.exports.base import EXPORTS, plain_row
from medmtl.explanation.panel import RESEARCH_ONLY
from medmtl.explanation.regions import Region, map_regions
from medmtl.explanation.shown import ShownClass, ShownImage
from medmtl.files import write_text

FILE = "candidates.coco.json"
MEANING = (
    "Original image pixels. bbox is [column, row, width, height] of whole pixels, 0-based: [0, 0, 1, 1] is the first "
    "pixel alone. segmentation is an uncompressed run-length code, column by column. peaks are (x, y) of 0-based pixel "
    "centers: the center of the first pixel is (0, 0)."
)


class CocoExport:
    """Gathers images; the file is written once all are there.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: list[dict[str, Any]] = []
        self.categories: dict[str, int] = {}
        self.annotations: list[dict[str, Any]] = []
        self.made_by: dict[str, dict[str, str]] = {}

    def add(self, image: ShownImage) -> list[Path]:
        """Takes an image; writes nothing yet."""
        number = len(self.images) + 1
        self.images.append({"id": number, "file_name": image.source, "width": image.width, "height": image.height})
        for entry in image.classes:
            self.made_by[entry.scale.name] = {"method": entry.scale.made_by, "score": entry.scale.unit}
            category = self.categories.setdefault(entry.scale.name, len(self.categories) + 1)
            for annotation in _annotations(entry, image):
                told = {"id": len(self.annotations) + 1, "image_id": number, "category_id": category}
                self.annotations.append({**told, **annotation})
        return []

    def finish(self) -> list[Path]:
        """Writes ``candidates.coco.json``.

        Raises:
            OutputError: It cannot be written.
        """
        names = [{"id": number, "name": name, "supercategory": "lesion"} for name, number in self.categories.items()]
        content = {
            "info": {
                "description": f"Candidates of heat maps. {RESEARCH_ONLY}",
                "coordinates": MEANING,
                "maps": self.made_by,
            },
            "images": self.images,
            "categories": names,
            "annotations": self.annotations,
        }
        path = self.folder / FILE
        write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
        return [path]


def _annotations(entry: ShownClass, image: ShownImage) -> list[dict[str, Any]]:
    regions, alone = map_regions(entry.evidence, entry.scale, entry.candidates)
    found = [_annotation(region, (image.height, image.width)) for region in regions]
    for _, row in alone.iterrows():  # a peak without a region: its own pixel; on an edge the later one, as everywhere
        column, line = (int(np.clip(np.floor(row[key] + 0.5), 0, side - 1)) for key, side in _sides(image))
        pixel = Region(np.ones((1, 1), dtype=bool), column, line, alone[alone["number"] == row["number"]])
        found.append(_annotation(pixel, (image.height, image.width)))
    return found


def _sides(image: ShownImage) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("x", image.width), ("y", image.height)


def _annotation(region: Region, shape: tuple[int, int]) -> dict[str, Any]:
    height, width = region.mask.shape
    keys = ["number", "x", "y", "score", "probability"]
    scores = region.candidates["score"]
    return {
        "bbox": [region.left, region.top, width, height],
        "area": region.area,
        "iscrowd": 0,
        "segmentation": {"size": list(shape), "counts": run_lengths(region, shape)},
        "score": float(scores.max()) if len(scores) else None,
        "peaks": [plain_row(row) for row in region.candidates[keys].to_dict("records")],
    }


def run_lengths(region: Region, shape: tuple[int, int]) -> list[int]:
    """The region's mask in the image as COCO's uncompressed code: lengths of 0, 1, 0, ... down the columns.

    Args:
        region: The region.
        shape: Height and width of the image.
    """
    height, width = shape
    columns: npt.NDArray[np.int64]
    columns, rows = np.nonzero(region.mask.T)
    pixels = (columns + region.left) * height + rows + region.top
    starts = np.concatenate([[True], np.diff(pixels) > 1])
    ends = np.concatenate([starts[1:], [True]])
    edges = np.stack([pixels[starts], pixels[ends] + 1], axis=1).ravel()
    return [int(length) for length in np.diff(np.concatenate([[0], edges, [height * width]]))]


EXPORTS.register("coco")(CocoExport)
