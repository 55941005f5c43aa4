"""The methods that project features on their first principal component."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.explanation.cam.kernel import first_sigmoid_component

Floats = npt.NDArray[np.float32]
Projection = Callable[[npt.NDArray[np.floating]], Floats]
HELD_CELLS = 6400
"""Most cells of a kernel projection whose matrix is held: it has a row and a column a cell (6400: a third of a gigabyte)."""
MOST_CELLS = 20736
"""Most cells of a kernel projection: the work grows with their square, and 144 by 144 is about a minute."""


def eigen_projection(activations: npt.NDArray[np.floating]) -> Floats:
    """Projects features on their first principal component, in the direction in which they grow.

    The library decomposes the (cells, channels) matrix with all left vectors, which takes minutes and gigabytes for a
    128 by 128 map, and leaves the sign to chance; the eigenvector of the channels' covariance is the same component.

    Args:
        activations: (C, h, w).

    Returns:
        (h, w), positive where the mean feature is high.
    """
    projection, features = _principal(activations)
    return _signed(projection, float(projection @ features.mean(axis=1)), activations)


def extreme_projection(activations: npt.NDArray[np.floating]) -> Floats:
    """Projects features on their first principal component, turned so that its largest value is positive.

    Chung and Ying 2025, Applied Sciences 15(13) 7562, equation 13.

    Args:
        activations: (C, h, w).

    Returns:
        (h, w).
    """
    projection, _ = _principal(activations)
    return _signed(projection, float(projection.max() + projection.min()), activations)


def kernel_projection(activations: npt.NDArray[np.floating]) -> Floats:
    """Projects features on their first kernel principal component (sigmoid kernel), in the direction they grow.

    Args:
        activations: (C, h, w).

    Returns:
        (h, w), in units of the kernel.

    Raises:
        EvaluationError: There are more cells than can be worked out in reasonable time.
    """
    from sklearn.decomposition import KernelPCA

    channels, *shape = activations.shape
    if (cells := shape[0] * shape[1]) > MOST_CELLS:
        remedy = "take a deeper target layer, a smaller image, or eigencam"
        raise EvaluationError(f"kernel PCA takes at most {MOST_CELLS} cells", found=cells, remedy=remedy)
    features = np.nan_to_num(activations.reshape(channels, -1).T.astype(np.float64))
    centered = features - features.mean(axis=0)
    if cells > HELD_CELLS:
        projection = first_sigmoid_component(centered)
        return _signed(projection, float(projection @ features.mean(axis=1)), activations)
    # A fixed seed for the solver's start: otherwise it draws from NumPy's global generator.
    found = KernelPCA(n_components=1, kernel="sigmoid", random_state=0).fit_transform(centered)
    if not found.shape[1]:  # all features are constant: no component is left
        return np.zeros(shape, dtype=np.float32)
    return _signed(found[:, 0], float(found[:, 0] @ features.mean(axis=1)), activations)


def _principal(activations: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The projection (cells,), and the features (cells, C)."""
    channels = activations.shape[0]
    features = np.nan_to_num(activations.reshape(channels, -1).T.astype(np.float64))
    centered = features - features.mean(axis=0)
    component = np.linalg.eigh(centered.T @ centered)[1][:, -1]
    return centered @ component, features


def _signed(projection: npt.NDArray[np.float64], direction: float, activations: npt.NDArray[np.floating]) -> Floats:
    sign = -1.0 if direction < 0 else 1.0
    return np.asarray(sign * projection, dtype=np.float32).reshape(activations.shape[1:])
