"""What one phase did to the others: how every loss and the task's features moved on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medmtl.optim.base import Batch, SplitProblem, TaskLoss, Window
from medmtl.optim.buffers import cuda_devices
from medmtl.optim.checks import after_step
from medmtl.optim.cooperative.ownership import part_of
from medmtl.optim.cooperative.trees import leaves
from medmtl.optim.ledger import Ledger
from medmtl.optim.services import Services


@dataclass(frozen=True)
class Trace:
    """Losses and features before a phase, on the window of its first update.

    A run that is resumed within a phase of several updates has no trace of that phase.

    Attributes:
        task: Whose phase it is.
        window: The images that are looked at again.
        counts: The tasks with labels there, on any process.
        losses: Mean loss of each before the phase.
        features: The task's exchanged features before the phase, by micro-batch.
    """

    task: str
    window: Window
    counts: dict[str, int]
    losses: dict[str, float]
    features: list[list[Tensor]]

    @staticmethod
    def names(tasks: Sequence[str]) -> tuple[str, ...]:
        """Names of the measures: ``drift/i``, and ``transfer/i/j``, the change of L_j in a phase of i."""
        return tuple(f"drift/{i}" for i in tasks) + tuple(f"transfer/{i}/{j}" for i in tasks for j in tasks)

    @classmethod
    def begin(
        cls, problem: SplitProblem, task: str, window: Window, counts: Mapping[str, int], services: Services
    ) -> Trace:
        """Looks before the phase."""
        labelled = dict(counts)
        losses = _losses(problem, window, labelled, services)
        return cls(task, window, labelled, losses, [_features(problem, batch, task) for batch in window])

    def end(self, problem: SplitProblem, services: Services) -> dict[str, float]:
        """Looks again after the phase; a positive transfer is a loss that rose: negative transfer.

        Raises:
            LossNotFiniteAfterStep: The phase made a loss NaN or infinite; names the task.
        """
        with after_step():
            after = _losses(problem, self.window, self.counts, services)
        moved = {f"transfer/{self.task}/{other}": after[other] - before for other, before in self.losses.items()}
        now = [_features(problem, batch, self.task) for batch in self.window]
        return {f"drift/{self.task}": drift(self.features, now)} | moved


def drift(before: Sequence[Sequence[Tensor]], after: Sequence[Sequence[Tensor]]) -> float:
    """Median over samples of ‖z_after - z_before‖ / ‖z_before‖ (this process's samples).

    Args:
        before: By micro-batch, tensors (samples, ...).
        after: The same later.
    """
    ratios = []
    for old, new in zip(before, after, strict=True):
        if not old:  # nothing is lent
            continue
        rows = torch.cat([z.flatten(1) if z.ndim > 1 else z.reshape(-1, 1) for z in old], 1)
        later = torch.cat([z.flatten(1) if z.ndim > 1 else z.reshape(-1, 1) for z in new], 1)
        ratios.append((later - rows).norm(dim=1) / rows.norm(dim=1).clamp_min(1e-12))
    return float(torch.cat(ratios).median()) if ratios else float("nan")


def _features(problem: SplitProblem, batch: Batch, task: str) -> list[Tensor]:
    return [leaf.detach().clone() for leaf in leaves(problem.lend(part_of(problem, batch, task), task))]


def _losses(problem: SplitProblem, window: Window, counts: Mapping[str, int], services: Services) -> dict[str, float]:
    """Mean losses of the labelled tasks; no buffer and no random number of the training moves."""
    ledger = Ledger()
    with torch.no_grad(), torch.random.fork_rng(devices=cuda_devices()):
        for batch in window:
            ledger.add(_looked_at(problem, batch, counts))
    return ledger.means(counts, services.reducer)


def _looked_at(problem: SplitProblem, batch: Batch, counts: Mapping[str, int]) -> dict[str, TaskLoss]:
    shown = {task: problem.lend(batch, task) for task in problem.tasks}
    found = {}
    for task in counts:
        others = {other: z for other, z in shown.items() if other != task}
        loss = problem.predict(batch, task, problem.encode(batch, task, "frozen"), others, "frozen")
        if loss.count:
            found[task] = loss
    return found
