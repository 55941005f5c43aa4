"""One image with the maps and candidates of its classes: what is drawn, written and exported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.candidates import COLUMNS
from medmtl.explanation.scale import ClassScale


@dataclass(frozen=True, eq=False)
class ShownClass:
    """One class of an image.

    Attributes:
        scale: Its scale, with its name.
        evidence: (H, W) logits in original pixels, NaN where nothing is known.
        candidates: As ``candidate_table`` gives them; those below the threshold are left out.
        measured: What was measured of the class at this threshold, in lines.
    """

    scale: ClassScale
    evidence: npt.NDArray[np.floating]
    candidates: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COLUMNS))
    measured: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", self.candidates[self.candidates["score"] >= self.scale.threshold])


@dataclass(frozen=True, eq=False)
class ShownImage:
    """One image.

    Attributes:
        name: A name that is safe as a folder, and its own.
        pixels: (H, W, 3), the original pixels, red, green, blue.
        classes: Its classes.
        source: The image as its owner knows it; ``name`` unless given.
        anatomy: What is known of the eye.

    Raises:
        EvaluationError: A map does not fit the image.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    classes: Sequence[ShownClass]
    source: str = ""
    anatomy: Anatomy = field(default_factory=Anatomy)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source or self.name)
        for entry in self.classes:
            if entry.evidence.shape != self.pixels.shape[:2]:
                sizes = f"image {self.pixels.shape[:2]}, map {entry.evidence.shape}"
                remedy = "restore the map to original pixels"
                raise EvaluationError("map and image differ in size", where=self.source, found=sizes, remedy=remedy)

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.pixels.shape[1])

    def stems(self) -> list[str]:
        """For each class a name that is safe in a file name."""
        return safe_names([entry.scale.name for entry in self.classes])


def safe_names(names: Sequence[str]) -> list[str]:
    """Turns names into different file names that every system and every link can hold.

    Args:
        names: Any texts, repeats allowed.

    Returns:
        For each a text of ASCII letters, digits, ``-``, ``_`` and ``.``; different also where case does not count.
    """
    taken: set[str] = set()
    return [_free(re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "image", taken) for name in names]


def _free(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name
