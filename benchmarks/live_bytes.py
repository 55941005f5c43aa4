"""The bytes of all tensors that are alive, counted operation by operation: what an allocator would see, on any device.

Used by balancing_memory.py and by tests/optim/test_mao_memory.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from medmtl.optim import Method, TaskLoss


class LiveBytes(TorchDispatchMode):
    """The largest number of bytes that were alive together, without those of tensors that were there before.

    Args:
        before: Tensors that do not count.
    """

    def __init__(self, before: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.before = {tensor.untyped_storage().data_ptr() for tensor in before}
        self.storages = WeakIdKeyDictionary()
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.before:
                    self.storages[storage] = storage.nbytes()
        self.peak = max(self.peak, sum(self.storages.values()))
        return result


class Wide(nn.Module):
    """Nearly all numbers are shared and activations are small: what is alive is parameters, gradients and moments."""

    def __init__(self, k: int, layers: int = 6, width: int = 64, *, autocast: torch.dtype | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.trunk = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))
        self.heads = nn.ParameterDict({f"t{i}": nn.Parameter(torch.ones(width)) for i in range(k)})
        self.tasks = tuple(self.heads)
        self.autocast = autocast
        self.inputs = torch.ones(1, width)

    @property
    def shared_bytes(self) -> int:
        """Bytes of the shared parameters: the unit of all figures."""
        return sum(parameter.nbytes for parameter in self.trunk.parameters())

    def counts(self, batch: torch.Tensor, tasks: tuple[str, ...]) -> dict[str, int]:
        """One sample with all labels."""
        return dict.fromkeys(tasks, 1)

    def losses(self, batch: torch.Tensor, tasks: tuple[str, ...], buffers: str) -> dict[str, TaskLoss]:
        """One forward pass."""
        with torch.autocast("cpu", dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            x = batch
            for layer in self.trunk:
                x = layer(x).tanh()
        return {task: TaskLoss((x.float() * self.heads[task]).sum(), 1) for task in tasks}


def tensors_in(state: Any) -> list[torch.Tensor]:
    """All tensors in nested dictionaries and lists."""
    children = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [state] if isinstance(state, torch.Tensor) else [t for child in children for t in tensors_in(child)]


def peak_of(problem: Wide, method: Method, step: Callable[[], object]) -> tuple[float, float]:
    """Peak beside parameters and optimizer state in a step, and that state's bytes; one shared part is 1.

    Args:
        problem: The network.
        method: Its method, after a first step.
        step: Does one update.
    """
    kept = [t for optimizer in method.optimizers for t in tensors_in(dict(optimizer.state))]
    with LiveBytes([*problem.parameters(), problem.inputs, *kept]) as live:
        step()
    moments = sum(tensor.nbytes for tensor in kept if tensor.ndim > 1)
    return live.peak / problem.shared_bytes, moments / problem.shared_bytes
