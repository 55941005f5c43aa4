"""One row of a manifest as a typed record, and the reference of a mask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ABSENT = "absent"
_FRAGMENT = re.compile(r">=\d+|=\d+|any|rgb")
_MARKING = re.compile(r"[^:#]+(:any)?")


@dataclass(frozen=True)
class MaskReference:
    """Where a mask is and how it is read.

    Attributes:
        path: The file, or for markings (``.xml``) a pattern of files; ``None`` where the structure is absent.
        fragment: ``>=N`` values at or above N, ``=N`` that value, ``any`` any channel above zero, ``rgb`` colored
            arteries and veins, or for markings the type of marking (``Hard_exudates``; with ``:any``, marked by any
            expert); ``None`` takes values as given.
        absent: Looked for and not there: an all-zero mask.
    """

    path: Path | None
    fragment: str | None = None
    absent: bool = False

    @classmethod
    def parse(cls, cell: str, folder: Path) -> MaskReference:
        """Reads ``PATH[#FRAGMENT]`` or the word ``absent``.

        Args:
            cell: The cell, not empty.
            folder: What the path is relative to.

        Raises:
            ValueError: The fragment is not one of those above.
        """
        if cell.lower() == ABSENT:
            return cls(None, None, absent=True)
        name, mark, fragment = cell.rpartition("#") if "#" in cell else (cell, "", "")
        path = local_path(name, folder)
        pattern = _MARKING if path.suffix.lower() == ".xml" else _FRAGMENT
        needed = bool(mark) or path.suffix.lower() == ".xml"
        if not name or (needed and not pattern.fullmatch(fragment)):
            raise ValueError(cell)
        return cls(path, fragment or None)

    def __str__(self) -> str:
        if self.absent:
            return ABSENT
        return f"{self.path}" + ("" if self.fragment is None else f"#{self.fragment}")


@dataclass(frozen=True)
class Sample:
    """One image with all that is known of it; what is not known is not there.

    Attributes:
        id: Unique in its manifest.
        image: The image file.
        row: Line of the manifest as an editor shows it (1-based); of a Parquet file the number of the row.
        manifest: The manifest that it stands in.
        dataset: The data set that figures are kept for.
        patient: The person; both eyes share it. The id where the manifest does not say.
        site: Hospital, camera or the like.
        laterality: ``L`` or ``R``.
        split: ``train``, ``val`` or ``test``.
        fov: Mask of the field of view.
        labels: Known labels by ``NAME`` or ``NAME.CLASS`` (there ``"1"`` or ``"0"``).
        masks: Labelled masks by ``NAME`` or ``NAME.CLASS``.
    """

    id: str
    image: Path
    row: int
    manifest: Path
    dataset: str
    patient: str
    site: str | None = None
    laterality: str | None = None
    split: str | None = None
    fov: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    masks: Mapping[str, MaskReference] = field(default_factory=dict)

    @property
    def person(self) -> tuple[str, str]:
        """Data set and patient: the same number in two data sets is not the same person."""
        return self.dataset, self.patient

    @property
    def place(self) -> str:
        """Manifest and line, for messages."""
        return f"{self.manifest}, line {self.row}"


def local_path(cell: str, folder: Path) -> Path:
    """Returns the path of a cell relative to ``folder``; Windows separators are understood."""
    return folder / cell.replace("\\", "/")
