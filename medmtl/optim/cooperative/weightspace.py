"""The weight-space form: the loss of a task's turn under perturbed *weights* of the sub-models that lend features.

Matches "changes in other sub-models" (abstract of MT-CooL); costs a further forward pass (noise), or forward and
backward (ascent), of every other encoder. The weights themselves are never written: perturbed copies go through
the encoder by `WeightSplitProblem.lend_with`. A reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medmtl.optim.base import Batch, Buffers, TaskLoss, WeightSplitProblem, Window
from medmtl.optim.buffers import cuda_devices
from medmtl.optim.checks import check_graph
from medmtl.optim.cooperative.flatness import adaptive_ascent, ascent
from medmtl.optim.cooperative.noise import SampleNoise
from medmtl.optim.cooperative.objective import ASCENTS, Flatness, Place, TurnLoss, lent, settled
from medmtl.optim.cooperative.trees import detached
from medmtl.optim.reduction import Reducer

Weights = dict[str, dict[str, Tensor]]
"""By task, the perturbed parameters of its sub-model by name."""


def weight_turn_loss(
    problem: WeightSplitProblem,
    batch: Batch,
    task: str,
    buffers: Buffers,
    flatness: Flatness,
    place: Place,
    reducer: Reducer,
    *,
    moved: tuple[Weights, bool] | None = None,
) -> TurnLoss:
    """The losses of one micro-batch in a task's turn, the others' weights perturbed.

    Args:
        problem: The sub-models.
        batch: One micro-batch.
        task: Whose turn it is.
        buffers: For the clean pass.
        flatness: The perturbation; radius and standard deviation are relative to each weight tensor's norm and root
            mean square.
        place: Numbers the draws.
        reducer: Sums the ascent gradient over processes.
        moved: What `ascended` gave for a window that this micro-batch is a part of; without it, the micro-batch is the
            whole window.

    Raises:
        TrainingError: The loss has no graph.
    """
    others = lent(problem, batch, task)
    own = problem.encode(batch, task, buffers)
    clean = problem.predict(batch, task, own, others, buffers)
    if clean.count:
        check_graph({task: clean})
    if not others:
        return TurnLoss(clean, clean, 0)
    finite = True
    losses = []
    places: Iterator[tuple[Weights, bool]]
    if flatness.kind not in ASCENTS:
        places = ((weights, True) for weights in _noisy(problem, task, flatness, place))
    else:
        places = iter([moved or ascended(problem, [(batch, detached(own))], task, flatness, place.loss_scale, reducer)])
    for weights, settles in places:
        losses.append(problem.predict(batch, task, own, _lent_with(problem, batch, weights), "frozen").sum)
        finite = finite and settles
    return TurnLoss(clean, TaskLoss(torch.stack(losses).mean(0), clean.count), 0, finite)


def window_passes(problem: WeightSplitProblem, window: Window, task: str) -> Iterator[tuple[Batch, Any]]:
    """The micro-batches, each with the task's own features: a pass ahead of the true one, which leaves no trace.

    The random numbers that a network draws itself (dropout) begin as in the true passes, and go on on their own.
    """
    with torch.random.fork_rng(devices=cuda_devices()):
        for batch in window:
            with torch.no_grad():
                own = detached(problem.encode(batch, task, "frozen"))
            yield batch, own


def ascended(
    problem: WeightSplitProblem,
    passes: Iterable[tuple[Batch, Any]],
    task: str,
    flatness: Flatness,
    loss_scale: float,
    reducer: Reducer,
) -> tuple[Weights, bool]:
    """The others' weights after one ascent step of a whole window's loss: one sum over processes.

    Args:
        problem: The sub-models.
        passes: The micro-batches, each with the task's own features, without graph.
        task: Whose turn it is.
        flatness: The ascent.
        loss_scale: Factor that keeps fp16 gradients from vanishing.
        reducer: Sums the ascent gradient over processes.

    Returns:
        The weights, and whether there was no overflow on the way to them.
    """
    names, values, weights = _others(problem, task)
    inputs = [value.requires_grad_() for value in values]
    total: list[Tensor] = []
    for batch, own in passes:
        found = _ascent_gradient(problem, batch, task, own, weights, inputs, loss_scale)
        if total:
            torch._foreach_add_(total, found)
        total = total or found
    total = total or [torch.zeros_like(value) for value in values]
    reducer.sum_tensors(total)
    steps, finite = settled(_ascent_step(inputs, total, flatness), loss_scale)
    return _by_task(names, [v.detach() + step for v, step in zip(values, steps, strict=True)]), finite


def _noisy(problem: WeightSplitProblem, task: str, flatness: Flatness, place: Place) -> Iterator[Weights]:
    """The others' weights under each draw of the noise."""
    names, values, _ = _others(problem, task)
    noise = SampleNoise(flatness.seed, flatness.kind)
    for draw in range(flatness.draws):
        for sign in (1.0, -1.0) if flatness.antithetic else (1.0,):
            rows = [value[None] for value in values]  # one draw for all samples, micro-batches and processes
            moved = noise.perturb(
                rows, flatness.radius, relative=flatness.relative, step=place.step, draw=draw, samples=[0], sign=sign
            )
            yield _by_task(names, [value[0] for value in moved])


def _others(problem: WeightSplitProblem, task: str) -> tuple[list[tuple[str, str]], list[Tensor], Weights]:
    """Copies of the other sub-models' weights: their names, their values in this order, and by task."""
    weights = {other: _weights(problem.parameters_of(other)) for other in problem.tasks if other != task}
    names = [(other, name) for other, named in weights.items() for name in named]
    return names, [weights[other][name] for other, name in names], weights


def _ascent_gradient(
    problem: WeightSplitProblem,
    batch: Batch,
    task: str,
    own: Any,
    weights: Weights,
    inputs: Sequence[Tensor],
    loss_scale: float,
) -> list[Tensor]:
    seen = {o: problem.lend_with(batch, o, named) for o, named in weights.items()}
    loss = problem.predict(batch, task, own, seen, "frozen")
    found = (
        torch.autograd.grad(loss.sum * loss_scale, inputs, allow_unused=True) if loss.count else [None] * len(inputs)
    )
    return [torch.zeros_like(v) if g is None else g.contiguous() for v, g in zip(inputs, found, strict=True)]


def _ascent_step(inputs: Sequence[Tensor], gradients: Sequence[Tensor], flatness: Flatness) -> list[Tensor]:
    values, rows = [v.detach()[None] for v in inputs], [g[None] for g in gradients]
    if flatness.kind == "adaptive_ascent":
        return [step[0] for step in adaptive_ascent(values, rows, flatness.radius)]
    return [step[0] for step in ascent(values, rows, flatness.radius, relative=flatness.relative)]


def _lent_with(problem: WeightSplitProblem, batch: Batch, weights: Weights) -> dict[str, Any]:
    with torch.no_grad():
        return {o: detached(problem.lend_with(batch, o, named)) for o, named in weights.items()}


def _weights(named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in named}


def _by_task(names: Sequence[tuple[str, str]], values: Sequence[Tensor]) -> Weights:
    found: dict[str, dict[str, Tensor]] = {}
    for (task, name), value in zip(names, values, strict=True):
        found.setdefault(task, {})[name] = value
    return found
