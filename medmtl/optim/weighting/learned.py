"""The frame of methods whose weights hang on learned numbers: closed-form slopes and an ordinary optimizer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from medmtl.optim.base import OptimizerFactory, Problem
from medmtl.optim.checks import check_number
from medmtl.optim.weighting.frame import LossWeighting

Scalars = dict[str, nn.Parameter]
"""Learned numbers by name, most often one a task: float64 on the CPU."""


class LearnedWeighting(LossWeighting):
    """Weights from learned numbers, which an optimizer of the run's own kind steps beside the network.

    A new method names its first values, its weights and the slope of its objective along each number. A number
    without a slope in a step, such as that of an absent task, stays as it is, and so does its optimizer state.
    """

    label: ClassVar[str]
    """What the numbers are, for the names of parameters."""

    learning_rate: float | None = None
    """Learning rate of the numbers; that of the network when None."""

    @abstractmethod
    def _first_values(self, tasks: tuple[str, ...]) -> dict[str, float]:
        """The numbers at the start; none for a variant that learns nothing."""

    @abstractmethod
    def _slopes(self, means: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
        """The derivative of the objective along the numbers that take part in this step."""

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.scalars = make_scalars(self._first_values(problem.tasks))
        network = super()._build(problem, optimizer_factory)
        own = scalar_optimizer(self.label, self.scalars, optimizer_factory, self.learning_rate)
        return [*network, *own]

    def _prepare(self, means: Mapping[str, float], weights: Mapping[str, float]) -> None:
        set_slopes(self.scalars, self._slopes(means, weights))

    def _own_state(self) -> dict[str, Any]:
        return {"scalars": scalar_state(self.scalars)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        load_scalars(self.scalars, state["scalars"])


def make_scalars(values: Mapping[str, float]) -> Scalars:
    """Learned numbers with their first values."""
    return {name: nn.Parameter(torch.tensor(value, dtype=torch.float64)) for name, value in values.items()}


def scalar_optimizer(
    label: str, scalars: Scalars, optimizer_factory: OptimizerFactory, learning_rate: float | None
) -> list[Optimizer]:
    """An optimizer of the run's kind for the numbers, without decay; none for no numbers.

    Args:
        label: First part of the parameters' names.
        scalars: The numbers.
        optimizer_factory: Makes an ordinary optimizer from named parameters.
        learning_rate: Their learning rate; None keeps the factory's.
    """
    if not scalars:
        return []
    optimizer = optimizer_factory([(f"{label}.{name}", scalar) for name, scalar in scalars.items()])
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0  # decay would pull every number towards zero, whatever the losses say
        group["lr"] = learning_rate or group["lr"]
    return [optimizer]


def check_learning_rate(where: str, value: float | None) -> None:
    """Accepts a positive number, or None for the network's rate.

    Raises:
        ConfigError: Anything else.
    """
    if value is not None:
        check_number(where, value, above=0.0)


def check_exponent(where: str, value: object) -> None:
    """Accepts a number from -50 to 50: its exponential is a weight, and further out updates overflow or do nothing.

    Raises:
        ConfigError: Anything else.
    """
    check_number(where, value, least=-50.0, most=50.0)


def set_slopes(scalars: Scalars, slopes: Mapping[str, float]) -> None:
    """Sets the gradients of the numbers; those without a slope get none."""
    for name, scalar in scalars.items():
        scalar.grad = torch.tensor(slopes[name], dtype=scalar.dtype) if name in slopes else None


def values_of(scalars: Scalars) -> dict[str, float]:
    """The numbers as they are now."""
    return {name: float(scalar.detach()) for name, scalar in scalars.items()}


def scalar_state(scalars: Scalars) -> dict[str, Tensor]:
    """Copies of the numbers, to be saved."""
    return {name: scalar.detach().clone() for name, scalar in scalars.items()}


def load_scalars(scalars: Scalars, saved: Mapping[str, Tensor]) -> None:
    """Takes saved numbers up again."""
    with torch.no_grad():
        for name, scalar in scalars.items():
            scalar.copy_(saved[name])
