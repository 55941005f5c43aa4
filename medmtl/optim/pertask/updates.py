"""One update of a chunk of parameters: a task's part of it, and the writing of the sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medmtl.optim.base import Gradients
from medmtl.optim.pertask.pieces import Piece
from medmtl.optim.pertask.rules import FORMS, Form, advance, correction, denominators, retreat
from medmtl.optim.pertask.staging import Row

State = dict[Tensor, dict[str, Any]]
"""Parameter to ``tasks`` (task to ``step``, ``first``, ``second``) and, with shared momentum, ``step`` and ``first``."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Which update is made.

    Attributes:
        form: Name of the form.
        momentum: ``per_task`` or ``shared``.
        combine: ``sum`` or ``mean``.
        fused: Whether Adam's steps are made by PyTorch's fused kernel, with its rounding.
    """

    form: str
    momentum: str
    combine: str
    fused: bool = False

    @property
    def kind(self) -> Form:
        """What the form keeps."""
        return FORMS[self.form]

    @property
    def one_kernel(self) -> bool:
        """Whether the fused kernel makes this rule's step: one mean, one square, both corrected."""
        return self.fused and self.form.startswith("adam") and not self.shared

    @property
    def shared(self) -> bool:
        """Whether one first moment serves all tasks."""
        return self.momentum == "shared"


