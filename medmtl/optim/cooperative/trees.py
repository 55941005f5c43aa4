"""Features as an encoder may give them: a tensor, or dictionaries, lists and tuples of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medmtl.errors import TrainingError


def leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in a fixed order."""
    if isinstance(tree, Tensor):
        return [tree]
    children = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    return [leaf for child in children for leaf in leaves(child)]


def rebuilt(tree: Any, values: Sequence[Tensor]) -> Any:
    """The same tree with other tensors, given in the order of `leaves`."""
    remaining = iter(values)
    return _map(tree, lambda _: next(remaining))


def detached(tree: Any) -> Any:
    """The same tree cut off its graph: an encoder may return a bare parameter."""
    return _map(tree, torch.Tensor.detach)


def samples_of(tensors: Sequence[Tensor]) -> int:
    """How many samples the tensors hold in their first dimension.

    Raises:
        TrainingError: They differ, or a tensor has no dimension.
    """
    counts = {tensor.shape[0] if tensor.ndim else 0 for tensor in tensors}
    if len(counts) != 1 or 0 in counts:
        raise TrainingError(
            "features that are to be perturbed need one row a sample",
            found=", ".join(str(tuple(tensor.shape)) for tensor in tensors),
            remedy="give exchanged features as (samples, ...) tensors of one batch",
        )
    return counts.pop()


def _map(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: _map(value, change) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_map(value, change) for value in tree]
    return tree
