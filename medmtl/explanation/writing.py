"""The files of one image's heat maps: original, overlays, raw maps, and the tables of candidates."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.candidates import COLUMNS, COORDINATES
from medmtl.explanation.exports import Exporter
from medmtl.explanation.overlay import draw_overlay
from medmtl.explanation.rawmap import write_map
from medmtl.explanation.scale import LOGIT, OWN, ClassScale
from medmtl.explanation.shown import ShownClass, ShownImage
from medmtl.explanation.together import draw_together
from medmtl.files import atomic_write, write_text

PNG_PIXELS = 2_000_000
JPEG_QUALITY = 92
THUMBNAIL = 320
_DECIMALS = {"x": 3, "y": 3, "score": 6, "probability": 6, "area_px": 0, "fovea_distance_dd": 2, "disc_distance_dd": 2}

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class WrittenClass:
    """One class's files, as paths relative to the output folder, and its candidates above the threshold."""

    scale: ClassScale
    overlay: str
    raw_map: str
    sidecar: str
    array: str | None
    candidates: pd.DataFrame
    measured: Sequence[str] = ()


@dataclass(frozen=True)
class Layer:
    """One picture that the page can lay over an image: its name, how many candidates it marks, and its file."""

    name: str
    count: int
    file: str
    caption: str


@dataclass(frozen=True)
class WrittenImage:
    """One image's files, as paths relative to the output folder.

    Attributes:
        name: Name of its folder.
        source: The image as its owner knows it.
        width: Width in pixels.
        height: Height in pixels.
        original: The picture without anything on it.
        thumbnail: The picture, small.
        classes: One entry a class.
        anatomy: What is known of the eye.
        together: All classes in one picture; None where there is one.
        exports: Files in formats of other programs.
    """

    name: str
    source: str
    width: int
    height: int
    original: str
    thumbnail: str
    classes: tuple[WrittenClass, ...]
    anatomy: Anatomy
    together: str | None = None
    exports: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The overlays: all classes together where there are several, then each."""
        each = [
            Layer(entry.scale.name, len(entry.candidates), entry.overlay, f"evidence for {entry.scale.name}")
            for entry in self.classes
        ]
        if self.together is None:
            return tuple(each)
        count = sum(layer.count for layer in each)
        return Layer("all classes", count, self.together, "outlines of all classes"), *each


def write_image(out: Path, image: ShownImage, *, npy: bool = False, exporters: Sequence[Exporter] = ()) -> WrittenImage:
    """Writes one image's pictures and maps to the folder ``out/NAME``, and its exports.

    Args:
        out: The output folder.
        image: The image with its maps.
        npy: Also write the maps as float32 NPY.
        exporters: What else to write, to folders in ``out``.

    Returns:
        What was written.

    Raises:
        OutputError: A file cannot be written.
    """
    folder = out / image.name
    original = _save(folder / "original", image.pixels, large=_is_large(image.pixels))
    thumbnail = _save_thumbnail(folder / "thumbnail.jpg", image.pixels)
    classes = [
        _write_class(folder / stem, image.pixels, entry, npy=npy)
        for stem, entry in zip(image.stems(), image.classes, strict=True)
    ]
    together = None  # its name is no class's: those never begin with an underscore
    if len(image.classes) > 1:
        together = _save(
            folder / "_all.overlay", draw_together(image.pixels, image.classes), large=_is_large(image.pixels)
        )
    exports = [path for exporter in exporters for path in exporter.add(image)]
    return WrittenImage(
        image.name,
        image.source,
        image.width,
        image.height,
        original,
        thumbnail,
        tuple(classes),
        image.anatomy,
        together,
        _within(out, exports),
    )


def finish_exports(out: Path, exporters: Sequence[Exporter]) -> tuple[str, ...]:
    """Writes the exports that belong to all images.

    Args:
        out: The output folder.
        exporters: After their last image.

    Returns:
        The files, relative to the output folder.

    Raises:
        OutputError: A file cannot be written.
    """
    return _within(out, [path for exporter in exporters for path in exporter.finish()])


def write_candidates(out: Path, tables: Sequence[pd.DataFrame], scale: ClassScale | None = None) -> pd.DataFrame:
    """Writes all candidates of all images to ``out/candidates.csv`` and ``out/candidates.json``.

    Both files say what the coordinates mean and what made the maps, the CSV in columns of their own so that every reader
    can read it.

    Args:
        out: The output folder.
        tables: Of each image and class, as :func:`candidate_table` gives them.
        scale: The scale of any of them, which says what made the maps; None: the head's own.

    Returns:
        The table.

    Raises:
        OutputError: A file cannot be written.
    """
    filled = [table for table in tables if not table.empty]
    table = pd.concat(filled, ignore_index=True)[COLUMNS] if filled else pd.DataFrame(columns=COLUMNS)
    table = table.astype({"area_px": "Float64"}).round(_DECIMALS).astype({"area_px": "Int64"})
    made_by = OWN if scale is None else scale.made_by
    distance = "disc diameters, null: not known"
    units = {
        "score": scale.unit if scale is not None else LOGIT,
        "probability": "0 to 1",
        "x": "pixel",
        "y": "pixel",
        "area_px": "pixel, null: not known",
    }
    units |= {"fovea_distance_dd": distance, "disc_distance_dd": distance}
    with atomic_write(out / "candidates.csv") as temporary:
        told = {"coordinates": COORDINATES, "method": made_by, "score_unit": units["score"]}
        table.assign(**told).to_csv(temporary, index=False, lineterminator="\n")
    content = {
        "coordinates": COORDINATES,
        "method": made_by,
        "units": units,
        "candidates": [_plain(row) for row in table.to_dict("records")],
    }
    write_text(out / "candidates.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return table


def _write_class(stem: Path, image: Bytes, entry: ShownClass, *, npy: bool) -> WrittenClass:
    overlay = draw_overlay(image, entry.evidence, entry.scale, entry.candidates)
    drawn = _save(_beside(stem, ".overlay"), overlay, large=_is_large(image))
    raw_map = _beside(stem, ".map.png")
    write_map(raw_map, entry.evidence, entry.scale)
    array = _save_array(_beside(stem, ".map.npy"), entry.evidence) if npy else None
    sidecar = _relative(raw_map.with_suffix(".json"))
    return WrittenClass(entry.scale, drawn, _relative(raw_map), sidecar, array, entry.candidates, entry.measured)


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _is_large(image: Bytes) -> bool:
    return bool(image.shape[0] * image.shape[1] > PNG_PIXELS)


def _save(stem: Path, picture: Bytes, *, large: bool) -> str:
    """PNG, which loses nothing, up to 2 megapixels; beyond that JPEG, because a page of them must open."""
    path = _beside(stem, ".jpg" if large else ".png")
    options: dict[str, Any] = {"quality": JPEG_QUALITY, "subsampling": 0} if large else {"compress_level": 2}
    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, **options)
    return _relative(path)


def _save_thumbnail(path: Path, image: Bytes) -> str:
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    with atomic_write(path) as temporary:
        small.save(temporary, quality=85)
    return _relative(path)


def _save_array(path: Path, values: Floats) -> str:
    with atomic_write(path) as temporary:
        np.save(temporary, values.astype(np.float32))
    return _relative(path)


def _within(out: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(path.relative_to(out).as_posix() for path in paths)


def _relative(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): None if pd.isna(value) else value for key, value in row.items()}
