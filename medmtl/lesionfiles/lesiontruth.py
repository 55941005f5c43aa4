"""What every truth tells, whatever form it comes in: evaluated images, classes, and the lesions of an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medmtl.evaluation import Targets
from medmtl.lesionfiles.images import ImageIndex, Shape

Field = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Truth(ABC):
    """Lesions of images by class.

    Attributes:
        kind: What the truth is, in words.
        index: The evaluated images.
        classes: Classes of lesions.
        files: What was read to know all this.
        notes: What a reader of the results must know.
    """

    kind: str
    index: ImageIndex
    classes: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]

    def shape(self, number: int) -> Shape | None:
        """Height and width of an image in pixels; None: not known.

        Raises:
            ImageError: The picture is broken, or of another size than told.
        """
        return self.index.images[number].shape()

    def reach(self, number: int) -> tuple[float, float]:
        """The largest y and x of a lesion, for images whose size is not known; a mask reaches nowhere beyond its image."""
        return 0.0, 0.0

    @abstractmethod
    def targets(
        self, number: int, classes: Sequence[str], shape: Shape, field: Field | None, min_area: int
    ) -> Targets | None:
        """Lesions of an image.

        Args:
            number: Number of the image.
            classes: One class, or several that count as one.
            shape: Height and width of the image.
            field: Its field of view (H, W); None: the whole image.
            min_area: Least pixels of a lesion.

        Returns:
            The lesions, or None where they are not known.
        """
