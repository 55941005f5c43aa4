"""Dynamic weight average: tasks whose loss fell less in the last epoch weigh more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medmtl.optim.checks import check_finite, check_number
from medmtl.optim.method import methods
from medmtl.optim.weighting.frame import LossWeighting, check_losses, softmax, weighting_info

_LEAST = 1e-8


@methods.register("dwa")
class DynamicWeightAverage(LossWeighting):
    """DWA: weights K softmax_k(r_k / T), where r_k = L_k(t-1) / L_k(t-2) compares the mean losses of two epochs.

    The weights of the present tasks sum to their number. They are 1 until two epochs have ended; a task that was seen
    in fewer than two counts as r = 1, and an epoch without its labels is passed over. A loop outside this package
    must call `end_epoch` with the mean losses, or the weights stay 1. Losses must not be negative, in any update; one
    of zero counts as 1e-8 when the next is divided by it.

    Args:
        temperature: T > 0; larger is more uniform. 2 by default, as in the paper.
    """

    info = weighting_info(
        "dwa",
        paper="Liu, Johns, Davison: End-to-End Multi-Task Learning with Attention, CVPR 2019",
        evidence="library (TorchJD and LibMTL)",
        state="mean losses of the last two epochs",
        extra_memory="2 K numbers",
    )
    accepts = "zero or more"

    def __init__(self, *, temperature: float = 2.0) -> None:
        check_number("dwa.temperature", temperature, above=0.0)
        self.temperature = float(temperature)
        self._history: dict[str, list[float]] = {}

    def end_epoch(self, losses: Mapping[str, float]) -> None:
        """Hears the mean training losses of an epoch.

        Args:
            losses: Mean loss of each task that had labels.

        Raises:
            TrainingError: A loss that is negative or not finite; names the task, and nothing is changed.
        """
        known = {task: float(loss) for task, loss in losses.items() if task in self.tasks}
        check_finite(known)
        check_losses(self.info.name, known, "zero or more")
        for task, loss in known.items():
            self._history[task] = [*self._history.get(task, []), loss][-2:]

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        return descent_weights({task: self._history.get(task, []) for task in tasks}, self.temperature)

    def _own_state(self) -> dict[str, Any]:
        return {"history": {task: list(losses) for task, losses in self._history.items()}}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._history = {task: list(losses) for task, losses in state["history"].items()}


def descent_weights(history: Mapping[str, list[float]], temperature: float) -> dict[str, float]:
    """K softmax of the ratios of the last two epochs over the temperature; all 1 before there are two.

    Args:
        history: Up to two mean losses of each present task, oldest first.
        temperature: Larger is more uniform.
    """
    if all(len(losses) < 2 for losses in history.values()):
        return dict.fromkeys(history, 1.0)
    rates = {t: losses[1] / max(losses[0], _LEAST) if len(losses) == 2 else 1.0 for t, losses in history.items()}
    shares = softmax({task: rate / temperature for task, rate in rates.items()})
    return {task: len(shares) * share for task, share in shares.items()}
