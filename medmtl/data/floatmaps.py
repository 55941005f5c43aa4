"""Maps of numbers as they stand in a file: NPY, TIFF, NIfTI, MHA and NRRD, one finite or not finite number a pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmtl.data.sniffing import RASTER, check_pixels, read_head, sniff
from medmtl.data.volumes import read_volume_numbers
from medmtl.errors import ImageError

FLOAT_SUFFIXES = (".npy", ".tif", ".tiff", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
"""What the names of such files end in."""

_NPY = b"\x93NUMPY"
_WANTED = "save one number a pixel, shape (H, W)"


def read_float_map(path: Path) -> NDArray[np.float64]:
    """Reads a map without changing its numbers.

    Args:
        path: NPY, TIFF (one channel), NIfTI, MHA or NRRD, recognized by content. Row and column are those of the
            array; orientation matrices are left aside, as for images.

    Returns:
        Shape (H, W); what is not finite stays so.

    Raises:
        ImageError: Missing, corrupt, too large, or not one number a pixel.
    """
    values = _numbers(path)
    if values.dtype.kind not in "fiub":
        raise ImageError("a map holds numbers", where=path, found=f"{values.dtype}", remedy=_WANTED)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or not values.size:
        found = f"shape {'x'.join(map(str, values.shape))}"
        raise ImageError("not a map of one number a pixel", where=path, found=found, remedy=_WANTED)
    return values.astype(np.float64)


def _numbers(path: Path) -> NDArray[Any]:
    if read_head(path).startswith(_NPY):
        return _npy(path)
    file_format = sniff(path)
    if file_format == "TIFF":
        return _tiff(path)
    if file_format in RASTER or file_format == "DICOM":
        remedy = (
            "save it as NPY, float TIFF, NIfTI or MHA, or as the 16-bit PNG with sidecar that `medmtl explain` writes"
        )
        raise ImageError("not a map of numbers", where=path, found=f"a {file_format} picture", remedy=remedy)
    return read_volume_numbers(path, file_format)[1]


def _npy(path: Path) -> NDArray[Any]:
    try:
        values = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        remedy = "the file is truncated, or holds Python objects: save a plain array again"
        raise ImageError("the NPY file cannot be read", where=path, found=error, remedy=remedy) from error
    if values.ndim >= 2:
        check_pixels(path, values.shape[-1], values.size // max(values.shape[-1], 1))
    return np.asarray(values)


def _tiff(path: Path) -> NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as stack:
            page = stack.pages[0]
            check_pixels(path, *reversed(page.shape[:2]))
            return np.asarray(stack.asarray())
    except ImageError:
        raise
    except Exception as error:  # tifffile raises whatever it meets
        found = f"{type(error).__name__}: {error}"
        remedy = "the file is truncated or corrupt: export it again"
        raise ImageError("the TIFF file cannot be decoded", where=path, found=found, remedy=remedy) from error
