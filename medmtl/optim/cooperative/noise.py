"""Noise that belongs to a sample, not to a place in memory: micro-batches and processes see the same draws."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from medmtl.optim.cooperative.flatness import noise_scale

_SQRT3 = 3**0.5


class SampleNoise:
    """Draws noise of unit variance for numbered samples.

    A sample's number in an update is its position in the whole window, when process r holds samples r, r + world, ...
    of each micro-batch: the samples of all processes in the micro-batches before it, plus its position in the process's
    micro-batch times the number of processes, plus the process's rank.

    Args:
        seed: Seed of all draws.
        law: ``uniform`` or ``gaussian``.
    """

    def __init__(self, seed: int, law: str) -> None:
        self.seed = seed
        self.law = law

    def perturb(
        self,
        tensors: Sequence[Tensor],
        strength: float,
        *,
        relative: bool,
        step: int,
        draw: int,
        samples: Sequence[int],
        sign: float = 1.0,
    ) -> list[Tensor]:
        """Gives ``tensors + ε``, with the tensors' graph.

        Args:
            tensors: Features, each (n, ...).
            strength: Standard deviation of ε, with ``relative`` as a share of the sample's root mean square.
            relative: See there.
            step: Number of the update.
            draw: Which of its draws.
            samples: The n samples' numbers.
            sign: -1 gives the mirror image of the same draw.
        """
        moved = []
        for index, tensor in enumerate(tensors):
            rows = [self._row(tensor.shape[1:], step, draw, sample, index) for sample in samples]
            unit = torch.stack(rows).to(tensor.device, tensor.dtype)
            moved.append(tensor + sign * unit * noise_scale(tensor, strength, relative=relative))
        return moved

    def _row(self, shape: torch.Size, *place: int) -> Tensor:
        generator = torch.Generator().manual_seed(_seed(self.seed, *place))
        if self.law == "gaussian":
            return torch.randn(shape, generator=generator)
        return (torch.rand(shape, generator=generator) * 2 - 1) * _SQRT3


def _seed(*numbers: int) -> int:
    digest = hashlib.sha256(",".join(map(str, numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
