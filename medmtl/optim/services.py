"""What a method may ask for: the only place that knows loss scaling, processes and accumulation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_
from torch.optim import Optimizer

from medmtl.optim.base import Batch, Buffers, Forward, Gradients, Problem, TaskLoss, Window
from medmtl.optim.buffers import cuda_devices
from medmtl.optim.checks import check_graph, check_number
from medmtl.optim.gradients import add_gradients, aligned, backward_of, norm_of
from medmtl.optim.ledger import Ledger
from medmtl.optim.reduction import Reducer, SingleProcess
from medmtl.optim.results import Commit, TaskGradient, WindowLosses
from medmtl.optim.scaling import LossScale
from medmtl.optim.streams import GradientStream
from medmtl.optim.taking import GradientTaker

Mode = Literal["stream", "collect"]


class Services:
    """Losses, gradients and steps over a window of micro-batches and over processes.

    Args:
        problem: What is minimized.
        reducer: Sums over processes; one process when left out.
        scale: Loss scale for fp16; none for fp32 and bf16.
        clip_norm: Largest norm of the direction of a step.
        clip_task_norm: Largest norm of each task's gradient, where a method takes them one by one.

    Raises:
        ConfigError: A clip norm that is not positive.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        reducer: Reducer | None = None,
        scale: LossScale | None = None,
        clip_norm: float | None = None,
        clip_task_norm: float | None = None,
    ) -> None:
        for name, value in (("clip_norm", clip_norm), ("clip_task_norm", clip_task_norm)):
            if value is not None:
                check_number(name, value, above=0.0)
        self.problem = problem
        self.reducer: Reducer = reducer or SingleProcess()
        self.scale = scale
        self.clip_norm = clip_norm
        self.clip_task_norm = clip_task_norm
        self._parameters: dict[str, nn.Parameter] = {n: p for n, p in problem.named_parameters() if p.requires_grad}
        self._known = {id(parameter) for parameter in self._parameters.values()}
        self._taker = GradientTaker(self._parameters, self.reducer, scale, clip_task_norm)

    def counts(self, window: Window, tasks: tuple[str, ...]) -> dict[str, int]:
        """Labelled samples over the window and all processes, of the tasks that have any."""
        local = [self.problem.counts(batch, tasks) for batch in window]
        sums = self.reducer.sum([sum(counts.get(task, 0) for counts in local) for task in tasks])
        return {task: int(total) for task, total in zip(tasks, sums, strict=True) if total}

    def losses(self, window: Window, counts: Mapping[str, int]) -> WindowLosses:
        """Mean losses for weights that depend on them, to be handed on to `backward`.

        One micro-batch keeps its graph: one forward in all. Several are measured first, without graph, with frozen
        buffers and the random numbers that the second forward will see: memory does not grow with the window.

        Args:
            window: The micro-batches.
            counts: The present tasks with their counts, from `counts`.

        Raises:
            TrainingError: A loss that is not finite.
        """
        if len(window) > 1:
            with torch.random.fork_rng(devices=cuda_devices()):
                return WindowLosses(self.measure(window, counts), None)
        ledger = Ledger()
        graph = self._forward(window[0], counts, "update", self.problem.losses)
        ledger.add(graph)
        return WindowLosses(ledger.means(counts, self.reducer), graph)

    def measure(self, window: Window, counts: Mapping[str, int]) -> dict[str, float]:
        """Mean losses without a graph and without any trace in the network's buffers."""
        ledger = Ledger()
        with torch.no_grad():
            for batch in window:
                ledger.add(self._forward(batch, counts, "frozen", self.problem.losses))
        return ledger.means(counts, self.reducer)

    def backward(
        self,
        window: Window,
        counts: Mapping[str, int],
        weights: Mapping[str, float],
        *,
        measured: WindowLosses | None = None,
        forward: Forward | None = None,
    ) -> dict[str, float]:
        """Fills ``.grad`` with the gradient of the weighted sum of mean losses, one micro-batch at a time.

        Args:
            window: The micro-batches.
            counts: The present tasks with their counts, from `counts`.
            weights: The factor of each task's mean loss; a present task without one is measured and not trained.
            measured: The result of `losses` for this window, whose forward is not repeated where it need not be.
            forward: Another forward pass than the problem's own.

        Returns:
            The mean losses.

        Raises:
            TrainingError: A loss that is not finite, or has no graph.
        """
        for parameter in self._parameters.values():
            parameter.grad = None
        ledger, factor = Ledger(), self._taker.factor
        for losses in self._passes(window, counts, measured, forward or self.problem.losses):
            ledger.add(losses)
            if trained := [task for task in losses if task in weights]:
                slopes = [factor * weights[task] / counts[task] for task in trained]
                backward_of([losses[task].sum for task in trained], slopes)
        means = ledger.means(counts, self.reducer)
        if self.reducer.world > 1 or factor != 1.0:
            found = {name: p.grad for name, p in self._parameters.items() if p.grad is not None}
            for name, gradient in self._taker.finish(found).items():  # other processes may have reached more parameters
                self._parameters[name].grad = gradient
        return means

    def task_gradients(
        self, window: Window, counts: Mapping[str, int], mode: Mode = "collect", buffers: Buffers = "update"
    ) -> Iterable[TaskGradient]:
        """The gradient of each present task's mean loss, in the order of ``counts``.

        Args:
            window: The micro-batches.
            counts: The present tasks with their counts, from `counts`.
            mode: ``collect`` holds K gradients and has one vote on overflow for all. ``stream`` gives them one by
                one and holds a single one; no parameter may be written before the last. Several micro-batches
                need K sums and are always collected.
            buffers: Whether the forward pass may move buffers; ``collect`` only.

        Raises:
            TrainingError: A loss that is not finite, or has no graph.
        """
        if mode == "stream" and len(window) == 1:
            return self.gradient_stream(window, counts)
        return self._collect(window, counts, buffers)

    def gradient_stream(self, window: Window, counts: Mapping[str, int]) -> GradientStream:
        """The gradients of `task_gradients` one by one, any of which can be had again; for one micro-batch.

        Raises:
            TrainingError: A loss that is not finite, or has no graph.
        """
        (batch,) = window
        losses = self._forward(batch, counts, "update", self.problem.losses)
        ledger = Ledger()
        ledger.add(losses)
        means = ledger.means(counts, self.reducer)

        def take(task: str) -> TaskGradient:
            row = self._taker.take(task, losses, counts, keep=True)
            return self._taker.result(task, row, counts[task], means[task])

        return GradientStream(tuple(counts), take)

    def commit(
        self, optimizers: Sequence[Optimizer], gradients: Gradients | None = None, *, finite: bool = True
    ) -> Commit:
        """Steps all optimizers, or, when any process found an overflow, none; clears the gradients either way.

        Args:
            optimizers: The optimizers that belong to this step.
            gradients: The direction by parameter name; without it, what `backward` left in ``.grad``.
            finite: What is known already, of gradients that the optimizers hold themselves.
        """
        if gradients is not None:
            for name, parameter in self._parameters.items():
                parameter.grad = aligned(gradients[name], parameter) if name in gradients else None
        owned = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        norm, everything = self._norms(owned)
        skipped = not self._taker.vote(finite and math.isfinite(everything))
        if not skipped:
            self._clip([p for p in owned if id(p) in self._known], norm)
            for optimizer in optimizers:
                optimizer.step()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        if self.scale:
            self.scale.update(overflow=skipped)
        return Commit(skipped, norm)

    def state_dict(self) -> dict[str, Any]:
        """The loss scale, if there is one."""
        return {"scale": self.scale.state_dict() if self.scale else None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a saved state up again."""
        if self.scale and state["scale"]:
            self.scale.load_state_dict(state["scale"])

    def _forward(
        self, batch: Batch, counts: Mapping[str, int], buffers: Buffers, forward: Forward
    ) -> dict[str, TaskLoss]:
        losses = forward(batch, tuple(counts), buffers)
        present = {task: losses[task] for task in counts if task in losses and losses[task].count}
        if torch.is_grad_enabled():
            check_graph(present)
        return present

    def _passes(
        self, window: Window, counts: Mapping[str, int], measured: WindowLosses | None, forward: Forward
    ) -> Iterator[Mapping[str, TaskLoss]]:
        if measured is not None and measured.graph is not None:
            yield measured.graph
            return
        for batch in window:
            yield self._forward(batch, counts, "update", forward)

    def _collect(self, window: Window, counts: Mapping[str, int], buffers: Buffers) -> tuple[TaskGradient, ...]:
        rows: dict[str, Gradients] = {task: {} for task in counts}
        ledger = Ledger()
        for batch in window:
            losses = self._forward(batch, counts, buffers, self.problem.losses)
            ledger.add(losses)
            for task in counts:
                add_gradients(rows[task], self._taker.take(task, losses, counts))
        means = ledger.means(counts, self.reducer)
        done = [self._taker.result(task, rows[task], counts[task], means[task]) for task in counts]
        finite = all(result.finite for result in done)
        return tuple(done if finite else (replace(result, finite=False) for result in done))

    def _norms(self, parameters: Sequence[nn.Parameter]) -> tuple[float, float]:
        """The norm over the network's gradients, and over all, a method's own parameters included."""
        reached = [(id(p) in self._known, p.grad) for p in parameters if p.grad is not None]
        norm = norm_of(gradient for network, gradient in reached if network)
        return norm, norm + norm_of(gradient for network, gradient in reached if not network)

    def _clip(self, parameters: Sequence[nn.Parameter], norm: float) -> None:
        if self.clip_norm is not None and norm > self.clip_norm:
            clip_grads_with_norm_(parameters, self.clip_norm, torch.tensor(norm))
