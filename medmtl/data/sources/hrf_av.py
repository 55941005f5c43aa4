"""HRF with artery and vein labels: 45 images of healthy eyes, diabetic retinopathy and glaucoma.

Budai et al., "Robust vessel segmentation in fundus images", Int. J. Biomedical Imaging 2013:154860.
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

_DISEASES = {"h": "healthy", "dr": "diabetic_retinopathy", "g": "glaucoma"}
_NAME = re.compile(r"(?P<number>\d\d)_(?P<disease>h|dr|g)(?P<kind>_AVmanual|_mask)?", re.IGNORECASE)
_LAST_TRAINING_NUMBER = 8  # of each group; the split customary in artery and vein papers
_LAYOUT = (
    "{training,test}/{images,fov,av}/01_dr.*, or as published: images/01_dr.JPG, mask/01_dr_mask.tif, "
    "manual1/01_dr.tif and, in any folder, 01_dr_AVmanual.png"
)
_ROLES = {"images": "image", "fov": "fov", "mask": "fov", "av": "av", "manual1": "vessel"}


def _role(path: Path, kind: str | None) -> str | None:
    if kind and kind.casefold() == "_avmanual":
        return "av"
    return _ROLES.get(path.parent.name.casefold())


def _files(root: Path) -> dict[str, dict[str, Path]]:
    """Groups the files of each image: ``01_dr`` to role to path."""
    groups: dict[str, dict[str, Path]] = {}
    for path in files_below(root):
        match = _NAME.fullmatch(path.stem)
        role = _role(path, match["kind"]) if match else None
        if match and role:
            key = f"{match['number']}_{match['disease']}".casefold()
            groups.setdefault(key, {}).setdefault(role, path)
    return groups


def _row(key: str, files: Mapping[str, Path]) -> dict[str, object]:
    number, _, disease = key.partition("_")
    split = "train" if int(number) <= _LAST_TRAINING_NUMBER else "test"
    row: dict[str, object] = {"image": files["image"], "id": key, "split": split, "fov": files.get("fov")}
    row["label:disease"] = _DISEASES[disease]
    return row | arteries.mask_cells(files.get("av"), files.get("vessel"))


def build(root: Path) -> pd.DataFrame:
    """Reads HRF-AV; see :class:`medmtl.data.sources.base.Source`."""
    groups = {key: files for key, files in _files(root).items() if "image" in files}
    if not groups:
        raise wrong_root(root, "folder 'images' with files such as 01_dr.jpg", _LAYOUT)
    rows: Rows = [_row(key, groups[key]) for key in sorted(groups)]
    return table(rows, "hrf_av")


def check(frame: pd.DataFrame) -> list[Check]:
    """Compares with the published number of images of each group, and with the customary split."""
    checks = [
        compare(f"{split} images", expected, count(frame, "split", split))
        for split, expected in {"train": 24, "test": 21}.items()
    ]
    checks += [compare(f"images, {name}", 15, count(frame, "label:disease", name)) for name in _DISEASES.values()]
    return [*checks, arteries.labeled_images(frame, 45)]


sources.register("hrf_av")(
    Source(
        name="hrf_av",
        title="HRF with artery/vein labels",
        description="45 high-resolution fundus images (15 healthy, 15 diabetic retinopathy, 15 glaucoma), vessels",
        url="https://www5.cs.fau.de/research/data/fundus-images/ (labels: github.com/rubenhx/av-segmentation)",
        terms="images CC BY 4.0; no licence stated with the artery/vein labels",
        citation="Budai et al., Robust vessel segmentation in fundus images, Int. J. Biomedical Imaging, 2013",
        expected_layout=_LAYOUT,
        build=build,
        expected_values=arteries.EXPECTED_VALUES,
        check=check,
    )
)
