"""Training: ignite at the rim of the pure step, for events, validation, checkpoints and a clean way out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from medmtl.config import RunConfig
from medmtl.data.loading import Batch
from medmtl.errors import CheckpointError, TrainingError
from medmtl.inference.network import load_weights
from medmtl.optim import LossNotFiniteAfterStep, LossUnusable, Method, Probe, StepReport
from medmtl.progress import Progress
from medmtl.randomness import restore_torch_state, torch_state
from medmtl.run import RunFolder
from medmtl.training.checkpoint import load_checkpoint, save_checkpoint
from medmtl.training.interruption import InterruptedTraining as InterruptedTraining
from medmtl.training.interruption import StopWish
from medmtl.training.probing import ProbeLog
from medmtl.training.problem import NetworkProblem, to_device
from medmtl.training.processes import ALONE, Processes
from medmtl.training.standing import Standing, epoch_line, selection_score
from medmtl.training.stepping import step_services, train_step
from medmtl.training.tracking import NoTracker, Tracker, log_columns
from medmtl.training.unusable import OverflowWatch, image_names
from medmtl.training.windows import WindowSource

Validate = Callable[[], dict[str, float]]
"""Gives validation figures as ``task/name``; each task's first is the one that selects."""

_SILENT = logging.Logger("medmtl.engine", level=logging.CRITICAL + 1)
"""Ignite would print every error a second time."""


