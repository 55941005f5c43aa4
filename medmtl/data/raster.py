"""PNG, JPEG, TIFF, PPM, GIF and BMP, 8 and 16 bit, through Pillow; 16-bit color through OpenCV and tifffile.

Pillow reads 16-bit color into 8 bits, hence the other two.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medmtl.data.pixels import ImageInfo, Pixels
from medmtl.data.sniffing import check_pixels
from medmtl.errors import ImageError

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 0x0102
_MODES = {"1": (1, 1), "L": (1, 8), "P": (1, 8), "LA": (2, 8), "PA": (2, 8), "RGB": (3, 8), "RGBA": (4, 8),
          "RGBX": (4, 8), "CMYK": (4, 8), "YCbCr": (3, 8), "I;16": (1, 16), "I;16B": (1, 16), "I;16L": (1, 16),
          "I": (1, 32), "F": (1, 32)}  # fmt: skip
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError,
           MemoryError, zlib.error, AttributeError, RuntimeError)  # fmt: skip
_AGAIN = "the file is truncated or corrupt: copy or export it again"


@contextmanager
def _opened(path: Path, file_format: str) -> Iterator[Image.Image]:
    """Opens by content, checks the size from the header, and maps whatever a decoder says to one line."""
    try:
        with Image.open(path, formats=_formats(file_format)) as image:
            check_pixels(path, *image.size)
            if file_format != "JPEG" and getattr(image, "n_frames", 1) > 1:  # a camera's JPEG may hold a preview
                found = f"{image.n_frames} frames"  # type: ignore[attr-defined]
                raise ImageError("an image of several frames", where=path, found=found, remedy="export the one frame")
            yield image
    except Image.DecompressionBombError as error:
        found = str(error).split(",")[0]
        remedy = "scale it down (a decompression bomb is never opened)"
        raise ImageError("the image is too large", where=path, found=found, remedy=remedy) from error
    except _BROKEN as error:
        found = f"{type(error).__name__}: {error}"
        raise ImageError(f"the {file_format} file cannot be decoded", where=path, found=found, remedy=_AGAIN) from error


def _formats(file_format: str) -> tuple[str, ...]:
    return ("JPEG", "MPO") if file_format == "JPEG" else (file_format,)


def _depth(image: Image.Image) -> tuple[int, float]:
    """Returns bits of a sample and the value that means 1 as the header has them; to be asked before loading."""
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))  # type: ignore[attr-defined]
        return bits, float(2**bits - 1) if bits > 8 else 255.0
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else None
    parts = arguments if isinstance(arguments, tuple) else (arguments,)
    if any(isinstance(part, str) and ";16" in part for part in parts):
        return 16, 65535.0
    if image.format == "PPM" and len(parts) > 1 and isinstance(parts[1], int) and parts[1] > 255:
        # Pillow stretches grey to 16 bits, OpenCV leaves color as it is
        return 16, float(parts[1]) if image.mode == "RGB" else 65535.0
    return _MODES.get(image.mode, (1, 8))[1], 255.0


def _orientation(image: Image.Image) -> int:
    """EXIF orientation still to be applied; Pillow applies a TIFF's by itself."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1  # asking a PNG without the entry would decode it
    return int(image.getexif().get(_ORIENTATION, 1) or 1)


def orient(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turns an array (H, W, ...) as the EXIF orientation 1-8 says (EXIF 2.32, tag 274); others change nothing."""
    if orientation in {5, 6, 7, 8}:
        values = np.swapaxes(values, 0, 1)
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    if orientation in {2, 3, 6, 7}:
        values = values[:, ::-1]
    return values


def read_raster_info(path: Path, file_format: str) -> ImageInfo:
    """Reads the header only.

    Raises:
        ImageError: It cannot be read.
    """
    with _opened(path, file_format) as image:
        return _info(image, file_format)


def _info(image: Image.Image, file_format: str) -> ImageInfo:
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    channels = _MODES.get(image.mode, (len(image.getbands()), 8))[0]
    return ImageInfo(height, width, channels, _depth(image)[0], file_format)


def read_raster(path: Path, file_format: str, *, indices: bool = False) -> Pixels:
    """Decodes an image.

    Args:
        path: The file.
        file_format: Its format by content.
        indices: Give the indices of a palette image (a mask's classes) and 0/1 of a bitmap, and not their colors.

    Returns:
        Grey (H, W) or RGB (H, W, 3), uint8 or uint16, oriented as EXIF says, without alpha.

    Raises:
        ImageError: The file is truncated, corrupt, or of a kind whose range is not known.
    """
    with _opened(path, file_format) as image:
        info, (bits, high) = _info(image, file_format), _depth(image)
        if bits == 16 and info.channels > 1:
            turn = _tiff_orientation(image) if file_format == "TIFF" else _orientation(image)
            values = orient(_color16(path, file_format, turn), turn)
        else:
            _check_range(path, image, bits)
            image.load()
            values = orient(_loaded(image, bits, indices=indices), _orientation(image))
        return Pixels(np.ascontiguousarray(values), 0.0, high, info)


def _tiff_orientation(image: Image.Image) -> int:
    return int(image.tag_v2.get(_ORIENTATION, 1))  # type: ignore[attr-defined]


def _check_range(path: Path, image: Image.Image, bits: int) -> None:
    if image.mode == "F" or (image.mode == "I" and (bits != 16 or image.format == "TIFF")):
        found = "floating-point pixels" if image.mode == "F" else "32-bit or signed pixels"
        raise ImageError("the range of the pixels is not known", where=path, found=found, remedy="save 8 or 16 bits")


def _loaded(image: Image.Image, bits: int, *, indices: bool) -> NDArray[Any]:
    if bits > 8:
        return np.asarray(image).astype(np.uint16)
    if image.mode == "1" or (image.mode == "P" and indices and not _grey_gif(image)):
        values = np.asarray(image).astype(np.uint8)
        return values if indices else values * np.uint8(255)
    target = "L" if image.mode in {"L", "LA"} or (image.mode == "P" and _grey_gif(image)) else "RGB"
    return np.asarray(image if image.mode == target else image.convert(target))


def _grey_gif(image: Image.Image) -> bool:
    """A GIF has no grey mode: one whose palette is all grey means the grey values and not the indices."""
    palette = np.asarray(image.getpalette() or [], dtype=np.uint8)
    return image.format == "GIF" and palette.size % 3 == 0 and not np.any(np.diff(palette.reshape(-1, 3).astype(int)))


def _color16(path: Path, file_format: str, turn: int) -> NDArray[np.uint16]:
    values = None
    if file_format == "TIFF":
        values = _by_tifffile(path, must=turn != 1)  # OpenCV fails on a turned TIFF
    if values is None:
        import cv2

        decoded = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        values = None if decoded is None or decoded.ndim != 3 else decoded[:, :, 2::-1]
    if values is None or values.ndim != 3 or values.dtype != np.uint16:
        raise ValueError("16-bit color data that cannot be decoded")
    return values


def _by_tifffile(path: Path, *, must: bool) -> NDArray[Any] | None:
    """Decodes the first page, or returns ``None`` for a compression that needs a package which is not installed."""
    import tifffile

    try:
        values = np.asarray(tifffile.imread(path, key=0))
    except ValueError as error:
        if must or "imagecodecs" not in str(error):
            raise
        return None
    if values.ndim == 3 and values.shape[0] in {3, 4} and values.shape[2] not in {3, 4}:  # planes after each other
        values = np.moveaxis(values, 0, 2)
    return values[:, :, :3]
