"""What all aggregation methods share: absent tasks, order, state, draws, skipped steps, pages, refused arguments."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import re

import pytest
import torch
from aggregation_toys import (
    AGGREGATION,
    ON_PARAMETERS,
    Given,
    Partly,
    direction,
    follow,
    names,
    random_rows,
    row_sets,
    unit,
)
from hypothesis import given, settings
from optim_toys import Shared, adamw, batch_of, built

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import LossScale, Services, WeightsUnusable, make_method, methods
from medmtl.optim.gradients import chunks, combine, gramian

DRAWING = ["graddrop", "gradvac", "pcgrad", "random"]


def batches(count: int, steps: int = 4, size: int = 6) -> list[dict[str, torch.Tensor]]:
    return [dict(zip(names(count), random_rows(count, size, seed), strict=True)) for seed in range(steps)]


@pytest.mark.parametrize("name", ON_PARAMETERS)
@settings(max_examples=12, deadline=None)
@given(row_sets())
def test_every_direction_is_finite_and_in_the_span_of_the_gradients(name: str, rows: torch.Tensor) -> None:
    found = direction(name, rows)
    assert found.shape == rows[0].shape
    assert found.isfinite().all()
    if name not in ("graddrop", "trimmed_mean"):
        rest = found - rows.T @ torch.linalg.lstsq(rows.T, found[:, None], driver="gelsd").solution[:, 0]
        assert float(rest.norm()) <= 1e-6 * max(float(found.norm()), 1.0)


@pytest.mark.parametrize("name", ON_PARAMETERS)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_the_order_of_the_tasks_changes_nothing_not_even_draws(name: str, order: tuple[int, ...]) -> None:
    turned = [{f"t{place}": batch[f"t{place}"] for place in order} for batch in batches(3)]
    expected, reports = follow(name, batches(3))
    found, others = follow(name, turned)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert [report.weights for report in others] == [pytest.approx(report.weights) for report in reports]


@pytest.mark.parametrize("name", ON_PARAMETERS)
@pytest.mark.parametrize("order", [("t1", "t2", "t0"), ("t2", "t1", "t0"), ("t2", "t0", "t1")])
def test_nor_where_tasks_reach_different_parameters(name: str, order: tuple[str, ...]) -> None:
    ends = []
    for tasks in (names(3), order):
        problem = Partly(tasks)
        method, services = built(name, problem, unit), Services(problem)
        for batch in batches(3, size=12):
            method.update([batch], services)
        ends.append({key: value.detach() for key, value in problem.named_parameters()})
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_one_task_is_plain_descent_and_leaves_the_state_alone(name: str) -> None:
    problem = Given(names(3), 6)
    method, services = built(name, problem, unit), Services(problem)
    method.update([batches(3)[0]], services)
    before, state = problem.w.detach().clone(), copy.deepcopy(method._own_state())
    method.update([{"t1": torch.arange(6.0).double()}], services)
    torch.testing.assert_close(before - problem.w.detach(), torch.arange(6.0).double())
    same(state, method._own_state())


def same(first, second) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_a_task_that_is_never_there_is_as_if_it_did_not_exist(name: str) -> None:
    expected, _ = follow(name, batches(3))
    found, _ = follow(name, batches(3), tasks=(*names(3), "zz"))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_a_zero_gradient_is_left_out_and_does_not_stop_the_others(name: str) -> None:
    if methods.get(name).info.name in ("graddrop", "trimmed_mean"):
        pytest.skip("coordinate by coordinate, a zero is a value")
    idle = {"t2": torch.zeros(6).double()}
    full, reports = follow(name, [batch | idle for batch in batches(2)], tasks=names(3))
    without, _ = follow(name, batches(2), tasks=names(3))
    torch.testing.assert_close(full, without)
    assert all(torch.tensor(list(report.weights.values())).isfinite().all() for report in reports)


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_the_number_of_tasks_may_change_from_step_to_step(name: str) -> None:
    steps = batches(4, 12)
    for step, batch in enumerate(steps):
        for task in names(4)[: step % 4]:
            del batch[task]
    found, reports = follow(name, steps, tasks=names(4))
    assert all(step.isfinite().all() for step in found)
    assert [set(report.losses) for report in reports] == [set(batch) for batch in steps]


@pytest.mark.parametrize(
    "name", [n for n in ON_PARAMETERS if methods.get(n).info.state not in ("none", "random state")]
)
def test_what_is_kept_of_an_absent_task_rests(name: str) -> None:
    problem = Given(names(3), 6)
    method, services = built(name, problem, unit), Services(problem)
    first, second, third = batches(3, 3)
    method.update([first], services)
    before = copy.deepcopy(method._own_state()["kept"])
    method.update([{task: second[task] for task in ("t0", "t1")}], services)
    after = method._own_state()["kept"]
    moved = False
    for attribute, values in before.items():
        same(values[2], after[attribute][2])
        same(values[..., 2], after[attribute][..., 2])
        moved |= not torch.equal(values[:2], after[attribute][:2])
    assert moved
    assert not method.update([third], services).skipped


@pytest.mark.parametrize("name", ON_PARAMETERS)
@pytest.mark.parametrize("where", ["gradient", "direction"])
def test_a_skipped_step_leaves_state_and_draws_alone(name: str, where: str) -> None:
    problem = Given(names(3), 6)
    clean = Given(names(3), 6)
    method, services = built(name, problem, unit), Services(problem, scale=LossScale(2.0))
    other, helper = built(name, clean, unit), Services(clean)
    first, second, third = batches(3, 3)
    for each, service in ((method, services), (other, helper)):
        each.update([first], service)
    state = copy.deepcopy(method._own_state())
    if where == "gradient":
        hook = problem.w.register_hook(lambda gradient: gradient * float("inf"))
        assert method.update([second], services).skipped
        hook.remove()
    else:  # the gradients are finite, and what becomes of them is not
        true = services.commit
        services.commit = lambda optimizers, gradients: true(
            optimizers, {n: g * float("inf") for n, g in gradients.items()}
        )  # type: ignore[method-assign]
        assert method.update([second], services).skipped
        services.commit = true  # type: ignore[method-assign]
    same(state, method._own_state())
    assert method.update([third], services).weights == pytest.approx(other.update([third], helper).weights)
    torch.testing.assert_close(problem.w, clean.w)


@pytest.mark.parametrize("name", DRAWING)
def test_draws_follow_the_seed_and_nothing_else(name: str) -> None:
    torch.manual_seed(1)
    first, _ = follow(name, batches(4, 6), seed=3)
    before = torch.get_rng_state()
    second, _ = follow(name, batches(4, 6), seed=3)
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert any(not torch.equal(a, b) for a, b in zip(first, follow(name, batches(4, 6), seed=4)[0], strict=True))


def test_coordinate_methods_work_in_chunks_that_do_not_show() -> None:
    size = (1 << 18) + 5
    rows = random_rows(3, size)
    found = direction("trimmed_mean", rows)
    torch.testing.assert_close(found, rows.sort(0).values[1])
    dropped = direction("graddrop", rows)
    positive, negative = rows.clamp(min=0).sum(0), rows.clamp(max=0).sum(0)
    assert ((dropped - positive).abs().minimum((dropped - negative).abs()) < 1e-12).all()


def test_chunks_and_gramian_against_the_stacked_matrix() -> None:
    rows = [{"p": row.view(3, 7)} for row in random_rows(4, 21)]
    parts = list(chunks([row["p"] for row in rows], 8))
    assert [tuple(part.shape) for part in parts] == [(4, 8), (4, 8), (4, 5)]
    torch.testing.assert_close(torch.cat(parts, 1), random_rows(4, 21))
    torch.testing.assert_close(gramian(rows, ["p"]), random_rows(4, 21) @ random_rows(4, 21).T)


def test_inner_products_of_float32_gradients_are_summed_in_float64() -> None:
    row = torch.full((1 << 20,), 1e-4)
    row[0] = 1e3
    found = gramian([{"p": row}, {"p": row}], ["p"])
    exact = math.fsum(
        value * value for value in row.double().tolist()
    )  # a product in float64 rounds as the machine likes
    assert float(found[0, 1]) == pytest.approx(exact, rel=1e-12)


def test_combine_leaves_its_rows_alone() -> None:
    rows = [{"p": torch.ones(2), "q": torch.ones(1)}, {"p": torch.ones(2)}]
    found = combine(rows, [2.0, 3.0], ["p"])
    assert found["p"].tolist() == [5, 5]
    assert found["q"].tolist() == [1]
    assert rows[0]["p"].tolist() == rows[1]["p"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ON_PARAMETERS)
def test_heads_get_their_plain_gradient(name: str) -> None:
    problem = Shared()
    batch = batch_of()
    expected = {}
    for task in problem.tasks:
        loss = problem.losses(batch, (task,), "update")[task].mean
        expected[task] = problem.heads[task].weight - torch.autograd.grad(loss, problem.heads[task].weight)[0]
    report = built(name, problem, unit).update([batch], Services(problem))
    for task, weight in expected.items():
        torch.testing.assert_close(problem.heads[task].weight, weight)
    assert set(report.cosines) == {"a|b", "a|c", "b|c"}
    assert all(-1 - 1e-9 <= cosine <= 1 + 1e-9 for cosine in report.cosines.values())


def test_without_a_shared_parameter_all_is_plain_descent() -> None:
    problem = Shared()
    problem.trunk.requires_grad_(False)
    report = built("mgda", problem, unit).update([batch_of()], Services(problem))
    assert report.weights == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_a_solver_that_gives_up_stops_the_run_in_one_line() -> None:
    problem = Given(names(2), 6)
    method = built("imtl_g", problem, unit)

    def fail(products):
        raise RuntimeError("no convergence")

    method.rule = type(method.rule)(fail)
    with pytest.raises(WeightsUnusable, match=r"method 'imtl_g'.*could not be computed.*no convergence"):
        method.update([batches(2)[0]], Services(problem))
    method.rule = type(method.rule)(lambda products: torch.full((2,), float("nan")))
    with pytest.raises(WeightsUnusable, match=r"method 'imtl_g'.*not finite"):
        method.update([batches(2)[0]], Services(problem))
    assert problem.w.tolist() == [0] * 6


@pytest.mark.parametrize("name", AGGREGATION)
def test_the_page_explains_every_argument_and_its_default(name: str) -> None:
    kind = methods.get(name)
    page = kind.__doc__ or ""
    arguments = inspect.signature(kind).parameters
    assert all(f"    {argument}:" in page for argument in arguments)
    assert ("Args:" in page) == bool(arguments)
    for argument in arguments.values():
        if isinstance(argument.default, int | float):
            own = re.split(r"\n    \w+:", page.split(f"    {argument.name}:")[1])[0]
            (stated,) = re.findall(r"Default ([-+.\de]*\d)", own)
            assert float(stated) == argument.default


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("aligned_mtl", {"scale_mode": "max"}, r"aligned_mtl\.scale_mode.*min, median, rmse"),
        ("cagrad", {"c": -1}, r"cagrad\.c.*>= 0"),
        ("cagrad", {"solver": "ecos"}, r"cagrad\.solver.*exact, clarabel"),
        ("config", {"preference": [1, 2]}, r"config\.preference.*not a mapping"),
        ("config", {"preference": {"a": 0}}, r"config\.preference\.a.*> 0"),
        ("crmogm", {"alpha": 1.5}, r"crmogm\.alpha.*from 0 to 1"),
        ("crmogm", {"inner": "gradvac"}, r"crmogm\.inner.*mgda"),
        ("excess_mtl", {"n_warmup_steps": -1}, r"excess_mtl\.n_warmup_steps"),
        ("excess_mtl", {"robust_step_size": 0}, r"excess_mtl\.robust_step_size"),
        ("fairgrad", {"alpha": -1}, r"fairgrad\.alpha"),
        ("fairgrad", {"max_iters": 0}, r"fairgrad\.max_iters"),
        ("graddrop", {"leak": 2}, r"graddrop\.leak.*from 0 to 1"),
        ("graddrop", {"leak": {"a": -1}}, r"graddrop\.leak\.a"),
        ("graddrop", {"leak": "all"}, r"graddrop\.leak.*'all'"),
        ("gradvac", {"beta": -0.1}, r"gradvac\.beta"),
        ("krum", {"n_selected": 0}, r"krum\.n_selected"),
        ("krum", {"n_byzantine": 0.5}, r"krum\.n_byzantine.*whole"),
        ("mgda", {"solver": "newton"}, r"mgda\.solver.*frank_wolfe"),
        ("mgda", {"epsilon": 0}, r"mgda\.epsilon"),
        ("mgda_ub", {"normalization": "l1"}, r"mgda_ub\.normalization.*loss\+"),
        ("modo", {"gamma": 0}, r"modo\.gamma"),
        ("nash_mtl", {"max_norm": float("nan")}, r"nash_mtl\.max_norm"),
        ("nash_mtl", {"update_weights_every": 0}, r"nash_mtl\.update_weights_every"),
        ("pcd", {"tau": 1.1}, r"pcd\.tau"),
        ("pcd", {"beta": 1}, r"pcd\.beta.*< 1"),
        ("random", {"seed": 1.5}, r"random\.seed"),
        ("sdmgrad", {"momentum": 1.0}, r"sdmgrad\.momentum"),
        ("trimmed_mean", {"trim_number": -1}, r"trimmed_mean\.trim_number"),
        ("upgrad", {"regularization": -1}, r"upgrad\.regularization"),
        ("imtl_g", {"seed": 0}, r"imtl_g\.seed.*it belongs to: .*pcgrad"),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method(name, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "argument"),
    [
        ("pcd", {"primary": "x"}, "pcd.primary"),
        ("upgrad", {"preference": {"x": 1}}, "upgrad.preference"),
        ("graddrop", {"leak": {"x": 0.5}}, "graddrop.leak"),
    ],
)
def test_a_task_that_does_not_exist_is_refused_before_training(name: str, arguments: dict, argument: str) -> None:
    with pytest.raises(ConfigError, match=rf"{argument}: unknown task; found 'x'; known: a, b, c"):
        make_method(name, **arguments).build(Shared(), adamw)


def test_mgda_needs_positive_losses_only_where_it_divides_by_them() -> None:
    problem = Given(names(2), 6)
    true = problem.losses
    problem.losses = lambda *given: {t: type(v)(v.sum - 6, v.count) for t, v in true(*given).items()}  # type: ignore[method-assign]
    built("mgda", problem, unit).update([batches(2)[0]], Services(problem))
    with pytest.raises(TrainingError, match=r"task 't0'.*-1"):
        built("mgda", problem, unit, normalization="loss").update([batches(2)[0]], Services(problem))
