"""MAO's memory by counting the bytes of all tensors that are alive: 2 K moments, one gradient, one sum, one chunk."""

from __future__ import annotations

import pytest
import torch
from programs import program


@pytest.fixture(scope="module")
def memory():
    """benchmarks/balancing_memory.py, which prints the same figures."""
    return program("benchmarks/balancing_memory.py")


SLACK = 0.1  # activations and heads, in units of the shared part
CHUNKS = 2 / 6  # a chunk is one of six layers; two such buffers are at work
CASTS = {
    "fp32": 0.0,
    "bf16": 0.5,
    "fp16": 0.5,
}  # autocast holds the weights once more at half their size, in any method


@pytest.mark.parametrize("precision", CASTS)
@pytest.mark.parametrize("gradients", ["stream", "exact"])
@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_streaming_holds_one_gradient_and_one_sum(memory, k: int, gradients: str, precision: str) -> None:
    peak, moments = memory.measure("mao", k, precision, gradients=gradients)
    assert moments == 2 * k
    assert peak <= 2 + CHUNKS + CASTS[precision] + SLACK


@pytest.mark.parametrize("precision", CASTS)
@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_collecting_holds_k_gradients(memory, k: int, precision: str) -> None:
    peak, moments = memory.measure("mao", k, precision, gradients="collect")
    assert moments == 2 * k
    assert k <= peak <= k + max(CHUNKS, CASTS[precision]) + SLACK


@pytest.mark.parametrize("k", [2, 3, 8])
def test_auto_streams_but_for_a_loss_scale(memory, k: int) -> None:
    for precision, other in (("fp32", "stream"), ("bf16", "stream"), ("fp16", "collect")):
        assert memory.measure("mao", k, precision) == memory.measure("mao", k, precision, gradients=other)


@pytest.mark.parametrize("k", [2, 3, 8])
def test_an_aggregation_holds_k_gradients_and_no_sum_beside_them(memory, k: int) -> None:
    """The direction takes the memory of one of them; AdamW's own buffers come on top, as in any step."""
    plain, _ = memory.measure("equal", k, "fp32")
    peak, moments = memory.measure("mgda", k, "fp32")
    assert moments == 2
    assert k <= peak <= k + (plain - 1) + SLACK


def test_the_count_sees_what_is_alive(memory) -> None:
    with memory.LiveBytes([]) as live:
        first = torch.ones(100)
        second = first * 2
        del first
        third = second + 1
        del second, third
    assert live.peak == 800


def test_a_head_of_one_task_has_two_moments(memory) -> None:
    problem = memory.Wide(4)
    method = memory.make_method("mao")
    method.build(problem, memory._adamw)
    method.update([problem.inputs], memory.Services(problem))
    for task, head in problem.heads.items():
        (own,) = method.optimizer.state[head].values()
        assert set(own) == {task}
        assert set(own[task]) == {"step", "first", "second"}
