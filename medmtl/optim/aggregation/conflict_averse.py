"""The problem of CAGrad: solved exactly by shortest vectors, or by the library with a cone solver."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor
from torchjd.aggregation import CAGradWeighting, Weighting

from medmtl.optim.aggregation.dual_cone import shortest
from medmtl.optim.aggregation.square_root import square_root


def averse(products: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Minimizes ⟨g_w, g_0⟩ + r |g_w| over the simplex, g_w = Σ w_k g_k, g_0 the mean.

    r |g_w| is the least r (|g_w|²/t + t)/2 over t > 0. For a fixed t what is left is ½ |g_w + τ g_0|² r/t but for a
    constant, τ = t/r: the shortest vector among the weighted means of g_k + τ g_0. The whole is convex in (w, t), so
    the one root of |g_w(τ)| = r τ is found by bracketing.

    Args:
        products: Gramian G, (K, K).
        radius: r > 0.

    Returns:
        w (K,) and |g_w|.
    """
    root = square_root(torch.from_numpy(products))[0].numpy()
    center = root.mean(0)

    def weights(shift: float) -> np.ndarray:
        return shortest((root + shift * center).T)

    def gap(shift: float) -> float:
        return float(np.linalg.norm(weights(shift) @ root)) - radius * shift

    high = float(np.linalg.norm(root, axis=1).max()) / radius
    best = weights(brentq(gap, 0.0, 2 * high, xtol=1e-15 * high, rtol=1e-14) if gap(0.0) > 0 else 0.0)
    return best, float(np.linalg.norm(best @ root))


class ExactlyConflictAverse(Weighting):
    """Weights of CAGrad: 1/K + r/|g_w| w, with r = c |g_0|.

    Args:
        c: Radius relative to the mean gradient.
        norm_eps: Where |g_w| is smaller, all weights are 0.
    """

    def __init__(self, c: float, norm_eps: float) -> None:
        super().__init__()
        self.c = c
        self.norm_eps = norm_eps

    def forward(self, products: Tensor, /) -> Tensor:
        """Weights (K,) from the Gramian (K, K) with trace 1."""
        radius = self.c * float(products.mean().clamp(min=0).sqrt())
        mean = torch.full_like(products[0], 1 / len(products))
        if radius == 0:
            return mean
        weights, norm = averse(products.numpy(), radius)
        if norm < self.norm_eps:
            return torch.zeros_like(mean)
        return mean + radius / norm * torch.from_numpy(weights)


class ConeSolver(CAGradWeighting):
    """The library's weighting; a solver that gives up raises an `ArithmeticError`."""

    def forward(self, gramian: Tensor, /) -> Tensor:
        """Weights (K,) from the Gramian (K, K)."""
        from cvxpy.error import SolverError

        try:
            weights: Tensor = super().forward(gramian)
        except SolverError as error:
            raise ArithmeticError(str(error)) from error
        return weights
