"""Closed forms and defining equations of the balancing, coordinate-wise and robust aggregation methods."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from aggregation_toys import direction, follow, names, random_rows, row_sets
from hypothesis import given, settings
from torchjd.aggregation import MGDAWeighting

from medmtl.optim.aggregation.bargaining import bargain
from medmtl.optim.aggregation.square_root import square_root


def units(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def weights_of_step(name: str, rows: torch.Tensor, **arguments) -> torch.Tensor:
    (report,) = follow(name, [dict(zip(names(len(rows)), rows, strict=True))], **arguments)[1]
    return torch.tensor(list(report.weights.values()), dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(row_sets())
def test_a_square_root_gives_the_gramian_back(rows: torch.Tensor) -> None:
    products = rows @ rows.T
    root, back = square_root(products)
    torch.testing.assert_close(root @ root.T, products, rtol=0, atol=1e-9)
    torch.testing.assert_close(root.T @ back, torch.eye(root.shape[1]).double(), rtol=0, atol=1e-6)
    assert root.shape[1] == torch.linalg.matrix_rank(rows, rtol=1e-6)


def test_imtl_g_of_two_tasks_weighs_by_inverse_length() -> None:
    rows = random_rows(2, 6)
    inverse = 1 / rows.norm(dim=1)
    torch.testing.assert_close(weights_of_step("imtl_g", rows), inverse / inverse.sum())


def test_imtl_g_has_equal_projections_and_weights_that_sum_to_one() -> None:
    rows = random_rows(4, 9, 1)
    projections = units(rows) @ direction("imtl_g", rows)
    torch.testing.assert_close(projections, projections[:1].expand(4))
    assert float(weights_of_step("imtl_g", rows).sum()) == pytest.approx(1)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_nash_mtl_of_two_tasks_goes_along_the_sum_of_unit_gradients(factor: float) -> None:
    rows = random_rows(2, 6, 2)
    expected = torch.nn.functional.normalize(units(rows).sum(0), dim=0)
    torch.testing.assert_close(direction("nash_mtl", rows * torch.tensor([[factor], [1.0]])), expected)


@settings(max_examples=60, deadline=None)
@given(row_sets())
def test_a_bargain_solves_its_equation(rows: torch.Tensor) -> None:
    products = (rows @ rows.T).numpy()
    products = products / np.trace(products)
    if np.linalg.eigvalsh(products)[0] > 1e-6:
        a = bargain(products)
        assert a.min() > 0
        np.testing.assert_allclose(a * (products @ a), 1, rtol=1e-6)


def test_nash_mtl_is_cut_or_not() -> None:
    rows = random_rows(3, 6, 3)
    assert float(direction("nash_mtl", rows, max_norm=0.5).norm()) == pytest.approx(0.5)
    assert float(direction("nash_mtl", rows, max_norm=0.0).norm()) == pytest.approx(3**0.5)
    assert float(direction("nash_mtl", rows, max_norm=5.0).norm()) == pytest.approx(3**0.5)


def test_nash_mtl_survives_gradients_that_cancel() -> None:
    found = direction("nash_mtl", torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    assert found.isfinite().all()
    assert float(found.norm()) < 1e-6


def test_nash_mtl_uses_a_solution_for_several_updates_and_bargains_anew_for_a_new_task() -> None:
    steps = [dict(zip(names(3), random_rows(3, 6, seed), strict=True)) for seed in range(8)]
    steps[4] = {task: steps[4][task] for task in ("t0", "t1")}
    found = [r.weights for r in follow("nash_mtl", steps, update_weights_every=3, max_norm=0.0)[1]]
    fresh = [r.weights for r in follow("nash_mtl", steps, max_norm=0.0)[1]]
    solved = [step for step in range(8) if found[step] == pytest.approx(fresh[step])]
    assert solved == [0, 3, 6]
    assert found[4] == {task: found[3][task] for task in ("t0", "t1")}
    late, _ = follow(
        "nash_mtl", [{t: steps[0][t] for t in ("t0", "t1")}, steps[1]], tasks=names(3), update_weights_every=9
    )
    torch.testing.assert_close(late[1], follow("nash_mtl", [steps[1]])[0][0])


@pytest.mark.parametrize(("mode", "pick"), [("min", torch.amin), ("rmse", torch.mean)])
def test_aligned_mtl_makes_the_gradients_orthonormal_up_to_a_factor(mode: str, pick) -> None:
    """B G Bᵀ = λ 1 with weights B 1/K: the direction has equal products λ/K with all rows of B J."""
    rows = random_rows(3, 6, 4)
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    balance = pick(values).sqrt() * vectors / values.sqrt() @ vectors.T
    torch.testing.assert_close(balance @ (rows @ rows.T) @ balance.T, pick(values) * torch.eye(3).double())
    torch.testing.assert_close(direction("aligned_mtl", rows, scale_mode=mode), balance.sum(1) / 3 @ rows)


def test_config_has_equal_cosines_whatever_the_lengths() -> None:
    rows = random_rows(4, 9, 5)
    found = direction("config", rows)
    cosines = units(rows) @ found / found.norm()
    torch.testing.assert_close(cosines, cosines[:1].expand(4))
    assert float(found.norm()) == pytest.approx(float((rows @ found).sum() / found.norm()))
    long = direction("config", rows * torch.tensor([[50.0], [1.0], [1.0], [1.0]]))
    torch.testing.assert_close(long / long.norm(), found / found.norm())


@settings(max_examples=40, deadline=None)
@given(row_sets())
def test_config_stands_dependent_gradients(rows: torch.Tensor) -> None:
    from torchjd.aggregation import ConFIG

    expected = ConFIG()(rows)
    if expected.norm() > 1e-6 * rows.norm():
        torch.testing.assert_close(direction("config", rows), expected, rtol=1e-5, atol=1e-6 * float(rows.norm()))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_fairgrad_solves_its_equation_at_any_scale(alpha: float, size: float) -> None:
    rows = random_rows(3, 6, 6) * size
    a = weights_of_step("fairgrad", rows, alpha=alpha)
    torch.testing.assert_close((rows @ rows.T @ a) ** alpha * a, torch.ones(3).double(), rtol=1e-5, atol=1e-5)


def test_fairgrad_s_ends() -> None:
    rows = random_rows(3, 6, 7)
    torch.testing.assert_close(direction("fairgrad", rows, alpha=0.0), rows.mean(0))
    uncut = direction("nash_mtl", rows, max_norm=0.0)
    torch.testing.assert_close(direction("fairgrad", rows, alpha=1.0), uncut, rtol=1e-5, atol=1e-5)


def test_gradvac_begins_as_pcgrad_and_pulls_up_to_its_target() -> None:
    rows = torch.tensor([[1.0, 0.2], [-1.0, 0.5]]).double()
    torch.testing.assert_close(direction("gradvac", rows), direction("pcgrad", rows), rtol=1e-6, atol=1e-6)
    agreeing = torch.tensor([[1.0, 0.2], [1.0, 0.5]]).double()
    crossing = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).double()
    steps = [dict(zip(names(2), rows, strict=True)) for rows in (agreeing, agreeing, crossing)]
    found, _ = follow("gradvac", steps)
    target = 0.75 * float(torch.cosine_similarity(*agreeing, dim=0))
    # g_1' = g_1 + w g_2 with w so that its cosine to g_2 is the target; the same the other way round
    w = target / (1 - target**2) ** 0.5
    torch.testing.assert_close(found[2], (1 + w) * crossing.sum(0), rtol=1e-6, atol=1e-6)


def test_graddrop_keeps_one_sign_a_coordinate_with_the_probability_of_its_purity() -> None:
    rows = torch.tensor([[3.0], [-1.0]]).double().expand(2, 4000)
    found = direction("graddrop", rows)
    assert set(found.tolist()) == {3.0, -1.0}
    assert float((found == 3).double().mean()) == pytest.approx(0.75, abs=0.03)
    agreeing = random_rows(3, 50).abs()
    torch.testing.assert_close(direction("graddrop", agreeing), agreeing.sum(0))
    assert direction("graddrop", torch.tensor([[1.0, 0.0], [1.0, 0.0]]))[1] == 0
    torch.testing.assert_close(direction("graddrop", rows, leak=1.0), rows.sum(0))


def test_trimmed_mean_and_krum_drop_an_outlier() -> None:
    rows = torch.cat([torch.ones(4, 3) + 0.01 * random_rows(4, 3), torch.full((1, 3), 1e6)]).double()
    assert direction("trimmed_mean", rows).max() < 2
    assert direction("krum", rows, n_byzantine=1).max() < 2
    assert direction("mean", rows).max() > 1e5
    kept = weights_of_step("krum", rows, n_byzantine=1, n_selected=2)
    assert sorted(kept.tolist()) == [0, 0, 0, 0.5, 0.5]


@pytest.mark.parametrize("name", ["trimmed_mean", "krum"])
def test_with_two_tasks_the_robust_methods_are_the_mean(name: str) -> None:
    rows = random_rows(2, 5)
    torch.testing.assert_close(direction(name, rows), rows.mean(0))


def test_pcd_follows_its_primary_task_and_grants_the_others_their_share() -> None:
    rows = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 5.0]]).double()
    found = direction("pcd", rows, tau=0.1)
    assert float(found.norm()) == pytest.approx(1)
    own = units(rows)[1:] @ found
    assert own.min() > 0
    assert float(units(rows)[0] @ found) > 0.5
    batch = dict(zip(names(3), rows, strict=True))
    last = follow("pcd", [batch], primary="t2", tau=0.0)[0][0]
    torch.testing.assert_close(last, rows[2])  # nothing conflicts with it
    assert float(last.norm()) == pytest.approx(5)


def test_crmogm_smooths_the_inner_weights_by_task() -> None:
    steps = [random_rows(3, 6, seed) for seed in range(3)]
    batches = [dict(zip(names(3), rows, strict=True)) for rows in steps]
    batches.insert(1, {"t0": batches[1]["t0"], "t1": batches[1]["t1"]})
    inner = [report.weights for report in follow("mgda", batches)[1]]
    found = [report.weights for report in follow("crmogm", batches, alpha=0.5)[1]]
    kept = dict(inner[0])
    for raw, smoothed in zip(inner, found, strict=True):
        kept |= {task: 0.5 * kept[task] + 0.5 * weight for task, weight in raw.items()}
        assert smoothed == pytest.approx({task: kept[task] for task in raw})


def test_modo_and_sdmgrad_move_towards_the_shortest_mean_and_stay_in_the_simplex() -> None:
    rows = random_rows(3, 6, 8) / 3
    batches = [dict(zip(names(3), rows, strict=True))] * 400
    goal = MGDAWeighting(1e-9, 2000)(rows @ rows.T).tolist()
    for name, arguments in (("modo", {"gamma": 0.2, "rho": 0.0}), ("sdmgrad", {"lambda_": 0.0, "lr": 0.2})):
        reports = follow(name, batches, **arguments)[1]
        assert all(sum(report.weights.values()) == pytest.approx(1) for report in reports)
        assert list(reports[-1].weights.values()) == pytest.approx(goal, abs=0.02)


def test_sdmgrad_with_a_strong_pull_is_near_its_preference() -> None:
    weights = weights_of_step("sdmgrad", random_rows(2, 6), lambda_=1e6, preference={"t0": 3.0})
    torch.testing.assert_close(weights, torch.tensor([0.75, 0.25]).double(), rtol=1e-4, atol=1e-4)


def test_random_weights_are_positive_and_sum_to_one() -> None:
    rows = random_rows(4, 6)
    reports = follow("random", [dict(zip(names(4), rows, strict=True))] * 50)[1]
    values = torch.tensor([list(report.weights.values()) for report in reports])
    assert values.min() > 0
    torch.testing.assert_close(values.sum(1), torch.ones(50))
    assert len({round(float(value), 9) for value in values[:, 0]}) == 50
