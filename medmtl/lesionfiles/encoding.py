"""Masks of lesions, places and candidates whose values must mean something: 0 and 1, or 0 and 255, or what a reference says."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from medmtl.data.masks import RENDERERS, read_mask_for
from medmtl.data.reading import read_pixels
from medmtl.data.samples import MaskReference
from medmtl.errors import ImageError
from medmtl.lesionfiles.images import Shape

Mask = npt.NDArray[np.uint8]


def read_lesion_mask(reference: MaskReference, shape: Shape, remedy: str) -> Mask:
    """Reads the lesions of one class, a place, or the region of a candidate.

    A mask without a fragment holds 0 and one other value, 1 or 255, in whatever channel. Anything else (levels of grey,
    several classes, a blurred border) is refused, because counting every value above zero would change them silently.

    Args:
        reference: Where it is, and how values are read.
        shape: Height and width of the image.
        remedy: How the user says which values count.

    Returns:
        0 and 1, shape (H, W).

    Raises:
        ImageError: It cannot be read, has another size, or holds other values; these are named.
    """
    path = reference.path
    if path is None or reference.fragment is not None or path.suffix.lower() in RENDERERS:
        return read_mask_for(reference, shape, binary=True)
    values = read_pixels(path, labels=True).values
    levels = _levels(values)
    if not set(levels) <= {0, 1} and not set(levels) <= {0, 255}:
        shown = ", ".join(map(str, levels[:8])) + (f", ... ({len(levels)} values)" if len(levels) > 8 else "")
        what, found = "a mask with values of unknown meaning", f"{shown}; expected 0 and 1, or 0 and 255"
        raise ImageError(what, where=path, found=found, remedy=remedy)
    positive = np.not_equal(values, 0)
    mask = np.asarray(positive if values.ndim == 2 else positive.any(axis=2), dtype=np.uint8)
    if mask.shape != shape:
        found = f"{mask.shape[1]}x{mask.shape[0]} instead of {shape[1]}x{shape[0]}"
        fit = "give the mask that was drawn on this image"
        raise ImageError("the mask has another size than its image", where=path, found=found, remedy=fit)
    return mask


def _levels(values: npt.NDArray[np.generic]) -> list[int]:
    """The different values, rising; a histogram of twelve million bytes takes milliseconds, sorting them a second."""
    if values.dtype == np.uint8:
        counts = cv2.calcHist([values.reshape(1, -1)], [0], None, [256], [0, 256])
        return [int(level) for level in np.flatnonzero(counts)]
    return [int(level) for level in np.unique(values)]
