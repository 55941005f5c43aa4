"""From the reference of a mask to whole numbers: classes as they are in the file, never colors or blends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medmtl.data.arteries import av_from_rgb
from medmtl.data.markings import read_markings_mask
from medmtl.data.reading import read_pixels
from medmtl.data.samples import MaskReference, Sample
from medmtl.errors import ImageError
from medmtl.registry import Registry

MaskRenderer: TypeAlias = Callable[[Path, str, tuple[int, int]], NDArray[np.uint8]]
"""Renders a mask that is not an image: path or pattern, fragment, shape (H, W) → 0 and 1."""

RENDERERS: Registry[MaskRenderer] = Registry("kind of mask file")
"""Renderers by suffix."""

RENDERERS.register(".xml")(read_markings_mask)


def read_mask(
    reference: MaskReference, shape: tuple[int, int] | None = None, *, binary: bool = False
) -> NDArray[np.uint8]:
    """Reads a mask.

    Args:
        reference: Where it is. With a fragment the result is 0 and 1; with ``rgb``, 0 background, 1 artery, 2 vein,
            3 crossing or uncertain.
        shape: Height and width of the image; needed where the structure is absent or the truth is a list of markings.
            It is not compared with the file's own shape: see :func:`read_mask_for`.
        binary: Any value above zero, in any channel, is 1: for a task of one class. Otherwise the values are given as
            they are, and a mask in color is refused.

    Returns:
        Whole numbers 0-255, shape (H, W).

    Raises:
        ImageError: The file cannot be read, is in color where classes are asked for, or has values above 255.
        ValueError: ``shape`` is needed and missing.
    """
    if reference.path is None or reference.path.suffix.lower() in RENDERERS:
        if shape is None:
            raise ValueError(f"the shape of the image is needed to read the mask '{reference}'")
        if reference.path is None:
            return np.zeros(shape, np.uint8)
        return RENDERERS.get(reference.path.suffix.lower())(reference.path, reference.fragment or "", shape)
    if reference.fragment == "rgb":
        classes = _colored(reference.path)
        return (classes > 0).astype(np.uint8) if binary else classes
    values = _merged(read_pixels(reference.path, labels=True).values)
    fragment = "any" if binary and reference.fragment is None else reference.fragment
    return _select(values, fragment, reference.path)


def read_mask_for(reference: MaskReference, shape: tuple[int, int], *, binary: bool = False) -> NDArray[np.uint8]:
    """Reads a mask and refuses one of another size than its image.

    Args:
        reference: Where it is.
        shape: Height and width of the image.
        binary: As for :func:`read_mask`.

    Raises:
        ImageError: As :func:`read_mask`, or the size differs.
    """
    mask = read_mask(reference, shape, binary=binary)
    if mask.shape != tuple(shape):
        found = f"{mask.shape[1]}x{mask.shape[0]} instead of {shape[1]}x{shape[0]}"
        remedy = "give the mask that was drawn on this image"
        raise ImageError("the mask has another size than its image", where=reference.path, found=found, remedy=remedy)
    return mask


def given_field(sample: Sample, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The field of view that the manifest gives for a sample, (H, W); None where it gives none.

    Args:
        sample: The sample.
        shape: Height and width of its image.

    Raises:
        ImageError: As :func:`read_mask_for`.
    """
    return None if sample.fov is None else read_mask_for(MaskReference(sample.fov), shape, binary=True) > 0


def file_values(reference: MaskReference) -> set[int] | None:
    """The values that a mask's file holds, before a fragment such as ``#any`` turns them into 0 and 1.

    Args:
        reference: Where it is.

    Returns:
        All values, in any channel; None where the file has no values of its own: absent, markings, named colors.

    Raises:
        ImageError: The file cannot be read.
    """
    path = reference.path
    if path is None or path.suffix.lower() in RENDERERS or reference.fragment == "rgb":
        return None
    return {int(value) for value in np.unique(read_pixels(path, labels=True).values)}


def _colored(path: Path) -> NDArray[np.uint8]:
    pixels = read_pixels(path)  # as an image: a palette gives its colors
    values = pixels.values if pixels.values.ndim == 3 else np.repeat(pixels.values[..., None], 3, axis=2)
    return av_from_rgb(values, pixels.high)


def _merged(values: NDArray[Any]) -> NDArray[Any]:
    """Gives one channel where all channels are the same."""
    if values.ndim == 3 and np.array_equal(values, np.broadcast_to(values[..., :1], values.shape)):
        return np.ascontiguousarray(values[..., 0])
    return values


def _select(values: NDArray[Any], fragment: str | None, path: Path) -> NDArray[np.uint8]:
    if fragment == "any":
        positive = values > 0
        return np.asarray(positive if values.ndim == 2 else positive.any(axis=2), np.uint8)
    if values.ndim != 2:
        remedy = "add #any to the reference where any color means the structure, or save classes as grey values"
        raise ImageError("a mask in color", where=path, found=f"{values.shape[2]} different channels", remedy=remedy)
    if fragment is not None:
        number = int(fragment.lstrip(">="))
        return (values >= number if fragment.startswith(">") else values == number).astype(np.uint8)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high > 255:
        found = f"values from {low} to {high}"
        remedy = "save classes as whole numbers from 0 to 255, or name values by #>=N or #=N"
        raise ImageError("mask values do not fit 0-255", where=path, found=found, remedy=remedy)
    return values.astype(np.uint8)
