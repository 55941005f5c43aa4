"""The loss of one task's turn: its own loss, and how flat it is in what the other sub-models lend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medmtl.optim.base import Batch, Buffers, SplitProblem, TaskLoss
from medmtl.optim.checks import check_graph
from medmtl.optim.cooperative.flatness import adaptive_ascent, ascent
from medmtl.optim.cooperative.noise import SampleNoise
from medmtl.optim.cooperative.trees import detached, leaves, rebuilt, samples_of

NOISE = ("uniform", "gaussian")
ASCENTS = ("ascent", "adaptive_ascent")
FLATNESS = ("none", *NOISE, *ASCENTS)


@dataclass(frozen=True, slots=True)
class Flatness:
    """What is flattened, and how; the arguments of `MTCL` of the same names."""

    kind: str = "none"
    radius: float = 0.1
    relative: bool = True
    mix: float = 0.5
    draws: int = 2
    antithetic: bool = False
    target: str = "others"
    seed: int = 0

    @property
    def on(self) -> bool:
        """Whether there is a flat term at all."""
        return self.kind != "none" and self.mix > 0 and self.radius > 0

    @property
    def passes(self) -> int:
        """Perturbed passes of the predictor."""
        if not self.on:
            return 0
        return 1 if self.kind in ASCENTS else self.draws * (2 if self.antithetic else 1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in training a forward pass stands: it numbers the samples for the noise.

    Attributes:
        step: Number of the update.
        before: Samples of all processes in earlier micro-batches of the update.
        rank: This process.
        world: Number of processes.
        loss_scale: Factor that keeps fp16 gradients from vanishing; the ascent step does not depend on it.
    """

    step: int = 0
    before: int = 0
    rank: int = 0
    world: int = 1
    loss_scale: float = 1.0

    def numbers(self, count: int) -> list[int]:
        """The numbers of the next ``count`` samples, the same however the samples are spread."""
        return [self.before + index * self.world + self.rank for index in range(count)]


@dataclass(frozen=True, slots=True)
class TurnLoss:
    """Losses of one task in its turn.

    Attributes:
        clean: Its own loss.
        flat: The loss under perturbation (mean over the draws); the clean one where there is none.
        samples: How many samples the features held.
        finite: False where the ascent overflowed under a loss scale: there was no step, and the update must be skipped.
    """

    clean: TaskLoss
    flat: TaskLoss
    samples: int
    finite: bool = True

    def mixed(self, mix: float) -> TaskLoss:
        """(1 - mix) clean + mix flat."""
        if self.flat is self.clean:
            return self.clean
        return TaskLoss((1 - mix) * self.clean.sum + mix * self.flat.sum, self.clean.count)


def lent(problem: SplitProblem, batch: Batch, task: str) -> dict[str, Any]:
    """What the others lend to a task: exchanged features in evaluation mode, without gradient."""
    with torch.no_grad():
        others = [other for other in problem.tasks if other != task]
        return {other: detached(problem.lend(batch, other)) for other in others}


def turn_loss(
    problem: SplitProblem, batch: Batch, task: str, buffers: Buffers, flatness: Flatness, place: Place
) -> TurnLoss:
    """The losses of one micro-batch in a task's turn (methods: R^noi and R^sam of an MTCL-style reconstruction).

    Args:
        problem: The sub-models.
        batch: One micro-batch.
        task: Whose turn it is.
        buffers: For the clean pass; perturbed passes never move buffers.
        flatness: The perturbation.
        place: Numbers the samples.

    Raises:
        TrainingError: The loss has no graph.
    """
    others = lent(problem, batch, task)
    own = problem.encode(batch, task, buffers)
    perturbed = own if flatness.target == "own" else others
    inputs = leaves(perturbed) if flatness.on else []
    if flatness.kind in ASCENTS and flatness.target == "others":
        inputs = [leaf.requires_grad_() for leaf in inputs]
    clean = problem.predict(batch, task, own, others, buffers)
    if clean.count:
        check_graph({task: clean})
    if not inputs or not clean.count:
        return TurnLoss(clean, clean, samples_of(inputs) if inputs else 0)
    steps: list[Tensor] = []
    finite = True
    if flatness.kind in ASCENTS:
        steps, finite = settled(_ascent_step(inputs, clean.sum * place.loss_scale, flatness), place.loss_scale)
    losses = []
    for moved in _moved(inputs, steps, flatness, place):
        tree = rebuilt(perturbed, moved)
        mine, theirs = (tree, others) if flatness.target == "own" else (own, tree)
        losses.append(problem.predict(batch, task, mine, theirs, "frozen").sum)
    flat = TaskLoss(torch.stack(losses).mean(0), clean.count)
    return TurnLoss(clean, flat, samples_of(inputs), finite)


def settled(steps: list[Tensor], loss_scale: float) -> tuple[list[Tensor], bool]:
    """Steps of an ascent, or none at all where its gradient overflowed under a loss scale; and whether it did not.

    Without a loss scale nothing is looked at: what is not finite then shows in the loss, which is an error.
    """
    if loss_scale == 1.0 or all(bool(step.isfinite().all()) for step in steps):
        return steps, True
    return [torch.zeros_like(step) for step in steps], False


def _moved(
    inputs: Sequence[Tensor], steps: Sequence[Tensor], flatness: Flatness, place: Place
) -> Iterator[list[Tensor]]:
    """The features at each perturbed place; one's own keep their graph, so that the encoder learns from them, too."""
    bases = inputs if flatness.target == "own" else [z.detach() for z in inputs]
    if flatness.kind in ASCENTS:
        yield [base + step for base, step in zip(bases, steps, strict=True)]
        return
    numbers = place.numbers(samples_of(inputs))
    noise = SampleNoise(flatness.seed, flatness.kind)
    for draw in range(flatness.draws):
        for sign in (1.0, -1.0) if flatness.antithetic else (1.0,):
            yield noise.perturb(
                bases,
                flatness.radius,
                relative=flatness.relative,
                step=place.step,
                draw=draw,
                samples=numbers,
                sign=sign,
            )


def _ascent_step(inputs: Sequence[Tensor], loss: Tensor, flatness: Flatness) -> list[Tensor]:
    samples_of(inputs)
    learned = [z for z in inputs if z.requires_grad]  # of one's own features, those of frozen levels are constants
    found = torch.autograd.grad(loss, learned, retain_graph=True, allow_unused=True) if learned else ()
    known = {id(z): gradient for z, gradient in zip(learned, found, strict=True) if gradient is not None}
    gradients = [known.get(id(z), torch.zeros_like(z)) for z in inputs]
    values = [z.detach() for z in inputs]
    if flatness.kind == "adaptive_ascent":
        return adaptive_ascent(values, gradients, flatness.radius)
    return ascent(values, gradients, flatness.radius, relative=flatness.relative)
