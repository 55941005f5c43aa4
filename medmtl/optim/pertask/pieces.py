"""Cutting parameters into bounded chunks, so that the buffers of an update stay small and in the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

CPU_ENTRIES = 1 << 16
CPU_FUSED_ENTRIES = 1 << 18  # one kernel reads everything once: the cache matters less than the number of calls
DEVICE_ENTRIES = 1 << 24
KEPT_PACKINGS = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a parameter, or all of it.

    Attributes:
        name: The parameter's name.
        parameter: The whole parameter.
        start: First row.
        stop: Row after the last; None is the whole parameter.
    """

    name: str
    parameter: Tensor
    start: int = 0
    stop: int | None = None

    def of(self, tensor: Tensor) -> Tensor:
        """The same rows of a tensor with the parameter's shape: a view."""
        return tensor if self.stop is None else tensor[self.start : self.stop]

    @property
    def entries(self) -> int:
        """How many numbers the piece has."""
        return self.of(self.parameter).numel()


def chunks_of(
    named: Iterable[tuple[str, Tensor]], entries: int | None = None, *, whole: bool = False, fused: bool = False
) -> Iterator[list[Piece]]:
    """Packs parameters, in their order, into chunks of at most ``entries`` numbers.

    A larger parameter is cut along its first dimension; a single row is never cut.

    Args:
        named: Parameters under their names.
        entries: The bound; None picks one for the device: a cache's worth on the CPU, few kernels elsewhere.
        whole: Never cut a parameter: for rules that need its norm.
        fused: One kernel makes the step.
    """
    cpu_entries = CPU_FUSED_ENTRIES if fused else CPU_ENTRIES
    chunk: list[Piece] = []
    held = 0
    for name, parameter in named:
        limit = entries or (cpu_entries if parameter.device.type == "cpu" else DEVICE_ENTRIES)
        size = parameter.numel()
        if size <= limit or whole:
            cut = [Piece(name, parameter)]
        else:
            cut = list(_cut(name, parameter, limit))
            size = limit
        for piece in cut:
            if chunk and held + min(size, piece.entries) > limit:
                yield chunk
                chunk, held = [], 0
            chunk.append(piece)
            held += piece.entries
    if chunk:
        yield chunk


class Packing:
    """`chunks_of`, remembered by the parameters that are packed: a step packs the same ones as the step before."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], list[list[Piece]]] = {}

    def chunks(
        self, named: list[tuple[str, Tensor]], entries: int | None, *, whole: bool, fused: bool
    ) -> list[list[Piece]]:
        """As `chunks_of`; the pieces hold their parameters, so that an identity stands for one parameter only."""
        key = (entries, whole, fused, *[id(parameter) for _, parameter in named])
        if key not in self._known:
            if len(self._known) >= KEPT_PACKINGS:
                self._known.clear()
            self._known[key] = list(chunks_of(named, entries, whole=whole, fused=fused))
        return self._known[key]


def _cut(name: str, parameter: Tensor, limit: int) -> Iterator[Piece]:
    rows = parameter.shape[0]
    step = max(1, limit // (parameter.numel() // rows))
    for start in range(0, rows, step):
        yield Piece(name, parameter, start, min(rows, start + step))
