"""Weights that never change: the plain sum, and factors chosen by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch.optim import Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.base import OptimizerFactory, Problem
from medmtl.optim.method import methods
from medmtl.optim.weighting.frame import LossWeighting, check_flag, check_numbers, check_tasks, weighting_info


@methods.register("equal")
class Equal(LossWeighting):
    """The plain sum of the mean losses; with one task, ordinary single-task training."""

    info = weighting_info("equal", paper="-", evidence="definition")

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        return dict.fromkeys(tasks, 1.0)


@methods.register("fixed")
class FixedWeights(LossWeighting):
    """Scalarization: the sum of the mean losses with factors chosen by hand, Σ w_k L_k.

    A grid of such factors is the strong baseline of every other method; tune the learning rate with it, because a
    common factor of all tasks acts like one. A task of factor 0 is not trained: it has no part in the backward pass, and
    what it alone reaches gets neither gradient nor decay. Its loss is still reported, so that its part of the network
    runs, and batch norm there takes its statistics.

    Args:
        weights: The factor >= 0 of every task, by name, not all zero; 1 for all when left out.
        normalize: Divide the factors of the present tasks by their sum, so that they sum to 1 in every step, also
            where labels are missing; else they are taken as they are (the default).
    """

    info = weighting_info("fixed", paper="-", evidence="definition")

    def __init__(self, *, weights: dict[str, float] | None = None, normalize: bool = False) -> None:
        check_numbers("fixed.weights", weights, least=0.0)
        if weights is not None and not any(weights.values()):
            raise ConfigError("no task is trained", where="fixed.weights", remedy="give at least one factor > 0")
        check_flag("fixed.normalize", normalize)
        self.factors = None if weights is None else {task: float(factor) for task, factor in weights.items()}
        self.normalize = normalize

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        check_tasks("fixed.weights", self.factors, problem.tasks)
        return super()._build(problem, optimizer_factory)

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        factors = self.factors or dict.fromkeys(tasks, 1.0)
        return fixed_weights({task: factors[task] for task in tasks}, normalize=self.normalize)

    def _trained(self, weights: Mapping[str, float]) -> Mapping[str, float]:
        return {task: weight for task, weight in weights.items() if weight}


def fixed_weights(factors: Mapping[str, float], *, normalize: bool) -> dict[str, float]:
    """The factors of the present tasks, divided by their sum if wanted; factors that are all zero stay zero."""
    total = math.fsum(factors.values()) if normalize else 1.0
    return {task: factor / (total or 1.0) for task, factor in factors.items()}
