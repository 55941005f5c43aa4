"""Uncertainty weighting: learned (UW), at its optimum (UW-O), and softened (UW-SO)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from medmtl.errors import ConfigError
from medmtl.optim.checks import check_number
from medmtl.optim.method import methods
from medmtl.optim.weighting.frame import MEASURED, LossWeighting, check_flag, check_share, softmax, weighting_info
from medmtl.optim.weighting.learned import LearnedWeighting, Scalars, check_exponent, check_learning_rate, values_of

_PAPER = "Kirchdorfer et al., GCPR 2024, arXiv 2408.07985"


@methods.register("uw")
class UncertaintyWeighting(LearnedWeighting):
    """Learned log-variances s: the sum of ½ exp(-s) L + ½ s, whose optimum has weight 1/(2 L).

    Losses must not be negative: the sum would have no lower bound, and the weight would grow for ever.

    Args:
        initial: First value of every s, from -50 to 50.
        learning_rate: Learning rate of s; that of the network when left out. Schedules act on it alike.
    """

    info = weighting_info(
        "uw",
        paper="Kendall, Gal, Cipolla, CVPR 2018",
        evidence="library (the form as coded by TorchJD and LibMTL)",
        state="K log-variances and their optimizer",
        extra_memory="K numbers",
    )
    accepts = "zero or more"
    label = "log_variance"

    def __init__(self, *, initial: float = 0.0, learning_rate: float | None = None) -> None:
        check_exponent("uw.initial", initial)
        check_learning_rate("uw.learning_rate", learning_rate)
        self.initial = float(initial)
        self.learning_rate = learning_rate

    @property
    def log_variances(self) -> Scalars:
        """The learned s of each task."""
        return self.scalars

    def _first_values(self, tasks: tuple[str, ...]) -> dict[str, float]:
        return dict.fromkeys(tasks, self.initial)

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        s = values_of(self.scalars)
        return {task: 0.5 * math.exp(-s[task]) for task in tasks}

    def _slopes(self, means: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
        return {task: 0.5 - weights[task] * mean for task, mean in means.items()}


@methods.register("uw_o")
class OptimalUncertaintyWeighting(LossWeighting):
    """UW-O: each loss divided by its own value, Σ L_k / sg[L_k], the optimum of uncertainty weighting for an L1 loss.

    A constant factor on a loss changes nothing. The direction is that of `gls`, and twice that of `uw` at its optimum.
    A task whose loss goes to 0 gets a weight without bound; the floor ends that. Losses must not be negative.

    Args:
        floor: A smaller loss counts as this one; > 0, in units of the loss.
    """

    info = weighting_info(
        "uw_o",
        paper="Elich et al., GCPR 2024, arXiv 2311.04698, eq. 10; Kirchdorfer et al., GCPR 2024, arXiv 2408.07985",
        evidence="paper (arXiv 2311.04698); the floor is ours",
        extra_forwards=MEASURED,
    )
    measures = True
    accepts = "zero or more"

    def __init__(self, *, floor: float = 1e-8) -> None:
        check_number("uw_o.floor", floor, above=0.0)
        self.floor = float(floor)

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        return inverse_losses(means, self.floor)


@methods.register("uw_so")
class SoftOptimalUncertaintyWeighting(LearnedWeighting):
    """UW-SO: weights softmax_k(1 / (T L_k)), which sum to 1 and are constants for the gradient.

    The temperature T has the unit of 1/loss and must be searched: it is the strength of the method. T towards
    infinity gives 1/K for every task, T towards 0 only the task of the *smallest* loss. All losses times a is the
    same as T times a: the method is not invariant to scale.

    Danger: a loss that goes to 0 (a solved Dice or cross entropy) takes all the weight, and the other tasks stop
    learning: losses 0.7, 0.1, 0.01 have weights 0, 0, 1 at T = 5 and .21, .23, .56 at T = 100. Watch the logged
    weights; raise the temperature, or the floor to the level where a task counts as solved, or use the moving
    average. Losses must not be negative.

    With a learned temperature, T = softplus(r) descends along the gradient of Σ w_k(T) L_k + 1/T. The first term
    alone would drive T to 0, and 1/T guards against that: without floor and average the slope along T is
    (Σ w x · Σ w L - 2) / T² with x = 1/L, so that T falls only while the losses differ enough.

    Args:
        temperature: T > 0; where it is learned, its first value. No value suits all losses; 1 by default.
        learned_temperature: Learn T (Strategy 3 of the journal version); off by default.
        learning_rate: Learning rate of the learned temperature; that of the network when left out.
        floor: A smaller loss counts as this one in the weights; > 0, in units of the loss.
        momentum: The weights use a moving average of the losses with this share of the past, from 0 (off, the
            default) to below 1; it starts at a task's first loss, and rests while the task is absent.
    """

    info = weighting_info(
        "uw_so",
        paper=f"{_PAPER}; IJCV 2025, DOI 10.1007/s11263-025-02625-x, eq. 24 (learned temperature)",
        evidence="second-hand (three concordant sources; learned temperature, too); floor and moving average are ours",
        state="moving averages; with a learned temperature one number and its optimizer",
        extra_memory="K numbers",
        extra_forwards=MEASURED,
    )
    measures = True
    accepts = "zero or more"
    label = "uw_so"

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        learned_temperature: bool = False,
        learning_rate: float | None = None,
        floor: float = 1e-8,
        momentum: float = 0.0,
    ) -> None:
        check_number("uw_so.temperature", temperature, above=0.0)
        check_flag("uw_so.learned_temperature", learned_temperature)
        check_learning_rate("uw_so.learning_rate", learning_rate)
        check_number("uw_so.floor", floor, above=0.0)
        check_share("uw_so.momentum", momentum)
        if learning_rate is not None and not learned_temperature:
            raise ConfigError(
                "nothing is learned", where="uw_so.learning_rate", remedy="set uw_so.learned_temperature, or leave it"
            )
        self.temperature = float(temperature)
        self.learned_temperature = learned_temperature
        self.learning_rate = learning_rate
        self.floor = float(floor)
        self.momentum = float(momentum)
        self._averages: dict[str, float] = {}

    @property
    def current_temperature(self) -> float:
        """The temperature in use: fixed, or as learned so far."""
        return softplus(values_of(self.scalars)["temperature"]) if self.learned_temperature else self.temperature

    def _first_values(self, tasks: tuple[str, ...]) -> dict[str, float]:
        return {"temperature": inverse_softplus(self.temperature)} if self.learned_temperature else {}

    def _weights(self, tasks: tuple[str, ...], means: Mapping[str, float]) -> dict[str, float]:
        return soft_weights(inverse_losses(self._smoothed(means), self.floor), self.current_temperature)

    def _slopes(self, means: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
        if not self.learned_temperature:
            return {}
        inverses = inverse_losses(self._smoothed(means), self.floor)
        slope = temperature_slope(means, inverses, weights, self.current_temperature)
        return {"temperature": slope * sigmoid(values_of(self.scalars)["temperature"])}

    def _smoothed(self, means: Mapping[str, float]) -> dict[str, float]:
        keep = self.momentum
        return {task: keep * self._averages.get(task, mean) + (1 - keep) * mean for task, mean in means.items()}

    def _accept(self, means: Mapping[str, float]) -> None:
        if self.momentum:
            self._averages |= self._smoothed(means)

    def _own_state(self) -> dict[str, Any]:
        return {**super()._own_state(), "averages": dict(self._averages)}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        super()._load_own_state(state)
        self._averages = dict(state["averages"])


def inverse_losses(means: Mapping[str, float], floor: float) -> dict[str, float]:
    """One over each loss, a loss under the floor counting as the floor."""
    return {task: 1 / max(mean, floor) for task, mean in means.items()}


def soft_weights(inverses: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Softmax of the inverse losses over the temperature; the maximum goes first, so that nothing overflows."""
    peak = max(inverses.values())
    return softmax({task: (inverse - peak) / temperature for task, inverse in inverses.items()})


def temperature_slope(
    means: Mapping[str, float], inverses: Mapping[str, float], weights: Mapping[str, float], temperature: float
) -> float:
    """The derivative of Σ w_k(T) L_k + 1/T along T, the losses inside the weights being constants."""
    centre = math.fsum(weights[task] * inverses[task] for task in means)
    spread = math.fsum(weights[task] * (inverses[task] - centre) * mean for task, mean in means.items())
    return -(spread + 1) / temperature**2


def softplus(value: float) -> float:
    """log(1 + exp(value)), without overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def inverse_softplus(value: float) -> float:
    """The number whose softplus is ``value`` > 0."""
    return value + math.log(-math.expm1(-value))


def sigmoid(value: float) -> float:
    """The derivative of softplus."""
    return 0.5 * (1 + math.tanh(0.5 * value))
