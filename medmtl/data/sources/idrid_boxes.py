"""CODRAS boxes of IDRiD's images as image-level presence: what a box, and what no box, allows one to say."""

from __future__ import annotations

from pathlib import Path

from medmtl.errors import ManifestError

DISC = 0
# The class of a box to the lesion it stands for. Haemorrhages and microaneurysms share one class.
LESIONS = {1: "hard_exudates", 2: "haemorrhages"}


def read_classes(path: Path) -> set[int]:
    """Reads which classes have a box in a YOLO text file (class, centre x, centre y, width, height a line).

    Raises:
        ManifestError: A line is not a box of a known class.
    """
    classes = set()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if line.strip():
            classes.add(_box_class(line, f"{path}, line {number}"))
    return classes


def _box_class(line: str, where: str) -> int:
    words = line.split()
    try:
        value = int(words[0])
        box = [float(word) for word in words[1:]]
    except ValueError:
        value, box = -1, []
    if value not in {DISC, *LESIONS} or len(box) != 4:
        remedy = "expected class (0, 1 or 2), centre x, centre y, width, height"
        raise ManifestError("not a box", where=where, found=f"'{line.strip()}'", remedy=remedy)
    return value


def presence(classes: set[int] | None, grade: int | None, *, no_box_absent: bool) -> dict[str, int | None]:
    """Says for every lesion whether it is present (1), absent (0) or unknown (None).

    Small lesions are under-annotated, so no box proves absence only where the grade says that there is no retinopathy.

    Args:
        classes: The classes that have a box; None where there is no box file.
        grade: The grade of diabetic retinopathy; None where unknown.
        no_box_absent: Whether no box on a graded image counts as absent whatever the grade.
    """
    if classes is None:
        return dict.fromkeys(LESIONS.values())
    absent = 0 if grade == 0 or no_box_absent else None
    return {name: 1 if number in classes else absent for number, name in LESIONS.items()}
