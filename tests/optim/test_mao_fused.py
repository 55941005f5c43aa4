"""The fused kernel: Adam's own bits, the same results as without, and no matter how gradients lie in memory."""

from __future__ import annotations

import pytest
import torch
from mao_toys import Many, data, differing, snapshot
from optim_toys import EVERY, Shared, assert_same, batch_of, built, weights_of
from torch import nn

from medmtl.optim import MultiAdaptiveOptimizer, Services
from medmtl.optim.gradients import aligned, gramian


def fused(named):
    return torch.optim.AdamW([p for _, p in named], lr=1e-2, weight_decay=1e-2, fused=True)


def plain(named):
    return torch.optim.AdamW([p for _, p in named], lr=1e-2, weight_decay=1e-2, foreach=True)


@pytest.mark.parametrize("gradients", ["stream", "collect"])
def test_one_task_is_the_fused_adam_bit_for_bit(gradients: str) -> None:
    ours, theirs = Many(1, dtype=torch.float32), Many(1, dtype=torch.float32)
    method, optimizer = built("mao", ours, fused, gradients=gradients), fused(theirs.named_parameters())
    assert method.optimizer.rule.fused
    for seed in range(8):
        batch = data(seed, 1, dtype=torch.float32)
        method.update([batch], Services(ours))
        optimizer.zero_grad()
        theirs.losses(batch, theirs.tasks, "update")["t0"].mean.backward()
        optimizer.step()
        assert_same(weights_of(theirs), weights_of(ours))


@pytest.mark.parametrize("momentum", ["per_task", "shared"])
@pytest.mark.parametrize("chunk", [None, 7])
def test_the_result_is_that_of_the_separate_operations(momentum: str, chunk: int | None) -> None:
    ends = []
    for factory in (fused, plain):
        problem = Many(4)
        method = built("mao", problem, factory, momentum=momentum)
        method.optimizer.chunk = chunk
        for seed in range(10):
            problem.absent = {f"t{seed % 4}"}
            method.update([data(seed, 4)], Services(problem))
        ends.append(weights_of(problem))
    assert_same(*ends, 1e-12)


def test_streaming_and_collecting_end_in_the_same_bits() -> None:
    ends = []
    for gradients in ("stream", "collect", "exact"):
        problem = Many(4, dtype=torch.float32)
        method = built("mao", problem, fused, gradients=gradients)
        for seed in range(6):
            method.update([data(seed, 4, dtype=torch.float32)], Services(problem))
        ends.append(snapshot(problem, method.optimizer))
    for other in ends[1:]:
        assert differing(ends[0], other) == set()


ORDERS = {
    "channels last": lambda w: w.contiguous(memory_format=torch.channels_last),
    "transposed": lambda w: w.transpose(0, 1).contiguous().transpose(0, 1),
    "plain": lambda w: w.contiguous(),
}


@pytest.mark.parametrize("gradient_order", ORDERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("chunk", [None, 20])
def test_the_order_of_memory_does_not_matter(order: str, gradient_order: str, chunk: int | None) -> None:
    """PyTorch's kernel reads memory as it lies: with another order it takes wrong entries, without an error."""
    random = torch.Generator().manual_seed(0)
    start = torch.randn(6, 3, 2, 2, generator=random, dtype=torch.float64)
    rows = [torch.randn(6, 3, 2, 2, generator=random, dtype=torch.float64) for _ in range(6)]
    ends = []
    for fast in (True, False):
        parameter = nn.Parameter(ORDERS[order](start.clone()))
        optimizer = MultiAdaptiveOptimizer([("p", parameter)], lr=0.1, form="adam", chunk=chunk, fused=fast)
        for step in range(3):
            for task in "ab":
                optimizer.accumulate(task, {"p": ORDERS[gradient_order](rows[2 * step + (task == "b")].clone())})
                if task == "a":
                    optimizer.fold()
            optimizer.commit()
        ends.append(parameter.detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("mtcl", "alternating")])
def test_every_method_hands_gradients_over_as_their_parameters_lie(name: str) -> None:
    """A trunk in channels-last order, whose gradients come in another: fused and separate operations agree."""
    ends = []
    for factory in (fused, plain):
        problem = Shared()
        problem.trunk.insert(2, nn.Conv2d(4, 4, 3, padding=1).double())
        with torch.no_grad():
            problem.trunk[2].weight.copy_(torch.linspace(-1, 1, 144).view(4, 4, 3, 3))
            problem.trunk[2].bias.zero_()
        problem.trunk.to(memory_format=torch.channels_last)
        problem.trunk[2].weight.register_hook(lambda gradient: gradient.contiguous())
        method, services = built(name, problem, factory), Services(problem)
        for seed in range(3):
            method.update([batch_of(seed=seed)], services)
        ends.append(weights_of(problem))
    assert_same(*ends, 1e-9)


def test_aligned_copies_only_what_lies_differently() -> None:
    weight = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    same, other = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last), torch.rand(2, 3, 4, 4)
    assert aligned(same, weight) is same
    assert aligned(other, weight).stride() == weight.stride()
    assert torch.equal(aligned(other, weight), other)


@pytest.mark.parametrize("orders", [("plain", "plain"), ("channels last", "channels last"), ("plain", "channels last")])
@pytest.mark.parametrize("size", [(3, 2, 2, 2), (90, 40, 3, 3)])  # far below and above one chunk
def test_inner_products_by_chunks_are_inner_products(orders: tuple[str, str], size: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(1)
    wholes = [{n: torch.randn(size, generator=random) for n in "pqr"} for _ in range(3)]
    del wholes[1]["q"]
    rows = [{n: ORDERS[orders[i % 2]](g) for n, g in row.items()} for i, row in enumerate(wholes)]
    names = ["p", "q", "r"]
    flat = torch.stack([torch.cat([row.get(n, torch.zeros(size)).double().flatten() for n in names]) for row in wholes])
    torch.testing.assert_close(gramian(rows, names), flat @ flat.T, rtol=1e-12, atol=1e-9)
    assert torch.equal(gramian(rows, []), torch.zeros(3, 3, dtype=torch.float64))
