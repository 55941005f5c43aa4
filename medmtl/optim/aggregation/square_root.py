"""Rules that want the gradients themselves, but do not care how these are turned: a root of the Gramian serves them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchjd.aggregation import Weighting

RELATIVE_NOISE = 1e-14
"""Eigenvalues of a float64 Gramian below this share of the largest one, times K, are rounding."""


def square_root(products: Tensor) -> tuple[Tensor, Tensor]:
    """Factors a Gramian.

    Args:
        products: Symmetric positive semi-definite (K, K) matrix G.

    Returns:
        R (K, r) with R Rᵀ = G, of full column rank r, and B (K, r) with Rᵀ B = 1: the weights B d give the direction
        whose image is d.
    """
    values, vectors = torch.linalg.eigh(products)
    keep = values > values[-1] * len(values) * RELATIVE_NOISE
    roots, basis = values[keep].sqrt(), vectors[:, keep]
    return basis * roots, basis / roots


class OnRoot(Weighting):
    """Weights of an aggregator that commutes with rotations of parameter space.

    The rows of R differ from the gradients by a rotation only, so R (K numbers a row) stands for them.

    Args:
        aggregator: TorchJD's aggregator of a (K, P) matrix.
    """

    def __init__(self, aggregator: Any) -> None:
        super().__init__()
        self.aggregator = aggregator

    @property
    def pref_vector(self) -> Tensor | None:
        """The aggregator's own preference vector."""
        return self.aggregator.pref_vector  # type: ignore[no-any-return]

    @pref_vector.setter
    def pref_vector(self, value: Tensor | None) -> None:
        self.aggregator.pref_vector = value

    def forward(self, products: Tensor, /) -> Tensor:
        """Weights (K,) from the Gramian (K, K)."""
        root, back = square_root(products)
        direction: Tensor = self.aggregator(root)
        return back @ direction