def count_step(rule: Rule, state: dict[str, Any], parameter: Tensor, task: str) -> None:
    """Advances the counter of (task, parameter); makes the moments where the task comes for the first time."""
    tasks = state.setdefault("tasks", {})
    if task not in tasks:
        tasks[task] = {"step": 0}
        if rule.kind.first and not rule.shared:
            tasks[task]["first"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        if rule.kind.second:
            tasks[task]["second"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    tasks[task]["step"] += 1


def count_shared_step(state: dict[str, Any], parameter: Tensor) -> None:
    """Advances the counter of the first moment that all tasks share."""
    if "first" not in state:
        state["first"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    state["step"] = state.get("step", 0) + 1


def uncount_step(states: State, parameter: Tensor, task: str) -> None:
    """Takes `count_step` back; what the step had created goes."""
    tasks = states[parameter]["tasks"]
    tasks[task]["step"] -= 1
    if not tasks[task]["step"]:
        del tasks[task]
    if not tasks and states[parameter].keys() == {"tasks"}:
        del states[parameter]


def add_step(
    rule: Rule,
    group: Mapping[str, Any],
    states: State,
    chunk: Sequence[Piece],
    task: str,
    row: Row,
    totals: Sequence[Tensor],
) -> None:
    """Advances one task's moments and adds its step to the totals, on the pieces that it reaches."""
    places = [index for index, piece in enumerate(chunk) if piece.name in row.gradients]
    if not places:
        return
    pieces = [chunk[index] for index in places]
    gradients = row.of([piece.of(row.gradients[piece.name]) for piece in pieces])
    first, second, steps = _moments(states, pieces, task)
    if rule.one_kernel and first is not None and second is not None:
        sums = [totals[index] for index in places]
        if all(_lie_alike(*four) for four in zip(sums, gradients, first, second, strict=True)):
            add_fused_step(group, sums, gradients, first, second, steps)
            return
    advance(gradients, first, second, group["betas"])
    beta1, beta2 = group["betas"]
    numerators = gradients if first is None else first
    biases = [correction(beta1, step, corrected=rule.kind.corrected and first is not None) for step in steps]
    below = denominators(rule.kind, numerators, second, steps, biases, beta2, group["eps"])
    factors = [1.0 if rule.shared else -(group["lr"] / bias) for bias in biases]
    torch._foreach_addcdiv_([totals[index] for index in places], numerators, below, factors)


def add_fused_step(
    group: Mapping[str, Any],
    totals: list[Tensor],
    gradients: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    steps: Sequence[int],
) -> None:
    """`add_step` by the kernel of ``AdamW(fused=True)``: the totals stand where parameters do, and start from zero."""
    clocks = {step: torch.tensor(float(step), device=totals[0].device) for step in set(steps)}
    torch._fused_adamw_(
        totals,
        gradients,
        first,
        second,
        [],
        [clocks[step] for step in steps],
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=0.0,
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def _lie_alike(total: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> bool:
    """Whether one kernel may read all four as they lie: without gaps and in the same order."""
    order = total.stride()
    if not order == gradient.stride() == first.stride() == second.stride():
        return False
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(total.ndim, torch.contiguous_format)
    return total.is_contiguous() or total.is_contiguous(memory_format=last)


def take_step_back(group: Mapping[str, Any], states: State, chunk: Sequence[Piece], task: str, row: Row) -> None:
    """Takes the moments of `add_step` back."""
    gradients = row.of([piece.of(row.gradients[piece.name]) for piece in chunk])
    first, second, _ = _moments(states, chunk, task)
    retreat(gradients, first, second, group["betas"])


def write_step(
    rule: Rule,
    group: Mapping[str, Any],
    states: State,
    chunk: Sequence[Piece],
    totals: list[Tensor],
    reached: Mapping[str, int],
) -> None:
    """Writes the joined steps of all tasks into the parameters, after one decay.

    Args:
        rule: Which update is made.
        group: The parameter group.
        states: Moments and counters.
        chunk: The pieces.
        totals: Sums of the tasks' steps; used up.
        reached: How many tasks reached each parameter.
    """
    if rule.combine == "mean":
        torch._foreach_mul_(totals, [1 / reached[piece.name] for piece in chunk])
    values = [piece.of(piece.parameter) for piece in chunk]
    if group["weight_decay"]:
        torch._foreach_mul_(values, 1 - group["lr"] * group["weight_decay"])
    if rule.shared:
        first = [piece.of(states[piece.parameter]["first"]) for piece in chunk]
        torch._foreach_lerp_(first, totals, 1 - group["betas"][0])
        steps = [states[piece.parameter]["step"] for piece in chunk]
        factors = [-group["lr"] / correction(group["betas"][0], step, corrected=True) for step in steps]
        totals = list(torch._foreach_mul(first, factors))
    torch._foreach_add_(values, totals)


def sums_so_far(kept: Gradients, chunk: Sequence[Piece]) -> list[Tensor]:
    """The sums of the tasks' steps so far: views of what is kept, new zeros where nothing is.

    Args:
        kept: The sums of whole parameters by name.
        chunk: The pieces.
    """
    return [
        piece.of(kept[piece.name]) if piece.name in kept else torch.zeros_like(piece.of(piece.parameter))
        for piece in chunk
    ]


def keep_sums(kept: Gradients, chunk: Sequence[Piece], rows: Mapping[str, Row], totals: Sequence[Tensor]) -> Gradients:
    """Puts sums that are not kept yet into the memory of a gradient that is no longer needed.

    Args:
        kept: The sums of whole parameters by name, whose views the totals are where there are any.
        chunk: The pieces.
        rows: The gradients; no two of one row share memory.
        totals: The sums of the pieces.

    Returns:
        What is to be kept from now on, too.
    """
    made: Gradients = {}
    for piece, total in zip(chunk, totals, strict=True):
        name = piece.name
        if name not in kept:
            made[name] = next(row.gradients[name] for row in rows.values() if name in row.gradients)
            piece.of(made[name]).copy_(total)
    return made


def _moments(
    states: State, pieces: Sequence[Piece], task: str
) -> tuple[list[Tensor] | None, list[Tensor] | None, list[int]]:
    found = [states[piece.parameter]["tasks"][task] for piece in pieces]
    first, second = (
        [piece.of(state[key]) for piece, state in zip(pieces, found, strict=True)] if key in found[0] else None
        for key in ("first", "second")
    )
    return first, second, [state["step"] for state in found]
