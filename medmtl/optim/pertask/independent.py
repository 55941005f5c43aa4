"""Independent optimization: the tasks take turns, each with an optimizer of its own over the whole network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.optim import Optimizer

from medmtl.optim.analysis import ordinary_updates
from medmtl.optim.base import Gradients, MethodInfo, OptimizerFactory, Plan, Problem, StepReport, Window
from medmtl.optim.checks import check_choice, check_number, check_seed
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.services import Services


@methods.register("independent")
class Independent(Method):
    """The tasks take turns on the shared network: one task a step, with an optimizer state of its own.

    In the steps of task k: θ ← optimizer_k(θ, ∇L_k). No moment ever mixes the gradients of two tasks, so that under Adam
    a constant factor on a loss changes nothing (but for eps). A step needs the labels of its own task only, and costs
    what a step of single-task training costs; a round of K turns is K forward passes. The turn of a task that has no
    label in its batch passes. Works with any optimizer of the run.

    Args:
        order: ``fixed`` (default), the tasks' own order; ``reversed``; ``random``, drawn anew for each round.
        phase_steps: Updates of one task before the next one's turn (default 1).
        seed: Seed of the random order; the same on every process.
    """

    info = MethodInfo(
        name="independent",
        family="per-task optimizer",
        backward_passes="1, of one task",
        extra_memory="K optimizer states of a parameter that K tasks reach",
        state="K optimizers and the place in the round",
        needs_split=False,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale",
        processes="losses, counts and the one gradient are summed",
        paper="MTL-IO, arXiv 2109.11678; on REFUGE: Scientific Reports 12:12361, 2022",
        evidence="paper (read in part)",
    )

    def __init__(self, *, order: str = "fixed", phase_steps: int = 1, seed: int = 0) -> None:
        check_choice("independent.order", order, ("fixed", "reversed", "random"))
        check_number("independent.phase_steps", phase_steps, least=1, whole=True)
        check_seed("independent.seed", seed)
        self.order, self.phase_steps, self.seed = order, phase_steps, seed

    def plan(self, step: int) -> Plan:
        """The one task whose turn it is: a function of the step and the seed alone."""
        turn, place = divmod(step // self.phase_steps, len(self.tasks))
        task = self._round(turn)[place]
        return Plan((task,), phase=task)

    def attributed_updates(
        self, gradients_by_task: Mapping[str, Gradients], *, taken: bool = False
    ) -> dict[str, Gradients]:
        """What each task's own optimizer made, or in its turn would make, of its gradient."""
        last = self.plan(self.step - 1).tasks if taken else ()
        rows: dict[str, Gradients] = {}
        for task, row in gradients_by_task.items():
            rows |= ordinary_updates([self._by_task[task]], self.parameters, {task: row}, taken=task in last)
        return rows

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self._by_task = {task: optimizer_factory(trainable(problem)) for task in problem.tasks}
        return list(self._by_task.values())

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        (task,) = counts
        losses = services.backward(window, counts, {task: 1.0})
        done = services.commit([self._by_task[task]])
        return StepReport(losses=losses, weights={task: 1.0}, norm=done.norm, skipped=done.skipped)

    def _round(self, turn: int) -> tuple[str, ...]:
        if self.order == "fixed":
            return self.tasks
        if self.order == "reversed":
            return self.tasks[::-1]
        random = torch.Generator().manual_seed((self.seed * 1_000_003 + turn) % 2**63)
        return tuple(self.tasks[index] for index in torch.randperm(len(self.tasks), generator=random).tolist())
