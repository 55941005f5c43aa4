"""How far a run is and how well it went, and what counts as better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Standing:
    """How far training is and how well it went: everything that decides about the rest, besides weights and optimizers.

    ``overflows`` are the updates in a row that were skipped because their gradient was not finite. ``seconds`` are by the clock, ``processor_seconds`` those of this process on all cores, loader workers not included.
    """

    step: int = 0
    best_score: float = float("-inf")
    best_epoch: int = 0
    without_gain: int = 0
    finished: bool = False
    overflows: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    losses: dict[str, list[float]] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return dict(vars(self))

    def improves(self, score: float, epoch: int) -> bool:
        """Takes the validation score of an epoch; whether it is the best so far."""
        if not is_better(score, self.best_score):
            self.without_gain += 1
            return False
        self.best_score = score if np.isfinite(score) else self.best_score
        self.best_epoch, self.without_gain = epoch, 0
        return True


def is_better(score: float, best: float) -> bool:
    """Whether a validation score is the best so far; an undefined one is only as long as none was defined."""
    return score > best if np.isfinite(score) else best == float("-inf")


def selection_score(figures: Mapping[str, float], tasks: Sequence[str] = ()) -> float:
    """The mean over tasks of each task's first figure; those that are undefined are left out.

    Args:
        figures: Validation figures as ``task/name``.
        tasks: The tasks that count; all where none is named.
    """
    first: dict[str, float] = {}
    for name, value in figures.items():
        first.setdefault(name.split("/", 1)[0], value)
    values = [value for task, value in first.items() if np.isfinite(value) and (not tasks or task in tasks)]
    return float(np.mean(values)) if values else float("nan")


def epoch_line(epoch: int, epochs: int, means: Mapping[str, float], figures: Mapping[str, float]) -> str:
    """How an epoch went, in a line: mean losses by task, and the validation figures of whole tasks."""
    losses = "  ".join(f"{task} {value:.4f}" for task, value in means.items())
    shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if "." not in name)
    return f"epoch {epoch}/{epochs}  loss: {losses}" + (f"  validation: {shown}" if shown else "")
