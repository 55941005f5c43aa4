"""Random loss weighting: the litmus test that every balancing method has to pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from medmtl.optim.checks import check_seed
from medmtl.optim.method import methods
from medmtl.optim.weighting.frame import LossWeighting, softmax, weighting_info


@methods.register("rlw")
class RandomLossWeighting(LossWeighting):
    """RLW: weights softmax(ε) with ε drawn anew from a standard normal for each present task in each step.

    The weights sum to 1, and their mean over the steps is 1/K.

    Args:
        seed: Seed of the draws, a whole number >= 0, the same on every process; the generator is the method's own.
    """

    info = weighting_info(
        "rlw",
        paper="Lin et al.: Reasonable Effectiveness of Random Weighting, TMLR 2022",
        evidence="library (TorchJD and LibMTL)",
        state="random state",
    )

    def __init__(self, *, seed: int = 0) -> None:
        check_seed("rlw.seed", seed)
        self._random = torch.Generator().manual_seed(seed)
        self._drawn = self._random

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        self._drawn = self._random.clone_state()  # a step that is not taken has drawn nothing
        return random_weights(tasks, self._drawn)

    def _accept(self, means: Mapping[str, float]) -> None:
        self._random = self._drawn

    def _own_state(self) -> dict[str, Any]:
        return {"random": self._random.get_state()}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._random.set_state(state["random"].cpu())


def random_weights(tasks: tuple[str, ...], generator: torch.Generator) -> dict[str, float]:
    """Softmax of one normal draw a task, drawn in alphabetical order, so that the order of the tasks is without effect."""
    draws = torch.randn(len(tasks), generator=generator, dtype=torch.float64).tolist()
    shares = softmax(dict(zip(sorted(tasks), draws, strict=True)))
    return {task: shares[task] for task in tasks}
