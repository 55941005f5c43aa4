"""What a file is, by its first bytes and not by its name."""

from __future__ import annotations

import gzip
import stat
import zlib
from pathlib import Path

from medmtl.errors import ImageError

MAX_PIXELS = 178_956_970
"""Largest image that is opened (pixels): Pillow's own hard limit, so that every format has the same."""

RASTER = frozenset({"PNG", "JPEG", "TIFF", "PPM", "GIF", "BMP"})
VOLUME = frozenset({"NIfTI", "MHA", "NRRD"})

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"NRRD", "NRRD"),
    (b"ObjectType", "MHA"),
)
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"<", "an HTML or XML text (a failed download?)"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"version https://git-lfs", "a Git LFS pointer (fetch the file itself)"),
)
_SUFFIXES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".ppm": "PPM",
    ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM", ".gif": "GIF", ".bmp": "BMP", ".dcm": "DICOM", ".dicom": "DICOM",
    ".nii": "NIfTI", ".mha": "MHA", ".mhd": "MHA", ".nrrd": "NRRD", ".nhdr": "NRRD",
}  # fmt: skip
IMAGE_SUFFIXES = frozenset(_SUFFIXES)
_REMEDY = "PNG, JPEG, TIFF, PPM, GIF, BMP, DICOM, NIfTI, MHA and NRRD are read"


def expected_format(path: Path) -> str | None:
    """Returns the format that the name promises, or ``None`` where it promises none."""
    name = path.name.lower().removesuffix(".gz")
    return _SUFFIXES.get(Path(name).suffix)


def sniff(path: Path) -> str:
    """Returns the format of an image file by its content.

    Raises:
        ImageError: The file is missing, empty, or of no known format.
    """
    head = read_head(path)
    if not head:
        raise ImageError("the file is empty (0 bytes)", where=path, remedy="copy or export it again")
    found = _by_magic(head) or _by_structure(head)
    if found is None:
        raise ImageError("not an image in a known format", where=path, found=_describe(head), remedy=_REMEDY)
    return found


def read_head(path: Path, size: int = 512) -> bytes:
    """Returns the first bytes of a file.

    Raises:
        ImageError: The file is missing, is none, or cannot be opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            found, remedy = "a pipe or a device, which may never end", "name a file"
            raise ImageError("not a file", where=path, found=found, remedy=remedy)
        with path.open("rb") as stream:
            return stream.read(size)
    except FileNotFoundError as error:
        remedy = "check the path; paths in a manifest are relative to the manifest"
        raise ImageError("the file does not exist", where=path, remedy=remedy) from error
    except IsADirectoryError as error:
        raise ImageError("a folder, not an image", where=path, remedy="name a file in it") from error
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise ImageError(
            "the file cannot be opened", where=path, found=found, remedy="check its permissions"
        ) from error


def _by_magic(head: bytes) -> str | None:
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


def _by_structure(head: bytes) -> str | None:
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:2] == b"\x1f\x8b":
        head = _inflate(head)
    return "NIfTI" if head[344:348] in {b"n+1\0", b"ni1\0"} or head[4:8] in {b"n+2\0", b"ni2\0"} else None


def _inflate(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(head, 512)
    except (zlib.error, gzip.BadGzipFile):
        return b""


def _describe(head: bytes) -> str:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    if head[4:8] == b"ftyp":
        return "a HEIC/AVIF image or a video"
    if not head.strip(b"\0"):
        return "zeros only"
    known = next((name for magic, name in _FOREIGN if head.lstrip().startswith(magic)), None)
    return known or f"the bytes {head[:8].hex(' ')}"


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuses an image too large to be decoded, from its header alone.

    Raises:
        ImageError: It has more than :data:`MAX_PIXELS` pixels, or none.
    """
    if width < 1 or height < 1:
        raise ImageError("an image without pixels", where=path, found=f"{width}x{height}", remedy="export it again")
    if width * height > MAX_PIXELS:
        found = f"{width}x{height} = {width * height / 1e6:.0f} million pixels"
        remedy = f"scale it below {MAX_PIXELS // 10**6} million pixels (a decompression bomb is never opened)"
        raise ImageError("the image is too large", where=path, found=found, remedy=remedy)