class Trainer:
    """Runs the updates of one run, from wherever its last checkpoint stands.

    Args:
        run: The run folder.
        problem: Network and tasks.
        method: The balancing method, built.
        source: The windows of batches.
        validate: Validation figures; None = no validation set.
        metric_names: Names of the validation figures, for the log's columns.
        device: Where the network is.
        progress: Where to say how far it is.
        processes: This process among those that train the run.
    """

    def __init__(
        self,
        run: RunFolder,
        problem: NetworkProblem,
        method: Method,
        source: WindowSource,
        validate: Validate | None,
        metric_names: Sequence[str],
        device: torch.device,
        progress: Progress,
        processes: Processes = ALONE,
    ) -> None:
        self.run = run
        self.config: RunConfig = run.config
        self.problem = problem
        self.method = method
        self.source = source
        self.validate = validate
        self.metric_names = tuple(metric_names)
        self.device = device
        self.progress = progress
        self.processes = processes
        self.services = step_services(problem, self.config.training, processes)
        analysis = self.config.training.analysis
        probe = Probe(analysis.every, analysis.samples, self.config.seed)
        self.probing = ProbeLog(probe, run.probe if processes.main else None)
        self.standing = Standing()
        self.epoch_steps = source.steps_per_epoch
        self.total = self.epoch_steps * self.config.training.epochs
        self._wish, self._overflows = StopWish(), OverflowWatch(self.config.training, progress.say, self.services.scale)
        self._wished: int | None = None
        self._began = time.perf_counter(), time.process_time()

    def fit(self) -> Standing:
        """Trains to the end, or to an early stop.

        Raises:
            InterruptedTraining: SIGINT or SIGTERM came; the run is saved.
            TrainingError: A loss is not finite, or a gradient time after time; the state before that update is saved.
            OutputError: The disk is full; the last checkpoint stands.
        """
        if self.standing.finished:
            return self.standing
        engine = Engine(self._process)
        engine.logger = _SILENT
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
        self._resume_at(engine)
        windows = self.source.windows(self.standing.step, self.total)
        self.probing.start(self.standing.step)
        bar = self.progress.bar("training", self.total - self.standing.step)
        with closing(self._tracker()) as self.tracker, self._wish.watched(), bar as self.bar, closing(windows):
            engine.run(windows, max_epochs=self.config.training.epochs, epoch_length=self.epoch_steps)
        if self._wished is not None and not self.standing.finished:
            raise InterruptedTraining(self.standing.step, self._wished)
        return self.standing

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        clock, processor = time.perf_counter(), time.process_time()
        self.standing.seconds += clock - self._began[0]
        self.standing.processor_seconds += processor - self._began[1]
        self._began = clock, processor
        return {
            "standing": self.standing.state_dict(),
            "network": self.problem.network.state_dict(),
            "method": self.method.state_dict(),
            "services": self.services.state_dict(),
            "probing": self.probing.state_dict(),
            "random": self.processes.each(torch_state()),
        }

    def resume(self) -> None:
        """Takes up the last checkpoint, bit for bit.

        Raises:
            CheckpointError: It is damaged or belongs to another run.
        """
        state = load_checkpoint(self.run.last, needs=("standing", "network", "method", "services", "probing", "random"))
        load_weights(self.problem.network, state["network"], self.run.last)
        try:
            self.method.load_state_dict(state["method"])
            self.services.load_state_dict(state["services"])
            self.probing.load_state_dict(state["probing"])
            self.standing = Standing(**state["standing"])
            # Parts of a batch may differ in size, and with them what a process has drawn.
            restore_torch_state(state["random"][min(self.processes.rank, len(state["random"]) - 1)])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            remedy = "it belongs to another run: train anew with another --out"
            raise CheckpointError(
                "the checkpoint does not fit", where=self.run.last, found=reason, remedy=remedy
            ) from None

    def save(self) -> None:
        """Writes the last checkpoint: one process writes for all."""
        state = self.state_dict()
        self.processes.first(lambda: save_checkpoint(self.run.last, state))

    def _resume_at(self, engine: Engine) -> None:
        done = self.standing.step
        if done:
            engine.load_state_dict(
                {"iteration": done, "max_epochs": self.config.training.epochs, "epoch_length": self.epoch_steps}
            )

    def _process(self, _: Engine, window: list[list[Batch]]) -> StepReport:
        self.problem.network.train()
        here = [to_device(batch, self.device, channels_last=self.config.training.channels_last) for batch in window]
        step, warmup = self.standing.step, self.config.training.warmup
        buffers = [buffer.clone() for buffer in self.problem.network.buffers()]  # a forward pass moves them
        self.tracker.look(step, self.probing.look(step, self.problem, here, self.services))
        try:
            report = train_step(self.method, self.services, here, step=step, total=self.total, warmup=warmup)
        except LossUnusable as error:
            if not isinstance(error, LossNotFiniteAfterStep):  # that one follows a step: statistics belong to it
                self._restore(buffers)
            self.processes.share_buffers(self.problem.network)
            return self._unusable(error, here)
        if report.skipped:  # an overflow leaves no trace in running statistics either
            self._restore(buffers)
        self.processes.share_buffers(self.problem.network)
        self.tracker.look(step, self.probing.settle(self.method, report))
        return report

    def _restore(self, buffers: Sequence[Tensor]) -> None:
        for buffer, before in zip(self.problem.network.buffers(), buffers, strict=True):
            buffer.copy_(before)

    def _unusable(self, error: LossUnusable, window: Sequence[Sequence[Batch]]) -> StepReport:
        """Names step and images; goes on without the update where the configuration says so."""
        told = f"{error.found}; images: {image_names(self.source, window)}"
        where = f"{error.where}, step {self.standing.step + 1}"
        if self.config.training.nonfinite == "stop":
            if not isinstance(error, LossNotFiniteAfterStep):  # then the last checkpoint stands, not what was spoiled
                self._checkpoint()
            raise TrainingError(error.what, where=where, found=told, remedy=error.remedy) from None
        self.progress.say(f"step skipped: {error.what}: {where}: {told}")
        self.method.skip()
        return StepReport(skipped=True)

    def _after_step(self, engine: Engine) -> None:
        report: StepReport = engine.state.output
        self.standing.step += 1
        step, epoch = self.standing.step, -(-self.standing.step // self.epoch_steps)
        self.tracker.write_step(step, epoch, report, self.method.param_groups[0]["lr"])
        for task, value in report.losses.items():
            self.standing.losses.setdefault(task, []).append(value)
        self.bar.advance(note="  ".join(f"{task} {value:.3f}" for task, value in report.losses.items()))
        self._wished = self.processes.any(self._wish.number)
        if step % self.epoch_steps == 0:
            self._end_epoch(engine, epoch)
        elif step % self.config.training.checkpoint_every == 0 or self._wished is not None:
            self._checkpoint()
        if self._wished is not None:
            engine.terminate()
        if (error := self._overflows.take(report, self.standing)) is not None:
            self._checkpoint()
            raise error

    def _end_epoch(self, engine: Engine, epoch: int) -> None:
        means = {task: float(np.mean(values)) for task, values in self.standing.losses.items() if values}
        self.standing.losses = {}
        self.method.end_epoch(means)
        figures: dict[str, float] = {}
        if self.validate is not None and (
            epoch % self.config.training.validate_every == 0 or epoch == self.config.training.epochs
        ):
            figures = self.processes.first(self.validate)
            self.tracker.write(self.standing.step, epoch, "val", {f"metric/{k}": v for k, v in figures.items()})
            self._select(figures, epoch)
        self.progress.say(epoch_line(epoch, self.config.training.epochs, means, figures))
        patience = self.config.training.patience
        if epoch == self.config.training.epochs or (patience is not None and self.standing.without_gain >= patience):
            self.standing.finished = True
            engine.terminate()
        self._checkpoint()

    def _checkpoint(self) -> None:
        self.tracker.sync()
        self.save()

    def _select(self, figures: dict[str, float], epoch: int) -> None:
        if self.standing.improves(selection_score(figures, self.config.training.select_by), epoch):
            best = {"network": self.problem.network.state_dict(), "epoch": epoch}
            self.processes.first(lambda: save_checkpoint(self.run.best, best))

    def _tracker(self) -> Tracker:
        if not self.processes.main:
            return NoTracker()
        columns = log_columns(self.problem.tasks, self.metric_names, self.method.measure_names)
        return Tracker(self.run.log, self.run.tensorboard, columns, step=self.standing.step)
