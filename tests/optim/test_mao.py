"""MAO against torch's optimizers, plain loops and the statements A1-A7 of its derivation."""

from __future__ import annotations

import io
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mao_toys import Many, Reference, data, equal, flat, snapshot, stage
from optim_toys import TASKS, Shared, adam, adamw, assert_same, batch_of, built, rows_of, run, weights_of
from test_gradient_surgery import Linear
from torch import nn
from torch.utils.checkpoint import checkpoint

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim import MultiAdaptiveOptimizer, Services, make_method
from medmtl.optim.pertask.pieces import KEPT_PACKINGS, Packing, chunks_of

RULES = [
    (form, momentum, combine)
    for form in ("adam", "adamw", "rmsprop", "normalized_sgd")
    for momentum in ("per_task", "shared")
    for combine in ("sum", "mean")
    if (form, momentum) != ("rmsprop", "shared")
]


def unit(named):
    return torch.optim.Adam([p for _, p in named], lr=0.1)


def rmsprop(named):
    return torch.optim.RMSprop([p for _, p in named], lr=1e-2, alpha=0.99)


# A1: one task is torch's optimizer, bit for bit.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gradients", ["stream", "collect"])
@pytest.mark.parametrize(("factory", "form"), [(adam, "adam"), (adam, "adamw"), (adamw, "adamw"), (rmsprop, "rmsprop")])
def test_a1_one_task_is_torch_bit_for_bit(dtype, gradients: str, factory, form: str) -> None:
    ours, plain = Many(1, dtype=dtype), Many(1, dtype=dtype)
    optimizer = factory(plain.named_parameters())
    batches = [data(seed, 1, dtype=dtype) for seed in range(30)]
    run("mao", ours, [[batch] for batch in batches], factory, form=form, gradients=gradients)
    for batch in batches:
        optimizer.zero_grad()
        plain.losses(batch, ("t0",), "update")["t0"].mean.backward()
        optimizer.step()
    assert_same(weights_of(plain), weights_of(ours))


@pytest.mark.parametrize("combine", ["sum", "mean"])
def test_a2_one_task_parameters_are_adam_bit_for_bit(combine: str) -> None:
    generator = torch.Generator().manual_seed(0)
    trunk, head = (nn.Parameter(torch.randn(5, generator=generator)) for _ in range(2))
    copy = nn.Parameter(head.detach().clone())
    ours = MultiAdaptiveOptimizer([("trunk", trunk), ("head", head)], lr=0.01, weight_decay=0.1, combine=combine)
    plain = torch.optim.AdamW([copy], lr=0.01, weight_decay=0.1)
    for _ in range(10):
        g1, g2, own = (torch.randn(5, generator=generator) for _ in range(3))
        stage(ours, {"a": {"trunk": g1, "head": own}, "b": {"trunk": g2}})
        copy.grad = own
        plain.step()
        assert torch.equal(head, copy)


def test_heads_in_a_net_are_adam_on_the_same_gradients() -> None:
    problem = Many(3)
    method, services = built("mao", problem), Services(problem)
    heads = {name: nn.Parameter(p.detach().clone()) for name, p in problem.heads.named_parameters()}
    plain = torch.optim.AdamW(heads.values(), lr=1e-2, weight_decay=1e-2)
    for seed in range(8):
        losses = problem.losses(data(seed, 3), problem.tasks, "update")
        found = torch.autograd.grad(sum(loss.mean for loss in losses.values()), list(problem.heads.parameters()))
        for copy, gradient in zip(heads.values(), found, strict=True):
            copy.grad = gradient
        plain.step()
        method.update([data(seed, 3)], services)
    assert_same(dict(problem.heads.named_parameters()), heads, 1e-14)


@pytest.mark.parametrize(("form", "momentum", "combine"), RULES)
@pytest.mark.parametrize("factor", [2.0**-7, 2.0**7])
def test_a3_a_constant_factor_on_a_loss_changes_nothing(form: str, momentum: str, combine: str, factor: float) -> None:
    # Without eps and with a power of two no bit may differ; the toy table has other factors, with eps.
    ends = []
    for scale in (1.0, factor):
        problem = Many(3)
        problem.loud = {"t1": scale}
        windows = [[data(seed, 3)] for seed in range(25)]
        run("mao", problem, windows, adam, form=form, momentum=momentum, combine=combine, eps=0.0)
        ends.append(weights_of(problem))
    assert_same(*ends)


