"""Reading an image of any format by its content: float32 RGB in [0, 1], and what its header says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medmtl.data.dicom import read_dicom, read_dicom_info
from medmtl.data.pixels import ImageInfo, Pixels, to_unit_rgb
from medmtl.data.raster import read_raster, read_raster_info
from medmtl.data.sniffing import IMAGE_SUFFIXES, MAX_PIXELS, RASTER, expected_format, sniff
from medmtl.data.volumes import read_volume, read_volume_info
from medmtl.errors import ImageError

__all__ = [
    "IMAGE_SUFFIXES", "MAX_PIXELS", "MIN_SIDE", "ImageInfo", "expected_format", "is_image_name", "read_image",
    "read_image_info", "read_pixels",
]  # fmt: skip

MIN_SIDE = 16
"""Shortest side of an image (pixels) that any task could use."""


def is_image_name(path: Path) -> bool:
    """Whether a file's name promises an image that can be read; for listing a folder."""
    return expected_format(path) is not None


def read_image(path: str | Path) -> tuple[NDArray[np.float32], ImageInfo]:
    """Reads an image.

    Args:
        path: PNG, JPEG, TIFF, PPM, GIF, BMP, DICOM, NIfTI, MHA or NRRD, recognized by its content.

    Returns:
        Float32 RGB in [0, 1], shape (H, W, 3), over the full range of the file's bits, EXIF orientation applied, alpha
        dropped, grey repeated; and what the header says.

    Raises:
        ImageError: Missing, empty, truncated, corrupt, too large, too small, of several frames or of no known format.
    """
    path = Path(path)
    pixels = read_pixels(path)
    _check_side(path, pixels.info)
    return to_unit_rgb(pixels), pixels.info


def read_image_info(path: str | Path) -> ImageInfo:
    """Reads the header of an image and decodes nothing.

    Raises:
        ImageError: Missing, empty, too large, too small, of several frames or of no known format.
    """
    path = Path(path)
    file_format = sniff(path)
    if file_format in RASTER:
        info = read_raster_info(path, file_format)
    elif file_format == "DICOM":
        info = read_dicom_info(path)
    else:
        info = read_volume_info(path, file_format)
    _check_side(path, info)
    return info


def _check_side(path: Path, info: ImageInfo) -> None:
    if min(info.height, info.width) < MIN_SIDE:
        found = f"{info.width}x{info.height}"
        remedy = f"an image has at least {MIN_SIDE} pixels on each side: is it the right file?"
        raise ImageError("the image is too small", where=path, found=found, remedy=remedy)


def read_pixels(path: Path, *, labels: bool = False) -> Pixels:
    """Decodes a file to the numbers in it.

    Args:
        path: The file.
        labels: The numbers are classes of a mask: a palette gives its indices, a bitmap 0 and 1.

    Raises:
        ImageError: As :func:`read_image`, but of any size.
    """
    file_format = sniff(path)
    if file_format in RASTER:
        return read_raster(path, file_format, indices=labels)
    return read_dicom(path) if file_format == "DICOM" else read_volume(path, file_format, labels=labels)
