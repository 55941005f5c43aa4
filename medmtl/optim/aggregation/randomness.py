"""Draws of methods that use PyTorch's global generator, made from a state of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def drawn(state: Tensor | None, work: Callable[[], T], device: torch.device | None = None) -> tuple[T, Tensor | None]:
    """Runs ``work`` with a lent random state; the global generators are as before afterwards.

    Args:
        state: State of a CPU generator; None lends nothing.
        work: What draws.
        device: Where it draws; on a CUDA device that generator is seeded from the lent state.

    Returns:
        The result, and the state after it.
    """
    if state is None:
        return work(), None
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.set_rng_state(state)
        if cuda:
            seed = int(torch.randint(1 << 62, ()))
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        return work(), torch.get_rng_state()
