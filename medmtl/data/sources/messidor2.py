"""Messidor-2 with the grades adjudicated by three retina specialists.

Decencière et al., "Feedback on a publicly distributed image database: the Messidor database", Image Analysis &
Stereology 33(3):231-234, 2014; grades: Krause et al., "Grader variability and the importance of reference standards
for evaluating machine learning models for diabetic retinopathy", Ophthalmology 125(8):1264-1272, 2018.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

import pandas as pd

from medmtl.data.sources.base import Check, Option, Source, sources
from medmtl.data.sources.layout import files_below, table, wrong_root
from medmtl.data.sources.listing import ImageIndex, find_all, join_patients, patients_by_content, unique_ids
from medmtl.data.sources.tables import compare, count, find_column, read_table, resolve_table

_LAYOUT = "messidor_data.csv (id_code, diagnosis, adjudicated_dme, adjudicated_gradable) beside a folder of images"
_COLUMNS = {
    "image": ("id_code", "image_id", "image"),
    "grade": ("diagnosis", "adjudicated_dr_grade"),
    "dme": ("adjudicated_dme",),
    "gradable": ("adjudicated_gradable",),
}
_TABLES = ("messidor_data.csv", "messidor-2_data.csv", "messidor2_data.csv")


def _find_table(root: Path) -> Path:
    tables = files_below(root, {".csv"}, depth=2)
    for path in tables:
        if path.name.casefold() in _TABLES:
            return path
    raise wrong_root(root, f"file '{_TABLES[0]}'", _LAYOUT)


def _read_pairs(path: Path, index: ImageIndex) -> list[tuple[Path | None, Path | None]]:
    """Reads the left and right image of each patient from a table with the columns left and right."""
    frame = read_table(path)
    columns = [find_column(frame, (side,), path) for side in ("left", "right")]
    return [
        (index.find(left, f"{path}, line {line}"), index.find(right, f"{path}, line {line}"))
        for line, left, right in frame[columns].itertuples()
    ]


def _eyes(pairs: str, index: ImageIndex, patients: dict[Path, str]) -> tuple[dict[Path, str], dict[Path, str]]:
    """Returns patient and side of each image; without a table of pairs, an image is a patient of no known side."""
    if not pairs:
        return patients, {}
    read = _read_pairs(resolve_table(pairs, index.root), index)
    sides = {left: "L" for left, _ in read if left} | {right: "R" for _, right in read if right}
    both = [(left, right) for left, right in read if left in patients and right in patients]
    return join_patients(patients, both), sides


def _row(image: Path, identifier: str, cells: Mapping[Hashable, str], split: str) -> dict[str, object]:
    labels = {"label:dr_grade": cells["grade"], "label:dme": cells["dme"]}
    return {"image": image, "id": identifier, "split": None if split == "none" else split, **labels}


def build(root: Path, *, split: str, ungradable: str, missing: str, pairs: str) -> pd.DataFrame:
    """Reads Messidor-2; see :class:`medmtl.data.sources.base.Source`."""
    path = _find_table(root)
    frame = read_table(path)
    frame = frame.rename(columns={find_column(frame, names, path): key for key, names in _COLUMNS.items()})
    index = ImageIndex(path.parent)
    images = find_all(index, zip(frame.index, frame["image"], strict=True), path, missing)
    chosen = {
        image: cells
        for image, cells in zip(images, frame.to_dict("records"), strict=True)
        if image is not None and (ungradable == "keep" or cells["gradable"] not in {"0", "0.0"})
    }
    ids = unique_ids(list(chosen), path.parent)
    patients, sides = _eyes(pairs, index, patients_by_content(ids))
    rows = []
    for image, cells in chosen.items():
        eye = {"patient": patients[image], "laterality": sides.get(image)}
        rows.append(_row(image, ids[image], cells, split) | eye)
    return table(rows, "messidor2")


_GRADES = (1017, 270, 347, 75, 35)


def check(frame: pd.DataFrame) -> list[Check]:
    """Compares with the published numbers of gradable images and grades, and the known equal pairs."""
    checks = [compare("gradable images", 1744, len(frame))]
    for grade, expected in enumerate(_GRADES):
        checks.append(compare(f"images of grade {grade}", expected, count(frame, "label:dr_grade", grade)))
    return [*checks, compare("images with macular edema", 151, count(frame, "label:dme", 1))]


sources.register("messidor2")(
    Source(
        name="messidor2",
        title="Messidor-2 with adjudicated grades",
        description="1744 gradable fundus images with grade of retinopathy and macular edema",
        url="https://www.adcis.net/en/third-party/messidor2/ (grades: kaggle.com/google-brain/messidor2-dr-grades)",
        terms="images for research and education, on request from their owners; see the grades' own page",
        citation="Decencière et al., Image Anal. Stereol. 33(3), 2014; Krause et al., Ophthalmology 125(8), 2018",
        expected_layout=_LAYOUT,
        build=build,
        options=(
            Option("split", "train", "the split that all rows get; none leaves it open", ("train", "test", "none")),
            Option("ungradable", "leave_out", "what to do with images graded as ungradable", ("leave_out", "keep")),
            Option("missing", "error", "what to do with listed images that are not there", ("error", "leave_out")),
            Option("pairs", "", "a table with columns left and right: the two eyes of each patient"),
        ),
        check=check,
    )
)
