"""The bargaining problem G a = 1/a of Nash-MTL: solved exactly, or by the library's convex-concave procedure."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchjd.aggregation import NashMTL, Weighting

from medmtl.errors import DependencyError
from medmtl.optim.aggregation.square_root import square_root

RIDGE = 1e-12
"""Share of the diagonal that is added to it: gradients that cancel have no finite solution without it."""


def bargain(products: np.ndarray, iterations: int = 100) -> np.ndarray:
    """Solves G a = 1/a for a > 0.

    This is where the strictly convex ½ aᵀ G a - Σ log a has no slope; it is self-concordant, so that damped Newton
    steps converge from anywhere.

    Args:
        products: Gramian G, (K, K), with a positive diagonal.
        iterations: Bound of the number of steps; about ten are needed.

    Returns:
        a, (K,).
    """
    gram = products + RIDGE * np.diag(np.diag(products))
    a = 1 / np.sqrt(np.diag(products))
    for _ in range(iterations):
        slope = gram @ a - 1 / a
        step = np.linalg.solve(gram + np.diag(a**-2.0), slope)
        decrement = max(float(slope @ step), 0.0) ** 0.5
        a = a - step / (1 + decrement if decrement > 0.25 else 1.0)
        if decrement < 1e-12:
            break
    return a


class Bargaining(Weighting):
    """Weights of Nash-MTL, kept by task between solutions.

    Args:
        max_norm: Largest norm of the direction; 0 for no bound.
        every: The weights are solved anew every so many updates, and whenever a task is new.
        solver: ``newton`` or ``ecos``.
        iterations: Bound of the iterations of the convex-concave procedure (``ecos`` alone).

    Attributes:
        alpha: The last weights of the present tasks (K,).
        age: Updates since these were solved (K,); 0 is never.
    """

    def __init__(self, max_norm: float, every: int, solver: str, iterations: int) -> None:
        super().__init__()
        self.max_norm = max_norm
        self.every = every
        self.solver = solver
        self.iterations = iterations
        self._games: dict[int, Any] = {}
        self.alpha = torch.ones(0)
        self.age = torch.zeros(0)
        if solver == "ecos":
            self._game(2)  # so that a missing solver is told before training

    def forward(self, products: Tensor, /) -> Tensor:
        """Weights (K,) from the Gramian (K, K)."""
        if bool((self.age % self.every == 0).any()):
            self.alpha = self._solve(products)
            self.age = torch.zeros_like(self.age)
        self.age = self.age + 1
        norm = float((self.alpha @ products @ self.alpha).clamp(min=0).sqrt())
        return self.alpha * (self.max_norm / norm) if 0 < self.max_norm < norm else self.alpha

    def _solve(self, products: Tensor) -> Tensor:
        if self.solver == "newton":
            scale = products.norm()
            exact: Tensor = torch.from_numpy(bargain((products / scale).numpy())) / scale.sqrt()
            return exact
        game = self._game(len(products))
        game.weighting.prvs_alpha = self.alpha.numpy()
        return game.weighting(square_root(products)[0])  # type: ignore[no-any-return]  # untyped library

    def _game(self, tasks: int) -> Any:
        """The library's problem for so many tasks, made once."""
        if tasks not in self._games:
            try:
                self._games[tasks] = NashMTL(tasks, max_norm=0.0, optim_niter=self.iterations)
            except ImportError as error:
                remedy = "pip install 'medmtl[nash]' (ecos is under the GPL), or leave solver at newton"
                raise DependencyError("a package is missing", where="nash_mtl.solver", remedy=remedy) from error
        return self._games[tasks]
