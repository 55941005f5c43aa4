"""A sample without a label changes nothing for that task, and a task may be absent from a batch."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from medmtl.data.loading import Batch
from medmtl.optim import Services, make_method
from medmtl.training.problem import build_problem, compile_network
from medmtl.training.schedule import adamw_factory
from medmtl.workflows.setup import Setup

TASKS = ("vessels", "referable", "lesions")
UNKNOWN = {"vessels": 255, "referable": float("nan"), "lesions": float("nan")}


@pytest.fixture
def setup(small_config):
    return Setup(small_config())


def a_batch(setup):
    generator = torch.Generator().manual_seed(0)
    targets = {
        "vessels": torch.randint(0, 2, (4, 1, 64, 64), generator=generator, dtype=torch.uint8),
        "referable": torch.tensor([[0.0], [1.0], [1.0], [0.0]]),
        "lesions": torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, float("nan")], [0.0, 0.0]]),
    }
    image = torch.rand(4, 3, 64, 64, generator=generator)
    field = torch.ones(4, 1, 64, 64, dtype=torch.uint8)
    return Batch("field", image, field, targets, torch.zeros(4, 6), torch.arange(4))


def without(batch, task, rows):
    target = batch.targets[task].clone()
    target[rows] = UNKNOWN[task]
    return replace(batch, targets={**batch.targets, task: target})


def only(batch, rows):
    targets = {name: value[rows] for name, value in batch.targets.items()}
    return Batch("field", batch.image[rows], batch.field[rows], targets, batch.geometry[rows], batch.index[rows])


def loss_and_gradients(setup, batch, task):
    network = setup.network().eval()  # batch norm would let samples see each other
    problem = build_problem(network, setup.tasks, precision="fp32", compiled=False)
    assert problem.counts([batch], TASKS)[task] == problem.losses([batch], TASKS, "frozen")[task].count
    loss = problem.losses([batch], TASKS, "frozen")[task]
    loss.sum.backward()
    return loss, {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("task", TASKS)
def test_an_unlabelled_sample_is_as_if_it_were_not_there(task, setup):
    batch = a_batch(setup)
    first, gradients = loss_and_gradients(setup, without(batch, task, [1, 3]), task)
    second, expected = loss_and_gradients(setup, only(batch, [0, 2]), task)
    assert first.count == second.count == 2
    assert first.sum.item() == pytest.approx(second.sum.item(), rel=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", ["equal", "uw", "pcgrad", "famo", "mao"])
def test_a_batch_without_a_task_moves_nothing_of_it(method, setup):
    network = setup.network()
    problem = build_problem(network, setup.tasks, precision="fp32", compiled=False)
    chosen = make_method(method)
    chosen.build(problem, adamw_factory(setup.config.training))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    report = chosen.update([[without(a_batch(setup), "referable", [0, 1, 2, 3])]], Services(problem))
    assert set(report.losses) == {"vessels", "lesions"}
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert not any(name.startswith("heads.referable") for name in moved)


def test_a_batch_without_any_label_is_skipped(setup):
    network = setup.network()
    problem = build_problem(network, setup.tasks, precision="fp32", compiled=False)
    chosen = make_method("equal")
    chosen.build(problem, adamw_factory(setup.config.training))
    batch = a_batch(setup)
    for task in TASKS:
        batch = without(batch, task, [0, 1, 2, 3])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert chosen.update([[batch]], Services(problem)).skipped
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_takes_several_backward_passes():
    torch.manual_seed(0)
    blocks = [[torch.nn.Conv2d(3 if n == 0 else 8, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU()] for n in range(3)]
    network = torch.nn.Sequential(*(layer for block in blocks for layer in block))
    images, parameters = torch.rand(2, 3, 16, 16), list(network.parameters())

    def rows(forward):
        maps = forward(images)
        losses = [maps[:, 0].square().mean(), maps[:, 1].mean(), maps.mean()]
        return [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]

    compiled = compile_network(network)
    torch.autograd.grad(compiled(images).sum(), parameters)  # one task alone: PyTorch compiles for a single pass
    for _ in range(2):
        for ours, theirs in zip(rows(compiled), rows(network), strict=True):
            for one, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(one, other)
