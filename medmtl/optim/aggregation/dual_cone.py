"""Projection onto the dual cone by non-negative least squares: exact, and without a solver under the GPL."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torchjd.aggregation import Weighting
from torchjd.linalg import DualConeProjector

from medmtl.optim.aggregation.square_root import square_root


def lift(products: np.ndarray, vector: np.ndarray, regularization: float = 0.0) -> np.ndarray:
    """Minimizes vᵀ G v over v >= u.

    With v = u + x and G = Rᵀ R this is non-negative least squares, min ‖R x + R u‖ over x >= 0, which the
    active-set method of Lawson and Hanson (scipy's `nnls`) solves exactly. The direction Jᵀ v is the projection of Jᵀ u onto
    {d : J d >= 0}; it is unique, v need not be where gradients depend on each other.

    Args:
        products: Gramian G = J Jᵀ, (K, K).
        vector: u, (K,).
        regularization: Times the trace, added to the diagonal: bounds v where gradients nearly depend on each other,
            and lets J d fall below 0 by about as much.

    Returns:
        v, (K,).
    """
    trace = np.trace(products)
    if trace <= 0:
        return vector
    root = square_root(torch.from_numpy(products / trace))[0].numpy().T
    if regularization:
        root = np.vstack([root, np.sqrt(regularization) * np.eye(len(vector))])
    return vector + nnls(root, -root @ vector)[0]  # type: ignore[no-any-return]  # untyped library


class NonNegativeProjector(DualConeProjector):
    """TorchJD's interface to `lift`; takes the place of its projector on quadprog.

    Args:
        regularization: As in `lift`.
    """

    def __init__(self, regularization: float = 0.0) -> None:
        self.regularization = regularization

    def __call__(self, U: Tensor, G: Tensor) -> Tensor:  # noqa: N803 - the library's names
        """Weights of the projections of the rows of U, of the same shape."""
        products = G.detach().cpu().double().numpy()
        rows = U.detach().cpu().double().reshape(-1, len(products)).numpy()
        lifted = np.stack([lift(products, row, self.regularization) for row in rows])
        return torch.from_numpy(lifted).reshape(U.shape).to(G)


def shortest(columns: np.ndarray) -> np.ndarray:
    """Weights a of the shortest convex combination: min |A a|² over a >= 0, Σ a = 1.

    Non-negative least squares on A and one more row of ones: where the sum of the solution is s, its optimality
    conditions are those of the simplex for a/s.

    Args:
        columns: A, (r, K).

    Returns:
        a, (K,).
    """
    scale = np.linalg.norm(columns, axis=0).max() or 1.0
    rows = np.vstack([columns / scale, np.ones(columns.shape[1])])
    target = np.zeros(len(rows))
    target[-1] = 1.0
    weights = nnls(rows, target)[0]
    return weights / weights.sum()  # type: ignore[no-any-return]  # untyped library


class MinimumNorm(Weighting):
    """Weights of the shortest convex combination of the gradients (K,), from their Gramian (K, K)."""

    def forward(self, products: Tensor, /) -> Tensor:
        """Weights (K,)."""
        return torch.from_numpy(shortest(square_root(products)[0].numpy().T)).to(products)
