"""Sums over processes: the one place that knows of a process group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medmtl.optim.base import Gradients


class Reducer(Protocol):
    """Sums that every process receives alike."""

    world: int
    rank: int

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers; counts stay exact up to 2**53."""
        ...

    def sum_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Sums tensors of equal shapes on all processes, in place."""
        ...


class SingleProcess:
    """One process: every sum is already complete."""

    world = 1
    rank = 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Returns the values."""
        return list(values)

    def sum_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Leaves the tensors as they are."""


class AllReduce:
    """Sums over the processes of a `torch.distributed` group.

    The network must not be wrapped for data parallelism: its hooks see a task's gradient only half-synchronized.

    Args:
        group: The process group; None is the default group.
        device: Where small sums are made; ``cuda`` for NCCL.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, device: str = "cpu") -> None:
        self.group = group
        self.device = device
        self.world = dist.get_world_size(group)
        self.rank = dist.get_rank(group)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers in float64."""
        total = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.all_reduce(total, group=self.group)
        return [float(value) for value in total.tolist()]

    def sum_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Sums tensors in place, one message a data type."""
        for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
            same = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in same])
            dist.all_reduce(flat, group=self.group)
            for tensor, part in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(part.view_as(tensor))


def sum_gradients(reducer: Reducer, gradients: Gradients, parameters: Mapping[str, nn.Parameter]) -> Gradients:
    """Sums gradients over processes; a parameter is reached when any process reached it.

    Args:
        reducer: Sums over processes.
        gradients: This process's gradients; changed in place.
        parameters: All parameters, in the same order on every process.
    """
    if reducer.world == 1:
        return gradients
    reached = reducer.sum([float(name in gradients) for name in parameters])
    names = [name for name, times in zip(parameters, reached, strict=True) if times]
    full = {name: gradients[name] if name in gradients else torch.zeros_like(parameters[name]) for name in names}
    with torch.no_grad():
        reducer.sum_tensors(list(full.values()))
    return full
