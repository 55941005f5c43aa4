"""Projection onto the dual cone, shortest vectors, CAGrad's problem: closed forms, optimality, brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from aggregation_toys import direction, follow, names, random_rows, row_sets
from hypothesis import example, given, settings
from scipy.optimize import minimize
from torchjd.aggregation import CAGrad

from medmtl.optim.aggregation import NonNegativeProjector
from medmtl.optim.aggregation.conflict_averse import averse
from medmtl.optim.aggregation.dual_cone import lift, shortest

OPPOSED = torch.tensor([[1.0, 2.0], [-1.0, -2.0]]).double()


@settings(max_examples=150, deadline=None)
@given(row_sets())
@example(OPPOSED)
@example(torch.tensor([[1.0, 0.0], [-1.0, 1e-4], [0.0, -1.0]]).double())
def test_the_projection_meets_its_optimality_conditions(rows: torch.Tensor) -> None:
    """v >= u, G v >= 0 and (v - u) · G v = 0: necessary and sufficient for min vᵀ G v over v >= u."""
    products = (rows @ rows.T).numpy()
    size = np.trace(products)
    for u in [*np.eye(len(rows)), np.full(len(rows), 1 / len(rows))]:
        v = lift(products, u)
        slope = products @ v
        assert (v >= u).all()
        assert slope.min() >= -1e-7 * size
        assert abs((v - u) @ slope) <= 1e-7 * size


@settings(max_examples=60, deadline=None)
@given(row_sets(least=2, most=2))
@example(OPPOSED)
def test_two_tasks_are_projected_in_closed_form(rows: torch.Tensor) -> None:
    g, other = rows
    v = torch.from_numpy(lift((rows @ rows.T).numpy(), np.array([1.0, 0.0])))
    torch.testing.assert_close(v @ rows, g - min(float(g @ other), 0) / (other @ other) * other, rtol=1e-7, atol=1e-7)


def test_the_projector_is_the_library_s_interface_and_regularizes() -> None:
    projector = NonNegativeProjector()
    rows = random_rows(4, 5)
    products = rows @ rows.T
    wanted = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = projector(wanted, products)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found[1, 2], projector(wanted[1, 2], products))
    assert torch.equal(projector(wanted[0], torch.zeros(4, 4)), wanted[0].float())
    near = torch.tensor([[0.0, -1.0], [1.0, 1e-3], [-1.0, 1e-3]]).double()
    free, bound = (lift((near @ near.T).numpy(), np.array([1.0, 0, 0]), eps) for eps in (0.0, 1e-3))
    assert np.abs(bound).max() < 10 < 100 < np.abs(free).max()


@settings(max_examples=60, deadline=None)
@given(row_sets(least=2, most=2))
def test_upgrad_with_a_conflict_is_half_of_pcgrad(rows: torch.Tensor) -> None:
    torch.testing.assert_close(direction("upgrad", rows), direction("pcgrad", rows) / 2, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["upgrad", "dual_proj"])
def test_without_conflict_the_mean(name: str) -> None:
    rows = random_rows(3, 6).abs()
    torch.testing.assert_close(direction(name, rows), rows.mean(0))


@pytest.mark.parametrize("name", ["upgrad", "dual_proj", "mgda"])
@settings(max_examples=60, deadline=None)
@given(row_sets())
@example(OPPOSED)
def test_no_task_is_in_conflict_with_the_direction(name: str, rows: torch.Tensor) -> None:
    assert (rows @ direction(name, rows)).min() >= -1e-7 * rows.square().sum()


@settings(max_examples=40, deadline=None)
@given(row_sets())
def test_dual_proj_is_the_nearest_direction_without_conflict(rows: torch.Tensor) -> None:
    """Against a general solver on the primal problem, over directions rather than weights."""
    mean = rows.mean(0).numpy()
    found = minimize(
        lambda d: ((d - mean) ** 2).sum(),
        mean,
        jac=lambda d: 2 * (d - mean),
        constraints={"type": "ineq", "fun": lambda d: rows.numpy() @ d, "jac": lambda d: rows.numpy()},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )
    if found.success and (rows.numpy() @ found.x).min() > -1e-9:
        np.testing.assert_allclose(direction("dual_proj", rows).numpy(), found.x, atol=1e-4)


def test_a_task_s_share_of_upgrad_grows_linearly_with_its_loss() -> None:
    rows = random_rows(3, 6, 4)
    parts = [direction("upgrad", rows * torch.tensor([[s], [1.0], [1.0]])) for s in (1.0, 2.0, 3.0)]
    torch.testing.assert_close(parts[2] - parts[1], parts[1] - parts[0])


@settings(max_examples=80, deadline=None)
@given(row_sets(least=2, most=2))
def test_mgda_of_two_tasks_has_its_closed_form(rows: torch.Tensor) -> None:
    g1, g2 = rows
    gap = (g1 - g2) @ (g1 - g2)
    first = float(((g2 - g1) @ g2 / gap).clamp(0, 1)) if gap > 0 else 0.5
    expected = first * g1 + (1 - first) * g2
    for solver in ("exact", "frank_wolfe"):
        torch.testing.assert_close(direction("mgda", rows, solver=solver), expected, rtol=1e-7, atol=1e-7)


GRID = np.array([(i, j, 60 - i - j) for i, j in itertools.product(range(61), repeat=2) if i + j <= 60]) / 60


@settings(max_examples=40, deadline=None)
@given(row_sets(least=3, most=3))
def test_mgda_of_three_tasks_beats_every_point_of_a_grid(rows: torch.Tensor) -> None:
    norms = np.linalg.norm(GRID @ rows.numpy(), axis=1)
    found = float(direction("mgda", rows).norm())
    assert found <= norms.min() + 1e-9
    assert norms.min() - found <= float(rows.norm()) / 30  # and the grid comes as near as its mesh allows
    assert float(direction("mgda", rows, solver="frank_wolfe").norm()) >= found - 1e-9


@settings(max_examples=80, deadline=None)
@given(row_sets())
@example(OPPOSED)
def test_the_shortest_vector_meets_its_optimality_conditions(rows: torch.Tensor) -> None:
    weights = shortest(rows.T.numpy())
    found = weights @ rows.numpy()
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    assert (rows.numpy() @ found).min() >= found @ found - 1e-7 * float(rows.square().sum())


@pytest.mark.parametrize("kind", ["l2", "loss", "loss+"])
def test_mgda_normalizations_weigh_as_if_gradients_were_divided(kind: str) -> None:
    rows = random_rows(3, 6, 2) * torch.tensor([[1.0], [10.0], [0.1]])
    lengths = {"l2": rows.norm(dim=1), "loss": torch.ones(3), "loss+": rows.norm(dim=1)}[kind]  # every loss is 1
    weights = torch.from_numpy(shortest((rows / lengths[:, None]).T.numpy()))
    torch.testing.assert_close(direction("mgda", rows, normalization=kind), weights @ rows)


def test_mgda_follows_the_smallest_task_and_with_l2_the_weights_do_not_care() -> None:
    rows = random_rows(2, 6, 3)
    batches = [dict(zip(names(2), rows * torch.tensor([[s], [1.0]]), strict=True)) for s in (1.0, 100.0)]
    (small,), (large,) = ([r.weights for r in follow("mgda", [b])[1]] for b in batches)
    assert large["t0"] < small["t0"]
    (small,), (large,) = ([r.weights for r in follow("mgda", [b], normalization="l2")[1]] for b in batches)
    assert large == pytest.approx(small)


def test_cagrad_without_radius_is_the_mean() -> None:
    rows = random_rows(4, 6)
    for solver in ("exact", "clarabel"):
        torch.testing.assert_close(direction("cagrad", rows, c=0.0, solver=solver), rows.mean(0), rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(row_sets())
def test_cagrad_s_problem_is_solved(rows: torch.Tensor) -> None:
    """Optimality on the simplex: the slope is smallest, and equal, where a weight is positive."""
    rows = rows / rows.norm()
    center = rows.mean(0)
    radius = 0.5 * float(center.norm())
    if radius < 1e-6:
        return
    weights, norm = averse((rows @ rows.T).numpy(), radius)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    if norm > 1e-4:
        w = torch.from_numpy(weights)
        slope = rows @ center + radius * (rows @ (w @ rows)) / norm
        assert float(w @ slope - slope.min()) < 1e-7


@pytest.mark.parametrize("tasks", [2, 3, 5])
@pytest.mark.parametrize("c", [0.2, 0.5, 0.9])
def test_cagrad_agrees_with_the_library_to_its_solver_s_tolerance(tasks: int, c: float) -> None:
    for seed in range(4):
        rows = random_rows(tasks, 6, seed)
        torch.testing.assert_close(direction("cagrad", rows, c=c), CAGrad(c)(rows), rtol=0, atol=2e-4)


@pytest.mark.parametrize("solver", ["exact", "clarabel"])
def test_cagrad_is_not_rescaled(solver: str) -> None:
    """Equal gradients are their own mean and every mixture of them: 1 + c times one, without LibMTL's 1/(1 + c²)."""
    rows = torch.tensor([[3.0, -4.0]] * 3, dtype=torch.float64)
    torch.testing.assert_close(direction("cagrad", rows, c=0.5, solver=solver), 1.5 * rows[0], rtol=1e-5, atol=0)


def test_cagrad_stays_in_its_ball_improves_the_worst_task_and_may_conflict() -> None:
    rows = torch.tensor([[1.0, 0.0], [-10.0, 1.0]]).double()
    mean, found = rows.mean(0), direction("cagrad", rows, c=0.5)
    assert float((found - mean).norm()) == pytest.approx(0.5 * float(mean.norm()))
    assert (rows @ found).min() > (rows @ mean).min()
    assert (rows @ found).min() < 0


@pytest.mark.parametrize("size", [1e-6, 1e6])
@pytest.mark.parametrize(
    "name", ["aligned_mtl", "cagrad", "config", "dual_proj", "imtl_g", "mgda", "pcgrad", "gradvac", "upgrad", "mean"]
)
def test_a_common_factor_scales_the_direction_and_no_bound_of_the_library_is_met(name: str, size: float) -> None:
    rows = random_rows(3, 6, 5)
    torch.testing.assert_close(direction(name, rows * size) / size, direction(name, rows), rtol=1e-6, atol=1e-6)
