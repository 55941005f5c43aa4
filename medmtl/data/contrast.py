"""Local contrast normalization, within the field of view."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def local_contrast(
    image: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], share: float = 0.05
) -> npt.NDArray[np.float32]:
    """Subtracts the Gaussian mean and divides by the Gaussian deviation of each pixel's neighbourhood in the field.

    Args:
        image: (h, w, 3) in [0, 1].
        mask: (h, w) field of view.
        share: Sigma as a share of the width.

    Returns:
        (h, w, 3) around 0.5; three deviations span [0, 1].
    """
    sigma = share * image.shape[1]
    weight = mask.astype(np.float32)[..., None]
    total = np.maximum(_blur(weight, sigma), 1e-3)
    mean = _blur(image * weight, sigma) / total
    variance = _blur((image - mean) ** 2 * weight, sigma) / total
    return np.asarray(0.5 + (image - mean) / (6 * np.sqrt(variance + 1e-4)), dtype=np.float32)


def _blur(image: npt.NDArray[Any], sigma: float) -> npt.NDArray[np.float32]:
    blurred: npt.NDArray[np.float32] = np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma))
    return blurred if blurred.ndim == 3 else blurred[..., None]
