"""Cooperative training on the application's own network: what moves, what does not, views of several sizes, resume."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_problem import TASKS, a_batch, only, without

from medmtl.data.loading import Batch
from medmtl.models.cooperative import CooperativeNetwork
from medmtl.optim import Method, Services, make_method
from medmtl.training.problem import SplitNetworkProblem, build_problem
from medmtl.training.schedule import adamw_factory
from medmtl.workflows.setup import Setup

PAIR = ("vessels", "referable")


@pytest.fixture(scope="module")
def cooperative(small_config) -> Setup:
    return Setup(small_config(model={"architecture": "cooperative"}, training={"lr": 1e-3}))


@pytest.fixture(scope="module")
def networks(cooperative) -> Any:
    """A network by who lends, made once and copied; dropout is at rest, running statistics move."""
    made: dict[str, CooperativeNetwork] = {}

    def give(lenders: str = "trained") -> CooperativeNetwork:
        if lenders not in made:
            over = cooperative.config.model.cooperation.model_copy(update={"lenders": lenders})
            model = cooperative.config.model.model_copy(update={"cooperation": over})
            setup = copy.copy(cooperative)
            setup.config = cooperative.config.model_copy(update={"model": model})
            made[lenders] = setup.network()
        return copy.deepcopy(made[lenders]).train()

    return give


def problem_of(network: CooperativeNetwork, setup: Setup, tasks: tuple[str, ...] = TASKS) -> SplitNetworkProblem:
    problem = build_problem(
        network, [task for task in setup.tasks if task.name in tasks], precision="fp32", compiled=False
    )
    assert isinstance(problem, SplitNetworkProblem)
    return problem


def method_on(problem: SplitNetworkProblem, setup: Setup, **arguments: Any) -> Method:
    method = make_method("mtcl", **arguments)
    method.build(problem, adamw_factory(setup.config.training))
    return method


def small(setup: Setup, rows: slice = slice(None), side: int = 32) -> Batch:
    """Some samples of the batch, at the upper left corner."""
    batch = only(a_batch(setup), rows)
    targets = {**batch.targets, "vessels": batch.targets["vessels"][..., :side, :side]}
    return replace(batch, image=batch.image[..., :side, :side], field=batch.field[..., :side, :side], targets=targets)


def view_of(batch: Batch, name: str, tasks: tuple[str, ...]) -> Batch:
    return replace(batch, view=name, targets={task: batch.targets[task] for task in tasks})


def state_of(network: CooperativeNetwork) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


def differing(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    return sorted(moved(first, second))


# Views side by side.


@pytest.mark.parametrize(
    ("sizes", "arguments"),
    [
        ((3, 3), {}),
        ((4, 2), {}),
        ((4, 2), {"flatness": "uniform"}),
        ((4, 2), {"target": "own"}),
        ((4, 2), {"target": "weights"}),
    ],
    ids=str,
)
def test_tracing_changes_nothing_where_tasks_have_views_of_their_own(cooperative, networks, sizes, arguments) -> None:
    """Traced, a window brings every view; a turn takes the one of its task, also for its running statistics."""
    first = view_of(small(cooperative, slice(0, sizes[0])), "wide", ("vessels",))
    second = view_of(small(cooperative, slice(0, sizes[1]), 48), "fine", ("referable",))
    ends = []
    for every in (0, 1):
        network = networks()
        torch.manual_seed(0)
        problem = problem_of(network, cooperative, PAIR)
        method = method_on(problem, cooperative, trace_every=every, **arguments)
        services = Services(problem)
        for step in range(4):
            views = [view for view in (first, second) if set(view.targets) & set(method.plan(step).tasks)]
            assert len(views) == 1 + every
            report = method.update([views], services)
            traced = {key for key in report.measures if not key.startswith("flat")}
            assert len(traced) == (3 if every else 0)  # drift, and what became of either loss
            assert all(torch.tensor(report.measures[key]).isfinite() for key in traced)
        ends.append(state_of(network))
    assert differing(*ends) == []


def test_drift_is_that_of_the_tasks_own_view(cooperative, networks) -> None:
    network = networks()
    problem = problem_of(network, cooperative, PAIR)
    method = method_on(problem, cooperative, trace_every=1)
    views = [
        view_of(small(cooperative), "wide", ("vessels",)),
        view_of(small(cooperative, slice(2)), "fine", ("referable",)),
    ]

    def shown() -> torch.Tensor:
        with torch.no_grad():
            network.eval()
            (level,) = network.lend(views[0].image, "vessels")
            network.train()
        return level.flatten(1)

    before = shown()
    report = method.update([views], Services(problem))
    ratios = (shown() - before).norm(dim=1) / before.norm(dim=1)
    assert report.measures["drift/vessels"] == pytest.approx(float(ratios.median()), rel=1e-5)


# Turns: who moves, and by what.

PARTS = ("encoders", "fusion", "heads")
HOW = [("ascent", "others"), ("adaptive_ascent", "others"), ("uniform", "others"), ("gaussian", "own")]
HOW += [("ascent", "own"), ("ascent", "weights"), ("uniform", "weights")]


def descend(named: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter for _, parameter in named], lr=0.1)


def trained_by_sgd(problem: SplitNetworkProblem, window: list[Any], **arguments: Any) -> Method:
    method = make_method("mtcl", **arguments)
    method.build(problem, descend)
    method.update(window, Services(problem))
    return method


def mean_loss(problem: SplitNetworkProblem, task: str, output: Any, batch: Batch) -> torch.Tensor:
    return problem._loss(task, output, batch).mean


@pytest.mark.parametrize(("flatness", "target"), HOW)
def test_the_others_are_frozen_bit_for_bit(cooperative, networks, flatness, target) -> None:
    network = networks()
    problem = problem_of(network, cooperative)
    method = method_on(problem, cooperative, flatness=flatness, target=target, warmup_steps=1, clamp=0.5)
    services = Services(problem)
    for step in range(4):
        before = state_of(network)
        report = method.update([[small(cooperative, slice(0, 2))], [small(cooperative, slice(2, 4))]], services)
        changed = moved(before, state_of(network))
        turn = TASKS if step == 0 else (report.phase,)
        assert {key.split(".")[1] for key in changed} == set(turn)
        assert {tuple(key.split(".")[:2]) for key in changed} >= {(part, task) for part in PARTS for task in turn}
        counts = {key: int(before[key]) for key in before if key.endswith("num_batches_tracked")}
        added = {key.split(".")[1]: set() for key in counts}
        for (
            key,
            count,
        ) in counts.items():  # the clean passes alone move statistics; some layers are behind the last level
            added[key.split(".")[1]].add(int(network.state_dict()[key]) - count)
        assert all(found <= {0, 2} and (2 in found) == (task in turn) for task, found in added.items())


def test_weights_are_clamped_to_the_box_around_the_end_of_the_warm_up(cooperative, networks) -> None:
    network = networks()
    problem = problem_of(network, cooperative, PAIR)
    method = make_method("mtcl", warmup_steps=2, clamp=0.02)
    method.build(problem, descend)
    services, window = Services(problem), [[small(cooperative)]]
    for _ in range(2):
        method.update(window, services)
    origin = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for _ in range(4):
        method.update(window, services)
    walls = 0
    for name, parameter in network.named_parameters():
        width = 0.02 * max(float(origin[name].double().square().mean().sqrt()), 0.01)
        distance = (parameter.detach() - origin[name]).abs()
        assert float(distance.max()) <= width * (1 + 1e-3) + 1e-7, name
        walls += int((distance >= width * (1 - 1e-3)).sum()) if width else 0
    assert walls


@pytest.mark.parametrize("lenders", ["trained", "untrained", "random", "shuffled", "none"])
def test_the_warm_up_is_descent_on_the_sum_as_one_network(cooperative, networks, lenders) -> None:
    network = networks(lenders).eval()
    twin, batch = copy.deepcopy(network), small(cooperative)
    trained_by_sgd(problem_of(network, cooperative), [[batch]], warmup_steps=1)
    outputs = twin(batch.image, TASKS, valid=batch.field)
    sum(mean_loss(problem_of(twin, cooperative), task, outputs[task], batch) for task in TASKS).backward()
    descend([(n, p) for n, p in twin.named_parameters() if p.requires_grad]).step()
    for (name, ours), theirs in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert not moved(
        {k: v for k, v in state_of(networks(lenders)).items() if k.startswith("untrained")}, state_of(network)
    )


def test_a_turn_in_the_weights_by_hand(cooperative, networks) -> None:
    """Uphill with ordinary autograd into the lenders, then a copy of the network whose lenders stand there."""
    network = networks().eval()
    batch, task, others = small(cooperative), "vessels", ("referable", "lesions")
    twin, there = copy.deepcopy(network), copy.deepcopy(network)
    radius = 0.05
    trained_by_sgd(problem_of(network, cooperative), [[batch]], target="weights", radius=radius, mix=1.0)
    problem, size = problem_of(twin, cooperative), (32, 32)
    shown = {other: twin.exchange(twin.encode(batch.image, other)) for other in others}
    own = [level.detach() for level in twin.encode(batch.image, task)]
    loss = mean_loss(problem, task, twin.predict(task, own, shown, size, valid=batch.field), batch)
    names = [n for n, p in twin.named_parameters() if n.split(".")[1] in others and n.startswith("encoders")]
    held = [twin.get_parameter(name) for name in names]
    slopes = torch.autograd.grad(loss, held, allow_unused=True)
    pairs = [(p, torch.zeros_like(p) if g is None else g) for p, g in zip(held, slopes, strict=True)]
    length = sum(float(p.detach().norm() * g.norm()) ** 2 for p, g in pairs) ** 0.5
    with torch.no_grad():
        for name, (p, g) in zip(names, pairs, strict=True):
            there.get_parameter(name).add_(radius * p.norm() ** 2 * g / length)
    lent = {other: there.lend(batch.image, other) for other in others}
    output = twin.predict(task, twin.encode(batch.image, task), lent, size, valid=batch.field)
    mean_loss(problem, task, output, batch).backward()
    for parameter, (name, ours) in zip(twin.parameters(), network.named_parameters(), strict=True):
        expected = parameter.detach()
        if name.split(".")[1] == task and parameter.grad is not None:
            expected = expected - 0.1 * parameter.grad
        torch.testing.assert_close(
            ours.detach(), expected, rtol=1e-3, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("target", ["own", "others"])
def test_without_lenders_a_sub_model_is_a_network_by_itself(cooperative, networks, target) -> None:
    """A turn is that of a network that has no others at all, with noise in its own features or without noise."""
    batch, ends = small(cooperative), []
    flat = {"flatness": "uniform", "target": "own"} if target == "own" else {"flatness": "none"}
    for others in (0.0, 0.3):
        network = networks("none")
        assert not any(name.startswith("fusion") for name, _ in network.named_parameters())
        assert network.lend(batch.image, "referable") == []
        with torch.no_grad():
            for parameter in network.encoders["referable"].parameters():
                parameter.mul_(1 + others)
        torch.manual_seed(0)
        trained_by_sgd(problem_of(network, cooperative, PAIR), [[batch]], trace_every=1, **flat)
        ends.append({k: v for k, v in state_of(network).items() if k.split(".")[1] == "vessels"})
    assert not differing(*ends)


@pytest.mark.parametrize("lenders", ["trained", "untrained", "random", "shuffled"])
def test_who_lends_in_a_turn(cooperative, networks, lenders) -> None:
    """Other weights in the lenders change a turn, unless the lenders are copies that were never trained; the training is
    never shuffled, only the evaluation."""
    batch, ends = small(cooperative), []
    for change in (0.0, 0.3):
        network = networks(lenders)
        with torch.no_grad():
            for parameter in network.encoders["referable"].parameters():
                parameter.mul_(1 + change * torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        before = state_of(network)
        torch.manual_seed(0)
        trained_by_sgd(problem_of(network, cooperative, PAIR), [[batch]])
        ends.append({k: v for k, v in state_of(network).items() if k.split(".")[1] == "vessels"})
        assert moved(before, state_of(network)) <= set(ends[-1])
    assert bool(differing(*ends)) == (lenders in ("trained", "shuffled"))
    if lenders == "shuffled":
        network, other = networks("trained"), networks("shuffled")
        torch.manual_seed(0)
        trained_by_sgd(problem_of(network, cooperative, PAIR), [[batch]])
        plain = {k: v for k, v in state_of(network).items() if k.split(".")[1] == "vessels"}
        torch.manual_seed(0)
        trained_by_sgd(problem_of(other, cooperative, PAIR), [[batch]])
        assert not moved(plain, state_of(other))
        first, second = networks("trained").eval(), networks("shuffled").eval()
        assert not torch.equal(*(n(batch.image, ["vessels"], valid=batch.field)["vessels"] for n in (first, second)))


def test_a_turn_needs_only_its_own_labels(cooperative, networks) -> None:
    ends = []
    for batch in (
        small(cooperative),
        without(without(small(cooperative), "referable", [0, 1, 2, 3]), "lesions", [0, 1]),
    ):
        network = networks()
        torch.manual_seed(0)
        trained_by_sgd(problem_of(network, cooperative), [[batch]])
        ends.append(state_of(network))
    assert differing(*ends) == []
