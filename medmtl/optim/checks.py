"""Checks that every method shares; each failure is one line that names the place."""

from __future__ import annotations

import math
from collections.abc import Mapping

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim.base import TaskLoss


def check_number(
    where: str, value: object, *, least: float | None = None, above: float | None = None, whole: bool = False
) -> None:
    """Accepts a finite number within its range.

    Args:
        where: The argument, as the error names it.
        value: What was given.
        least: Smallest value allowed.
        above: The value must be larger than this.
        whole: The number must be an integer.

    Raises:
        ConfigError: Anything else.
    """
    kinds = int if whole else (int, float)
    number = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    wanted = "a whole number" if whole else "a number"
    limits = [f" >= {least:g}"] if least is not None else []
    limits += [f" > {above:g}"] if above is not None else []
    inside = number and (least is None or value >= least) and (above is None or value > above)  # type: ignore[operator]
    if not inside:
        raise ConfigError("out of range", where=where, found=repr(value), remedy=f"use {wanted}{''.join(limits)}")


def check_choice(where: str, value: object, choices: tuple[str, ...]) -> None:
    """Accepts one of a few words.

    Raises:
        ConfigError: Anything else.
    """
    if value not in choices:
        raise ConfigError("unknown choice", where=where, found=repr(value), remedy=f"use one of: {', '.join(choices)}")


class LossNotFinite(TrainingError):  # noqa: N818  reads as what happened
    """A loss is NaN or infinite; parameters and state are as before the update."""


def check_finite(means: Mapping[str, float]) -> None:
    """Accepts finite losses.

    Raises:
        LossNotFinite: A loss is NaN or infinite; names the task.
    """
    for task, mean in means.items():
        if not math.isfinite(mean):
            raise LossNotFinite(
                "the loss is not finite",
                where=f"task '{task}'",
                found=str(mean),
                remedy="lower the learning rate, clip gradients, or look at the labels of this batch",
            )


def check_graph(losses: Mapping[str, TaskLoss]) -> None:
    """Accepts losses that can be differentiated.

    Raises:
        TrainingError: A loss does not depend on any trainable parameter; names the task.
    """
    for task, loss in losses.items():
        if not loss.sum.requires_grad:
            raise TrainingError(
                "the loss has no gradient",
                where=f"task '{task}'",
                remedy="a loss must depend on a trainable parameter and must not be detached",
            )


def check_at_least(means: Mapping[str, float], bound: float) -> None:
    """Accepts losses from a bound on, for methods that take their logarithm.

    Raises:
        TrainingError: A loss below the bound; names the task.
    """
    for task, mean in means.items():
        if mean < bound:
            raise TrainingError(
                "the method cannot use a loss below its bound",
                where=f"task '{task}'",
                found=f"{mean:g}, bound {bound:g}",
                remedy="lower the bound, or choose another loss or method",
            )
