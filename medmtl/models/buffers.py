"""Batch-norm statistics: a second forward that must not move them, and how fast they follow the data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm


@contextmanager
def frozen_buffers(module: nn.Module) -> Iterator[None]:
    """Runs forwards in training mode that leave every running statistic as it is, bit for bit.

    Inside, normalization still uses the statistics of the batch (training mode) or the running ones (evaluation mode),
    exactly as outside. Batch norm is told not to track: unlike a momentum of 0, this also keeps
    ``num_batches_tracked``, and an activation that is not finite cannot leak into the buffers (0 · inf is NaN).

    Args:
        module: A network; all norm layers in it are held.
    """
    with ExitStack() as stack:
        for layer in module.modules():
            if isinstance(layer, _BatchNorm):
                # in evaluation mode torch would still use the running statistics: the flag only stops the tracking
                stack.enter_context(_changed(layer, "track_running_stats", value=False))
            elif isinstance(layer, _InstanceNorm) and layer.track_running_stats:
                stack.enter_context(_changed(layer, "momentum", value=0.0))
        yield


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Runs forwards in evaluation mode; afterwards every layer has the mode that it had."""
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode


def set_batch_norm_momentum(module: nn.Module, momentum: float) -> None:
    """Sets the weight of a new batch in the running statistics of every batch norm layer in ``module``."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = momentum


@contextmanager
def _changed(layer: nn.Module, name: str, *, value: Any) -> Iterator[None]:
    before = getattr(layer, name)
    setattr(layer, name, value)
    try:
        yield
    finally:
        setattr(layer, name, before)
