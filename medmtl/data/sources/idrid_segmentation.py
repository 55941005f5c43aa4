"""IDRiD's segmentation part: lesion and disc masks, and which of its images the grading part holds too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medmtl.data.sources.idrid_grading import SETS
from medmtl.data.sources.layout import Rows, child, files_below
from medmtl.data.sources.tables import find_column, read_table
from medmtl.errors import ManifestError

FOLDER = "A. Segmentation"
TWINS = "same_image_in_grading_part.csv"
MASKS = {
    "lesions.microaneurysms": ("1. Microaneurysms", "MA"),
    "lesions.haemorrhages": ("2. Haemorrhages", "HE"),
    "lesions.hard_exudates": ("3. Hard Exudates", "EX"),
    "lesions.soft_exudates": ("4. Soft Exudates", "SE"),
    "disc": ("5. Optic Disc", "OD"),
}
Twins = Mapping[str, str]


def read_twins(home: Path) -> dict[str, str]:
    """Reads which segmentation image is which grading image: stem to ``split_stem``; none without the table."""
    path = child(home, f"{FOLDER}/{TWINS}")
    if path is None:
        return {}
    frame = read_table(path)
    columns = [find_column(frame, (name,), path) for name in ("segmentation", "grading", "grading split")]
    known = frame[columns][frame[columns[1]] != ""].itertuples(index=False)
    return {here: f"{split}_{there}" for here, there, split in known}


def _masks(truths: Path, stem: str) -> dict[str, object]:
    """Gives the mask cells of an image: a missing lesion file means absent, a missing folder or disc unknown."""
    cells: dict[str, object] = {}
    for name, (folder, suffix) in MASKS.items():
        place = child(truths, folder)
        path = child(place, f"{stem}_{suffix}.tif") if place else None
        missing = "absent" if place and name != "disc" else None
        cells[f"mask:{name}"] = f"{path}#any" if path else missing
    return cells


def read(home: Path, twins: Twins) -> Rows:
    """Reads the segmentation part; an image that the grading part holds too carries that one's id as its patient.

    Args:
        home: The folder that holds the parts.
        twins: From :func:`read_twins`.

    Raises:
        ManifestError: There are images, and no folder of masks.
    """
    rows: Rows = []
    for split, part in SETS.items():
        folder = child(home, f"{FOLDER}/1. Original Images/{part}")
        truths = child(home, f"{FOLDER}/2. All Segmentation Groundtruths/{part}")
        if folder is None:
            continue
        if truths is None:
            raise ManifestError("images without their folder of masks", where=folder, remedy="complete the copy")
        for image in files_below(folder):
            name = f"seg_{image.stem}"
            row: dict[str, object] = {"image": image, "id": name, "split": split}
            row["patient"] = twins.get(image.stem, name)
            rows.append(row | _masks(truths, image.stem))
    return rows
