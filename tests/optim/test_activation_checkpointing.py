"""Activations that are computed again in the backward pass: the same update, for every method."""

from __future__ import annotations

import pytest
import torch
from optim_toys import EVERY, TASKS, Shared, assert_same, batch_of, built, problem_for, rows_of, run, weights_of
from torch import nn
from torch.utils.checkpoint import checkpoint

from medmtl.errors import TrainingError
from medmtl.optim import Services, methods

PARTIAL = {"a": [0, 3], "b": [0, 1, 2], "c": [4]}


class Checkpointed(nn.Sequential):
    """The layers of a trunk without keeping their activations."""

    reentrant = False

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.runs = 0

    def _layers(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return super().forward(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inputs = x.requires_grad_() if self.reentrant else x
        return checkpoint(self._layers, inputs, use_reentrant=self.reentrant)


def checkpointed(name: str, norm: str = "group"):
    """The toy of a method with every trunk checkpointed."""
    problem = problem_for(name, norm=norm)
    if methods.get(name).info.needs_split:
        for task in TASKS:
            problem.encoders[task] = Checkpointed(*problem.encoders[task])
    else:
        problem.trunk = Checkpointed(*problem.trunk)
    return problem


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("micro", [1, 2])
def test_the_update_is_the_same(name: str, micro: int) -> None:
    kept, again = problem_for(name), checkpointed(name)
    windows = []
    for seed in range(5):
        batch = batch_of(seed=seed, missing=PARTIAL)
        windows.append([batch] if micro == 1 else [rows_of(batch, 0, 3), rows_of(batch, 3, 6)])
    run(name, kept, windows)
    run(name, again, windows)
    assert_same(weights_of(kept), weights_of(again), 1e-12)


@pytest.mark.parametrize(("name", "backwards"), [("equal", 1), ("mao", 3), ("pcgrad", 3), ("mgda_ub", 1)])
def test_it_runs_again_in_every_backward_pass(name: str, backwards: int) -> None:
    problem = checkpointed(name)
    run(name, problem, [[batch_of()]])
    assert problem.trunk.runs == 1 + backwards


@pytest.mark.parametrize("name", ["equal", "mao", "pcgrad", "mgda_ub", "famo"])
def test_with_batch_norm_the_weights_are_the_same_and_running_statistics_are_not(name: str) -> None:
    """PyTorch's recomputation moves running statistics again: docs/balancing.md says so."""
    kept, again = problem_for(name, norm="batch"), checkpointed(name, norm="batch")
    for problem in (kept, again):
        run(name, problem, [[batch_of(seed=seed)] for seed in range(3)])
    first, second = weights_of(kept), weights_of(again)
    buffers = {key for key in first if "running" in key or "num_batches" in key}
    assert_same(*({k: v for k, v in found.items() if k not in buffers} for found in (first, second)), 1e-12)
    assert any(not torch.equal(first[key], second[key]) for key in buffers)


@pytest.mark.parametrize("name", ["mao", "pcgrad"])
def test_the_old_form_of_checkpointing_is_refused_in_one_line(name: str) -> None:
    problem = checkpointed(name)
    problem.trunk.reentrant = True
    with pytest.raises(TrainingError, match=r"checkpoint.*use_reentrant=False"):
        built(name, problem).update([batch_of()], Services(problem))


def test_the_old_form_serves_methods_with_one_ordinary_backward_pass() -> None:
    kept, again = Shared(), checkpointed("equal")
    again.trunk.reentrant = True
    for problem in (kept, again):
        run("equal", problem, [[batch_of()]] * 3)
    assert_same(weights_of(kept), weights_of(again), 1e-12)
