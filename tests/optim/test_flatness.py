"""Perturbations against closed forms: the oracles O1 to O4 and O7 of the cooperative methods."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optim_toys import TASKS, Split, batch_of

from medmtl.optim.cooperative.flatness import adaptive_ascent, ascent, clamp_to_box, noise_scale
from medmtl.optim.cooperative.noise import SampleNoise
from medmtl.optim.cooperative.objective import Flatness, Place, turn_loss

N, D = 5, 4


def features(seed: int = 0, parts: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(N, D + index, 2, generator=generator, dtype=torch.float64) for index in range(parts)]


def residuals(z: list[torch.Tensor], w: list[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    return torch.stack([(a * b).flatten(1).sum(1) for a, b in zip(z, w, strict=True)]).sum(0) - y


def head(seed: int = 1) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    w = [torch.randn(1, D + index, 2, generator=generator, dtype=torch.float64) for index in range(2)]
    return w, torch.randn(N, generator=generator, dtype=torch.float64)


def squared_norm(w: list[torch.Tensor]) -> float:
    return float(sum(part.square().sum() for part in w))


@pytest.mark.parametrize("radius", [0.01, 0.3, 2.0])
def test_ascent_on_a_linear_head_is_the_exact_worst_case(radius: float) -> None:
    z, (w, y) = features(), head()
    leaves = [part.clone().requires_grad_() for part in z]
    gradients = torch.autograd.grad((0.5 * residuals(leaves, w, y) ** 2).sum(), leaves)
    steps = ascent(z, gradients, radius, relative=False)
    moved = 0.5 * residuals([a + b for a, b in zip(z, steps, strict=True)], w, y) ** 2
    exact = 0.5 * (residuals(z, w, y).abs() + radius * math.sqrt(squared_norm(w))) ** 2
    torch.testing.assert_close(moved, exact, rtol=1e-9, atol=0)


@given(seed=st.integers(0, 1000), radius=st.floats(1e-3, 10), relative=st.booleans())
def test_the_ascent_step_lies_on_the_ball(seed: int, radius: float, relative: bool) -> None:
    z, gradients = features(seed), features(seed + 1)
    steps = ascent(z, gradients, radius, relative=relative)
    c = [part.flatten(1).norm(dim=1) if relative else torch.ones(N, dtype=torch.float64) for part in z]
    total = sum((step.flatten(1).norm(dim=1) / c_j) ** 2 for step, c_j in zip(steps, c, strict=True))
    torch.testing.assert_close(total.sqrt(), torch.full((N,), radius, dtype=torch.float64), rtol=1e-6, atol=0)


def test_adaptive_ascent_against_its_formula() -> None:
    z, g = features(3), features(4)
    steps = adaptive_ascent(z, g, 0.2)
    for sample in range(N):
        flat_z, flat_g = (torch.cat([part[sample].flatten() for part in parts]) for parts in (z, g))
        expected = 0.2 * flat_z**2 * flat_g / (flat_z.abs() * flat_g).norm()
        found = torch.cat([step[sample].flatten() for step in steps])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_the_worst_case_of_a_nonlinear_head_to_first_order(task: str, relative: bool) -> None:
    """R^sam = L + ρ √(Σ_j c_j² ‖∂l/∂z_j‖²) + O(ρ²): halving the radius quarters what the slope leaves over."""
    problem, batch = Split(), batch_of(N)
    torch.manual_seed(0)
    wide = problem.predictors[task].in_features
    problem.predictors[task] = torch.nn.Sequential(
        torch.nn.Linear(wide, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
    ).double()
    z = {other: problem.lend(batch, other) for other in TASKS if other != task}
    own = problem.encode(batch, task).detach()

    def losses(moved: dict[str, torch.Tensor]) -> torch.Tensor:
        joined = torch.cat([own, *(moved[name] for name in sorted(moved))], 1)
        return (problem.predictors[task](joined).squeeze(1) - batch["y"][task]) ** 2

    slope, step = torch.zeros(N, dtype=torch.float64), 1e-5
    for other, value in z.items():  # by central differences: nothing of what is tested
        c = value.norm(dim=1) if relative else torch.ones(N, dtype=torch.float64)
        for entry in range(value.shape[1]):
            by = torch.zeros_like(value)
            by[:, entry] = step
            change = losses({**z, other: value + by}) - losses({**z, other: value - by})
            slope += (c * change.detach() / (2 * step)) ** 2
    rest = []
    for radius in (4e-3, 2e-3, 1e-3):
        flatness = Flatness("ascent", radius=radius, relative=relative)
        found = turn_loss(problem, batch, task, "frozen", flatness, Place())
        rest.append(float((found.flat.sum - found.clean.sum).detach() - radius * slope.sqrt().sum()))
        assert abs(rest[-1]) < 0.1 * radius * float(slope.sqrt().sum())
    assert rest[0] / rest[1] == pytest.approx(4, rel=0.1)
    assert rest[1] / rest[2] == pytest.approx(4, rel=0.1)


def test_a_sample_without_gradient_is_not_moved() -> None:
    z, g = features(), [part.clone() for part in features(1)]
    for part in g:
        part[2] = 0
    for step in (*ascent(z, g, 0.5, relative=True), *adaptive_ascent(z, g, 0.5)):
        assert torch.isfinite(step).all()
        assert not step[2].any()
        assert step[1].any()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_steps_and_noise_in_half_precision_are_those_of_single_precision(kind: torch.dtype) -> None:
    """A sample without gradient, features whose squares leave fp16's range, and gradients that are large by a scale."""
    z = [(part * 400).to(kind) for part in features()]
    g = [(part * 3000).to(kind) for part in features(1)]
    for part in g:
        part[2] = 0
    single = [[part.float() for part in parts] for parts in (z, g)]
    for step in (lambda a, b: ascent(a, b, 0.1, relative=True), lambda a, b: adaptive_ascent(a, b, 0.1)):
        for half, whole in zip(step(z, g), step(*single), strict=True):
            assert half.dtype == kind
            torch.testing.assert_close(half.float(), whole, rtol=1e-2, atol=1e-2)
    for half, whole in zip(z, single[0], strict=True):
        scale = noise_scale(half, 0.1, relative=True)
        torch.testing.assert_close(scale.float(), noise_scale(whole, 0.1, relative=True), rtol=1e-2, atol=0)


