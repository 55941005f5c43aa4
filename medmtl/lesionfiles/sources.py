"""Candidates from whatever was given: a table as it stands, or a folder of heat maps cut into candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from medmtl.errors import ManifestError
from medmtl.evaluation import Candidates
from medmtl.lesionfiles.candidatetable import CandidateTable, OutsideField
from medmtl.lesionfiles.extraction import Extraction
from medmtl.lesionfiles.images import ImageIndex, Shape
from medmtl.lesionfiles.maps import MapFolder

Field = npt.NDArray[np.bool_]


class CandidateSource(Protocol):
    """Candidates of images by class."""

    @property
    def kind(self) -> str:
        """What they are, in words."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Their classes."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """What they were read from."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know."""
        ...

    def shape(self, number: int) -> Shape | None:
        """Height and width of an image in pixels; None: not known."""
        ...

    def reach(self, number: int) -> tuple[float, float]:
        """The largest y and x of a candidate, for images whose size is not known."""
        ...

    def check(self, classes: Sequence[str]) -> None:
        """Refuses a source that lacks something of these classes."""
        ...

    def dropped(self, number: int, label: str, field: Field | None) -> int:
        """How many candidates of one image and class are left out because they lie outside the field of view."""
        ...

    def candidates(self, number: int, label: str, shape: Shape, field: Field | None, *, bounded: bool) -> Candidates:
        """Candidates of one image and class; ``bounded``: ``shape`` is the image's size and not a guess."""
        ...


@dataclass(frozen=True)
class TableSource:
    """A candidate table."""

    table: CandidateTable
    path: Path
    outside: OutsideField = "refuse"

    kind = "a table of candidates"

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the table, those of other images included."""
        return self.table.classes

    @property
    def files(self) -> tuple[Path, ...]:
        """The table."""
        return (self.path,)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over."""
        skipped = self.table.skipped
        said = (f"{skipped} candidates are of images that are not evaluated",) if skipped else ()
        return self.table.notes + said

    def shape(self, number: int) -> Shape | None:
        """A table knows no size."""
        return None

    def reach(self, number: int) -> tuple[float, float]:
        """The largest y and x of a candidate's disc."""
        return self.table.reach(number)

    def check(self, classes: Sequence[str]) -> None:
        """A table lacks nothing: an image without rows is one without candidates."""

    def dropped(self, number: int, label: str, field: Field | None) -> int:
        """How many candidates are left out because they lie outside the field of view and that was asked for."""
        return self.table.outside(number, label, field) if field is not None and self.outside == "drop" else 0

    def candidates(self, number: int, label: str, shape: Shape, field: Field | None, *, bounded: bool) -> Candidates:
        """Candidates of one image and class."""
        return self.table.candidates(number, label, shape, field, self.outside, bounded=bounded)


@dataclass(frozen=True)
class MapSource:
    """A folder of heat maps, and how they are cut."""

    maps: MapFolder
    index: ImageIndex
    extraction: Extraction

    @property
    def kind(self) -> str:
        """What the candidates are, in words."""
        return f"heat maps: {self.extraction.caption}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the maps."""
        return self.maps.classes

    @property
    def files(self) -> tuple[Path, ...]:
        """The maps."""
        return tuple(self.maps.files.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was passed over."""
        return (f"{self.maps.skipped} heat maps are of images that are not evaluated",) if self.maps.skipped else ()

    def shape(self, number: int) -> Shape | None:
        """Height and width of the image's first map."""
        return self.maps.shape(number)

    def reach(self, number: int) -> tuple[float, float]:
        """Nothing beyond the map."""
        return 0.0, 0.0

    def check(self, classes: Sequence[str]) -> None:
        """Refuses a folder in which an image lacks the map of a class.

        Raises:
            EvaluationError: With the image and the class.
        """
        self.maps.check(self.index, classes)

    def dropped(self, number: int, label: str, field: Field | None) -> int:
        """None: maps are cut inside the field of view only."""
        return 0

    def candidates(self, number: int, label: str, shape: Shape, field: Field | None, *, bounded: bool) -> Candidates:
        """Candidates of one image and class.

        Raises:
            ImageError: The map cannot be read, has another size, or is not finite in the field of view.
        """
        values = self.maps.read(number, label, self.index.images[number], shape, field)
        return self.extraction.extract(values, field)


@dataclass(frozen=True)
class OpenedSource:
    """Candidates, and where they are.

    Attributes:
        path: As named.
        source: What was opened there.
    """

    path: Path
    source: CandidateSource


def open_candidates(
    path: Path, index: ImageIndex, extraction: Extraction, outside: OutsideField = "refuse"
) -> CandidateSource:
    """Opens a table of candidates, or a folder of heat maps.

    Args:
        path: The table or folder.
        index: The evaluated images.
        extraction: How maps are cut.
        outside: What becomes of candidates of a table that lie outside the field of view.

    Raises:
        ConfigError: The options do not go with it.
        ManifestError: The table is wrong.
        ImageError: The folder holds no maps, or files that are none.
    """
    if not path.exists():
        raise ManifestError(
            "there is neither a table of candidates nor a folder of heat maps", where=path, remedy="check the path"
        )
    extraction.check(path.is_dir())
    if path.is_dir():
        return MapSource(MapFolder.find(path, index, missing_values=extraction.missing_values), index, extraction)
    return TableSource(CandidateTable.read(path, index), path, outside)
