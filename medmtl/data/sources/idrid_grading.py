"""IDRiD's grading and localization parts: grades, disc and fovea positions, presence of lesions by box."""

from __future__ import annotations

from pathlib import Path

from medmtl.data.sources.idrid_boxes import presence, read_classes
from medmtl.data.sources.layout import Rows, by_stem, child, children, files_below, identical_files, require_files
from medmtl.data.sources.tables import find_column, read_table
from medmtl.errors import ManifestError

FOLDER = "B. Disease Grading"
_LOCALIZATION = "C. Localization"
SETS = {"train": "a. Training Set", "test": "b. Testing Set"}
_POINTS = {"disc": "1. Optic Disc Center Location", "fovea": "2. Fovea Center Location"}
_LABELS = {"Retinopathy grade": "label:dr_grade", "Risk of macular edema": "label:dme"}


def _csv_of_split(folder: Path | None, split: str) -> Path | None:
    word = {"train": "training", "test": "testing"}[split]
    found = [] if folder is None else [path for path in children(folder) if path.suffix.casefold() == ".csv"]
    return next((path for path in found if word in path.name.casefold()), None)


def _points(home: Path, split: str) -> dict[str, dict[str, str]]:
    """Reads disc and fovea positions in pixels: image stem to ``note:disc_x``, ``note:disc_y``, ``note:fovea_x``, ..."""
    points: dict[str, dict[str, str]] = {}
    for name, folder in _POINTS.items():
        path = _csv_of_split(child(home, f"{_LOCALIZATION}/2. Groundtruths/{folder}"), split)
        if path is None:
            continue
        frame = read_table(path)
        columns = [find_column(frame, (wanted,), path) for wanted in ("Image No", "X- Coordinate", "Y - Coordinate")]
        for stem, x, y in frame[columns].itertuples(index=False):
            points.setdefault(stem, {}).update({f"note:{name}_x": x, f"note:{name}_y": y})
    return points


def _grades(home: Path, split: str) -> tuple[Path, dict[str, dict[str, str]]]:
    """Reads the table of a split: its path, and image stem to labels."""
    folder = child(home, f"{FOLDER}/2. Groundtruths")
    path = _csv_of_split(folder, split)
    if path is None:
        what = f"no CSV file of the {split} grades"
        raise ManifestError(what, where=folder or home / FOLDER / "2. Groundtruths", remedy="complete the copy")
    frame = read_table(path)
    stems = frame[find_column(frame, ("Image name",), path)]
    find_column(frame, ("Retinopathy grade",), path)
    labels = frame[[name for name in _LABELS if name in frame.columns]].rename(columns=_LABELS)
    return path, dict(zip(stems, labels.to_dict("records"), strict=True))


def _presence(boxes: Path | None, split: str, stem: str, grade: str, *, no_box: str) -> dict[str, object]:
    if boxes is None:
        return {}
    path = child(boxes, f"{SETS[split]}/{stem}.txt")
    classes = None if path is None else read_classes(path)
    found = presence(classes, int(grade) if grade.isdigit() else None, no_box_absent=no_box == "absent")
    return {f"label:lesions.{name}": value for name, value in found.items()}


def _read_split(home: Path, split: str, no_box: str) -> Rows:
    path, grades = _grades(home, split)
    folder = child(home, f"{FOLDER}/1. Original Images/{SETS[split]}")
    images = by_stem(files_below(folder)) if folder else {}
    require_files([stem for stem in grades if stem.casefold() not in images], len(grades), path, folder or home)
    points, boxes = _points(home, split), child(home, "codras_boxes")
    rows: Rows = []
    for stem, labels in grades.items():
        # The two splits number their images alike, so a name alone does not say which image it is.
        row: dict[str, object] = {"image": images[stem.casefold()], "id": f"{split}_{stem}", "split": split, **labels}
        row |= _presence(boxes, split, stem, labels["label:dr_grade"], no_box=no_box)
        rows.append(row | points.get(stem, {}))
    return rows


def read(home: Path, *, no_box: str, duplicates: str) -> Rows:
    """Reads the grading part; byte-identical images of one split share a patient.

    Across the official splits the patient stays apart, because one patient in two splits is not a valid manifest.

    Args:
        home: The folder that holds the parts.
        no_box: ``unknown`` or ``absent``: what no lesion box means on an image with retinopathy.
        duplicates: ``leave_out`` takes out the training images that are byte-identical to a test image.
    """
    rows = [row for split in SETS for row in _read_split(home, split, no_box)]
    same = identical_files([Path(str(row["image"])) for row in rows])
    contents = [same[Path(str(row["image"]))] for row in rows]
    tests = {content for row, content in zip(rows, contents, strict=True) if row["split"] == "test"}
    patients: dict[tuple[object, Path], object] = {}
    kept: Rows = []
    for row, content in zip(rows, contents, strict=True):
        row["patient"] = patients.setdefault((row["split"], content), row["id"])
        if row["split"] == "test" or content not in tests or duplicates == "keep":
            kept.append(row)
    return kept
