"""What stands between problem and method: scaling, clipping, agreement of counts, memory."""

from __future__ import annotations

import math

import pytest
import torch
from optim_toys import TASKS, Shared, batch_of, built, sgd
from torch import nn

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import LossScale, Services, TaskLoss
from medmtl.optim.gradients import backward_of, norm_of


def test_counts_need_no_forward_and_drop_absent_tasks() -> None:
    problem = Shared()
    counts = Services(problem).counts([batch_of(missing={"b": range(6)}), batch_of(missing={"b": range(6)})], TASKS)
    assert counts == {"a": 12, "c": 12}
    assert problem.forwards == 0


def test_clip_norm_bounds_the_step() -> None:
    problem = Shared()
    before = nn.utils.parameters_to_vector(problem.parameters()).clone()
    method = built("equal", problem, sgd)
    report = method.update([batch_of()], Services(problem, clip_norm=0.1))
    step = nn.utils.parameters_to_vector(problem.parameters()) - before
    assert float(step.norm()) == pytest.approx(0.01 * 0.1, rel=1e-4)
    assert report.norm is not None
    assert report.norm > 0.1


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "1"])
def test_clip_norm_out_of_range(value: object) -> None:
    with pytest.raises(ConfigError, match="clip_norm"):
        Services(Shared(), clip_norm=value)  # type: ignore[arg-type]


def test_counts_and_losses_must_agree() -> None:
    problem = Shared()
    true = problem.counts
    problem.counts = lambda batch, tasks: {t: n + (t == "b") for t, n in true(batch, tasks).items()}  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"task 'b'.*6 instead of 7"):
        built("equal", problem).update([batch_of()], Services(problem))


@pytest.mark.parametrize("name", ["equal", "pcgrad", "famo"])
def test_a_loss_without_graph_is_named(name: str) -> None:
    problem = Shared()
    true = problem.losses
    problem.losses = lambda *a: {
        t: TaskLoss(v.sum.detach() if t == "c" else v.sum, v.count) for t, v in true(*a).items()
    }  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"task 'c'.*no gradient"):
        built(name, problem).update([batch_of()], Services(problem))


def test_a_gradient_that_is_not_finite_skips_without_a_scale_too() -> None:
    problem = Shared()
    problem.trunk[0].weight.register_hook(lambda g: g * float("inf"))
    before = problem.heads["a"].weight.clone()
    report = built("equal", problem).update([batch_of()], Services(problem))
    assert report.skipped
    assert torch.equal(before, problem.heads["a"].weight)


def test_leftover_gradients_do_not_leak_into_a_step() -> None:
    clean, dirty = Shared(), Shared()
    dirty.trunk[0].weight.grad = torch.full_like(dirty.trunk[0].weight, 7.0)
    for problem in (clean, dirty):
        built("equal", problem).update([batch_of()], Services(problem))
    assert torch.equal(clean.trunk[0].weight, dirty.trunk[0].weight)


def test_equal_frees_each_micro_batch_before_the_next() -> None:
    problem = Shared()
    alive: list[int] = []
    current = 0

    def pack(tensor):
        nonlocal current
        current += 1
        alive.append(current)
        return _Held(tensor)

    class _Held:
        def __init__(self, tensor):
            self.tensor = tensor

        def __del__(self):
            nonlocal current
            current -= 1

    method, services = built("equal", problem), Services(problem)
    peaks = []
    for n in (1, 8):
        alive.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
            method.update([batch_of(seed=s) for s in range(n)], services)
        peaks.append(max(alive))
    assert peaks[0] == peaks[1]


def test_dropout_is_replayed_when_a_window_is_measured_first() -> None:
    problem = Shared()
    problem.trunk.append(nn.Dropout(0.5))
    services = Services(problem)
    window = [batch_of(seed=1), batch_of(seed=2)]
    counts = services.counts(window, TASKS)
    torch.manual_seed(3)
    measured = services.losses(window, counts)
    losses = services.backward(window, counts, dict.fromkeys(counts, 1.0), measured=measured)
    assert losses == pytest.approx(measured.means, abs=1e-12)


