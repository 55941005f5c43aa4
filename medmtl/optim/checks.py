"""Checks that every method shares; each failure is one line that names the place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from medmtl.errors import ConfigError, TrainingError
from medmtl.optim.base import TaskLoss

MAX_SEED = 2**63 - 1
"""Largest seed: what PyTorch's generators and 64-bit files take."""


def check_number(
    where: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    whole: bool = False,
) -> None:
    """Accepts a finite number within its range.

    Args:
        where: The argument, as the error names it.
        value: What was given.
        least: Smallest value allowed.
        above: The value must be larger than this.
        most: Largest value allowed.
        whole: The number must be an integer.

    Raises:
        ConfigError: Anything else.
    """
    kinds = int if whole else (int, float)
    number = isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    wanted = "a whole number" if whole else "a number"
    limits = [f" >= {least:g}"] if least is not None else []
    limits += [f" > {above:g}"] if above is not None else []
    limits += [f" <= {most:g}"] if most is not None else []
    inside = number and (least is None or value >= least) and (above is None or value > above)  # type: ignore[operator]
    if not inside or (most is not None and value > most):  # type: ignore[operator]  # a number: it is inside
        remedy = f"use {wanted}{' and'.join(limits)}"
        raise ConfigError("out of range", where=where, found=repr(value), remedy=remedy)


def check_seed(where: str, value: object) -> None:
    """Accepts a seed: a whole number from 0 to `MAX_SEED`.

    Raises:
        ConfigError: Anything else.
    """
    check_number(where, value, least=0, whole=True)
    if value > MAX_SEED:  # type: ignore[operator]  # a number: checked above
        raise ConfigError("out of range", where=where, found=repr(value), remedy="use a whole number below 2**63")


def check_choice(where: str, value: object, choices: tuple[str, ...]) -> None:
    """Accepts one of a few words.

    Raises:
        ConfigError: Anything else.
    """
    if value not in choices:
        raise ConfigError("unknown choice", where=where, found=repr(value), remedy=f"use one of: {', '.join(choices)}")


class LossUnusable(TrainingError):  # noqa: N818  this and its kinds read as what happened
    """Losses that cannot be learned from; parameters and the method's state are as before the update."""


class LossNotFinite(LossUnusable):
    """A loss is NaN or infinite."""


class LossOutOfRange(LossUnusable):
    """A loss is below what the method can use."""


class WeightsUnusable(LossUnusable):
    """The weights of the tasks could not be computed from their gradients, or are not finite."""


class LossNotFiniteAfterStep(LossUnusable):
    """The step was taken, and a loss that the method measures after it is NaN or infinite: parameters *have* moved.

    The method's own state is as before the update.
    """


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


@contextmanager
def after_step() -> Iterator[None]:
    """Around what measures losses after a step: one that is not finite there comes too late to leave parameters alone.

    Raises:
        LossNotFiniteAfterStep: A loss is NaN or infinite; names the task.
    """
    try:
        yield
    except LossNotFinite as error:
        raise LossNotFiniteAfterStep(
            f"{error.what} after the step", where=error.where, found=error.found, remedy=error.remedy
        ) from None


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


def check_checkpointing(task: str, loss: TaskLoss) -> None:
    """Accepts a graph in which the gradient of one task can be taken; walks all of it.

    A re-entrant checkpoint runs its backward pass on its own, for ordinary passes only; asked for the gradients of chosen
    parameters it fails. One whose inputs need no gradient at all is in no graph and cannot be seen here: nothing inside it
    is trained by any backward pass, and PyTorch warns of it in the forward pass.

    Raises:
        TrainingError: The graph holds a re-entrant checkpoint; names the task.
    """
    waiting, seen = [loss.sum.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            raise TrainingError(
                "the network's activation checkpointing hides parameters from the gradient of one task",
                where=f"task '{task}'",
                found="a re-entrant torch.utils.checkpoint",
                remedy="pass use_reentrant=False to it, or choose a loss weighting",
            )
        waiting += [following for following, _ in node.next_functions]


def check_trainable(parameters: Mapping[str, nn.Parameter]) -> None:
    """Accepts parameters that still need a gradient.

    Raises:
        TrainingError: One was frozen; names it.
    """
    for name, parameter in parameters.items():
        if not parameter.requires_grad:
            raise TrainingError(
                "a parameter was frozen after training was set up",
                where=f"parameter '{name}'",
                remedy="freeze it before, or build method and services anew",
            )


def check_at_least(means: Mapping[str, float], bound: float) -> None:
    """Accepts losses from a bound on, for methods that take their logarithm.

    Raises:
        LossOutOfRange: A loss below the bound; names the task.
    """
    for task, mean in means.items():
        if mean < bound:
            raise LossOutOfRange(
                "the method cannot use a loss below its bound",
                where=f"task '{task}'",
                found=f"{mean:g}, bound {bound:g}",
                remedy="lower the bound, or choose another loss or method",
            )
