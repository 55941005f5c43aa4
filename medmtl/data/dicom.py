"""Single-frame DICOM images through pydicom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmtl.data.pixels import ImageInfo, Pixels, integer_range
from medmtl.data.sniffing import check_pixels
from medmtl.errors import ImageError, MedmtlError

_BROKEN = (Exception,)  # pydicom and its plugins raise whatever they meet: all of it means that the file is broken


def read_dicom_info(path: Path) -> ImageInfo:
    """Reads the header only.

    Raises:
        ImageError: It cannot be read, holds no image, or holds several frames.
    """
    with _lazily_broken(path):
        return _info(path, _header(path, pixels=False))


def read_dicom(path: Path) -> Pixels:
    """Decodes a single-frame image over the full range of its stored bits.

    The window of the file is left aside (it is made for a viewer), and a rescale of positive slope does not change
    what the full range is; MONOCHROME1 and a negative slope turn the range round.

    Raises:
        ImageError: It is broken, has several frames, or its compression needs a decoder that is not installed.
    """
    with _lazily_broken(path):
        data = _header(path, pixels=True)
        return _oriented(data, _info(path, data), _decode(path, data))


def _oriented(data: Any, info: ImageInfo, values: NDArray[Any]) -> Pixels:
    if values.ndim == 3:
        low, high = integer_range(values.dtype, 8 if values.dtype.itemsize == 1 else int(data.BitsStored))
        return Pixels(values[:, :, :3], low, high, info)
    low, high = integer_range(values.dtype, int(data.BitsStored))
    inverted = (data.PhotometricInterpretation == "MONOCHROME1") != (float(data.get("RescaleSlope", 1) or 1) < 0)
    return Pixels(values, high, low, info) if inverted else Pixels(values, low, high, info)


@contextmanager
def _lazily_broken(path: Path) -> Iterator[None]:
    """Pydicom decodes an element when it is first looked at, so damage shows anywhere."""
    try:
        yield
    except MedmtlError:
        raise
    except _BROKEN as error:
        raise _broken(path, error) from error


def _header(path: Path, *, pixels: bool) -> Any:
    import pydicom

    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except _BROKEN as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> ImageError:
    found = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    remedy = "the file is truncated or corrupt: export it again"
    return ImageError("the DICOM file cannot be decoded", where=path, found=found, remedy=remedy)


def _info(path: Path, data: Any) -> ImageInfo:
    if "Rows" not in data or "Columns" not in data or "PhotometricInterpretation" not in data:
        remedy = "name a DICOM file of an image"
        raise ImageError("a DICOM file without an image", where=path, found=data.get("Modality"), remedy=remedy)
    frames = int(data.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        remedy = "export the one frame that is meant as an image of its own"
        raise ImageError("a multi-frame DICOM file", where=path, found=f"{frames} frames", remedy=remedy)
    height, width = int(data.Rows), int(data.Columns)
    check_pixels(path, width, height)
    return ImageInfo(height, width, int(data.get("SamplesPerPixel", 1)), int(data.get("BitsStored", 8)), "DICOM")


def _decode(path: Path, data: Any) -> NDArray[Any]:
    from pydicom.pixels import apply_color_lut, pixel_array

    try:
        values = np.asarray(pixel_array(data))  # YBR comes out as RGB
        if data.PhotometricInterpretation == "PALETTE COLOR":
            values = np.asarray(apply_color_lut(values, data))
            values = (values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values
    except (RuntimeError, NotImplementedError) as error:
        syntax = data.file_meta.TransferSyntaxUID
        if not syntax.is_compressed:
            raise _broken(path, error) from error
        remedy = "decompress it (dcmdjpeg or gdcmconv --raw) or: pip install pylibjpeg pylibjpeg-libjpeg"
        what = "a compressed DICOM file that no installed decoder reads"
        raise ImageError(what, where=path, found=syntax.name, remedy=remedy) from error
    except _BROKEN as error:
        raise _broken(path, error) from error
    return values