@pytest.mark.parametrize("momentum", ["per_task", "shared"])
def test_a4_first_step_is_the_sum_of_signs(momentum: str) -> None:
    problem = Linear(torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.3]]))
    run("mao", problem, [[None]], unit, momentum=momentum)
    torch.testing.assert_close(problem.w.detach(), torch.tensor([0.0, 0.0, -0.2]).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("form", "momentum", "combine"), RULES)
def test_a5_the_order_of_tasks_changes_nothing(form: str, momentum: str, combine: str) -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 0.3], [0.2, 5.0, -3.0]])
    ends = []
    for order in ([0, 1, 2], [2, 0, 1]):
        problem = Linear(rows[order])
        run("mao", problem, [[None]] * 6, unit, form=form, momentum=momentum, combine=combine)
        ends.append(problem.w.detach())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-14)


@pytest.mark.parametrize("momentum", ["per_task", "shared"])
@pytest.mark.parametrize(("combine", "factor"), [("sum", 3.0), ("mean", 1.0)])
def test_a6_identical_losses(momentum: str, combine: str, factor: float) -> None:
    row = torch.tensor([[1.0, -2.0, 0.5]])
    many, one = Linear(row.repeat(3, 1)), Linear(row)
    run("mao", many, [[None]] * 5, unit, combine=combine, momentum=momentum)
    run("mao", one, [[None]] * 5, unit, momentum=momentum)
    torch.testing.assert_close(many.w.detach(), factor * one.w.detach())


@pytest.mark.parametrize("gradients", ["stream", "collect"])
def test_a7_an_absent_task_keeps_moments_and_counter(gradients: str) -> None:
    problem = Shared()
    method, services = built("mao", problem, gradients=gradients), Services(problem)
    for _ in range(3):
        method.update([batch_of()], services)
    before = snapshot(problem, method.optimizer)
    method.update([batch_of(missing={"b": range(6)})], services)
    after = snapshot(problem, method.optimizer)
    assert all(equal(before[key], after[key]) for key in before if "/tasks/b/" in key)
    moments = [key for key in before if "/tasks/a/" in key and not key.endswith("step")]
    assert all(not equal(before[key], after[key]) for key in moments)
    state = method.optimizer.state[problem.trunk[0].weight]["tasks"]
    assert [state[task]["step"] for task in TASKS] == [4, 3, 4]


# The rule itself, against plain loops.


@settings(max_examples=25, deadline=None)
@given(
    rule=st.sampled_from(RULES),
    seed=st.integers(0, 2**16),
    betas=st.sampled_from([(0.9, 0.999), (0.0, 0.99), (0.5, 0.0)]),
    chunk=st.sampled_from([None, 1, 4]),
)
def test_equals_plain_loops_with_tasks_that_come_and_go(rule, seed: int, betas, chunk) -> None:
    form, momentum, combine = rule
    decay = 0.0 if form == "adam" else 0.3
    generator = torch.Generator().manual_seed(seed)
    shapes = {"w": (3, 2), "b": (4,), "s": ()}
    parameters = {n: nn.Parameter(torch.randn(s, generator=generator).double()) for n, s in shapes.items()}
    values = {name: p.detach().reshape(-1).tolist() for name, p in parameters.items()}
    options = {"lr": 0.1, "betas": betas, "eps": 1e-3}
    ours = MultiAdaptiveOptimizer(
        parameters.items(), form=form, momentum=momentum, combine=combine, weight_decay=decay, chunk=chunk, **options
    )
    reference = Reference(form, momentum, combine, decay=decay, **options)
    for _ in range(5):
        rows = {
            task: {n: torch.randn(s, generator=generator).double() for n, s in shapes.items() if _coin(generator)}
            for task in ("a", "b", "c")
            if _coin(generator)
        }
        stage(ours, rows)
        reference.step(values, {t: {n: g.reshape(-1).tolist() for n, g in row.items()} for t, row in rows.items()})
    for name, parameter in parameters.items():
        torch.testing.assert_close(
            parameter.detach().reshape(-1), torch.tensor(values[name], dtype=torch.float64), rtol=1e-10, atol=1e-12
        )


def _coin(generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator)) < 0.7


