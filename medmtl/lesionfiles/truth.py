"""What the truth is, whatever form it comes in: evaluated images, classes, and the lesions of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from medmtl.errors import ImageError
from medmtl.evaluation import Targets, lesion_targets
from medmtl.lesionfiles.images import ImageIndex, Shape
from medmtl.lesionfiles.masktruth import MaskSource

Field = npt.NDArray[np.bool_]


class Truth(Protocol):
    """Lesions of images by class."""

    kind: str
    index: ImageIndex
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def shape(self, number: int) -> Shape | None:
        """Height and width of an image; None: not known."""
        ...

    def targets(
        self, number: int, classes: Sequence[str], shape: Shape, field: Field | None, min_area: int
    ) -> Targets | None:
        """Lesions of an image.

        Args:
            number: Number of the image.
            classes: One class, or several that count as one.
            shape: Height and width of the image.
            field: Its field of view (H, W).
            min_area: Least pixels of a lesion.

        Returns:
            The lesions, or None where they are not known.
        """
        ...
