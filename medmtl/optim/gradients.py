"""Pure functions on gradients by name: take, add, measure, compare, combine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from medmtl.optim.base import Gradients

CHUNK = 1 << 18
"""Entries of a parameter that are looked at together: bounds what comparisons of gradients hold beside them."""

SMALL = 1 << 12
"""Entries of all gradients together up to which they are copied: cheaper than a call for each, and 16 KiB at most."""

GRAMIAN_CHUNK = {"cpu": 1 << 15}
"""The same for inner products, by device: on a CPU, what its cache holds in float64; else `CHUNK`."""


def gradients_of(loss: Tensor, parameters: Mapping[str, Tensor], *, keep_graph: bool, factor: float = 1.0) -> Gradients:
    """The gradient of one scalar; a parameter that it does not reach has no entry.

    Args:
        loss: Scalar tensor with a graph.
        parameters: The parameters by name.
        keep_graph: Whether another gradient of the same graph will follow.
        factor: What the loss is multiplied by.
    """
    begin = torch.full_like(loss, factor)  # the slope that a product would begin with, without its two operations
    found = torch.autograd.grad(loss, list(parameters.values()), begin, retain_graph=keep_graph, allow_unused=True)
    named = {name: gradient for name, gradient in zip(parameters, found, strict=True) if gradient is not None}
    return unaliased(named, parameters)


def backward_of(losses: Sequence[Tensor], factors: Sequence[float]) -> None:
    """Adds the gradient of the weighted sum of scalars to ``.grad``: the same bits, without making that sum."""
    torch.autograd.backward(losses, [torch.full_like(loss, by) for loss, by in zip(losses, factors, strict=True)])


def aligned(gradient: Tensor, parameter: Tensor) -> Tensor:
    """The gradient in its parameter's order of memory: PyTorch's fused optimizers read both as they lie, unchecked."""
    return gradient if gradient.stride() == parameter.stride() else torch.empty_like(parameter).copy_(gradient)


def unaliased(gradients: Gradients, parameters: Mapping[str, Tensor]) -> Gradients:
    """Copies gradients that share memory (those of ``a`` in ``a + b`` do): later steps write in place.

    Args:
        gradients: One gradient a parameter, by its name; changed in place.
        parameters: Parameters by name, whose order of memory a copy takes.
    """
    seen: set[int] = set()
    for name, gradient in gradients.items():
        storage = gradient.untyped_storage()
        place = storage.data_ptr()
        if place in seen or storage.nbytes() != gradient.nbytes:
            gradients[name] = torch.empty_like(parameters[name]).copy_(gradient)
        seen.add(place)
    return gradients


def add_gradients(total: Gradients, more: Gradients) -> None:
    """Adds ``more`` to ``total`` in place; entries new to ``total`` are taken over."""
    both = [name for name in more if name in total] if total else []
    if both:
        torch._foreach_add_([total[name] for name in both], [more[name] for name in both])
    for name, gradient in more.items():
        total.setdefault(name, gradient)


def norm_of(gradients: Iterable[Tensor]) -> float:
    """The Euclidean norm of all entries together; 0 for none, not finite when any entry is not."""
    tensors = list(gradients)
    if not tensors:
        return 0.0
    if {(tensor.device.type, tensor.dtype) for tensor in tensors} <= {("cpu", tensors[0].dtype)}:
        if sum(tensor.numel() for tensor in tensors) <= SMALL:
            # laid side by side: half of the time of many small norms
            return float(torch.linalg.vector_norm(torch.cat([tensor.reshape(-1) for tensor in tensors])))
        # what `get_total_norm` does, to the bit, without sorting by device and data type: half of its time
        return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors))))
    return float(get_total_norm(tensors))


def scale_gradients(gradients: Iterable[Tensor], factor: float) -> None:
    """Multiplies in place."""
    if factor != 1.0 and (tensors := list(gradients)):
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
    vectors = [_flat([row.get(name) for row in rows]) for name in names]
    for parts in _packed([gradient.numel() for gradient in known], columns):
        filled = buffer[:, : sum(stop - start for _, start, stop in parts)]
        for row in range(len(rows)):
            pieces = [_piece(vectors[name][row], start, stop, known[name]) for name, start, stop in parts]
            filled[row].copy_(pieces[0] if len(pieces) == 1 else torch.cat(pieces))
        yield filled


def _piece(vector: Tensor | None, start: int, stop: int, like: Tensor) -> Tensor:
    """A part of a vector; zeros where there is none."""
    if vector is None:
        return like.new_zeros(stop - start)
    return vector if stop - start == vector.numel() else vector[start:stop]


def _packed(sizes: Sequence[int], columns: int) -> Iterator[list[tuple[int, int, int]]]:
    """Vectors of these sizes laid one after the other and cut into lines: parts (vector, start, stop) of each."""
    line: list[tuple[int, int, int]] = []
    held = 0
    for index, size in enumerate(sizes):
        start = 0
        while start < size:
            stop = min(size, start + columns - held)
            line.append((index, start, stop))
            held, start = held + stop - start, stop
            if held == columns:
                yield line
                line, held = [], 0
    if line:
        yield line


def _flat(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients of one parameter as vectors, entries in one order for all: that of the memory where it is the same."""
    known = [gradient for gradient in gradients if gradient is not None]
    if known[0].ndim == 1:
        return list(gradients)
    if known[0].ndim == 4 and all(g.is_contiguous(memory_format=torch.channels_last) for g in known):
        gradients = [None if gradient is None else gradient.permute(0, 2, 3, 1) for gradient in gradients]
    return [g if g is None or g.ndim == 1 else g.reshape(-1) for g in gradients]


def chunks(gradients: Sequence[Tensor], size: int = CHUNK) -> Iterator[Tensor]:
    """Gradients of one parameter as (rows, at most ``size``) matrices, one after the other."""
    flat = [gradient.reshape(-1) for gradient in gradients]
    return (torch.stack([row[at : at + size] for row in flat]) for at in range(0, max(flat[0].numel(), 1), size))


def cosines(tasks: Sequence[str], products: Tensor) -> dict[str, float]:
    """Cosines of all pairs ``"a|b"`` from a Gramian; a pair with a zero gradient is left out."""
    lengths, values = products.diagonal().sqrt().tolist(), products.tolist()
    return {
        f"{first}|{second}": values[i][j] / (lengths[i] * lengths[j])
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
