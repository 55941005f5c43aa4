"""Pixels as they stand in a file, and the one way to bring them to RGB between 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageInfo:
    """What a header says.

    Attributes:
        height: Rows, after EXIF orientation.
        width: Columns, after EXIF orientation.
        channels: Channels in the file, alpha included; a palette image has one.
        bit_depth: Bits of a sample.
        format: ``PNG``, ``JPEG``, ``TIFF``, ``PPM``, ``GIF``, ``BMP``, ``DICOM``, ``NIfTI``, ``MHA`` or ``NRRD``, by
            the content.
    """

    height: int
    width: int
    channels: int
    bit_depth: int
    format: str


@dataclass(frozen=True)
class Pixels:
    """Pixels as decoded.

    Attributes:
        values: (H, W) or (H, W, C), as in the file; alpha is already dropped.
        low: The value that means 0.
        high: The value that means 1; below ``low`` for an inverted image.
        info: What the header says.
    """

    values: NDArray[np.generic]
    low: float
    high: float
    info: ImageInfo


def to_unit_rgb(pixels: Pixels) -> NDArray[np.float32]:
    """Scales to float32 RGB in [0, 1], shape (H, W, 3); grey is repeated."""
    values = pixels.values
    if values.dtype in (np.uint8, np.uint16):  # a table of all values is three times faster than arithmetic
        unit = _scaled(np.arange(2 ** (8 * values.dtype.itemsize)), pixels)[values]
    else:
        unit = _scaled(values, pixels)
    if unit.ndim == 2:
        unit = np.repeat(unit[:, :, None], 3, axis=2)
    return np.ascontiguousarray(unit, dtype=np.float32)


def _scaled(values: NDArray[np.generic], pixels: Pixels) -> NDArray[np.float32]:
    unit = (values.astype(np.float64) - pixels.low) / (pixels.high - pixels.low)
    return np.clip(unit, 0.0, 1.0).astype(np.float32)


def integer_range(dtype: np.dtype, bits: int | None = None) -> tuple[float, float]:
    """Returns the smallest and the largest value of an integer type, or of its lower ``bits``."""
    width = bits if bits is not None else dtype.itemsize * 8
    if dtype.kind == "i":
        return -float(2 ** (width - 1)), float(2 ** (width - 1) - 1)
    return 0.0, float(2**width - 1)
