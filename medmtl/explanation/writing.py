"""The files of one image's heat maps: original, overlays, raw maps, and the tables of candidates."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from medmtl.explanation.candidates import COLUMNS, COORDINATES
from medmtl.explanation.overlay import draw_overlay
from medmtl.explanation.rawmap import write_map
from medmtl.explanation.scale import ClassScale, scale_of
from medmtl.files import atomic_write, write_text

PNG_PIXELS = 2_000_000
JPEG_QUALITY = 92
THUMBNAIL = 320
_DECIMALS = {"x": 3, "y": 3, "score": 6, "probability": 6, "area_px": 0}

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
    """

    name: str
    source: str
    width: int
    height: int
    original: str
    thumbnail: str
    classes: tuple[WrittenClass, ...]


def write_image(
    out: Path,
    name: str,
    image: Bytes,
    evidence: Mapping[str, Floats],
    scales: Mapping[str, ClassScale],
    candidates: Mapping[str, pd.DataFrame],
    *,
    source: str | None = None,
    npy: bool = False,
) -> WrittenImage:
    """Writes one image's pictures and maps to the folder ``out/name``.

    Args:
        out: The output folder.
        name: A name that is safe as a folder, see :func:`safe_names`.
        image: (H, W, 3), the original pixels, red, green, blue.
        evidence: By class: (H, W), logits, in the original pixels.
        scales: By class.
        candidates: By class, as ``candidate_table`` gives; no entry means none.
        source: How the page names the image; ``name`` unless given.
        npy: Also write the maps as float32 NPY.

    Returns:
        What was written.

    Raises:
        RunError: A class has no scale.
        EvaluationError: A map does not fit the image.
        OutputError: A file cannot be written.
    """
    height, width = image.shape[:2]
    folder = out / name
    original = _save(folder / "original", image, large=_is_large(image))
    thumbnail = _save_thumbnail(folder / "thumbnail.jpg", image)
    stems = safe_names(list(evidence))
    empty = pd.DataFrame(columns=COLUMNS)
    classes = [
        _write_class(folder, stem, image, values, scale_of(scales, label), candidates.get(label, empty), npy=npy)
        for stem, (label, values) in zip(stems, evidence.items(), strict=True)
    ]
    return WrittenImage(name, source or name, width, height, original, thumbnail, tuple(classes))


def write_candidates(out: Path, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Writes all candidates of all images to ``out/candidates.csv`` and ``out/candidates.json``.

    Both files say what the coordinates mean, the CSV in a column of its own so that every reader can read it.

    Returns:
        The table.

    Raises:
        OutputError: A file cannot be written.
    """
    filled = [table for table in tables if not table.empty]
    table = pd.concat(filled, ignore_index=True)[COLUMNS] if filled else pd.DataFrame(columns=COLUMNS)
    table = table.astype({"area_px": "Float64"}).round(_DECIMALS).astype({"area_px": "Int64"})
    with atomic_write(out / "candidates.csv") as temporary:
        table.assign(coordinates=COORDINATES).to_csv(temporary, index=False, lineterminator="\n")
    units = {"score": "logit", "probability": "0 to 1", "x": "pixel", "y": "pixel", "area_px": "pixel, null: not known"}
    content = {
        "coordinates": COORDINATES,
        "units": units,
        "candidates": [_plain(row) for row in table.to_dict("records")],
    }
    write_text(out / "candidates.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return table


def safe_names(names: Sequence[str]) -> list[str]:
    """Turns names into different file names that every system and every link can hold.

    Args:
        names: Any texts, repeats allowed.

    Returns:
        For each a text of ASCII letters, digits, ``-``, ``_`` and ``.``; different also where case does not count.
    """
    taken: set[str] = set()
    return [_free(re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "image", taken) for name in names]


def _free(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name


def _write_class(
    folder: Path, stem: str, image: Bytes, values: Floats, scale: ClassScale, candidates: pd.DataFrame, *, npy: bool
) -> WrittenClass:
    shown = candidates[candidates["score"] >= scale.threshold]
    large = _is_large(image)
    overlay = _save(folder / f"{stem}.overlay", draw_overlay(image, values, scale, shown), large=large)
    raw_map = folder / f"{stem}.map.png"
    write_map(raw_map, values, scale)
    array = _save_array(folder / f"{stem}.map.npy", values) if npy else None
    sidecar = _relative(raw_map.with_suffix(".json"))
    return WrittenClass(scale, overlay, _relative(raw_map), sidecar, array, shown)


def _is_large(image: Bytes) -> bool:
    return bool(image.shape[0] * image.shape[1] > PNG_PIXELS)


def _save(stem: Path, picture: Bytes, *, large: bool) -> str:
    """PNG, which loses nothing, up to 2 megapixels; beyond that JPEG, because a page of them must open."""
    path = stem.with_name(stem.name + (".jpg" if large else ".png"))
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


def _relative(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): None if pd.isna(value) else value for key, value in row.items()}
