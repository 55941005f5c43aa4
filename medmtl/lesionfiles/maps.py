"""A folder of heat maps: which file is whose, and its numbers in the pixels of the image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medmtl.data.floatmaps import FLOAT_SUFFIXES, read_float_map
from medmtl.errors import EvaluationError, ImageError
from medmtl.explanation.rawmap import read_map
from medmtl.lesionfiles.images import EvaluatedImage, ImageIndex, Shape
from medmtl.lesionfiles.naming import listed, name_of, unplaced

Floats = npt.NDArray[np.float64]
Field = npt.NDArray[np.bool_]
_PREFERRED = (".npy", ".tif", ".tiff", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".png")
_PICTURES = ("original.png", "thumbnail.png", ".overlay.png")


@dataclass(frozen=True)
class MapFolder:
    """Heat maps by image number and class.

    Attributes:
        folder: Where they are.
        files: The file of each image and class.
        skipped: How many files are about images that are known and not evaluated.
        missing_values: Whether NaN means that nothing is known there, as it does in files of medmtl.
    """

    folder: Path
    files: Mapping[tuple[int, str], Path]
    skipped: int = 0
    missing_values: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the maps, in order."""
        return tuple(dict.fromkeys(label for _, label in sorted(self.files)))

    @classmethod
    def find(cls, folder: Path, index: ImageIndex, *, missing_values: bool = False) -> MapFolder:
        """Lists the maps of a folder.

        Args:
            folder: With NPY, float TIFF, NIfTI, MHA, or 16-bit PNG with medmtl's sidecar.
            index: The evaluated images.
            missing_values: NaN means that nothing is known there; otherwise it is refused.

        Raises:
            ImageError: No map, a PNG without sidecar, a name without an image, or two maps for one image and class.
        """
        paths = [path for path in listed(folder, _PREFERRED, "heat maps") if not path.name.lower().endswith(_PICTURES)]
        files: dict[tuple[int, str], Path] = {}
        skipped = 0
        for path in paths:
            named = _named(path, folder, index)
            number = index.find(named[0])
            if number is None:
                skipped += 1
                continue
            key = (number, named[1])
            files[key] = _better(files[key], path, index.images[number], named[1]) if key in files else path
        if not files:
            raise ImageError(
                "the folder holds no heat map of an evaluated image", where=folder, found=f"{skipped} others"
            )
        return cls(folder, files, skipped, missing_values)

    def check(self, index: ImageIndex, classes: Sequence[str]) -> None:
        """Refuses a folder in which an image lacks the map of a class.

        Raises:
            EvaluationError: With the image and the class, and how many are missing.
        """
        pairs = [(number, label) for number in range(len(index.images)) for label in classes]
        missing = [pair for pair in pairs if pair not in self.files]
        if missing:
            number, label = missing[0]
            more = f" (and {len(missing) - 1} more maps)" if len(missing) > 1 else ""
            raise EvaluationError(
                f"there is no heat map of class '{label}' for the image '{index.images[number].id}'{more}",
                where=self.folder,
                remedy="make the map, or evaluate only the images that have one (--split, --images)",
            )

    def shape(self, number: int) -> Shape | None:
        """Height and width of the first map of an image; None without one.

        Raises:
            ImageError: It cannot be read.
        """
        path = next((path for (image, _), path in sorted(self.files.items()) if image == number), None)
        if path is None:
            return None
        height, width = _values(path)[0].shape
        return height, width

    def read(self, number: int, label: str, image: EvaluatedImage, shape: Shape, field: Field | None) -> Floats:
        """Numbers of a map; NaN where nothing is known.

        Args:
            number: Number of the image.
            label: Class.
            image: The image.
            shape: Its height and width.
            field: Its field of view (H, W), or None.

        Returns:
            Shape (H, W).

        Raises:
            ImageError: The map cannot be read, has another size than its image, or is not finite in the field of view.
        """
        path = self.files[number, label]
        values, may_miss = _values(path)
        if values.shape != shape:
            found = f"{values.shape[1]}x{values.shape[0]} instead of {shape[1]}x{shape[0]}"
            remedy = f"bring the map to the pixels of its image ({image.id})"
            raise ImageError("the map has another size than its image", where=path, found=found, remedy=remedy)
        unknown = ~np.isfinite(values) & (True if field is None else field)
        missing = np.isnan(values) if may_miss or self.missing_values else np.zeros(shape, bool)
        if (unknown & ~missing).any():
            raise _not_finite(path, values, unknown & ~missing)
        return np.where(np.isfinite(values), values, np.nan)


def _not_finite(path: Path, values: Floats, wrong: Field) -> ImageError:
    row, column = (int(part[0]) for part in np.nonzero(wrong))
    found = f"{int(wrong.sum())} pixels, the first {values[row, column]} at x={column}, y={row}"
    remedy = "write a finite number in every pixel of the field of view, or say --missing-values if NaN means not known"
    return ImageError("the map holds numbers that are not finite", where=path, found=found, remedy=remedy)


def _named(path: Path, folder: Path, index: ImageIndex) -> tuple[str, str]:
    named = name_of(path, folder, index)
    if path.suffix.lower() == ".png" and not path.with_suffix(".json").is_file():
        remedy = "save maps as NPY, float TIFF, NIfTI or MHA, or keep the JSON that `medmtl explain` wrote beside it"
        raise ImageError("a PNG does not say what its values mean", where=path, found="no sidecar", remedy=remedy)
    if named is None:
        raise unplaced(path, folder, index)
    label = _sidecar_class(path)
    return (named[0], label) if label else named


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")


def _sidecar_class(path: Path) -> str:
    """The class as the sidecar spells it: file names are made safe and may differ from it."""
    try:
        content = json.loads(_sidecar(path).read_text(encoding="utf-8"))
        return str(content["class"]) if "no_value_code" in content else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _values(path: Path) -> tuple[Floats, bool]:
    """The numbers, and whether the file is medmtl's, in which NaN means that nothing is known."""
    if path.name.lower().endswith(FLOAT_SUFFIXES):
        return read_float_map(path), bool(_sidecar_class(path))
    values = read_map(path)
    if values.ndim != 2:
        raise ImageError(
            "not a map of one number a pixel", where=path, found=f"shape {values.shape}", remedy="make it again"
        )
    return values, True


def _better(first: Path, second: Path, image: EvaluatedImage, label: str) -> Path:
    """Of two forms of the same map the one that lost nothing; two maps are refused."""
    forms = [next(i for i, end in enumerate(_PREFERRED) if path.name.lower().endswith(end)) for path in (first, second)]
    same = _sidecar(first).with_suffix("") == _sidecar(second).with_suffix("")
    if not same or forms[0] == forms[1]:
        remedy = "keep one of them"
        what = f"two maps of class '{label}' for the image '{image.id}'"
        raise ImageError(what, where=second, found=f"the other is {first}", remedy=remedy)
    return first if forms[0] < forms[1] else second
