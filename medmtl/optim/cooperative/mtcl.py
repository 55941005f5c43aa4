"""MTCL: cooperative bi-level training of one sub-model a task, with flat minima in what the others lend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from torch import Tensor
from torch.optim import Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.base import (
    Gradients,
    MethodInfo,
    OptimizerFactory,
    Plan,
    Problem,
    SplitProblem,
    StepReport,
    WeightSplitProblem,
    Window,
)
from medmtl.optim.checks import check_choice, check_number, check_seed
from medmtl.optim.cooperative.flatness import clamp_to_box
from medmtl.optim.cooperative.objective import FLATNESS, Flatness
from medmtl.optim.cooperative.ownership import check_partition, part_of, trainable_of
from medmtl.optim.cooperative.passes import TurnPasses
from medmtl.optim.cooperative.trace import Trace
from medmtl.optim.cooperative.turns import ORDERS, WARMUP, Turns
from medmtl.optim.method import Method, methods
from medmtl.optim.services import Services

_TARGETS = ("others", "own", "weights")


@methods.register("mtcl")
class MTCL(Method):
    """Trains one sub-model a task in turn, the others held fixed, and keeps the loss flat in what they lend.

    In task i's turn the other encoders give their features z_-i in evaluation mode and without gradient, and only
    sub-model i is updated, on (1 - mix) L_i + mix R_i. R_i is L_i at perturbed features: worst case within a ball
    (one ascent step), or the mean over noise. Fixed points are Nash points, ∇_i R_i = 0 for every i, and not in
    general minima of Σ L_i. A phase needs only its own task's labels.

    An *MTCL-style reconstruction*: the published equations, architecture and settings were not available. Untested
    against the paper: noise law, ball, warm-up, phase length, fusion.

    Args:
        flatness: ``ascent`` (SAM's step), ``adaptive_ascent`` (ASAM's), ``uniform`` or ``gaussian`` noise, ``none``.
        radius: Radius of the ball, or standard deviation of the noise.
        relative: The radius is a share of each feature's norm (noise: of its root mean square), else absolute.
        mix: Share of the flat term, 0 to 1.
        draws: Draws of the noise.
        antithetic: Each draw together with its mirror image, which cancels the odd term.
        target: What is perturbed: ``others``' features; one's ``own`` (with a network
            without lenders, the control that has flatness without cooperation); or the others' ``weights``.
        clamp: After the warm-up each weight stays within this share of its tensor's root mean square around its
            value then (after F2M); none leaves them free. A root mean square below 0.01 counts as 0.01. Without warm-up
            that holds biases, which begin at zero, within 0.01 times the share: warm up, or start from trained weights.
        warmup_steps: Updates of all sub-models together on Σ L_i, without perturbation.
        phase_steps: Updates of one task before the next one's turn.
        order: ``fixed``, ``reversed`` or ``random`` (a new permutation each round).
        trace_every: Every so many rounds, how all losses and the task's features moved in each of its phases; 0 is
            never. Costs forward passes of all tasks before and after such a phase. Where a loss is not finite then,
            the step stands and the update ends with `LossNotFiniteAfterStep`.
        seed: Seed of noise and permutations.
    """

    info = MethodInfo(
        name="mtcl",
        family="cooperative",
        backward_passes="1, through one sub-model",
        extra_memory="features of the K - 1 other tasks; clamp: one copy of the weights",
        state="K optimizers and the place in the round",
        needs_split=True,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale",
        processes="losses, counts and the one gradient are summed; noise belongs to the sample",
        paper="after Wu et al., arXiv 2309.12090, and MT-CooL, IEEE TMI 44(4), 2025",
        evidence="reconstruction",
        extra_forwards="K - 1 encoders without gradient; 1 (ascent) or `draws` passes of the predictor",
    )

    def __init__(
        self,
        *,
        flatness: str = "ascent",
        radius: float = 0.1,
        relative: bool = True,
        mix: float = 0.5,
        draws: int = 2,
        antithetic: bool = False,
        target: str = "others",
        clamp: float | None = None,
        warmup_steps: int = 0,
        phase_steps: int = 1,
        order: str = "fixed",
        trace_every: int = 0,
        seed: int = 0,
    ) -> None:
        name = self.info.name
        check_choice(f"{name}.flatness", flatness, FLATNESS)
        check_choice(f"{name}.target", target, _TARGETS)
        check_choice(f"{name}.order", order, ORDERS)
        check_number(f"{name}.radius", radius, least=0)
        check_number(f"{name}.mix", mix, least=0)
        if mix > 1:
            raise ConfigError("out of range", where=f"{name}.mix", found=mix, remedy="use a number from 0 to 1")
        for key, value, least in (
            ("draws", draws, 1),
            ("phase_steps", phase_steps, 1),
            ("warmup_steps", warmup_steps, 0),
            ("trace_every", trace_every, 0),
        ):
            check_number(f"{name}.{key}", value, least=least, whole=True)
        check_seed(f"{name}.seed", seed)
        if clamp is not None:
            check_number(f"{name}.clamp", clamp, above=0)
        self.flatness = Flatness(flatness, radius, relative, mix, draws, antithetic, target, seed)
        self.clamp = clamp
        self.trace_every = trace_every
        self._schedule = (warmup_steps, phase_steps, order, seed)

    def plan(self, step: int) -> Plan:
        """All tasks in the warm-up and where a phase is traced; else the one task whose turn it is."""
        task = self.turns.task(step)
        if task is None:
            return Plan(self.tasks, phase=WARMUP)
        return Plan(self.tasks if self._traced(step) else (task,), phase=task)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """The flat loss of each task; where phases are traced, drift and the change of every loss in each phase."""
        flat = tuple(f"flat/{task}" for task in self.tasks) if self.flatness.on else ()
        return (*flat, *Trace.names(self.tasks)) if self.trace_every else flat

    def attributed_updates(
        self, gradients_by_task: Mapping[str, Gradients], *, taken: bool = False
    ) -> dict[str, Gradients]:
        """As for every method; in a turn a task moves its own sub-model alone, wherever else its loss has a gradient."""
        if self.turns.task(self.step - taken) is not None:
            names = {task: {name for name, _ in owned} for task, owned in self._owned.items()}
            gradients_by_task = {
                task: {name: gradient for name, gradient in row.items() if name in names[task]}
                for task, row in gradients_by_task.items()
            }
        return super().attributed_updates(gradients_by_task, taken=taken)

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.problem = cast(SplitProblem, problem)
        if self.flatness.target == "weights" and not isinstance(problem, WeightSplitProblem):
            raise ConfigError(
                "this network cannot run an encoder with other weights",
                where=f"{self.info.name}.target",
                found="weights",
                remedy="use target=others, or a problem with lend_with",
            )
        self.turns = Turns(tuple(problem.tasks), *self._schedule)
        self._owned = {task: trainable_of(self.problem, task) for task in problem.tasks}
        check_partition(self._owned)
        self._by_task = {task: optimizer_factory(named) for task, named in self._owned.items()}
        self._origins: dict[str, list[Tensor]] = {}
        self._trace: tuple[int, Trace] | None = None  # the phase that it belongs to, and what was seen before it
        return list(self._by_task.values())

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        task = self.turns.task(self.step)
        if task is None:
            return self._warm_up(window, counts, services)
        own_counts = {task: counts[task]} if task in counts else {}
        self._remember_origins()
        self._begin_trace(task, window, counts, services)
        report = self._turn(task, window, own_counts, services) if own_counts else StepReport(skipped=True)
        return self._end_trace(report, services)

    def _warm_up(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        weights = dict.fromkeys(counts, 1.0)
        losses = services.backward(window, counts, weights)  # with the graph into the lenders: one network
        done = services.commit(self.optimizers)
        return StepReport(losses=losses, weights=weights, norm=done.norm, skipped=done.skipped)

    def _turn(self, task: str, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        window = [part_of(self.problem, batch, task) for batch in window]  # a trace brings those of other tasks along
        passes = TurnPasses(self.problem, task, self.flatness, window, self.step, services)
        services.backward(window, counts, {task: 1.0}, forward=passes)
        done = services.commit([self._by_task[task]], finite=passes.finite)
        if not done.skipped:
            self._clamp(task)
        return StepReport(
            losses=passes.clean.means(counts, services.reducer),
            weights={task: 1.0},
            norm=done.norm,
            skipped=done.skipped,
            measures={f"flat/{task}": passes.flat.means(counts, services.reducer)[task]} if self.flatness.on else {},
        )

    def _remember_origins(self) -> None:
        if self.clamp is not None and not self._origins:
            self._origins = {t: [p.detach().clone() for _, p in named] for t, named in self._owned.items()}

    def _clamp(self, task: str) -> None:
        if self.clamp is not None:
            clamp_to_box([p for _, p in self._owned[task]], self._origins[task], self.clamp)

    def _traced(self, step: int) -> bool:
        return bool(self.trace_every) and step >= self.turns.warmup and self.turns.round(step) % self.trace_every == 0

    def _begin_trace(self, task: str, window: Window, counts: Mapping[str, int], services: Services) -> None:
        if self._traced(self.step) and self.turns.starts(self.step):
            self._trace = self.turns.phase(self.step), Trace.begin(self.problem, task, window, counts, services)

    def _end_trace(self, report: StepReport, services: Services) -> StepReport:
        if self._trace is None or not self.turns.ends(self.step):
            return report
        (phase, trace), self._trace = self._trace, None
        if phase != self.turns.phase(self.step):  # the last update of its own phase had no label and was passed over
            return report
        measures = {**report.measures, **trace.end(self.problem, services)}
        return replace(report, measures=measures)

    def _own_state(self) -> dict[str, Any]:
        return {"origins": {task: list(values) for task, values in self._origins.items()}}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._origins = {
            task: [v.to(p.device, p.dtype) for v, (_, p) in zip(values, self._owned[task], strict=True)]
            for task, values in state["origins"].items()
        }
