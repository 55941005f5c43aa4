"""Alternating sub-models without a flat term: what MTCL is compared with."""

from __future__ import annotations

from dataclasses import replace

from medmtl.optim.cooperative.mtcl import MTCL
from medmtl.optim.method import methods


@methods.register("alternating")
class Alternating(MTCL):
    """Trains the sub-models in turn, each on its own loss, the others held fixed with their buffers.

    `mtcl` without warm-up and without its flat term: gradient play, whose fixed points are Nash points, not in
    general minima of the sum of the losses.

    Args:
        phase_steps: Updates of one task before the next one's turn.
        order: ``fixed``, ``reversed`` or ``random`` (a new permutation each round).
        seed: Seed of the permutations.
    """

    info = replace(
        MTCL.info,
        name="alternating",
        evidence="reconstruction, without the flat-minima term",
        extra_memory="features of the K - 1 other tasks",
        extra_forwards="K - 1 encoders, without gradient",
    )

    def __init__(self, *, phase_steps: int = 1, order: str = "fixed", seed: int = 0) -> None:
        super().__init__(flatness="none", phase_steps=phase_steps, order=order, seed=seed)
