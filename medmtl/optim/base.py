"""The words that a problem, a balancing method and a training loop share: no method is named here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer

from medmtl.errors import TrainingError

Batch: TypeAlias = Any
"""One micro-batch; only the problem looks inside."""

Window: TypeAlias = Sequence[Batch]
"""The micro-batches of one update: together they act as one big batch."""

Buffers: TypeAlias = Literal["update", "frozen"]
"""Whether a forward pass may move buffers (running statistics of batch norm)."""

Gradients: TypeAlias = dict[str, Tensor]
"""Parameter name to gradient; a parameter that is not reached has no entry."""

OptimizerFactory: TypeAlias = Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer]
"""Makes an ordinary optimizer, its groups and decay, from named parameters."""


@dataclass(frozen=True, slots=True)
class TaskLoss:
    """The loss of one task over the labelled samples, as a sum and a count and never as a mean.

    Sums and counts of micro-batches and of processes add exactly; means do not.

    Attributes:
        sum: Scalar tensor, the sum of the per-sample losses.
        count: How many samples were labelled; 0 means that the task is absent.
    """

    sum: Tensor
    count: int

    @property
    def mean(self) -> Tensor:
        """The mean over the labelled samples, a scalar tensor.

        Raises:
            TrainingError: No sample was labelled.
        """
        if self.count == 0:
            raise TrainingError("the mean loss of a task without labels does not exist", found="count 0")
        return self.sum / self.count


Forward: TypeAlias = Callable[[Batch, tuple[str, ...], Buffers], Mapping[str, TaskLoss]]
"""Losses of one micro-batch: the shape of `Problem.losses`."""


class Problem(Protocol):
    """What is minimized: a network, its tasks and their losses. Any PyTorch code can supply one."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in a fixed order."""
        ...

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """All parameters under unique names; those that need no gradient are left alone."""
        ...

    def counts(self, batch: Batch, tasks: tuple[str, ...]) -> Mapping[str, int]:
        """How many samples carry a label of each task, from the labels alone, without a forward pass."""
        ...

    def losses(self, batch: Batch, tasks: tuple[str, ...], buffers: Buffers) -> Mapping[str, TaskLoss]:
        """One forward pass; callable several times for one batch.

        Args:
            batch: One micro-batch.
            tasks: The tasks asked for.
            buffers: ``frozen`` must leave every buffer bit for bit as it was.

        Returns:
            The losses; a task without a label in this batch is left out or has count 0.
        """
        ...


@runtime_checkable
class SplitProblem(Problem, Protocol):
    """A problem with one sub-model a task, whose predictors take the features of the other tasks."""

    def parameters_of(self, task: str) -> Iterable[tuple[str, nn.Parameter]]:
        """The named parameters of one task's sub-model; no parameter belongs to two tasks."""
        ...

    def encode(self, batch: Batch, task: str, buffers: Buffers = "update") -> Any:
        """The features of one task's encoder; ``frozen`` leaves its buffers bit for bit as they were."""
        ...

    def exchange(self, features: Any) -> Any:
        """What other tasks see of the features: tensors (samples, ...), in dictionaries, lists or tuples where several.

        Normalized without learned scale, so that a radius of perturbation means the same for all; with their graph.
        """
        ...

    def lend(self, batch: Batch, task: str) -> Any:
        """What other tasks see of one that is held fixed: as `exchange`, in evaluation mode and without gradient."""
        ...

    def predict(
        self, batch: Batch, task: str, own: Any, others: Mapping[str, Any], buffers: Buffers = "update"
    ) -> TaskLoss:
        """The loss of one task from its own features and what `exchange` gives of every other task's."""
        ...


@runtime_checkable
class WeightSplitProblem(SplitProblem, Protocol):
    """A split problem whose encoders also run with other weights than their own."""

    def lend_with(self, batch: Batch, task: str, parameters: Mapping[str, Tensor]) -> Any:
        """As `lend`, with the weights given by name (as in `parameters_of`), and with their graph."""
        ...


@runtime_checkable
class PartedProblem(SplitProblem, Protocol):
    """A split problem whose micro-batches may hold several batches side by side, such as views of several sizes."""

    def part_of(self, batch: Batch, task: str) -> Batch:
        """What of a micro-batch a turn of one task is about: all that may carry its labels, and nothing else."""
        ...


@runtime_checkable
class FeatureProblem(Problem, Protocol):
    """A problem whose tasks read the features of one shared part: ``losses`` is the two calls, one after the other."""

    def features(self, batch: Batch, tasks: tuple[str, ...], buffers: Buffers) -> Any:
        """What the shared part gives for these tasks: tensors, in dictionaries, lists or tuples where several."""
        ...

    def losses_from(
        self, batch: Batch, features: Any, tasks: tuple[str, ...], buffers: Buffers
    ) -> Mapping[str, TaskLoss]:
        """The losses of the tasks from the features, without the shared part; else as `losses`."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the next update needs.

    Attributes:
        tasks: The tasks whose labels will be used: what the loader must bring.
        phase: A word for the log.
    """

    tasks: tuple[str, ...]
    phase: str = "joint"


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one update did.

    Attributes:
        losses: Mean loss of each present task over the whole window and all processes.
        counts: Labelled samples of each present task over the whole window and all processes.
        weights: The factor of each task's mean loss (or gradient), where the method has one.
        gradient_norms: Euclidean norm of each task's gradient, where the method computes it.
        cosines: Cosine between two tasks' gradients on the parameters that both reach, under ``"a|b"``.
        norm: Euclidean norm of the direction before clipping, where there is one.
        skipped: Nothing was updated: no labels, or a gradient that was not finite.
        seconds: Duration of the update.
        phase: The phase of the plan.
        measures: What else the method measured, by the names that it declares in ``measure_names``.
    """

    losses: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    gradient_norms: Mapping[str, float] = field(default_factory=dict)
    cosines: Mapping[str, float] = field(default_factory=dict)
    norm: float | None = None
    skipped: bool = False
    seconds: float = 0.0
    phase: str = "joint"
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """What a method is and what it costs; K is the number of tasks.

    Attributes:
        name: The name by which it is chosen.
        family: weighting, aggregation, per-task optimizer or cooperative.
        backward_passes: Backward passes through the shared part per micro-batch.
        extra_memory: What it holds beyond a plain step.
        state: What it carries from step to step beside an ordinary optimizer.
        needs_split: It needs a `SplitProblem`.
        own_optimizer: It replaces the ordinary optimizer.
        mixed_precision: What it does under bf16 and under loss scaling.
        processes: What is reduced over processes.
        paper: Where it comes from.
        evidence: How sure its form is: paper, library, derived, second-hand or reconstruction.
        extra_forwards: Further forward passes per micro-batch.
        needs_features: It needs a `FeatureProblem`.
        clipping: Whose norm a limit of `Services` acts on: ``direction`` (clip_norm), ``tasks`` (clip_task_norm), ``both``.
    """

    name: str
    family: str
    backward_passes: str
    extra_memory: str
    state: str
    needs_split: bool
    own_optimizer: bool
    mixed_precision: str
    processes: str
    paper: str
    evidence: str
    extra_forwards: str = "0"
    needs_features: bool = False
    clipping: Literal["direction", "tasks", "both"] = "direction"
