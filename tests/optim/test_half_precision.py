"""bf16 and fp16 in the network, norm layers included: every method trains, and a real overflow leaves all as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mao_toys import equal, flat
from optim_toys import EVERY, PLAIN, TASKS, batch_of, built, problem_for, rows_of, weights_of

from medmtl.optim import LossScale, Services

KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}
CAST = ("features", "losses_from", "encode", "lend", "lend_with", "predict")


def problem_in(kind: str | None, name: str, norm: str) -> Any:
    """A network in float32 whose passes run under autocast; the losses are float32, as autocast makes them."""
    problem = problem_for(name, norm=norm).float()
    for part in CAST if kind else ():
        if hasattr(problem, part):
            setattr(problem, part, torch.autocast("cpu", dtype=KINDS[kind])(getattr(problem, part)))
    return problem


def batch_in_single(seed: int) -> dict[str, Any]:
    batch = batch_of(8, seed=seed, missing={"a": [0, 5], "b": [1, 2, 3]})
    return {"x": batch["x"].float(), "y": {task: y.float() for task, y in batch["y"].items()}}


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERY)
def test_training_is_near_that_in_single_precision(name: str, kind: str, norm: str) -> None:
    reports = []
    for precision in (None, kind):
        problem = problem_in(precision, name, norm)
        method = built(name, problem)
        services = Services(problem, scale=LossScale(256.0) if precision == "fp16" else None)
        seen = [method.update([batch_in_single(step)], services) for step in range(3)]
        assert not any(report.skipped for report in seen)
        assert all(value.isfinite().all() for value in problem.state_dict().values())
        assert all(parameter.dtype == torch.float32 for parameter in problem.parameters())
        reports.append(seen[0])
    single, half = reports
    assert half.losses == pytest.approx(single.losses, rel=0.05, abs=0.02)
    assert half.gradient_norms == pytest.approx(single.gradient_norms, rel=0.15)  # unscaled


@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("name", EVERY)
def test_a_real_overflow_of_fp16_leaves_every_bit(name: str, micro: int) -> None:
    """The scale itself is too large for fp16: nothing is put in by hand."""
    problem = problem_in("fp16", name, "batch")
    scale = LossScale(256.0)
    method, services = built(name, problem), Services(problem, scale=scale)
    batch = batch_in_single(1)
    window = [batch] if micro == 1 else [rows_of(batch, 0, 4), rows_of(batch, 4, 8)]
    for _ in TASKS:
        assert not method.update(window, services).skipped
    trained = {key: value for key, value in weights_of(problem).items() if "running" not in key and "num" not in key}
    state = flat(method.state_dict())
    scale.value = 2.0**100
    assert method.update(window, services).skipped
    assert scale.value == 2.0**99
    after, now = flat(method.state_dict()), weights_of(problem)
    assert after.pop("/step") == state.pop("/step") + 1
    assert after.keys() == state.keys()
    assert [key for key in state if not equal(state[key], after[key])] == []
    assert [key for key in trained if not torch.equal(trained[key], now[key])] == []


@pytest.mark.parametrize("target", ["others", "own", "weights"])
@pytest.mark.parametrize("kind", ["ascent", "adaptive_ascent", "uniform"])
def test_an_ascent_that_overflows_skips_the_update_and_does_not_stop_the_run(kind: str, target: str) -> None:
    problem, scale = problem_in("fp16", "mtcl", "batch"), LossScale(256.0)
    method, services = built("mtcl", problem, flatness=kind, target=target), Services(problem, scale=scale)
    assert not method.update([batch_in_single(0)], services).skipped
    scale.value = 2.0**100
    assert [method.update([batch_in_single(step)], services).skipped for step in range(3)] == [True] * 3
    scale.value = 256.0
    assert not method.update([batch_in_single(4)], services).skipped
    assert all(value.isfinite().all() for value in problem.state_dict().values())


@pytest.mark.parametrize("name", PLAIN)
def test_after_an_overflow_training_goes_on_as_if_it_had_not_been(name: str) -> None:
    ends = []
    for overflow in (False, True):
        problem = problem_in("fp16", name, "group")
        scale = LossScale(256.0)
        method, services = built(name, problem), Services(problem, scale=scale)
        method.update([batch_in_single(0)], services)
        if overflow:
            scale.value = 2.0**100
            assert method.update([batch_in_single(1)], services).skipped
            scale.value, method.step = 256.0, method.step - 1
        method.update([batch_in_single(2)], services)
        ends.append(weights_of(problem))
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
