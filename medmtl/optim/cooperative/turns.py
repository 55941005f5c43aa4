"""Whose turn it is: warm-up, then rounds in which every task has one phase."""

from __future__ import annotations

from dataclasses import dataclass

import torch

ORDERS = ("fixed", "reversed", "random")
WARMUP = "warmup"


@dataclass(frozen=True, slots=True)
class Turns:
    """The schedule as a pure function of the update's number, so that loaders may look ahead.

    Attributes:
        tasks: The tasks.
        warmup: Updates on all tasks together before the first round.
        phase_steps: Updates in one phase.
        order: ``fixed``, ``reversed`` or ``random`` (a new permutation each round).
        seed: Seed of the permutations.
    """

    tasks: tuple[str, ...]
    warmup: int = 0
    phase_steps: int = 1
    order: str = "fixed"
    seed: int = 0

    def task(self, step: int) -> str | None:
        """The task of an update; None during warm-up."""
        if step < self.warmup:
            return None
        number, place = divmod(self.phase(step), len(self.tasks))
        return self._round(number)[place]

    def phase(self, step: int) -> int:
        """Number of the phase that an update after the warm-up belongs to."""
        return (step - self.warmup) // self.phase_steps

    def round(self, step: int) -> int:
        """Number of the round that an update after the warm-up belongs to."""
        return self.phase(step) // len(self.tasks)

    def starts(self, step: int) -> bool:
        """Whether the update is the first of its phase."""
        return step >= self.warmup and (step - self.warmup) % self.phase_steps == 0

    def ends(self, step: int) -> bool:
        """Whether the update is the last of its phase."""
        return step >= self.warmup and (step - self.warmup) % self.phase_steps == self.phase_steps - 1

    def _round(self, number: int) -> tuple[str, ...]:
        if self.order == "random":
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % 2**63)
            return tuple(self.tasks[index] for index in torch.randperm(len(self.tasks), generator=generator).tolist())
        return self.tasks if self.order == "fixed" else self.tasks[::-1]
