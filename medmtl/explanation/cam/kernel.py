"""The first component of a kernel PCA of many points, in the memory of a few rows of the kernel's matrix."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, eigsh

_BLOCK = 8_000_000
"""Entries of the kernel's matrix that are worked out at a time (32 MB)."""


def first_sigmoid_component(points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Projects points on their first principal component under the kernel tanh(x · y / channels + 1).

    Schölkopf, Smola and Müller 1998, with the kernel matrix centered; the same as scikit-learn's ``KernelPCA`` with its
    sigmoid kernel, up to the sign and to single precision. The matrix is never held: each step of the Lanczos iteration works
    it out again, some rows at a time, so that 16,000 points need 32 MB and not 2 GB.

    Args:
        points: (n, channels), n at least 3.

    Returns:
        (n,), in units of the kernel; zeros where all points are one.
    """
    count, channels = points.shape
    rows = np.ascontiguousarray(points, dtype=np.float32)
    scaled = np.ascontiguousarray(rows.T / channels)
    step = max(1, _BLOCK // count)

    def centered(vector: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        less = np.asarray(vector, dtype=np.float64).ravel()
        less = less - less.mean()
        column = less.astype(np.float32)
        parts = [np.tanh(rows[start : start + step] @ scaled + 1) @ column for start in range(0, count, step)]
        product = np.concatenate(parts).astype(np.float64)
        return np.asarray(product - product.mean())

    operator = LinearOperator((count, count), matvec=centered, dtype=np.float64)
    begin: npt.NDArray[np.float64] = np.random.default_rng(0).standard_normal((count,))
    if not np.any(np.abs(centered(begin)) > 1e-6 * count):  # one point n times: the matrix is nothing but rounding
        return np.zeros(count)
    values, vectors = eigsh(operator, k=1, which="LA", v0=begin, tol=1e-6)
    return np.asarray(vectors[:, 0] * math.sqrt(max(float(values[0]), 0.0)))