def test_shared_momentum_without_memory_is_adam_for_one_task() -> None:
    ours, plain = Many(1), Many(1)
    windows = [[data(seed, 1)] for seed in range(10)]
    run("mao", ours, windows, adam, momentum="shared", betas=[0.0, 0.99])
    run("mao", plain, windows, adam, betas=[0.0, 0.99])
    assert_same(weights_of(plain), weights_of(ours), 1e-14)


def test_shared_momentum_keeps_one_first_moment() -> None:
    problem = Many(3)
    method, _ = run("mao", problem, [[data(0, 3)]], momentum="shared")
    state = method.optimizer.state[problem.trunk[0].weight]
    assert state["first"].shape == problem.trunk[0].weight.shape
    assert all(set(own) == {"step", "second"} for own in state["tasks"].values())


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_chunks_change_no_bit(chunk: int, layout) -> None:
    ends = []
    for size in (None, chunk):
        generator = torch.Generator().manual_seed(0)
        weight = nn.Parameter(torch.randn(5, 3, 2, 2, generator=generator).contiguous(memory_format=layout))
        bias = nn.Parameter(torch.randn(4, generator=generator))
        optimizer = MultiAdaptiveOptimizer([("w", weight), ("b", bias)], chunk=size)
        for _ in range(3):
            rows = {t: {"w": torch.randn(5, 3, 2, 2, generator=generator)} for t in "xyz"}
            rows["x"]["b"] = torch.randn(4, generator=generator)
            stage(optimizer, rows)
        ends.append({"w": weight.detach().clone(), "b": bias.detach().clone()})
    assert_same(*ends)


def test_packings_are_remembered_by_their_parameters_and_bounded() -> None:
    packing = Packing()
    named = [(name, nn.Parameter(torch.zeros(6, 2))) for name in "abc"]
    first = packing.chunks(named, 20, whole=False, fused=False)
    assert packing.chunks(list(named), 20, whole=False, fused=False) is first
    assert first == list(chunks_of(named, 20))
    assert packing.chunks(named, 8, whole=False, fused=False) == list(chunks_of(named, 8))
    assert packing.chunks(named[1:], 20, whole=False, fused=False) == list(chunks_of(named[1:], 20))
    others = [(name, nn.Parameter(torch.zeros(6, 2))) for name in "abc"]
    assert packing.chunks(others, 20, whole=False, fused=False)[0][0].parameter is others[0][1]
    for entries in range(30, 130):
        packing.chunks(named, entries, whole=False, fused=False)
    assert len(packing._known) <= KEPT_PACKINGS


# Use on its own.


def test_ten_lines_on_a_plain_module() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(3, 4), "a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})
    optimizer = MultiAdaptiveOptimizer(model.named_parameters(), lr=1e-2)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    history = []
    for _ in range(60):
        features = model["trunk"](x).tanh()
        losses = {
            "a": (model["a"](features) - 1).square().mean(),
            "b": 100 * (model["b"](features) + 1).square().mean(),
        }
        optimizer.backward(losses)
        assert optimizer.commit()
        history.append(sum(loss.item() for loss in losses.values()))
    assert history[-1] < 0.2 * history[0]


def test_staged_parts_of_a_task_join_as_one_mean() -> None:
    batch = batch_of()
    ends = []
    for pieces in ([batch], [rows_of(batch, 0, 2), rows_of(batch, 2, 3), rows_of(batch, 3, 6)]):
        problem = Shared(("a",))
        optimizer = MultiAdaptiveOptimizer(problem.named_parameters(), lr=0.01)
        for piece in pieces:
            loss = problem.losses(piece, ("a",), "update")["a"]
            optimizer.backward({"a": loss.mean}, {"a": loss.count})
        optimizer.step()
        ends.append(weights_of(problem))
    assert_same(*ends, 1e-10)


@pytest.mark.parametrize("through", ["backward", "accumulate"])
@pytest.mark.parametrize("fold", [False, True])
def test_gradients_that_share_memory_fold_as_any(fold: bool, through: str) -> None:
    """In the gradient of ``(a + b) c`` both parameters have one tensor; a first step of Adam is the sign of each."""
    a, b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor([3.0, -1.0]))
    optimizer = MultiAdaptiveOptimizer([("a", a), ("b", b)], lr=0.1, chunk=2)
    first = ((a + b) * torch.tensor([1.0, 3.0])).sum()
    second = (a * torch.tensor([2.0, -1.0])).sum() - 3 * b.sum()
    for task, loss in (("x", first), ("y", second)):
        if through == "backward":
            optimizer.backward({task: loss})
        else:
            optimizer.accumulate(task, dict(zip("ab", torch.autograd.grad(loss, [a, b]), strict=True)))
        if fold:
            optimizer.fold()
    assert optimizer.commit()
    assert a.tolist() == pytest.approx([1 - 0.2, 2])
    assert b.tolist() == pytest.approx([3, -1])


