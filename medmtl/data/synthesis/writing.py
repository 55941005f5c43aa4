"""A synthetic data set on disk: the plan (who, which grade, which split), the files, the manifest."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from medmtl.data.synthesis.drawing import Mask
from medmtl.data.synthesis.grading import GRADES
from medmtl.data.synthesis.lesions import LESIONS
from medmtl.errors import ConfigError, OutputError
from medmtl.files import atomic_folder

if TYPE_CHECKING:
    from medmtl.data.synthetic import Fundus

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Planned:
    """One image to be made."""

    id: str
    patient: str
    laterality: Literal["L", "R"]
    split: str
    grade: int


class _Quota:
    """Hands out choices one after another so that at any moment their shares are as near to the weights as can be."""

    def __init__(self, weights: Sequence[float], offset: NDArray[np.float64]) -> None:
        self.shares = np.asarray(weights, float) / np.sum(weights)
        self.owed = offset * (self.shares > 0)

    def next(self) -> int:
        self.owed += self.shares
        choice = int(np.argmax(np.where(self.shares > 0, self.owed, -np.inf)))
        self.owed[choice] -= 1
        return choice


def plan_dataset(n: int, seed: int, grades: Sequence[float], splits: Sequence[float]) -> list[Planned]:
    """Plans the images; the plan of a smaller n is the beginning of a larger one's.

    Patients get grades in turn by the weights, and splits in turn within each grade. The fellow eye has the same grade
    in seven of ten patients, else one less.

    Raises:
        ConfigError: No image at all, or weights that are not such.
    """
    if n < 1:
        raise ConfigError("a data set needs at least one image", found=n, remedy="ask for 1 or more")
    _check_weights("grades", grades, GRADES)
    _check_weights("splits", splits, len(SPLITS))
    rng = np.random.default_rng(seed)
    by_grade = _Quota(grades, rng.uniform(0, 0.5, GRADES))
    by_split = [_Quota(splits, rng.uniform(0, 0.2, len(SPLITS))) for _ in range(GRADES)]
    plan: list[Planned] = []
    for patient in range((n + 1) // 2):
        worse = by_grade.next()
        split = SPLITS[by_split[worse].next()]
        fellow = max(0, worse - int(rng.random() < 0.3))
        pair = (worse, fellow) if rng.random() < 0.5 else (fellow, worse)
        for eye, (side, grade) in enumerate(zip(("R", "L"), pair, strict=True)):
            name = f"synthetic_{seed}_{2 * patient + eye:05d}"
            plan.append(Planned(name, f"p{seed}_{patient:05d}", "R" if side == "R" else "L", split, grade))
    return plan[:n]


def _check_weights(name: str, weights: Sequence[float], count: int) -> None:
    values = np.asarray(weights, float)
    if values.shape != (count,) or not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        raise ConfigError(
            f"{name} must be {count} weights", found=list(weights), remedy="use numbers from 0 up, not all zero"
        )


def write_planned(
    plan: Sequence[Planned], make: Callable[[int], Fundus], out: Path, progress: Callable[[int, int], None]
) -> Path:
    """Writes images, masks and manifest into a temporary folder beside `out` and renames it.

    Raises:
        OutputError: `out` is a file or a folder that is not empty, or something cannot be written.
    """
    with atomic_folder(out) as folder:
        rows = []
        for index, planned in enumerate(plan):
            rows.append(_write_one(folder, planned, make(index)))
            progress(index + 1, len(plan))
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    return out / "manifest.csv"


def _write_one(folder: Path, planned: Planned, fundus: Fundus) -> dict[str, object]:
    """Writes the files of one image and gives its row of the manifest."""
    disc = fundus.disc.astype(np.uint8) + fundus.cup
    row: dict[str, object] = {
        "image": write_png(folder, "images", planned.id, cv2.cvtColor(fundus.image, cv2.COLOR_RGB2BGR)),
        "id": planned.id,
        "patient": planned.patient,
        "dataset": "synthetic",
        "laterality": fundus.laterality,
        "split": planned.split,
        "fov": write_png(folder, "fov", planned.id, fundus.fov * np.uint8(255)),
        "label:dr_grade": fundus.grade,
        "label:referable": int(fundus.referable),
        "label:glaucoma": int(fundus.glaucoma),
    }
    row |= lesion_labels(fundus.lesions)
    row["mask:vessels"] = write_png(folder, "vessels", planned.id, fundus.vessels)
    row["mask:disc"] = write_png(folder, "disc", planned.id, disc)
    return row | write_lesions(folder, planned.id, fundus.lesions)


def lesion_labels(lesions: Mapping[str, Mask]) -> dict[str, str]:
    """The cells of a manifest that say which lesions are present."""
    return {f"label:lesions.{name}": str(int(lesions[name].any())) for name in LESIONS}


def write_lesions(folder: Path, image: str, lesions: Mapping[str, Mask]) -> dict[str, str]:
    """Writes the masks of the lesions that are present, and gives the cells that name them."""
    return {
        f"mask:lesions.{name}": write_png(folder, name, image, lesions[name] * np.uint8(255))
        if lesions[name].any()
        else "absent"
        for name in LESIONS
    }


def write_png(folder: Path, kind: str, name: str, array: NDArray[np.uint8]) -> str:
    """Writes an array as PNG and gives its path relative to the folder."""
    (folder / kind).mkdir(exist_ok=True)
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise OutputError("cannot encode a PNG", where=folder / kind / name)
    (folder / kind / f"{name}.png").write_bytes(data.tobytes())
    return f"{kind}/{name}.png"
