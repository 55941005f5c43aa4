"""A tiny evaluation that works: four images of 40 x 30 pixels, two classes, masks, candidates, maps; cases break it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
IMAGES = ("a", "b", "c", "d")
BOXES = {
    ("a", "ex"): [(4, 4, 7, 7), (20, 10, 24, 12)],
    ("b", "ex"): [(10, 20, 12, 22)],
    ("a", "he"): [(30, 20, 33, 24)],
    ("c", "he"): [(5, 15, 9, 19)],
}
"""Lesions as x0, y0, x1, y1, corners included; image d has none."""

CANDIDATES = [
    ("a", "ex", 5, 5, 0.9),
    ("a", "ex", 6, 6, 0.8),
    ("a", "ex", 22, 11, 0.6),
    ("a", "ex", 31, 22, 0.7),
    ("b", "ex", 0, 0, 0.5),
    ("b", "ex", 11, 21, 0.4),
    ("d", "ex", 20, 20, 0.3),
    ("a", "he", 31, 21, 0.9),
    ("c", "he", 20, 3, 0.8),
]
"""By hand, class ex: hits .9, .6, .4; a further hit .8; false .7 (on a lesion of he), .5, .3; 3 lesions, 4 images."""


def mask(image: str, label: str, value: int = 255) -> np.ndarray:
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x0, y0, x1, y1 in BOXES.get((image, label), []):
        values[y0 : y1 + 1, x0 : x1 + 1] = value
    return values


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 250, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def heat(image: str, label: str) -> np.ndarray:
    values = np.full((HEIGHT, WIDTH), -4.0)
    for name, other, x, y, score in CANDIDATES:
        if (name, other) == (image, label):
            values[y, x] = score
    return values


def csv_bytes(rows: list[dict[str, Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


@dataclass
class LesionWorld:
    """Files that work as they are."""

    folder: Path
    candidates: list[dict[str, Any]] = field(default_factory=list)
    manifest: list[dict[str, Any]] = field(default_factory=list)
    boxes: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    raw: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> LesionWorld:
        folder.mkdir(parents=True, exist_ok=True)
        world = cls(folder)
        for number, name in enumerate(IMAGES):
            Image.fromarray(picture(number)).save(folder / f"{name}.png")
            row = {"image": f"{name}.png", "patient": f"p{number // 2}", "split": "test", "fov": ""}
            for label in ("ex", "he"):
                (folder / "masks" / label).mkdir(parents=True, exist_ok=True)
                (folder / "maps" / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask(name, label)).save(folder / "masks" / label / f"{name}.png")
                np.save(folder / "maps" / name / f"{label}.npy", heat(name, label))
                row[f"mask:{label}"] = f"masks/{label}/{name}.png"
            world.manifest.append(row)
            world.images.append(
                {"image": f"{name}.png", "patient": f"p{number // 2}", "width": WIDTH, "height": HEIGHT}
            )
        world.candidates = [dict(zip(("image", "class", "x", "y", "score"), row, strict=True)) for row in CANDIDATES]
        world.boxes = [
            dict(zip(("image", "class", "x0", "y0", "x1", "y1"), (*key, *box), strict=True))
            for key, boxes in BOXES.items()
            for box in boxes
        ]
        return world

    def coco(self) -> dict[str, Any]:
        categories = [{"id": 1, "name": "ex"}, {"id": 2, "name": "he"}]
        numbers = {"ex": 1, "he": 2}
        return {
            "images": [
                {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
                for number, name in enumerate(IMAGES)
            ],
            "categories": categories,
            "annotations": [
                {
                    "id": number,
                    "image_id": IMAGES.index(row["image"]),
                    "category_id": numbers[row["class"]],
                    "bbox": [row["x0"], row["y0"], row["x1"] - row["x0"] + 1, row["y1"] - row["y0"] + 1],
                }
                for number, row in enumerate(self.boxes)
            ],
        }

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def write(self) -> None:
        files = {
            "candidates.csv": csv_bytes(self.candidates),
            "manifest.csv": csv_bytes(self.manifest),
            "boxes.csv": csv_bytes(self.boxes),
            "images.csv": csv_bytes(self.images),
        } | self.raw
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    def put(self, name: str, content: Any) -> None:
        self.raw[name] = content if isinstance(content, bytes) else json.dumps(content).encode()

    def command(self, *more: str, candidates: str = "candidates.csv", truth: str = "manifest.csv") -> list[str]:
        """The command line; files are written first."""
        self.write()
        fixed = ["lesions", self.path(candidates), "--truth", self.path(truth), "--out", str(self.out), "--quiet"]
        return [*fixed, "--draws", "50", *more]
