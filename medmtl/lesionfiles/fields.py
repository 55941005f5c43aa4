"""The field of view that shares, pixels and rows that know nothing go by: the given one, else that of the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from medmtl.data.field import find_field
from medmtl.lesionfiles.images import Bytes, EvaluatedImage, Shape

Field = npt.NDArray[np.bool_]
Origin = Literal["given", "found", "whole"]
"""Where a field comes from: it was given, it was found in the picture, or all of the image stands in for it."""

_WORDS: dict[Origin, str] = {"given": "given", "found": "found in the picture", "whole": "all of the image"}


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """The field of view of one image.

    Which lesions and candidates count is not decided by it where none was given: then all of the image counts.

    Attributes:
        mask: Shape (H, W).
        origin: Where it comes from.
    """

    mask: Field
    origin: Origin

    @classmethod
    def of(cls, given: Field | None, picture: Bytes | None, shape: Shape) -> EffectiveField:
        """The given field, else the one that is found in the picture, else all of the image.

        Args:
            given: The field that was told, (H, W).
            picture: RGB, (H, W, 3); not looked at where a field was told.
            shape: Height and width of the image.
        """
        if given is not None:
            return cls(given, "given")
        found = None if picture is None else find_field(picture / np.float32(255))
        if found is None or not found.found:
            return cls(np.ones(shape, dtype=bool), "whole")
        return cls(found.mask, "found")

    @classmethod
    def read(cls, image: EvaluatedImage, shape: Shape) -> EffectiveField:
        """The field of an image, of which no more is read than is needed.

        Args:
            image: The image.
            shape: Its height and width.

        Raises:
            ImageError: The mask of the field or the picture is broken.
        """
        given = image.field(shape)
        return cls.of(given, image.pixels() if given is None else None, shape)


def origins_text(origins: Iterable[Origin]) -> str:
    """Where the fields of several images come from, in words with counts."""
    counts = Counter(origins)
    return ", ".join(f"{words} in {counts[origin]}" for origin, words in _WORDS.items() if counts[origin])
