"""The toy table: what a scale of one loss does under Adam, and that it does nothing under MAO."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import program


@pytest.fixture(scope="module")
def results():
    toy = program("benchmarks/mao_toy.py")
    return {(name, scale): toy.train(name, scale) for name in toy.METHODS for scale in toy.SCALES}


def ends(result) -> list[float]:
    return [losses[-1] for losses in result.losses.values()]


def test_mao_runs_are_the_same_for_every_scale(results) -> None:
    one = results["MAO (mean)", 1.0]
    for scale in (0.01, 100.0):
        other = results["MAO (mean)", scale]
        assert ends(other) == pytest.approx(ends(one), rel=0.02)
        assert float((other.weights - one.weights).norm()) < 0.1
        assert other.shares == pytest.approx(one.shares, abs=0.05)
    assert max(ends(one)) < 0.05


def test_eps_is_all_that_is_left_of_the_scale(results) -> None:
    one = results["MAO (mean)", 1.0].weights
    small, large = ((results["MAO (mean)", scale].weights - one).norm() for scale in (0.01, 100.0))
    assert float(large) < float(small)  # eps matters where gradients are small


def test_adam_runs_are_not(results) -> None:
    balanced, small, large = (results["Adam", scale] for scale in (1.0, 0.01, 100.0))
    assert ends(small)[1] > 10 * ends(balanced)[1]  # task 2 starves
    assert ends(large)[0] > 10 * ends(balanced)[0]  # task 1 starves
    assert all(share > 0.55 for share in small.shares)
    assert all(share < 0.25 for share in large.shares)
    assert all(0.1 < share < 0.9 for share in balanced.shares)
    assert all(float((run.weights - balanced.weights).norm()) > 1 for run in (small, large))


def test_who_notices_a_scale_with_a_backbone_that_is_frozen_or_free() -> None:
    runs = program("benchmarks/scale_invariance.py")

    def apart(name: str, frozen: bool) -> tuple[float, float]:
        plain, scaled = (runs.train(name, s, frozen=frozen, epochs=3, seed=0, eps=1e-20) for s in (1.0, 128.0))
        pairs = ((plain.heads, scaled.heads), (plain.backbone, scaled.backbone))
        return tuple(float((a - b).norm() / a.norm()) for a, b in pairs)

    for frozen in (True, False):
        assert min(apart("EW + SGD", frozen)[:1]) > 0.05
        assert max(apart("UW-O + SGD", frozen)) < 1e-5
        assert apart("one Adam a task", frozen) == (0, 0)
    assert apart("EW + Adam", True) == (0, 0)  # in the heads the scale cancels
    assert min(apart("EW + Adam", False)) > 1e-3  # in the backbone it does not


def test_the_programs_print_and_draw(tmp_path: Path, monkeypatch, capsys) -> None:
    for name, steps in (("mao_toy", "--steps"), ("scale_invariance", "--epochs")):
        figure = tmp_path / f"{name}.png"
        monkeypatch.setattr(sys, "argv", [name, "--out", str(figure), steps, "3"])
        program(f"benchmarks/{name}.py").main()
        assert figure.stat().st_size > 10_000
        assert "| " in capsys.readouterr().out
