"""NIfTI through nibabel, MHA and NRRD through SimpleITK: two-dimensional images, or volumes of a single slice.

Orientation matrices are left aside: row and column are those of the array, as ITK writes a photograph.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medmtl.data.pixels import ImageInfo, Pixels, integer_range
from medmtl.data.sniffing import check_pixels
from medmtl.errors import ImageError


def read_volume_info(path: Path, file_format: str) -> ImageInfo:
    """Reads the header only.

    Raises:
        ImageError: It cannot be read or has more than one slice.
    """
    try:
        shape, channels, dtype = _nifti_header(path) if file_format == "NIfTI" else _itk_header(path)
    except Exception as error:  # both libraries raise whatever they meet
        raise _broken(path, file_format, error) from error
    width, height = (*shape, 1)[:2]
    slices = int(np.prod(shape[2:])) if len(shape) > 2 else 1
    if slices > 1 or len(shape) < 2:
        found = f"size {'x'.join(str(n) for n in shape)}"
        raise ImageError("not a two-dimensional image", where=path, found=found, remedy="export the one slice")
    check_pixels(path, width, height)
    return ImageInfo(height, width, channels, dtype.itemsize * 8, file_format)


def read_volume(path: Path, file_format: str, *, labels: bool = False) -> Pixels:
    """Decodes an image; 8 and 16 bit without sign, or floats between 0 and 1.

    Args:
        path: The file.
        file_format: ``NIfTI``, ``MHA`` or ``NRRD``.
        labels: The values are classes of a mask: any whole numbers do.

    Raises:
        ImageError: It is broken, has more than one slice, or its range is not known.
    """
    info, values = read_volume_numbers(path, file_format)
    if labels:
        return Pixels(_whole(path, values), 0.0, 255.0, info)
    low, high = _range(path, values)
    return Pixels(values[..., :3] if info.channels > 2 else values, low, high, info)


def read_volume_numbers(path: Path, file_format: str) -> tuple[ImageInfo, NDArray[Any]]:
    """Decodes the numbers as they stand in the file, whatever their range.

    Args:
        path: The file.
        file_format: ``NIfTI``, ``MHA`` or ``NRRD``.

    Returns:
        What the header says, and the values (H, W) or (H, W, C).

    Raises:
        ImageError: It is broken or has more than one slice.
    """
    info = read_volume_info(path, file_format)
    try:
        values = _nifti_values(path) if file_format == "NIfTI" else _itk_values(path)
        return info, values.reshape((info.height, info.width, -1)[: 3 if info.channels > 1 else 2])
    except Exception as error:
        raise _broken(path, file_format, error) from error


def _broken(path: Path, file_format: str, error: Exception) -> ImageError:
    text = [line for line in str(error).splitlines() if line.strip()]
    found = f"{type(error).__name__}: {text[-1].strip() if text else ''}"
    remedy = "the file is truncated or corrupt: export it again"
    return ImageError(f"the {file_format} file cannot be decoded", where=path, found=found, remedy=remedy)


def _nifti_header(path: Path) -> tuple[tuple[int, ...], int, np.dtype]:
    return _nifti_layout(_nifti(path))


def _nifti(path: Path) -> Any:
    import nibabel

    image_class = nibabel.Nifti2Image if _is_second(path) else nibabel.Nifti1Image
    return image_class.from_filename(path)


def _is_second(path: Path) -> bool:
    import nibabel

    sniffed, _ = nibabel.Nifti2Image.path_maybe_image(path)
    return bool(sniffed)


def _nifti_layout(image: Any) -> tuple[tuple[int, ...], int, np.dtype]:
    dtype, shape = image.get_data_dtype(), tuple(int(n) for n in image.shape)
    if dtype.names:  # the RGB and RGBA types
        return shape, len(dtype.names), np.dtype(np.uint8)
    if len(shape) == 5:  # (x, y, z, t, channel)
        return shape[:4], shape[4], dtype
    return shape, 1, dtype


def _nifti_values(path: Path) -> NDArray[Any]:
    values = np.asanyarray(_nifti(path).dataobj)
    if values.dtype.names:
        values = np.stack([values[name] for name in values.dtype.names], axis=-1)
        return np.swapaxes(values.reshape(*values.shape[:2], values.shape[-1]), 0, 1)
    if values.ndim == 5:
        return np.swapaxes(values.reshape(*values.shape[:2], values.shape[4]), 0, 1)
    return np.swapaxes(values.reshape(values.shape[:2]), 0, 1)


def _itk_header(path: Path) -> tuple[tuple[int, ...], int, np.dtype]:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    sample = sitk.GetArrayFromImage(sitk.Image([1, 1], reader.GetPixelID(), reader.GetNumberOfComponents()))
    return tuple(int(n) for n in reader.GetSize()), int(reader.GetNumberOfComponents()), sample.dtype


def _itk_values(path: Path) -> NDArray[Any]:
    import SimpleITK as sitk  # noqa: N813

    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def _range(path: Path, values: NDArray[Any]) -> tuple[float, float]:
    if values.dtype in (np.uint8, np.uint16):
        return integer_range(values.dtype)
    if values.dtype.kind == "f" and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
        return 0.0, 1.0
    found = f"{values.dtype} from {values.min()} to {values.max()}"
    remedy = "save 8 or 16 bits without sign, or floats between 0 and 1"
    raise ImageError("the range of the pixels is not known", where=path, found=found, remedy=remedy)


def _whole(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "iub":
        return values
    if not np.isfinite(values).all() or np.any(values != np.round(values)):
        raise ImageError("a mask with values that are not whole", where=path, remedy="save whole numbers")
    return values.astype(np.int64)
