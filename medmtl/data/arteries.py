"""Colored artery and vein labels, as several public data sets ship them, and the classes they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def av_from_rgb(image: NDArray[Any], high: float = 255.0) -> NDArray[np.uint8]:
    """Turns colored artery and vein labels into classes.

    Args:
        image: Red, green, blue in 0 to ``high``, (H, W, 3); further channels are left aside. A channel counts as set
            above the middle.
        high: The value of a full channel.

    Returns:
        0 background (black), 1 artery (red), 2 vein (blue), 3 crossing or uncertain (any other color), (H, W).

    Raises:
        ValueError: The image has fewer than three channels.
    """
    if image.ndim != 3 or image.shape[2] < 3:
        raise ValueError(f"colored labels have shape (H, W, 3), not {image.shape}")
    red, green, blue = (image[..., channel] > high / 2 for channel in range(3))
    classes = np.full(red.shape, 3, np.uint8)
    classes[~red & ~green & ~blue] = 0
    classes[red & ~green & ~blue] = 1
    classes[blue & ~green & ~red] = 2
    return classes
