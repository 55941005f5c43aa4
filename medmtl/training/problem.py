"""A medmtl network and its tasks as a problem that any balancing method can solve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from medmtl.data.loading import Batch
from medmtl.models import CooperativeNetwork, SharedEncoderNetwork, evaluation_mode, frozen_buffers
from medmtl.models.fusion import Exchanged
from medmtl.optim import Buffers, TaskLoss
from medmtl.tasks import AnyTask

Network = SharedEncoderNetwork | CooperativeNetwork
MicroBatch = Sequence[Batch]
"""One batch of each view that an update needs: together they act as one batch."""


def compile_network(network: nn.Module) -> Any:
    """Compiles a network whose graph is gone through backward more than once.

    PyTorch lends the buffers of a compiled graph to its first backward pass, unless it is told not to; methods that look at
    every task's gradient make several. The setting holds for the process: PyTorch reads it at the first forward pass.
    """
    import torch._functorch.config as functorch_config  # private, though PyTorch's own message names it: not for those who do not compile

    functorch_config.donated_buffer = False
    return torch.compile(network)


class NetworkProblem:
    """Losses of a network's tasks on batches of their views.

    Args:
        network: The network.
        tasks: Its tasks.
        precision: ``fp32``, or ``bf16`` or ``fp16`` (autocast of the forward pass; losses stay in fp32).
        compiled: Compile the forward pass.
    """

    def __init__(
        self, network: Network, tasks: Sequence[AnyTask], *, precision: str = "fp32", compiled: bool = False
    ) -> None:
        self.network = network
        self._tasks = {task.name: task for task in tasks}
        self.precision = precision
        self._forward: Any = compile_network(network) if compiled else network

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self._tasks)

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """All parameters of the network."""
        return self.network.named_parameters()

    def counts(self, batch: MicroBatch, tasks: tuple[str, ...]) -> dict[str, int]:
        """Labelled samples of each task, from the labels alone."""
        totals = dict.fromkeys(tasks, 0)
        for view, name in self._pairs(batch, tasks):
            rows = self._tasks[name].labelled_rows(view.targets[name], view.field, self._side(name, view))
            totals[name] += int(rows.sum())
        return totals

    def losses(self, batch: MicroBatch, tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        """One forward pass of each view, and the masked losses of its tasks."""
        losses: dict[str, TaskLoss] = {}
        for view in batch:
            names = tuple(name for name in tasks if name in view.targets)
            if not names:
                continue
            with self._forward_context(view, buffers):
                outputs = self._forward(view.image, names, valid=view.field)
            losses |= {name: self._loss(name, outputs[name], view) for name in names}
        return losses

    def _loss(self, name: str, output: Any, view: Batch) -> TaskLoss:
        task = self._tasks[name]
        side = self._side(name, view)
        if side is not None:
            return task.side_loss(output, view.targets[name], side, view.field)
        loss: TaskLoss = task.loss(output, view.targets[name], view.field)
        return loss

    def _side(self, name: str, view: Batch) -> Tensor | None:
        target = self._tasks[name].side_target
        return None if target is None else view.targets.get(target.name)

    @contextmanager
    def _forward_context(self, view: Batch, buffers: Buffers) -> Iterator[None]:
        held = frozen_buffers(self.network) if buffers == "frozen" else nullcontext()
        with held, autocast(view.image.device, self.precision):
            yield

    def _pairs(self, batch: MicroBatch, tasks: tuple[str, ...]) -> Iterator[tuple[Batch, str]]:
        return ((view, name) for view in batch for name in tasks if name in view.targets)


class SharedNetworkProblem(NetworkProblem):
    """The same for a network with one shared encoder, in its two halves; the compiled form is not used there."""

    network: SharedEncoderNetwork

    def features(self, batch: MicroBatch, tasks: tuple[str, ...], buffers: Buffers) -> list[Any]:
        """Encoder levels for each view of the batch; None for one that no task reads."""
        found: list[Any] = []
        for view in batch:
            names = tuple(name for name in tasks if name in view.targets)
            with self._forward_context(view, buffers):
                found.append(self.network.features(view.image, names) if names else None)
        return found

    def losses_from(
        self, batch: MicroBatch, features: Sequence[Any], tasks: tuple[str, ...], buffers: Buffers
    ) -> dict[str, TaskLoss]:
        """The masked losses from the features of the views."""
        losses: dict[str, TaskLoss] = {}
        for view, levels in zip(batch, features, strict=True):
            names = tuple(name for name in tasks if name in view.targets)
            if names and levels is not None:
                size = (view.image.shape[-2], view.image.shape[-1])
                with self._forward_context(view, buffers):
                    outputs = self.network.outputs(levels, names, size, valid=view.field)
                losses |= {name: self._loss(name, outputs[name], view) for name in names}
        return losses


class SplitNetworkProblem(NetworkProblem):
    """The same for a network with one sub-model a task."""

    network: CooperativeNetwork

    def parameters_of(self, task: str) -> Iterable[tuple[str, nn.Parameter]]:
        """The named parameters of one task's sub-model."""
        own = {id(parameter) for parameter in self.network.parameters_of(task)}
        return [(name, parameter) for name, parameter in self.network.named_parameters() if id(parameter) in own]

    def part_of(self, batch: MicroBatch, task: str) -> list[Batch]:
        """The views that hold the task."""
        return [view for view in batch if task in view.targets]

    def encode(self, batch: MicroBatch, task: str, buffers: Buffers = "update") -> list[list[Tensor]]:
        """Features of one task's encoder, for each view of the batch."""
        features = []
        for view in batch:
            with self._forward_context(view, buffers):
                features.append(self.network.encode(view.image, task))
        return features

    def exchange(self, features: Sequence[Sequence[Tensor]]) -> list[Exchanged]:
        """What the other tasks see of the features, for each view."""
        return [self.network.exchange(levels) for levels in features]

    def lend(self, batch: MicroBatch, task: str) -> list[Exchanged]:
        """The same of a task that is held fixed: in evaluation mode, without gradient."""
        return [self._held(view, task, lambda image: self.network.lend(image, task)) for view in batch]

    def lend_with(self, batch: MicroBatch, task: str, parameters: Mapping[str, Tensor]) -> list[Exchanged]:
        """The same with other weights in the encoder, by the names of `parameters_of`, with their graph."""
        start = f"encoders.{task}."
        weights = {name.removeprefix(start): value for name, value in parameters.items() if name.startswith(start)}
        return [self._held(view, task, lambda image: self.network.lend_with(image, task, weights)) for view in batch]

    def _held(self, view: Batch, task: str, show: Callable[[Tensor], Exchanged]) -> Exchanged:
        with evaluation_mode(self.network.encoder_of(task)), autocast(view.image.device, self.precision):
            return show(view.image)

    def predict(
        self, batch: MicroBatch, task: str, own: Any, others: Mapping[str, Any], buffers: Buffers = "update"
    ) -> TaskLoss:
        """Loss of one task from its own features and what the others show."""
        total: TaskLoss | None = None
        for index, view in enumerate(batch):
            if task not in view.targets:
                continue
            with self._forward_context(view, buffers):
                size = (view.image.shape[-2], view.image.shape[-1])
                seen = {name: features[index] for name, features in others.items()}
                output = self.network.predict(task, own[index], seen, size, valid=view.field)
            loss = self._loss(task, output, view)
            total = loss if total is None else TaskLoss(total.sum + loss.sum, total.count + loss.count)
        return total if total is not None else TaskLoss(torch.zeros(()), 0)


def build_problem(network: Network, tasks: Sequence[AnyTask], *, precision: str, compiled: bool) -> NetworkProblem:
    """The problem that fits the network's architecture."""
    kind = SplitNetworkProblem if isinstance(network, CooperativeNetwork) else SharedNetworkProblem
    return kind(network, tasks, precision=precision, compiled=compiled)


def autocast(device: torch.device, precision: str) -> Any:
    """Autocast of a forward pass, or nothing for fp32."""
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, kinds[precision]) if precision in kinds else nullcontext()


def to_device(batch: MicroBatch, device: torch.device, *, channels_last: bool) -> list[Batch]:
    """A micro-batch on a device."""
    return [view.to(device, channels_last=channels_last) for view in batch]
