"""A plain module with a loss a task: labels are masked, methods run on it, nothing else of medmtl is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import Method, PlainProblem, Problem, Services, known_rows, make_method, methods

NAN = float("nan")
RUNNABLE = [
    name for name in methods if not (methods.get(name).info.needs_split or methods.get(name).info.needs_features)
]


class Two(nn.Module):
    """A trunk with batch norm and two heads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(4, 2)})
        self.double()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        return {name: head(features) for name, head in self.heads.items()}


def square(output: Tensor, label: Tensor) -> Tensor:
    return (output - label) ** 2


def entropy(output: Tensor, label: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, label, reduction="none")


LOSSES = {"a": square, "b": entropy}


def adamw(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for _, p in named], lr=1e-2)


def batch(samples: int = 6) -> tuple[Tensor, dict[str, Tensor]]:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(samples, 3, generator=random, dtype=torch.float64)
    return x, {"a": x[:, :1].clone(), "b": (x[:, 1] > 0).long()}


def built(problem: Problem, name: str, **arguments: object) -> Method:
    method = make_method(name, **arguments)
    method.build(problem, adamw)
    return method


def test_losses_are_sums_of_sample_losses_and_counts() -> None:
    problem = PlainProblem(Two(), LOSSES)
    found = problem.losses(batch(), problem.tasks, "update")
    assert problem.tasks == ("a", "b")
    assert (
        {task: loss.count for task, loss in found.items()} == problem.counts(batch(), problem.tasks) == {"a": 6, "b": 6}
    )
    x, labels = batch()
    torch.testing.assert_close(found["a"].sum, square(Two()(x)["a"], labels["a"]).sum())


def test_a_sample_without_label_changes_nothing_for_its_task() -> None:
    """As if the row was not there, gradients included, though the loss of a NaN is NaN."""
    network = Two().eval()
    problem = PlainProblem(network, LOSSES)
    x, labels = batch()
    holes = {"a": labels["a"].clone(), "b": labels["b"].clone()}
    holes["a"][2:], holes["b"][:4] = NAN, -1
    losses = problem.losses((x, holes), problem.tasks, "update")
    assert {task: loss.count for task, loss in losses.items()} == {"a": 2, "b": 2}
    (losses["a"].sum + losses["b"].sum).backward()
    found = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    outputs = network(x)
    (square(outputs["a"][:2], labels["a"][:2]).sum() + entropy(outputs["b"][4:], labels["b"][4:]).sum()).backward()
    torch.testing.assert_close(found, [p.grad for p in network.parameters()])


@pytest.mark.parametrize("labels", [{"a": None}, {}, {"a": torch.full((6, 1), NAN)}])
def test_a_task_without_labels_is_absent(labels: dict[str, Tensor | None]) -> None:
    x, known = batch()
    problem = PlainProblem(Two(), LOSSES)
    given = (x, {**labels, "b": known["b"]})
    assert set(problem.losses(given, problem.tasks, "update")) == {"b"}
    assert built(problem, "equal").update([given], Services(problem)).counts == {"b": 6}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (torch.tensor([1.0, NAN]), [True, False]),
        (torch.tensor([[1.0, NAN], [0.0, 1.0]]), [False, True]),
        (torch.tensor([0, -1, -100]), [True, False, False]),
        (torch.tensor([False, True]), [True, True]),
        (torch.zeros(0), []),
    ],
)
def test_known_rows(labels: Tensor, expected: list[bool]) -> None:
    assert known_rows(labels).tolist() == expected


def test_frozen_buffers_stay_bit_for_bit() -> None:
    network = Two()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    problem = PlainProblem(network, LOSSES)
    problem.losses(batch(), problem.tasks, "frozen")
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    problem.losses(batch(), problem.tasks, "update")
    assert not torch.equal(network.trunk[1].running_mean, before["trunk.1.running_mean"])


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_method_that_needs_no_special_network_runs_on_it(name: str) -> None:
    problem = PlainProblem(Two(), LOSSES)
    method, services = built(problem, name), Services(problem)
    before = [p.detach().clone() for p in problem.module.parameters()]
    reports = [method.update([batch()], services) for _ in range(2)]
    assert not any(report.skipped for report in reports)
    assert any(not torch.equal(p, old) for p, old in zip(problem.module.parameters(), before, strict=True))


def test_other_batches_can_be_read() -> None:
    network = Two()
    problem = PlainProblem(
        network,
        LOSSES,
        forward=lambda item: network(item["image"]),
        labels=lambda item: item["truth"],
        known=lambda values: values.reshape(len(values), -1)[:, 0] != 99,
    )
    x, labels = batch()
    labels["b"][0] = 99
    assert problem.counts({"image": x, "truth": labels}, problem.tasks) == {"a": 6, "b": 5}
    assert problem.losses({"image": x, "truth": labels}, ("b",), "update")["b"].count == 5


@pytest.mark.parametrize(
    ("losses", "labels", "words"),
    [
        (
            {"a": lambda o, y: square(o, y).mean()},
            {},
            r"task 'a': the loss is not one a sample: use reduction=\"none\"",
        ),
        ({"c": square}, {"c": torch.zeros(6)}, r"task 'c': the network has no output for it; found outputs a, b"),
        (
            {"a": square},
            {"a": torch.zeros(5, 1)},
            r"task 'a': outputs and labels differ in length; found outputs 6, labels 5",
        ),
        ({"vessels": square}, {"vesels": torch.zeros(6)}, r"of no task; found 'a'|did you mean 'vessels'"),
    ],
)
def test_what_is_wrong_is_one_line(losses, labels, words) -> None:
    x, known = batch()
    problem = PlainProblem(Two(), losses)
    given = labels if "vesels" in labels else {**known, **labels}
    with pytest.raises(TrainingError, match=words):
        problem.losses((x, given), problem.tasks, "update")


def test_no_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="no task"):
        PlainProblem(Two(), {})


def test_the_methods_need_nothing_else_of_medmtl() -> None:
    code = "import sys, medmtl.optim; print(*sorted(n for n in sys.modules if n.split('.')[0] == 'medmtl'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    others = [name for name in said if not name.startswith("medmtl.optim")]
    assert others == ["medmtl", "medmtl.errors", "medmtl.registry"]