@pytest.mark.parametrize("dtypes", [["float32"], ["float64"], ["float32", "float64"], ["float16", "float32"]])
def test_norms_are_those_of_pytorch_to_the_bit(dtypes: list[str]) -> None:
    random = torch.Generator().manual_seed(0)
    sizes = [(3, 4), (), (50_000,), (2, 3, 4, 5)] * 2
    tensors = [
        torch.randn(size, generator=random).to(getattr(torch, dtypes[i % len(dtypes)])) for i, size in enumerate(sizes)
    ]
    assert norm_of(iter(tensors)) == float(nn.utils.get_total_norm(tensors))
    assert norm_of([]) == 0.0
    assert not math.isfinite(norm_of([*tensors, torch.tensor([float("inf")])]))


@pytest.mark.parametrize("bad", [None, math.inf, math.nan])
def test_norms_of_small_gradients_in_any_order_of_memory_are_those_of_all_entries(bad: float | None) -> None:
    random = torch.Generator().manual_seed(0)
    tensors = [torch.randn(size, generator=random) for size in [(3, 4), (), (2, 8, 4, 5), (100,)]]
    tensors[0], tensors[2] = tensors[0].T, tensors[2].to(memory_format=torch.channels_last)
    if bad is not None:
        tensors[3][7] = bad
        assert not math.isfinite(norm_of(tensors))
        return
    entries = [value for tensor in tensors for value in tensor.double().flatten().tolist()]
    assert norm_of(tensors) == pytest.approx(math.sqrt(math.fsum(value * value for value in entries)), rel=1e-6)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (0.3, 0.0, 7.0)])
def test_slopes_give_the_bits_of_the_weighted_sum(factors: tuple[float, ...]) -> None:
    ends = []
    for by_hand in (False, True):
        problem = Shared().float()
        batch = batch_of()
        batch = {"x": batch["x"].float(), "y": {task: y.float() for task, y in batch["y"].items()}}
        sums = [loss.sum for loss in problem.losses(batch, TASKS, "update").values()]
        if by_hand:
            sum(total * factor for total, factor in zip(sums, factors, strict=True)).backward()
        else:
            backward_of(sums, factors)
        ends.append([parameter.grad for parameter in problem.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_loss_scale_grows_and_shrinks() -> None:
    scale = LossScale(8.0, interval=2)
    for overflow in (False, False, True, False):
        scale.update(overflow=overflow)
    assert (scale.value, scale.good_steps) == (8.0, 1)
    other = Services(Shared(), scale=LossScale())
    other.load_state_dict({"scale": scale.state_dict()})
    assert other.state_dict() == {"scale": {"value": 8.0, "good_steps": 1}}


def test_a_gradient_that_is_never_finite_leaves_the_loss_scale_at_its_least() -> None:
    problem, scale = Shared(), LossScale()
    method, services, batch = built("equal", problem), Services(problem, scale=scale), batch_of()
    for parameter in problem.parameters():
        parameter.register_hook(lambda gradient: gradient * float("inf"))
    seen = []
    for _ in range(1100):  # 65536 halved as often is 0 in float64
        assert method.update([batch], services).skipped
        seen.append((scale.value, scale.exhausted))
    assert seen[:40] == [(65536.0 / 2**n, n == 40) for n in range(1, 41)]
    assert set(seen[40:]) == {(2.0**-24, True)}
    services.load_state_dict({"scale": {"value": 0.0, "good_steps": 0}})  # as an earlier version may have saved it
    assert scale.value == 2.0**-24


@pytest.mark.parametrize("value", [0.0, 2.0**-25, -1.0, float("nan")])
def test_a_first_loss_scale_out_of_range(value: float) -> None:
    with pytest.raises(ConfigError, match="loss scale"):
        LossScale(value)