def test_a_re_entrant_checkpoint_is_refused_before_anything_is_staged() -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    optimizer = MultiAdaptiveOptimizer(model.named_parameters(), lr=0.1)
    x = torch.ones(1, 2, requires_grad=True)
    good = model["head"](model["trunk"](x)).sum()
    bad = model["head"](checkpoint(model["trunk"], x, use_reentrant=True)).sum()
    with pytest.raises(TrainingError, match=r"task 'b'.*checkpoint.*use_reentrant=False"):
        optimizer.backward({"a": good, "b": bad})
    before = deepcopy(model.state_dict())
    optimizer.step()
    assert_same(before, model.state_dict())
    optimizer.backward({"b": model["head"](checkpoint(model["trunk"], x, use_reentrant=False)).sum()})
    optimizer.step()
    assert not torch.equal(before["trunk.weight"], model["trunk"].weight)


@pytest.mark.parametrize(
    ("loss", "message"),
    [(torch.tensor(1.0), "has no gradient"), (torch.ones(2, requires_grad=True), r"is not a scalar.*shape \(2,\)")],
)
def test_a_loss_that_cannot_be_differentiated_is_named(loss: torch.Tensor, message: str) -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = MultiAdaptiveOptimizer([("p", parameter)])
    with pytest.raises(TrainingError, match=f"task 'b': the loss {message}") as caught:
        optimizer.backward({"a": parameter.sum(), "b": loss})
    assert "\n" not in str(caught.value)
    optimizer.step()
    assert parameter.tolist() == [1, 1]


def test_a_backward_pass_of_pytorch_alone_moves_nothing_and_is_told() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = MultiAdaptiveOptimizer([("p", parameter)], lr=0.1)
    parameter.sum().backward()
    with pytest.raises(TrainingError, match=r"parameter 'p'.*optimizer\.backward\(\{task: loss\}\)") as caught:
        optimizer.step()
    assert "\n" not in str(caught.value)
    optimizer.backward({"a": parameter.sum()})
    optimizer.step()  # what is staged counts, whatever .grad holds
    assert parameter.tolist() == pytest.approx([0.9, 0.9])


def test_dropping_what_was_staged() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = MultiAdaptiveOptimizer([("p", parameter)])
    optimizer.accumulate("a", {"p": torch.ones(2)})
    optimizer.zero_grad()
    optimizer.step()
    assert parameter.tolist() == [1, 1]
    assert not optimizer.state


def test_a_staged_gradient_that_is_not_finite_stops_the_whole_step() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = MultiAdaptiveOptimizer([("p", parameter)])
    stage(optimizer, {"a": {"p": torch.ones(2)}, "b": {"p": torch.ones(2)}})
    before = parameter.tolist(), flat(optimizer.state_dict())
    assert not stage(optimizer, {"a": {"p": torch.ones(2)}, "b": {"p": torch.tensor([1.0, float("nan")])}})
    assert (parameter.tolist(), flat(optimizer.state_dict()).keys()) == (before[0], before[1].keys())
    assert optimizer.state[parameter]["tasks"]["a"]["step"] == 1


def test_decay_acts_once_a_step_on_reached_parameters() -> None:
    reached, unreached = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = MultiAdaptiveOptimizer([("r", reached), ("u", unreached)], lr=0.1, weight_decay=0.5)
    stage(optimizer, {"a": {"r": torch.zeros(1)}, "b": {"r": torch.zeros(1)}})
    assert reached.item() == pytest.approx(0.95)
    assert unreached.item() == 1.0


