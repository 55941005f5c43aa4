"""Adding up the losses of a window: sums and counts, read once at its end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medmtl.errors import TrainingError
from medmtl.optim.base import TaskLoss
from medmtl.optim.checks import check_finite
from medmtl.optim.reduction import Reducer


class Ledger:
    """Collects losses of micro-batches without reading them: reading waits for the device."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, int, Tensor]] = []

    def add(self, losses: Mapping[str, TaskLoss]) -> None:
        """Enters the losses of one micro-batch, without their graph."""
        self._entries += [(task, loss.count, loss.sum.detach()) for task, loss in losses.items()]

    def means(self, counts: Mapping[str, int], reducer: Reducer) -> dict[str, float]:
        """Mean losses over all that was entered, on all processes.

        Args:
            counts: The present tasks with the counts that were promised.
            reducer: Sums over processes.

        Raises:
            TrainingError: A mean that is not finite, or another count than promised.
        """
        values = _read([value for _, _, value in self._entries])
        sums = dict.fromkeys(counts, 0.0)
        seen = dict.fromkeys(counts, 0)
        for (task, count, _), value in zip(self._entries, values, strict=True):
            sums[task] += value
            seen[task] += count
        totals = reducer.sum([*sums.values(), *seen.values()])
        means = {}
        for task, total, found in zip(counts, totals, totals[len(counts) :], strict=False):
            _check_count(task, int(found), counts[task])
            means[task] = total / counts[task]
        check_finite(means)
        return means


def _read(values: list[Tensor]) -> list[float]:
    """The numbers: one by one where that waits for nothing, else in one transfer."""
    if not values or values[0].device.type == "cpu":
        return [value.item() for value in values]
    wide = [value.reshape(()).to(torch.promote_types(value.dtype, torch.float32)) for value in values]
    return torch.stack(wide).tolist()


def _check_count(task: str, found: int, promised: int) -> None:
    if found != promised:
        raise TrainingError(
            "the losses hold another number of labelled samples than the labels",
            where=f"task '{task}'",
            found=f"{found} instead of {promised}",
            remedy="counts() and losses() of the problem must agree",
        )
