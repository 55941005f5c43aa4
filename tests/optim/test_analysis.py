"""Measures of balance and conflict against brute force; a probe that leaves no trace."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mao_toys import Many, data, equal, snapshot
from optim_toys import (
    EVERY,
    TASKS,
    Shared,
    Split,
    adam,
    adamw,
    assert_same,
    batch_of,
    built,
    problem_for,
    rows_of,
    run,
    sgd,
    weights_of,
)
from torch import nn

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import LossScale, Probe, Services, StepReport, TaskLoss, samples_of
from medmtl.optim.analysis import UpdateShares, conflict, conflicts, module_of, spread, squared_updates

number = st.floats(-5, 5, width=32)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(number, number), min_size=1, max_size=8))
def test_conflict_by_plain_loops(pairs) -> None:
    a, b = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    found = conflict({"p": a, "mine": torch.ones(3)}, {"p": b, "yours": torch.ones(3)})
    if not a.any() or not b.any():
        assert found is None
        return
    dot, aa, bb = (sum(x * y for x, y in z) for z in (pairs, [(p, p) for p, _ in pairs], [(q, q) for _, q in pairs]))
    assert found.cosine == pytest.approx(dot / math.sqrt(aa) / math.sqrt(bb), abs=1e-9)
    assert found.magnitude == pytest.approx(2 * math.sqrt(aa) * math.sqrt(bb) / (aa + bb), abs=1e-9)
    assert found.opposed == sum((x > 0 and y < 0) or (x < 0 and y > 0) for x, y in pairs) / len(pairs)


def test_conflict_at_its_ends() -> None:
    g = {"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([[3.0]])}
    same = conflict(g, g)
    against = conflict(g, {name: -2 * value for name, value in g.items()})
    assert dataclasses.astuple(same) == pytest.approx((1, 1, 0))
    assert dataclasses.astuple(against) == pytest.approx((-1, 0.8, 1))
    assert conflict(g, {"c": torch.ones(1)}) is None
    assert len(conflicts([g, g, {"c": torch.ones(1)}, g])) == 3


def test_spread() -> None:
    values = np.random.default_rng(0).normal(size=200)
    found = spread(values.tolist())
    assert found["mean"] == pytest.approx(values.mean())
    assert found["sd"] == pytest.approx(values.std())
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_shares_by_plain_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    shares, expected = UpdateShares(decay=0.8), defaultdict(dict)
    for step in range(6):
        tasks = ["x", "y", "z"] if step % 2 == 0 else ["x", "z"]
        updates = {
            t: {n: torch.randn(3, generator=generator) for n in ("m.w", "m.b", "k.w", f"own.{t}")} for t in tasks
        }
        shares.observe(updates)
        for layer, task in itertools.product(("m", "k"), tasks):
            total = sum(float(u) ** 2 for n, row in updates[task].items() if n.startswith(layer) for u in row)
            old = expected[layer].get(task)
            expected[layer][task] = total if old is None else 0.8 * old + 0.2 * total
    for layer, found in shares.shares().items():
        whole = sum(expected[layer].values())
        assert found == pytest.approx({task: value / whole for task, value in expected[layer].items()}, rel=1e-6)
    assert set(shares.shares()) == {"m", "k"}


def test_layers() -> None:
    assert module_of("trunk.0.weight") == "trunk.0"
    assert module_of("w") == "w"
    rows = {t: {"a.w": torch.ones(2), "a.b": torch.ones(1)} for t in "xy"}
    assert squared_updates(rows) == {"a": {"x": 3.0, "y": 3.0}}
    assert squared_updates(rows, layer=lambda name: name)["a.w"] == {"x": 2.0, "y": 2.0}


# Attribution.


def gradients(problem: Many, seed: int) -> dict[str, dict[str, torch.Tensor]]:
    named = dict(problem.named_parameters())
    rows = {}
    for task, loss in problem.losses(data(seed, len(problem.tasks)), problem.tasks, "update").items():
        found = torch.autograd.grad(loss.mean, list(named.values()), retain_graph=True, allow_unused=True)
        rows[task] = {name: g for name, g in zip(named, found, strict=True) if g is not None}
    return rows


def test_attribution_of_an_ordinary_adam() -> None:
    problem = Many(3)
    method, _ = run("equal", problem, [[data(step, 3)] for step in range(5)], adam)
    rows = gradients(problem, 9)
    found = method.attributed_updates(rows)
    for task, row in rows.items():
        assert found[task].keys() == row.keys()
        for name, parameter in problem.named_parameters():
            if name in row:
                total = sum(one[name] for one in rows.values() if name in one)
                second = 0.999 * method.optimizers[0].state[parameter]["exp_avg_sq"] + 0.001 * total**2
                root = (second / (1 - 0.999**6)).sqrt()
                torch.testing.assert_close(found[task][name], 1e-2 * row[name] / (root + 1e-8))


def test_attribution_of_rmsprop() -> None:
    problem = Many(2)
    method, _ = run("equal", problem, [[data(0, 2)]], lambda n: torch.optim.RMSprop([p for _, p in n], lr=1e-2))
    rows = gradients(problem, 9)
    a, b = (rows[task]["trunk.0.weight"] for task in problem.tasks)
    second = 0.99 * method.optimizers[0].state[problem.trunk[0].weight]["square_avg"] + 0.01 * (a + b) ** 2
    found = method.attributed_updates(rows)["t0"]["trunk.0.weight"]
    torch.testing.assert_close(found, 1e-2 * a / (second.sqrt() + 1e-8))


def test_an_attributed_update_is_the_first_step_without_momentum() -> None:
    problem = Many(3)
    method = built("mao", problem, adam, betas=[0.0, 0.99])
    for seed in range(3):
        found = method.attributed_updates(gradients(problem, seed))
        before = weights_of(problem)
        method.update([data(seed, 3)], Services(problem))
        for name, value in weights_of(problem).items():
            step = sum(row[name] for row in found.values() if name in row)
            torch.testing.assert_close(before[name] - step, value, rtol=1e-10, atol=1e-12)


def test_attribution_of_sgd_and_before_the_first_step() -> None:
    problem = Many(2)
    rows = gradients(problem, 0)
    plain = built("equal", problem, sgd).attributed_updates(rows)
    fresh = built("equal", problem, adam).attributed_updates(rows)
    name = "trunk.0.weight"
    torch.testing.assert_close(plain["t0"][name], 1e-2 * rows["t0"][name])
    total = rows["t0"][name] + rows["t1"][name]
    torch.testing.assert_close(fresh["t0"][name] + fresh["t1"][name], 1e-2 * total.sign(), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "arguments"), [("mao", {}), ("mao", {"combine": "mean"}), ("adatask", {})])
def test_attribution_of_moments_a_task(name: str, arguments: dict) -> None:
    problem = Many(3)
    method, _ = run(name, problem, [[data(step, 3)] for step in range(5)], adam, **arguments)
    rows = gradients(problem, 9)
    found = method.attributed_updates(rows)
    before = snapshot(problem, method.optimizer)
    for (key, parameter), task in itertools.product(problem.named_parameters(), problem.tasks):
        if key in rows[task]:
            tasks = method.optimizer.state[parameter]["tasks"]
            own = tasks.get(task, tasks.get("all tasks"))
            second = 0.999 * own["second"] + 0.001 * rows[task][key] ** 2
            root = (second / (1 - 0.999**6)).sqrt() + 1e-8
            share = 3 if arguments and key.startswith("trunk") else 1
            torch.testing.assert_close(found[task][key], 1e-2 * rows[task][key] / root / share)
    after = snapshot(problem, method.optimizer)
    assert all(equal(before[key], after[key]) for key in before)


def test_attribution_of_independent_optimizers() -> None:
    problem = Many(2)
    method, _ = run("independent", problem, [[data(step, 2)] for step in range(4)], adam)
    rows = gradients(problem, 9)
    found = method.attributed_updates(rows)
    weight = problem.trunk[0].weight
    for task, optimizer in zip(problem.tasks, method.optimizers, strict=True):
        g = rows[task]["trunk.0.weight"]
        root = ((0.999 * optimizer.state[weight]["exp_avg_sq"] + 0.001 * g**2) / (1 - 0.999**3)).sqrt() + 1e-8
        torch.testing.assert_close(found[task]["trunk.0.weight"], 1e-2 * rows[task]["trunk.0.weight"] / root)


# The probe.


@pytest.mark.parametrize(
    "name",
    [name for name in EVERY if name in ("equal", "mao", "adatask", "independent", "pcgrad", "uw", "alternating")],
)
def test_a_probe_leaves_no_trace(name: str) -> None:
    ends = []
    for interval in (0, 1):
        problem = problem_for(name, norm="batch")
        if hasattr(problem, "trunk"):
            problem.trunk.append(nn.Dropout(0.3))
        method = built(name, problem)
        services = Services(problem, scale=LossScale(4.0), clip_task_norm=0.1)
        probe = Probe(interval, max_samples=3)
        torch.manual_seed(5)
        for step in range(4):
            window = [batch_of(seed=step, missing={"b": [0, 1]})]
            rows = probe.look(step, problem, window, services)
            assert bool(rows) is bool(interval)
            assert all(parameter.grad is None for parameter in problem.parameters())
            probe.settle(method, method.update(window, services))
        ends.append(
            {**weights_of(problem), "random": torch.get_rng_state(), "scale": torch.tensor(services.scale.value)}
        )
    assert_same(*ends)


def test_a_probe_that_is_off_or_not_due_touches_nothing() -> None:
    problem = Shared()
    method = built("equal", problem)
    for probe, step in ((Probe(), 0), (Probe(5), 3)):
        assert probe.look(step, problem, None, None) == []  # type: ignore[arg-type]  # not due: nothing else is looked at
        assert probe.settle(method, StepReport()) == []
    assert problem.forwards == 0
    assert [step for step in range(12) if Probe(5).due(step)] == [0, 5, 10]


def values(rows, measure: str, **where) -> list[float]:
    return [row["value"] for row in rows if row["measure"] == measure and all(row[k] == v for k, v in where.items())]


def test_the_rows_by_brute_force() -> None:
    problem = Shared()
    batch = batch_of(4, missing={"c": [1]})
    window, services, probe = [rows_of(batch, 0, 1), rows_of(batch, 1, 4)], Services(problem), Probe(2, max_samples=8)
    rows = probe.look(4, problem, window, services)
    named = dict(problem.named_parameters())

    def gradient(rows_at, task):
        loss = problem.losses(rows_at, (task,), "frozen")[task]
        found = torch.autograd.grad(loss.mean, list(named.values()), allow_unused=True)
        return {n: g for n, g in zip(named, found, strict=True) if g is not None}

    singles = {
        (i, t): gradient(rows_of(batch, i, i + 1), t) for i in range(4) for t in problem.tasks if (i, t) != (1, "c")
    }

    def measures(first, second):
        names = sorted(set(first) & set(second))
        a, b = (torch.cat([g[n].reshape(-1) for n in names]) for g in (first, second))
        return float(torch.cosine_similarity(a, b, dim=0)), float((a * b < 0).double().mean())

    inter_task = [
        measures(singles[i, s], singles[i, t])
        for i in range(4)
        for s, t in itertools.combinations(problem.tasks, 2)
        if (i, s) in singles and (i, t) in singles
    ]
    assert values(rows, "inter_task_cosine", statistic="mean") == pytest.approx([np.mean([c for c, _ in inter_task])])
    assert values(rows, "inter_task_opposed", statistic="sd") == pytest.approx([np.std([o for _, o in inter_task])])
    own = [measures(singles[i, "c"], singles[j, "c"])[0] for i, j in itertools.combinations([0, 2, 3], 2)]
    assert values(rows, "inter_sample_cosine", tasks="c", statistic="high") == pytest.approx([np.percentile(own, 97.5)])
    whole = {task: gradient(batch, task) for task in problem.tasks}
    method = built("equal", problem, sgd)
    rows += probe.settle(method, method.update(window, services))
    for task in problem.tasks:
        norm = math.sqrt(sum(float(g.square().sum()) for g in whole[task].values()))
        assert values(rows, "gradient_norm", tasks=task) == pytest.approx([norm])
        squares = {t: sum(float(whole[t][n].square().sum()) for n in named if n.startswith("trunk.0")) for t in whole}
        share = squares[task] / sum(squares.values())
        assert values(rows, "update_share", layer="trunk.0", tasks=task) == pytest.approx([share])
    assert {row["step"] for row in rows} == {4}


def shares_by_hand(problem, window, weights, root) -> dict[str, float]:
    """First moments aside: w_k g_k over the root of the second moments, squared and added up over the first layer."""
    rows = {}
    for task, loss in problem.losses(window, problem.tasks, "frozen").items():
        found = torch.autograd.grad(loss.mean, list(problem.trunk[0].parameters()), retain_graph=True)
        rows[task] = [weights[task] * g for g in found]
    squares = {
        task: sum(float((g / r).square().sum()) for g, r in zip(row, root, strict=True)) for task, row in rows.items()
    }
    return {task: value / sum(squares.values()) for task, value in squares.items()}


@pytest.mark.parametrize("name", ["rlw", "dwa", "uw_so"])
def test_an_update_is_shared_out_with_its_own_weights(name: str) -> None:
    """Weights that change every step, and a task that the step before had no label of; Adam's moments at the step."""
    problem, probe = Shared(), Probe(1, max_samples=0, decay=0.0)
    method, services = built(name, problem, adam), Services(problem)
    missing = [None, {"b": range(6)}, {"a": range(6)}, None, {"c": range(6)}]
    for step, absent in enumerate(missing):
        window = batch_of(seed=step, missing=absent)
        probe.look(step, problem, [window], services)
        before = copy.deepcopy(problem)
        report = method.update([window], services)
        rows = [row for row in probe.settle(method, report) if row["layer"] == "trunk.0"]
        state = [method.optimizers[0].state[parameter] for parameter in problem.trunk[0].parameters()]
        root = [(one["exp_avg_sq"] / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8 for one in state]
        expected = shares_by_hand(before, window, report.weights, root)
        known = {row["tasks"]: row["value"] for row in rows}
        present = sum(known[task] for task in expected)
        assert set(expected) == set(problem.tasks) - set(absent or {})
        assert {t: known[t] / present for t in expected} == pytest.approx(expected, rel=1e-6)


def first_shares(problem, name: str, clip: float | None, factory=sgd, **arguments) -> tuple[dict, StepReport]:
    """The shares of the first update in the first layer, and what the update reports."""
    probe, method = Probe(1, max_samples=0), built(name, problem, factory, **arguments)
    services = Services(problem, clip_task_norm=clip)
    probe.look(0, problem, [data(0, len(problem.tasks))], services)
    report = method.update([data(0, len(problem.tasks))], services)
    rows = probe.settle(method, report)
    return {row["tasks"]: row["value"] for row in rows if row["layer"] == "trunk.0"}, report


@pytest.mark.parametrize("gradients_as", ["collect", "stream"])
def test_shares_do_not_depend_on_a_clip_before_moments_of_each_task(gradients_as: str) -> None:
    """The first step of an Adam is the sign of the gradient, whatever its length: each task has half of the layer."""
    problem = Many(2)
    problem.loud = {"t0": 1e4}
    for clip in (None, 0.5):
        shares, _ = first_shares(copy.deepcopy(problem), "mao", clip, adam, gradients=gradients_as)
        assert shares == pytest.approx({"t0": 0.5, "t1": 0.5}, rel=1e-3)


@pytest.mark.parametrize(("name", "clips"), [("mean", True), ("gradnorm", True), ("equal", False)])
def test_shares_are_those_of_clipped_gradients_where_the_method_clips_them(name: str, clips: bool) -> None:
    problem = Many(3)
    problem.loud = {"t0": 1e2}
    rows = gradients(problem, 0)
    norms = {task: math.sqrt(sum(float(g.square().sum()) for g in row.values())) for task, row in rows.items()}
    clip = sorted(norms.values())[1]
    shares, report = first_shares(problem, name, clip)
    factors = {task: min(1.0, clip / norm) if clips else 1.0 for task, norm in norms.items()}
    squares = {
        task: (report.weights[task] * factors[task]) ** 2
        * sum(float(g.square().sum()) for n, g in row.items() if n.startswith("trunk.0"))
        for task, row in rows.items()
    }
    assert shares == pytest.approx({task: value / sum(squares.values()) for task, value in squares.items()})


def test_a_skipped_update_is_not_shared_out() -> None:
    problem = Shared()
    probe, method, services = Probe(1, max_samples=0), built("equal", problem), Services(problem)
    assert probe.look(0, problem, [batch_of()], services)
    assert probe.settle(method, StepReport(skipped=True)) == []
    assert probe.settle(method, StepReport()) == []  # what was seen belongs to that one update
    assert probe.state_dict() == {"accumulated": {}}


@pytest.mark.parametrize("name", ["equal", "mao", "adatask", "independent"])
def test_what_was_taken_is_what_was_foretold(name: str) -> None:
    """For gradients that are neither weighted nor clipped: the moments before a step with them, or those after it."""
    problem = Many(3)
    method, _ = run(name, problem, [[data(step, 3)] for step in range(4)], adam)
    rows = gradients(problem, 9)
    foretold = method.attributed_updates(rows)
    report = method.update([data(9, 3)], Services(problem))
    taken = method.attributed_updates(rows, taken=True)
    for task, row in foretold.items():
        assert_same(row, taken[task], 1e-9)
        assert all(bool(step.any()) for step in row.values()), (task, report)


def test_in_a_turn_a_task_moves_its_own_sub_model_alone() -> None:
    """Though its loss has a gradient in the others, which moves them in the warm-up."""
    problem, probe = Split(), Probe(1, max_samples=0)
    method, services = built("mtcl", problem, warmup_steps=1), Services(problem)
    named = dict(problem.named_parameters())
    for step in range(2):
        batch = batch_of(seed=step)
        rows = {}
        for task, loss in problem.losses(batch, TASKS, "frozen").items():
            found = torch.autograd.grad(loss.mean, list(named.values()), retain_graph=True, allow_unused=True)
            rows[task] = {name: g for name, g in zip(named, found, strict=True) if g is not None}
        probe.look(step, problem, [batch], services)
        report = method.update([batch], services)
        shares = {row["layer"] for row in probe.settle(method, report)}
        assert shares == {f"encoders.{task}.{place}" for task in TASKS for place in (0, 1)}  # in a turn: as they were
        for task, row in method.attributed_updates(rows, taken=True).items():
            own = {name for name in named if name.split(".")[1] == task}
            assert set(row) == (own if step else set(rows[task]))
        if step == 0:
            accumulated = copy.deepcopy(probe.state_dict())
    assert probe.state_dict() == accumulated


@pytest.mark.parametrize("sample", [None, 1])
def test_a_loss_that_is_not_finite_is_left_to_the_update(sample: int | None) -> None:
    """In the whole batch: no rows. In one sample alone, as a loss of each sample for itself may be: rows of the others."""
    problem, batch = Shared(), batch_of(3)
    losses = problem.losses

    def broken(rows, tasks, buffers):
        found = losses(rows, tasks, buffers)
        hit = len(rows["x"]) == 1 and torch.equal(rows["x"][0], batch["x"][1]) if sample else len(rows["x"]) == 3
        return {
            t: TaskLoss(found[t].sum * float("nan"), found[t].count) if hit and t == "b" else found[t] for t in found
        }

    problem.losses = broken
    rows = Probe(1).look(0, problem, [batch], Services(problem))
    if sample is None:
        assert rows == []
        with pytest.raises(TrainingError, match="task 'b'"):
            built("equal", problem).update([batch], Services(problem))
    else:
        assert {row["tasks"] for row in rows if row["measure"] == "inter_sample_cosine"} == {"a", "b", "c"}
        assert all(math.isfinite(row["value"]) for row in rows)


def test_layers_stand_in_the_order_of_the_network() -> None:
    """Also where the optimizer's groups, with decay and without, come in another one."""
    problem = Many(2)

    def factory(named):
        matrices, rest = ([p for p in dict(named).values() if (p.ndim > 1) is wide] for wide in (True, False))
        return torch.optim.AdamW([{"params": matrices}, {"params": rest}])

    method = built("equal", problem, lambda named: factory(list(named)))
    probe, services = Probe(1, max_samples=0, layer=lambda name: name), Services(problem)
    probe.look(0, problem, [data(0, 2)], services)
    rows = probe.settle(method, method.update([data(0, 2)], services))
    told = list(dict.fromkeys(row["layer"] for row in rows if row["measure"] == "update_share"))
    assert told == [name for name, _ in problem.named_parameters() if name in told]
    assert len(told) > 1


def test_draws_follow_seed_and_step_and_state_is_saved() -> None:
    problem = Shared()
    services, window = Services(problem), [batch_of(6)]
    first, second = Probe(1, max_samples=2, seed=1), Probe(1, max_samples=2, seed=1)
    a = [first.look(step, problem, window, services) for step in range(3)]
    b = [second.look(step, problem, window, services) for step in range(3)]
    assert a == b
    first.settle((method := built("equal", problem)), method.update(window, services))
    assert first.state_dict()["accumulated"]["trunk.0"]
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert len({tuple(values(rows, "inter_sample_cosine")) for rows in a}) == 3


def test_without_labels_there_are_no_rows() -> None:
    problem = Shared()
    window = [batch_of(missing={task: range(6) for task in problem.tasks})]
    assert Probe(1).look(0, problem, window, Services(problem)) == []


@dataclasses.dataclass(frozen=True)
class View:
    name: str
    image: torch.Tensor
    targets: dict[str, torch.Tensor]


def test_cutting_batches_into_samples() -> None:
    x, y = torch.arange(6).reshape(3, 2), torch.arange(3)
    assert [s["x"].tolist() for s in samples_of({"x": x, "name": "n"})] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert [(a.tolist(), b.tolist()) for a, b in samples_of((x, y))][1] == ([[2, 3]], [1])
    views = [View("a", x, {"t": y}), View("b", x[:2], {"t": y[:2]})]
    cut = samples_of(views)
    assert [(s[0].name, s[0].targets["t"].tolist()) for s in cut] == [
        ("a", [0]),
        ("a", [1]),
        ("a", [2]),
        ("b", [0]),
        ("b", [1]),
    ]
    with pytest.raises(ConfigError, match=r"probe\.split.*lengths \[2, 3\]"):
        samples_of({"x": x, "y": y[:2]})


@pytest.mark.parametrize("arguments", [{"interval": -1}, {"max_samples": 1.5}, {"seed": -1}, {"decay": 1.0}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(ConfigError, match=rf"probe\.{next(iter(arguments))}"):
        Probe(**arguments)


def test_adamw_shares_sum_to_one() -> None:
    problem = Shared()
    method, services = built("mao", problem, adamw), Services(problem)
    probe = Probe(1, max_samples=0, layer=lambda name: name)
    for step in range(3):
        rows = probe.look(step, problem, [batch_of(seed=step)], services)
        rows += probe.settle(method, method.update([batch_of(seed=step)], services))
    shared = {row["layer"] for row in rows if row["measure"] == "update_share"}
    assert shared == {f"trunk.{name}" for name, _ in problem.trunk.named_parameters()}
    for layer in shared:
        assert sum(values(rows, "update_share", layer=layer)) == pytest.approx(1)
    assert not any(row["measure"].startswith("inter") for row in rows)
