"""IDRiD: the grading part (with disc and fovea positions, and lesion boxes where at hand) and the segmentation part.

Porwal et al., "Indian Diabetic Retinopathy Image Dataset (IDRiD)", Data 3(3):25, 2018.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from medmtl.data.sources import idrid_grading, idrid_segmentation
from medmtl.data.sources.base import Check, Option, Source, sources
from medmtl.data.sources.layout import Rows, find_home, table, wrong_root
from medmtl.data.sources.tables import compare, count
from medmtl.errors import ManifestError

GRADING, SEGMENTATION = idrid_grading.FOLDER, idrid_segmentation.FOLDER
_LAYOUT = (
    f"'{GRADING}/1. Original Images/a. Training Set/IDRiD_001.jpg', '{GRADING}/2. Groundtruths/*.csv', "
    f"'{SEGMENTATION}/1. Original Images/...', '{SEGMENTATION}/2. All Segmentation Groundtruths/...', "
    "optionally 'C. Localization/2. Groundtruths/...' and the boxes 'codras_boxes/a. Training Set/IDRiD_001.txt'"
)


def _one_split_a_patient(rows: Rows) -> None:
    """Gives a segmentation image the split and patient that the same image has in the grading part, where that is read."""
    grading = {row["id"]: row for row in rows}
    for row in rows:
        twin = grading.get(row["patient"])
        if twin is not None:
            row["split"], row["patient"] = twin["split"], twin["patient"]


def _without_twins(rows: Rows, twins: idrid_segmentation.Twins, home: Path) -> Rows:
    if not twins:
        where = home / SEGMENTATION / idrid_segmentation.TWINS
        remedy = "put the table there, or leave exclude_segmentation_duplicates at no"
        raise ManifestError("which images the two parts share is not known", where=where, found="none", remedy=remedy)
    return [row for row in rows if row["id"] not in twins.values()]


def build(
    root: Path, *, part: str, no_box: str, exclude_segmentation_duplicates: str, train_test_duplicates: str
) -> pd.DataFrame:
    """Reads IDRiD; see :class:`medmtl.data.sources.base.Source`."""
    needed = {"grading": [GRADING], "segmentation": [SEGMENTATION], "all": [GRADING, SEGMENTATION]}[part]
    home = find_home(root, *needed)
    if home is None:
        raise wrong_root(root, " and ".join(f"folder '{name}'" for name in needed), _LAYOUT)
    twins = idrid_segmentation.read_twins(home)
    rows: Rows = []
    if GRADING in needed:
        rows = idrid_grading.read(home, no_box=no_box, duplicates=train_test_duplicates)
        rows = _without_twins(rows, twins, home) if exclude_segmentation_duplicates == "yes" else rows
    if SEGMENTATION in needed:
        rows += idrid_segmentation.read(home, twins)
    _one_split_a_patient(rows)
    return table(rows, "idrid")


_COUNTS = {"train": 413, "test": 103}
_GRADES = {"train": (134, 20, 136, 74, 49), "test": (34, 5, 32, 19, 13)}


# What the options leave out of the copy with 24 segmentation images.
_TWIN, _SHARED = "left out: a training image identical to a test image", "left out: images of the segmentation part"
_BY_OPTION = {"train": {412: _TWIN, 394: _SHARED, 393: f"{_TWIN}; {_SHARED}"}, "test": {101: _SHARED}}


def _grading_checks(frame: pd.DataFrame) -> list[Check]:
    checks = []
    for split, expected in _COUNTS.items():
        found = count(frame, "split", split)
        checks.append(compare(f"grading part, {split} images", expected, found, _BY_OPTION[split]))
        for grade, published in enumerate(_GRADES[split]) if found == expected else ():
            number = count(frame, "label:dr_grade", grade, split=split)
            checks.append(compare(f"grading part, {split} images of grade {grade}", published, number))
    return checks


def _segmentation_checks(frame: pd.DataFrame) -> list[Check]:
    partial = {24: "known: a copy with 24 of the 54 training images is in circulation"}
    checks = [compare("segmentation part, images", 81, len(frame), partial)]
    published = {"microaneurysms": 81, "haemorrhages": 80, "hard_exudates": 81, "soft_exudates": 40}
    for name, expected in published.items() if len(frame) == 81 else ():
        cells = frame[f"mask:lesions.{name}"].astype(str)
        number = int(cells.str.contains("#", regex=False).sum())
        checks.append(compare(f"segmentation part, masks of {name}", expected, number))
    return checks


def check(frame: pd.DataFrame) -> list[Check]:
    """Compares with the numbers of images, grades and masks that the owners publish, for the parts that are there."""
    outlined = frame["id"].astype(str).str.startswith("seg_")
    grading, segmentation = frame[~outlined], frame[outlined]
    checks = [] if grading.empty else _grading_checks(grading)
    return checks + ([] if segmentation.empty else _segmentation_checks(segmentation))


sources.register("idrid")(
    Source(
        name="idrid",
        title="IDRiD (grading, localization and segmentation parts; CODRAS boxes)",
        description="516 graded fundus images with disc and fovea positions; 81 with masks of lesions and disc",
        url="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
        terms="CC BY 4.0; the CODRAS boxes CC BY-SA 4.0",
        citation="Porwal et al., Indian Diabetic Retinopathy Image Dataset (IDRiD), Data 3(3):25, 2018",
        expected_layout=_LAYOUT,
        build=build,
        options=(
            Option("part", "grading", "which part to read", ("grading", "segmentation", "all")),
            Option(
                "no_box",
                "unknown",
                "what no lesion box means on an image of grade 1 or more",
                ("unknown", "absent"),
            ),
            Option(
                "exclude_segmentation_duplicates",
                "no",
                "leave out the grading images that the segmentation part holds too",
                ("no", "yes"),
            ),
            Option(
                "train_test_duplicates",
                "keep",
                "leave_out takes training images out that are byte-identical to a test image",
                ("keep", "leave_out"),
            ),
        ),
        expected_values={f"mask:{name}": frozenset({0, 1}) for name in idrid_segmentation.MASKS},
        check=check,
    )
)