@pytest.mark.parametrize(("law", "variance"), [("uniform", 1.0), ("gaussian", 1.0)])
def test_noise_adds_half_its_variance_times_the_curvature(law: str, variance: float) -> None:
    """O1 and O2: E l = ½ r² + ½ s² ‖w‖² for a linear head; s² = b²/3 for U(-b, b)."""
    z, (w, y) = features(), head()
    s, draws = 0.3, 4000
    noise = SampleNoise(0, law)
    total = torch.zeros(N, dtype=torch.float64)
    squares = torch.zeros(N, dtype=torch.float64)
    for draw in range(draws):
        moved = noise.perturb(z, s, relative=False, step=0, draw=draw, samples=range(N))
        loss = 0.5 * residuals(moved, w, y) ** 2
        total += loss
        squares += loss**2
    mean = total / draws
    error = ((squares / draws - mean**2) / draws).sqrt()
    expected = 0.5 * residuals(z, w, y) ** 2 + 0.5 * variance * s**2 * squared_norm(w)
    assert ((mean - expected).abs() < 5 * error).all()


@pytest.mark.parametrize("law", ["uniform", "gaussian"])
@pytest.mark.parametrize("relative", [True, False])
def test_noise_has_the_stated_deviation_and_bounds(law: str, relative: bool) -> None:
    z = [
        torch.randn(3, 200, 200, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 5, 0.1])[:, None, None]
    ]
    (moved,) = SampleNoise(1, law).perturb(z, 0.2, relative=relative, step=3, draw=0, samples=range(3))
    noise = moved - z[0]
    scale = 0.2 * (z[0].flatten(1).square().mean(1).sqrt() if relative else torch.ones(3))
    torch.testing.assert_close(noise.flatten(1).std(1), scale, rtol=0.02, atol=0)
    if law == "uniform":
        bound = math.sqrt(3) * scale
        assert (noise.flatten(1).abs().amax(1) <= bound * 1.0001).all()
        assert (noise.flatten(1).abs().amax(1) > 0.99 * bound).all()


def test_mirror_draws_cancel() -> None:
    z = features()
    arguments = {"relative": True, "step": 5, "draw": 1, "samples": range(N)}
    plus = SampleNoise(0, "uniform").perturb(z, 0.3, **arguments)
    minus = SampleNoise(0, "uniform").perturb(z, 0.3, sign=-1.0, **arguments)
    for a, b, base in zip(plus, minus, z, strict=True):
        torch.testing.assert_close(a + b, 2 * base)


def test_noise_belongs_to_the_sample() -> None:
    z = features()
    noise = SampleNoise(7, "gaussian")
    whole = noise.perturb(z, 0.1, relative=True, step=2, draw=0, samples=range(N))
    for rank in range(2):  # two processes that hold every other sample
        part = noise.perturb([a[rank::2] for a in z], 0.1, relative=True, step=2, draw=0, samples=range(rank, N, 2))
        for mine, all_of in zip(part, whole, strict=True):
            assert torch.equal(mine, all_of[rank::2])
    other = noise.perturb(z, 0.1, relative=True, step=3, draw=0, samples=range(N))
    assert not torch.equal(whole[0], other[0])


def test_the_box() -> None:
    origin = torch.tensor([3.0, -4.0])  # root mean square 3.5355
    weights = torch.tensor([9.0, -4.1])
    clamp_to_box([weights], [origin], 0.1)
    torch.testing.assert_close(weights, torch.tensor([3.0 + 0.1 * math.sqrt(12.5), -4.1]))


def test_the_box_of_a_small_tensor_is_that_of_root_mean_square_one_hundredth() -> None:
    weights = torch.tensor([1.0, -1.0, 0.0005])
    clamp_to_box([weights], [torch.zeros(3)], 0.1)
    torch.testing.assert_close(weights, torch.tensor([0.001, -0.001, 0.0005]))
