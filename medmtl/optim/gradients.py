"""Pure functions on gradients by name: take, add, measure, compare, combine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from medmtl.optim.base import Gradients

CHUNK = 1 << 18
"""Entries of a parameter that are looked at together: bounds what comparisons of gradients hold beside them."""

GRAMIAN_CHUNK = {"cpu": 1 << 15}
"""The same for inner products, by device: on a CPU, what its cache holds in float64; else `CHUNK`."""


def gradients_of(loss: Tensor, parameters: Mapping[str, nn.Parameter], *, keep_graph: bool) -> Gradients:
    """The gradient of one scalar; a parameter that it does not reach has no entry.

    Args:
        loss: Scalar tensor with a graph.
        parameters: The parameters by name.
        keep_graph: Whether another gradient of the same graph will follow.
    """
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=keep_graph, allow_unused=True)
    named = {name: gradient for name, gradient in zip(parameters, found, strict=True) if gradient is not None}
    return _unaliased(named, parameters)


def aligned(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The gradient in its parameter's order of memory: PyTorch's fused optimizers read both as they lie, unchecked."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def _unaliased(gradients: Gradients, parameters: Mapping[str, nn.Parameter]) -> Gradients:
    """Copies gradients that share memory (those of ``a`` in ``a + b`` do): later steps write in place."""
    seen: set[int] = set()
    result = {}
    for name, gradient in gradients.items():
        storage = gradient.untyped_storage()
        alone = storage.data_ptr() not in seen and storage.nbytes() == gradient.numel() * gradient.element_size()
        seen.add(storage.data_ptr())
        result[name] = gradient if alone else torch.empty_like(parameters[name]).copy_(gradient)
    return result


def add_gradients(total: Gradients, more: Gradients) -> None:
    """Adds ``more`` to ``total`` in place; entries new to ``total`` are taken over."""
    both = [name for name in more if name in total]
    if both:
        torch._foreach_add_([total[name] for name in both], [more[name] for name in both])
    total.update({name: gradient for name, gradient in more.items() if name not in both})


def norm_of(gradients: Iterable[Tensor]) -> float:
    """The Euclidean norm of all entries together; 0 for none, not finite when any entry is not."""
    tensors = list(gradients)
    return float(get_total_norm(tensors)) if tensors else 0.0


def scale_gradients(gradients: Iterable[Tensor], factor: float) -> None:
    """Multiplies in place."""
    tensors = list(gradients)
    if tensors and factor != 1.0:
        torch._foreach_mul_(tensors, factor)


def shared_names(rows: Sequence[Gradients]) -> list[str]:
    """The parameters that at least two of the rows reach, in a stable order."""
    reached = Counter(name for row in rows for name in row)
    return [name for name, times in reached.items() if times > 1]


def gramian(rows: Sequence[Gradients], names: Sequence[str]) -> Tensor:
    """Inner products of the rows over the named parameters, in float64 and by chunks: no second set of gradients.

    Args:
        rows: K gradients.
        names: The parameters to look at; a row that does not reach one counts as zero there.

    Returns:
        Symmetric (K, K) float64 tensor on the CPU.
    """
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for wide in _wide_chunks(rows, names):
        total += (wide @ wide.T).cpu()
    return total


def _wide_chunks(rows: Sequence[Gradients], names: Sequence[str]) -> Iterator[Tensor]:
    """The rows over all named parameters as (K, some) float64 matrices in one buffer; small parameters share one."""
    known = [next(row[name] for row in rows if name in row) for name in names]
    if not known:
        return
    device = torch.device("cpu") if known[0].device.type == "mps" else known[0].device  # that one has no float64
    columns = min(GRAMIAN_CHUNK.get(device.type, CHUNK), sum(gradient.numel() for gradient in known))
    buffer = torch.empty(len(rows), columns, dtype=torch.float64, device=device)
    held = 0
    for name, like in zip(names, known, strict=True):
        flat = _flat([row.get(name) for row in rows])
        at = 0
        while at < like.numel():
            take = min(columns - held, like.numel() - at)
            for place, values in zip(buffer[:, held : held + take], flat, strict=True):
                if values is None:
                    place.zero_()
                else:
                    place.copy_(values[at : at + take].to(device))
            held, at = held + take, at + take
            if held == columns:
                yield buffer
                held = 0
    if held:
        yield buffer[:, :held]


def _flat(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients of one parameter as vectors, entries in one order for all: that of the memory where it is the same."""
    known = [gradient for gradient in gradients if gradient is not None]
    last = all(g.ndim == 4 and g.is_contiguous(memory_format=torch.channels_last) for g in known)
    return [None if g is None else (g.permute(0, 2, 3, 1) if last else g).reshape(-1) for g in gradients]


def chunks(gradients: Sequence[Tensor], size: int = CHUNK) -> Iterator[Tensor]:
    """Gradients of one parameter as (rows, at most ``size``) matrices, one after the other."""
    flat = [gradient.reshape(-1) for gradient in gradients]
    return (torch.stack([row[at : at + size] for row in flat]) for at in range(0, max(flat[0].numel(), 1), size))


def cosines(tasks: Sequence[str], products: Tensor) -> dict[str, float]:
    """Cosines of all pairs ``"a|b"`` from a Gramian; a pair with a zero gradient is left out."""
    lengths = products.diagonal().sqrt().tolist()
    return {
        f"{first}|{second}": float(products[i, j]) / (lengths[i] * lengths[j])
        for i, first in enumerate(tasks)
        for j, second in enumerate(tasks)
        if i < j and lengths[i] * lengths[j] > 0
    }


def combine(
    rows: Sequence[Gradients], weights: Sequence[float], shared: Iterable[str], *, spend: bool = False
) -> Gradients:
    """The weighted sum of the rows on shared parameters, and the plain gradient on those of one task.

    Args:
        rows: K gradients.
        weights: K factors.
        shared: Names of the shared parameters.
        spend: The rows are not needed any more: the sum takes the memory of one of them.
    """
    multiplied = _multiplied if spend else torch._foreach_mul
    among = set(shared)
    direction: Gradients = {}
    for row, weight in zip(rows, weights, strict=True):
        direction |= {name: gradient for name, gradient in row.items() if name not in among}
        weighted = [name for name in row if name in among]
        new = [name for name in weighted if name not in direction]
        more = [name for name in weighted if name in direction]
        if new:
            direction |= zip(new, multiplied([row[name] for name in new], weight), strict=True)
        if more:
            torch._foreach_add_([direction[name] for name in more], [row[name] for name in more], alpha=weight)
    return direction


def _multiplied(tensors: list[Tensor], factor: float) -> list[Tensor]:
    torch._foreach_mul_(tensors, factor)
    return tensors
