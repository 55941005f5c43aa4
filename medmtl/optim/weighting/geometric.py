"""Balance of loss levels: the geometric mean, and scales learned until every scaled loss is 1."""

from __future__ import annotations

import math
from collections.abc import Mapping

from medmtl.optim.method import methods
from medmtl.optim.weighting.frame import MEASURED, LossWeighting, weighting_info
from medmtl.optim.weighting.learned import LearnedWeighting, check_exponent, check_learning_rate, values_of


@methods.register("gls")
class GeometricLossStrategy(LossWeighting):
    """GLS: the geometric mean of the losses, (Π L_k)^(1/K), taken as exp(mean log L_k).

    Its gradient has the weights GLS / (K L_k): the direction of `uw_o`, and a length that falls with the losses. A
    constant factor on one loss rescales the whole objective, but not the direction. Losses must be positive: the
    geometric mean with a zero is zero, whatever the others do.
    """

    info = weighting_info(
        "gls",
        paper="Chennupati et al.: MultiNet++, CVPR Workshops 2019",
        evidence="library (TorchJD)",
        extra_forwards=MEASURED,
    )
    measures = True
    accepts = "positive"

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        return geometric_weights(means)


@methods.register("imtl_l")
class ImpartialLossBalance(LearnedWeighting):
    """IMTL-L: learned scales s, the sum of exp(s) L - s, whose optimum has weight 1/L (that of `uw_o`).

    It is twice `uw` with the sign of s turned. Losses must not be negative: the sum would have no lower bound.

    Args:
        initial: First value of every s, from -50 to 50; 0 by default, the plain sum.
        learning_rate: Learning rate of s; that of the network when left out. Schedules act on it alike.
    """

    info = weighting_info(
        "imtl_l",
        paper="Liu et al.: Towards Impartial Multi-task Learning, ICLR 2021",
        evidence="library (TorchJD)",
        state="K scales and their optimizer",
        extra_memory="K numbers",
    )
    accepts = "zero or more"
    label = "log_scale"

    def __init__(self, *, initial: float = 0.0, learning_rate: float | None = None) -> None:
        check_exponent("imtl_l.initial", initial)
        check_learning_rate("imtl_l.learning_rate", learning_rate)
        self.initial = float(initial)
        self.learning_rate = learning_rate

    def _first_values(self, tasks: tuple[str, ...]) -> dict[str, float]:
        return dict.fromkeys(tasks, self.initial)

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        s = values_of(self.scalars)
        return {task: math.exp(s[task]) for task in tasks}

    def _slopes(self, means: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
        return {task: weights[task] * mean - 1.0 for task, mean in means.items()}


def geometric_weights(means: Mapping[str, float]) -> dict[str, float]:
    """The gradient of the geometric mean along each loss, in the log domain: no product to under- or overflow."""
    logs = {task: math.log(mean) for task, mean in means.items()}
    centre = math.fsum(logs.values()) / len(logs)
    return {task: math.exp(centre - log) / len(logs) for task, log in logs.items()}
