"""The rise of a loss under perturbed features, against closed forms."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from optim_toys import Split, assert_same, batch_of, weights_of
from torch import Tensor, nn

from medmtl.optim import Flatness, TaskLoss, rise_of


class Quadratic:
    """Lends what it is given; the loss of a task is half the squared norm of the others' features, a sample."""

    tasks = ("a", "b", "c")

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def encode(self, batch: Any, task: str, buffers: str = "update") -> Tensor:
        return batch[task] * self.weight

    def lend(self, batch: Any, task: str) -> Tensor:
        return batch[task]

    def predict(self, batch: Any, task: str, own: Tensor, others: Any, buffers: str = "update") -> TaskLoss:
        each = sum(z.square().sum(1) for z in others.values()) / 2 + own.square().sum(1)
        return TaskLoss(each.sum(), len(each) if task in batch["labelled"] else 0)


def features(seed: int = 0, labelled: tuple[str, ...] = ("a", "b", "c")) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    drawn = {task: torch.randn(5, 7, generator=generator, dtype=torch.float64) for task in Quadratic.tasks}
    return {**drawn, "labelled": labelled}


def lent_energy(batch: dict[str, Any], task: str) -> float:
    return sum(float(batch[other].square().sum(1).mean()) for other in Quadratic.tasks if other != task) / 2


@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_noise_on_a_quadratic_raises_it_by_the_squared_radius(radius: float) -> None:
    """E[(z + r rms(z) u)²] / 2 - z² / 2 = r² |z|² / 2 for u of unit variance: the odd term vanishes."""
    batch = features()
    found = rise_of(Quadratic(), batch, "b", Flatness("gaussian", radius, draws=400, antithetic=True))
    assert found is not None
    assert found.rise == pytest.approx(radius**2 * lent_energy(batch, "b"), rel=0.05)
    assert found.loss == pytest.approx(lent_energy(batch, "b") + float(batch["b"].square().sum(1).mean()))


def test_the_worst_direction_of_one_lender_makes_it_longer() -> None:
    """With one lender the ascent is along z itself: |(1 + r) z|² / 2 - |z|² / 2."""
    problem, batch = Quadratic(), features()
    problem.tasks = ("a", "b")
    found = rise_of(problem, batch, "b", Flatness("ascent", 0.3))
    assert found is not None
    assert found.rise == pytest.approx((1.3**2 - 1) * float(batch["a"].square().sum(1).mean()) / 2)


def test_no_label_no_rise() -> None:
    assert rise_of(Quadratic(), features(labelled=("a",)), "b", Flatness("gaussian", 0.1)) is None


@pytest.mark.parametrize("kind", ["gaussian", "ascent"])
def test_looking_moves_nothing_and_is_the_same_twice(kind: str) -> None:
    problem, batch = Split(), batch_of(4)
    before, state = deepcopy(weights_of(problem)), torch.random.get_rng_state()
    first = rise_of(problem, batch, "a", Flatness(kind, 0.2), number=3)
    assert first == rise_of(problem, batch, "a", Flatness(kind, 0.2), number=3)
    assert_same(weights_of(problem), before, 0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(parameter.grad is None for task in problem.tasks for _, parameter in problem.parameters_of(task))
    if kind == "gaussian":
        assert first != rise_of(problem, batch, "a", Flatness(kind, 0.2), number=4)
