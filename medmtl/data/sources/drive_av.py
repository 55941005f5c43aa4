"""DRIVE with artery and vein labels (RITE): 40 images, 20 for training and 20 for testing.

Staal et al., "Ridge-based vessel segmentation in color images of the retina", IEEE TMI 23(4):501-509, 2004;
Hu et al., "Automated separation of binary overlapping trees in low-contrast color retinal images", MICCAI 2013 (RITE).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from medmtl.data.sources import arteries
from medmtl.data.sources.base import Check, Source, sources
from medmtl.data.sources.layout import Rows, files_below, table, wrong_root
from medmtl.data.sources.tables import compare, count

# DRIVE numbers its images through: 01-20 are the test set, 21-40 the training set, also where a name does not say so.
_NAME = re.compile(r"(?P<number>\d\d)_(training|test|manual1)(_mask)?", re.IGNORECASE)
_LAST_TEST_NUMBER = 20
_LAYOUT = (
    "{images,fov,av}/21_training.*, or as published: {training,test}/{images,mask,1st_manual}/21_training.tif "
    "(DRIVE) and {training,test}/av/21_training.png (RITE)"
)
_ROLES = {"images": "image", "fov": "fov", "mask": "fov", "av": "av", "1st_manual": "vessel", "vessel": "vessel"}


def _files(root: Path) -> dict[str, dict[str, Path]]:
    """Groups the files of each image: ``21`` to role to path."""
    groups: dict[str, dict[str, Path]] = {}
    for path in files_below(root):
        match, role = _NAME.fullmatch(path.stem), _ROLES.get(path.parent.name.casefold())
        if match and role:
            groups.setdefault(match["number"], {}).setdefault(role, path)
    return groups


def _row(number: str, files: Mapping[str, Path]) -> dict[str, object]:
    split = "test" if int(number) <= _LAST_TEST_NUMBER else "train"
    row: dict[str, object] = {"image": files["image"], "id": files["image"].stem, "split": split}
    return row | {"fov": files.get("fov")} | arteries.mask_cells(files.get("av"), files.get("vessel"))


def build(root: Path) -> pd.DataFrame:
    """Reads DRIVE-AV; see :class:`medmtl.data.sources.base.Source`."""
    groups = {number: files for number, files in _files(root).items() if "image" in files}
    if not groups:
        raise wrong_root(root, "folder 'images' with files such as 21_training.tif", _LAYOUT)
    rows: Rows = [_row(number, groups[number]) for number in sorted(groups)]
    return table(rows, "drive_av")


def check(frame: pd.DataFrame) -> list[Check]:
    """Compares with the published numbers of images."""
    checks = [compare(f"{split} images", 20, count(frame, "split", split)) for split in ("train", "test")]
    return [*checks, arteries.labeled_images(frame, 40)]


sources.register("drive_av")(
    Source(
        name="drive_av",
        title="DRIVE with artery/vein labels (RITE)",
        description="40 fundus images, arteries and veins outlined",
        url="https://drive.grand-challenge.org/ (labels: RITE, University of Iowa)",
        terms="DRIVE after registration; see RITE's own terms for the labels",
        citation="Staal et al., IEEE TMI 23(4), 2004; Hu et al., MICCAI 2013",
        expected_layout=_LAYOUT,
        build=build,
        expected_values=arteries.EXPECTED_VALUES,
        check=check,
    )
)
