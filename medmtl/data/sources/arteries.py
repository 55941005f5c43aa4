"""Artery and vein labels: how they are stored, and what may stand in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medmtl.data.reading import read_image_info, read_pixels

VALUES = frozenset({0, 1, 2, 3})
VESSEL_VALUES = frozenset({0, 1})


def _colored(path: Path) -> bool:
    if read_image_info(path).channels == 1:
        return False
    values = read_pixels(path).values
    # Some tools save grey values in three equal channels; those are classes, not colors.
    return values.ndim == 3 and bool((values[..., :3] != values[..., :1]).any())


def av_reference(path: Path) -> str:
    """Gives the mask reference of a label file: values as they are for a grey file, ``#rgb`` for a colored one.

    Grey files hold 0 background, 1 artery, 2 vein, 3 crossing or uncertain. Colored ones hold black, red, blue, and
    green or white for the same.

    Raises:
        ImageError: The file is not an image.
    """
    return f"{path}#rgb" if _colored(path) else str(path)


def av_from_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turns colored artery and vein labels into classes.

    Args:
        image: Red, green, blue in 0..255, (H, W, 3); further channels are left aside. A channel counts as set above 127.

    Returns:
        0 background (black), 1 artery (red), 2 vein (blue), 3 crossing or uncertain (any other color), (H, W).

    Raises:
        ValueError: The image has fewer than three channels.
    """
    if image.ndim != 3 or image.shape[2] < 3:
        raise ValueError(f"colored labels have shape (H, W, 3), not {image.shape}")
    red, green, blue = (image[..., channel] > 127 for channel in range(3))
    classes = np.full(red.shape, 3, np.uint8)
    classes[~red & ~green & ~blue] = 0
    classes[red & ~green & ~blue] = 1
    classes[blue & ~green & ~red] = 2
    return classes


def mask_cells(av: Path | None, vessels: Path | None) -> dict[str, object]:
    """Gives ``mask:av``, and ``mask:vessel`` from the same labels (crossings count), else from vessel-only labels."""
    source = av or vessels
    return {
        "mask:av": None if av is None else av_reference(av),
        "mask:vessel": None if source is None else f"{source}#any",
    }
