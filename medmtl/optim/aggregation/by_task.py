"""TorchJD's stateful weightings with their state lent by the method, which keeps it by task.

The library forgets everything when the number of rows changes; here, that number follows the labels of a batch. Each
class replaces the check of the state's shape and no rule.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchjd.aggregation import (
    CRMOGMWeighting,
    GradVacWeighting,
    MoDoWeighting,
    PCDWeighting,
    SDMGradWeighting,
)
from torchjd.aggregation._utils.simplex import project_onto_simplex


class VaccineByTask(GradVacWeighting):
    """GradVac with a target cosine for each ordered pair of tasks."""

    def _ensure_state(self, m: int, dtype: torch.dtype) -> None:
        return


class MoDoByTask(MoDoWeighting):
    """MoDo; the kept weights of the present tasks are projected onto their simplex first."""

    _lambda: Tensor

    def _ensure_state(self, matrix: Tensor) -> None:
        self._lambda = project_onto_simplex(self._lambda)


class SDMGradByTask(SDMGradWeighting):
    """SDMGrad; the kept weights of the present tasks are projected onto their simplex first."""

    _w: Tensor

    def _ensure_state(self, matrix: Tensor) -> None:
        self._w = project_onto_simplex(self._w)


class PriorityByTask(PCDWeighting):
    """PCD with a step counter for each task, so that a moving average that rested is still unbiased."""

    _n_steps: Tensor
    _sq_norm_ema: Tensor

    def _update_scales(self, sq_norms: Tensor) -> Tensor:
        self._n_steps = self._n_steps + 1
        self._sq_norm_ema = self.beta * self._sq_norm_ema + (1.0 - self.beta) * sq_norms
        roots = (self._sq_norm_ema / (1.0 - self.beta**self._n_steps) + self.eps).sqrt()
        return torch.where(roots > 0, 1.0 / roots, 0.0)


class SmoothedByTask(CRMOGMWeighting):
    """CR-MOGM; a task that was never seen (NaN) starts at its first weight.

    Args:
        weighting: What is smoothed.
        alpha: Share of the former weights.
    """

    def __init__(self, weighting: Any, alpha: float) -> None:
        super().__init__(weighting, alpha=alpha)

    def _ensure_state(self, lambda_hat: Tensor) -> Tensor:
        return torch.where(self._lambda.isnan(), lambda_hat, self._lambda)
