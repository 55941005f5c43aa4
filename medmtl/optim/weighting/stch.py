"""Smooth Tchebycheff scalarization: a smooth maximum of the weighted losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.base import OptimizerFactory, Problem
from medmtl.optim.checks import check_finite, check_number
from medmtl.optim.method import methods
from medmtl.optim.weighting.frame import (
    MEASURED,
    LossWeighting,
    check_losses,
    check_numbers,
    check_tasks,
    softmax,
    weighting_info,
)


@methods.register("stch")
class SmoothTchebycheff(LossWeighting):
    """STCH: μ log Σ exp(λ_k (L_k - z*_k) / μ), a smooth form of the largest λ_k (L_k - z*_k).

    Its gradient has the weights λ_k softmax_k(λ (L - z*) / μ). A small μ trains the worst task only, a large one
    tends to the λ-weighted mean loss over K.

    With `warmup_epochs` it is the form of the authors' multi-task code: the losses are compared with their mean in
    epoch number `warmup_epochs` (from 0), l_k = log(L_k / that mean). Up to the end of that epoch Σ log L_k is
    minimized (weights 1/L_k), then K μ log Σ exp(l_k / μ), with weights K softmax_k(l / μ) / L_k: invariant to
    constant factors on the losses. A task that first appears later waits at l = 0 for the end of its first
    epoch. A loop outside this package must call `end_epoch`. Losses must be positive in this form.

    Args:
        mu: Smoothing μ > 0, in units of λ L; without unit in the warm-up form. 1 by default, as in LibMTL.
        weights: The preferences λ_k > 0 of every task, by name; one over the number of present tasks when left out.
        ideal: The ideal losses z*_k of every task, by name; 0 for all when left out.
        warmup_epochs: Chooses the warm-up form, a whole number >= 0 (4 in LibMTL); off by default. It has
            neither `weights` nor `ideal`.
    """

    info = weighting_info(
        "stch",
        paper="Lin et al.: Smooth Tchebycheff Scalarization, ICML 2024, arXiv 2402.19078",
        evidence="library (TorchJD; the warm-up form: the authors' code and LibMTL)",
        state="epoch and reference losses of the warm-up form",
        extra_memory="K numbers",
        extra_forwards=MEASURED,
    )
    measures = True

    def __init__(
        self,
        *,
        mu: float = 1.0,
        weights: dict[str, float] | None = None,
        ideal: dict[str, float] | None = None,
        warmup_epochs: int | None = None,
    ) -> None:
        check_number("stch.mu", mu, above=0.0)
        check_numbers("stch.weights", weights, above=0.0)
        check_numbers("stch.ideal", ideal)
        if warmup_epochs is not None:
            check_number("stch.warmup_epochs", warmup_epochs, least=0, whole=True)
            if weights is not None or ideal is not None:
                raise ConfigError(
                    "the warm-up form has neither weights nor ideal", where="stch.warmup_epochs", remedy="leave one out"
                )
            self.accepts = "positive"
        self.mu = float(mu)
        self.preferences = weights
        self.ideal = ideal
        self.warmup_epochs = warmup_epochs
        self._epoch = 0
        self._reference: dict[str, float] = {}

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Hears the mean training losses of an epoch; the warm-up form takes its reference from one of them.

        Args:
            losses: Mean loss of each task that had labels.

        Raises:
            TrainingError: A loss that the warm-up form cannot use; names the task, and nothing is changed.
        """
        known = {task: float(loss) for task, loss in losses.items() if task in self.tasks}
        check_finite(known)
        check_losses(self.info.name, known, self.accepts)
        if self.warmup_epochs is not None and self._epoch >= self.warmup_epochs:
            self._reference = {**known, **self._reference}
        self._epoch += 1

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        check_tasks("stch.weights", self.preferences, problem.tasks)
        check_tasks("stch.ideal", self.ideal, problem.tasks)
        return super()._build(problem, optimizer_factory)

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        if self.warmup_epochs is None:
            preferences = self.preferences or dict.fromkeys(tasks, 1 / len(tasks))
            return tchebycheff_weights(means, preferences, self.ideal or {}, self.mu)
        if self._epoch <= self.warmup_epochs:
            return {task: 1 / mean for task, mean in means.items()}
        return log_tchebycheff_weights(means, self._reference, self.mu)

    def _own_state(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "reference": dict(self._reference)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._epoch = int(state["epoch"])
        self._reference = dict(state["reference"])


def tchebycheff_weights(
    means: Mapping[str, float], preferences: Mapping[str, float], ideal: Mapping[str, float], mu: float
) -> dict[str, float]:
    """The gradient of μ log Σ exp(λ (L - z*) / μ) along each loss; the maximum goes first, so nothing overflows."""
    heights = {task: preferences[task] * (mean - ideal.get(task, 0.0)) for task, mean in means.items()}
    peak = max(heights.values())
    shares = softmax({task: (height - peak) / mu for task, height in heights.items()})
    return {task: preferences[task] * share for task, share in shares.items()}


def log_tchebycheff_weights(means: Mapping[str, float], reference: Mapping[str, float], mu: float) -> dict[str, float]:
    """The gradient of K μ log Σ (L / reference)^(1/μ) along each loss; without a reference the ratio is 1."""
    heights = {task: math.log(mean / reference.get(task, mean)) for task, mean in means.items()}
    shares = tchebycheff_weights(heights, dict.fromkeys(heights, 1.0), {}, mu)
    return {task: len(shares) * share / means[task] for task, share in shares.items()}
