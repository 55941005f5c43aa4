"""Several processes that train one run, as `torchrun` starts them; one process is the same with nothing to share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from medmtl.errors import ConfigError
from medmtl.optim import AllReduce, Reducer, SingleProcess

T = TypeVar("T")

_PATIENCE = timedelta(hours=4)
"""How long the others wait while the first process validates."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train one run.

    Attributes:
        rank: Its number; process 0 writes, validates and speaks.
        world: How many there are.
        reducer: Sums over them.
    """

    rank: int = 0
    world: int = 1
    reducer: Reducer = field(default_factory=SingleProcess)

    @property
    def main(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def first(self, work: Callable[[], T]) -> T:
        """What the first process's ``work`` gives, on all of them; the others wait."""
        found: list[Any] = [work() if self.main else None]
        if self.world > 1:
            dist.broadcast_object_list(found, src=0)
        return found[0]  # type: ignore[no-any-return]

    def any(self, number: int | None) -> int | None:
        """The largest number that any process holds; None where none does."""
        if self.world == 1:
            return number
        held: list[int | None] = [None] * self.world
        dist.all_gather_object(held, number)
        return max((value for value in held if value is not None), default=None)

    def each(self, mine: T) -> list[T]:
        """What every process gives, in their order."""
        if self.world == 1:
            return [mine]
        held: list[Any] = [None] * self.world
        dist.all_gather_object(held, mine)
        return held

    def share_buffers(self, network: nn.Module) -> None:
        """Gives all processes the mean of their buffers, and the largest of their counters.

        Running statistics follow each process's own images. Shared after every update they are the same everywhere, so
        that neither a checkpoint nor a validation between two updates changes the training.

        Args:
            network: The network.
        """
        if self.world == 1:
            return
        floats = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
        wide = [buffer.double() for buffer in floats]  # in float64 the mean of equal values is exactly their value
        self.reducer.sum_tensors(wide)
        for buffer, total in zip(floats, wide, strict=True):
            buffer.copy_(total / self.world)
        counters = [buffer for buffer in network.buffers() if not buffer.is_floating_point()]
        if counters:
            largest = torch.cat([counter.reshape(-1).long() for counter in counters])
            dist.all_reduce(largest, op=dist.ReduceOp.MAX)
            for counter, part in zip(counters, largest.split([one.numel() for one in counters]), strict=True):
                counter.copy_(part.view_as(counter))

    def check_batch(self, view: str, size: int) -> None:
        """Accepts batches of which every process gets a part.

        Raises:
            ConfigError: Fewer samples than processes.
        """
        if size < self.world:
            remedy = f"set batch_size to a multiple of {self.world}, or start fewer processes"
            what = "a batch holds fewer samples than there are processes"
            raise ConfigError(what, where=f"views.{view}.batch_size", found=f"{size} for {self.world}", remedy=remedy)


ALONE = Processes()


@contextmanager
def launched(device: torch.device) -> Iterator[Processes]:
    """Joins the processes that `torchrun` started; alone where it did not.

    Args:
        device: Where the network will be: CUDA devices talk by NCCL, the CPU by gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield ALONE
        return
    device = own_device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # or all processes of a machine would talk through its first GPU
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), AllReduce(device=str(device)))
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """The device of this process: each process on a machine takes a GPU of its own."""
    local = os.environ.get("LOCAL_RANK")
    if device.type == "cuda" and device.index is None and local is not None:
        return torch.device("cuda", int(local))
    return device