def test_each_task_is_clipped_before_the_moments() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = MultiAdaptiveOptimizer([("p", parameter)], clip_task_norm=1.0)
    given = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([0.3, 0.4])}
    stage(optimizer, {task: {"p": gradient} for task, gradient in given.items()})
    state = optimizer.state[parameter]["tasks"]
    torch.testing.assert_close(state["a"]["first"], 0.1 * torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(state["b"]["first"], 0.1 * given["b"])
    assert given["a"].tolist() == [3.0, 4.0]


@pytest.mark.parametrize("gradients", ["stream", "collect"])
def test_the_services_clip_each_task_before_the_moments(gradients: str) -> None:
    problem = Many(3)
    problem.loud = {"t0": 1e4}
    method = built("mao", problem, adam, gradients=gradients)
    report = method.update([data(0, 3)], Services(problem, clip_task_norm=0.5))
    assert report.gradient_norms["t0"] > 100
    for task in problem.tasks:
        squares = sum(
            float(own["tasks"][task]["first"].square().sum())
            for own in method.optimizer.state.values()
            if task in own["tasks"]
        )
        assert squares**0.5 == pytest.approx(0.1 * min(0.5, report.gradient_norms[task]), rel=1e-6)


def test_state_dict_survives_a_file_with_plain_types() -> None:
    windows = [[data(seed, 3)] for seed in range(6)]
    whole, half = Many(3), Many(3)
    run("mao", whole, windows)
    method, _ = run("mao", half, windows[:3])
    file = io.BytesIO()
    torch.save(method.optimizer.state_dict(), file)
    file.seek(0)
    other = MultiAdaptiveOptimizer(half.named_parameters())
    other.load_state_dict(torch.load(file, weights_only=True))
    for (batch,) in windows[3:]:
        losses = half.losses(batch, half.tasks, "update")
        other.backward({task: loss.mean for task, loss in losses.items()})
        other.commit()
    assert_same(weights_of(whole), weights_of(half), 1e-14)


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "adamax"}, r"form.*adam, adamw, rmsprop, normalized_sgd"),
        ({"momentum": "none"}, r"momentum.*per_task, shared"),
        ({"combine": "max"}, r"combine.*sum, mean"),
        ({"form": "rmsprop", "momentum": "shared"}, r"momentum.*no first moment|no first moment.*momentum"),
        ({"betas": [0.9]}, r"betas"),
        ({"betas": [0.9, 1.0]}, r"betas.*1\.0"),
        ({"betas": "ab"}, r"betas"),
        ({"eps": -1.0}, r"eps"),
    ],
)
def test_arguments_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_method("mao", **arguments)
    with pytest.raises(ConfigError, match=message):
        MultiAdaptiveOptimizer(Shared().named_parameters(), **arguments)


def test_other_bad_input() -> None:
    with pytest.raises(ConfigError, match=r"mao\.gradients.*auto, stream, exact, collect"):
        make_method("mao", gradients="some")
    with pytest.raises(ConfigError, match="named_parameters"):
        MultiAdaptiveOptimizer(Shared().parameters())
    with pytest.raises(ConfigError, match=r"clip_task_norm"):
        MultiAdaptiveOptimizer(Shared().named_parameters(), clip_task_norm=0.0)
    optimizer = MultiAdaptiveOptimizer([("p", nn.Parameter(torch.ones(2)))])
    with pytest.raises(TrainingError, match=r"task 'a'.*found q"):
        optimizer.accumulate("a", {"q": torch.ones(2)})
    with pytest.raises(TrainingError, match=r"parameter 'p'.*\(3,\) instead of \(2,\)"):
        optimizer.accumulate("a", {"p": torch.ones(3)})
    with pytest.raises(TrainingError, match="count 0"):
        optimizer.accumulate("a", {"p": torch.ones(2)}, 0)


def test_the_adam_form_refuses_decay() -> None:
    with pytest.raises(ConfigError, match=r"form 'adam' has no weight decay.*0\.01.*adamw"):
        make_method("mao", form="adam").build(Shared(), adamw)
    with pytest.raises(ConfigError, match="form 'adam' has no weight decay"):
        MultiAdaptiveOptimizer(Shared().named_parameters(), form="adam", weight_decay=0.1)


@pytest.mark.parametrize("form", ["adamw", "rmsprop", "normalized_sgd"])
def test_decay_inside_the_gradient_is_refused(form: str) -> None:
    with pytest.raises(ConfigError, match=r"decay inside.*0\.1 of a plain Adam.*adamw"):
        make_method("mao", form=form).build(
            Shared(), lambda named: torch.optim.Adam([p for _, p in named], weight_decay=0.1)
        )
    with pytest.raises(ConfigError, match="amsgrad"):
        make_method("mao", form=form).build(Shared(), lambda n: torch.optim.AdamW([p for _, p in n], amsgrad=True))
