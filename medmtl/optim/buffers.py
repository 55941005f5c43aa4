"""Forward passes that leave no trace: running statistics, and whose random state to keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen_buffers(*modules: nn.Module) -> Iterator[None]:
    """Lets forward passes move copies of the buffers; the true ones come back bit for bit.

    The buffers are exchanged, not written back: an in-place restore would break a later backward pass, because
    batch norm keeps its running statistics in the graph.

    Args:
        *modules: The modules whose buffers are protected, with all their children.
    """
    places = [
        (owner, name, buffer)
        for module in modules
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    try:
        for owner, name, buffer in places:
            owner._buffers[name] = buffer.clone()
        yield
    finally:
        for owner, name, buffer in places:
            owner._buffers[name] = buffer


def cuda_devices() -> list[int]:
    """The CUDA device whose random state a forward pass may move."""
    return [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
