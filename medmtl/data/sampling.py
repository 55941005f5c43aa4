"""Which samples make up which batch: a pure function of the seed and the batch's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medmtl.randomness import derive_seed

Draw = tuple[int, int]
"""A sample's index and the seed of its random transforms."""


class ViewStream:
    """The endless stream of a view's batches: epoch after epoch, each a new permutation.

    Every batch holds at least ``quotas[task]`` samples labelled for a task: where the permutation gives fewer, labelled
    samples take the place of samples that no task in the batch needs. So every task stays present, and a rare one's
    samples are seen more often.

    Args:
        labelled: Per task, for each sample whether it is labelled.
        batch_size: Samples in a batch.
        quotas: Per task, the least number of labelled samples in a batch.
        seed: The run's seed.
        view: The view's name.
        repeats: How often a sample is shown in an epoch (patches per image).
    """

    def __init__(
        self,
        labelled: Mapping[str, Sequence[bool]],
        batch_size: int,
        quotas: Mapping[str, int],
        *,
        seed: int,
        view: str,
        repeats: int = 1,
    ) -> None:
        self.labelled = {task: np.asarray(flags, dtype=bool) for task, flags in labelled.items()}
        self.count = len(next(iter(self.labelled.values())))
        self.batch_size = batch_size
        self.quotas = dict(quotas)
        self.seed = seed
        self.view = view
        self.repeats = repeats
        self.order = lru_cache(maxsize=2)(self._order)

    @property
    def batches_per_epoch(self) -> int:
        """Batches after which every sample was shown; the last one is filled up from the epoch's start."""
        return -(-self.count * self.repeats // self.batch_size)

    def batch(self, number: int) -> list[Draw]:
        """The draws of batch ``number``, counted from the start of training."""
        epoch, place = divmod(number, self.batches_per_epoch)
        order = self.order(epoch)
        positions = np.arange(place * self.batch_size, (place + 1) * self.batch_size) % len(order)
        chosen = self._fill_quotas(order[positions], number)
        seeds = (derive_seed(self.seed, "augment", self.view, number, slot) for slot in range(len(chosen)))
        return [(int(index), seed) for index, seed in zip(chosen, seeds, strict=True)]

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        generator = np.random.default_rng(derive_seed(self.seed, "order", self.view, epoch))
        return np.concatenate([generator.permutation(self.count) for _ in range(self.repeats)])

    def _fill_quotas(self, chosen: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
        chosen = chosen.copy()
        for task, quota in sorted(self.quotas.items()):
            missing = min(quota, len(chosen)) - int(self.labelled[task][chosen].sum())
            if missing > 0:
                self._replace(chosen, task, missing, number)
        return chosen

    def _replace(self, chosen: npt.NDArray[np.int64], task: str, missing: int, number: int) -> None:
        pool = np.setdiff1d(np.flatnonzero(self.labelled[task]), chosen)
        generator = np.random.default_rng(derive_seed(self.seed, "quota", self.view, task, number))
        for pick in generator.permutation(pool)[:missing]:
            slot = next((slot for slot in reversed(range(len(chosen))) if self._can_go(chosen, slot, task)), None)
            if slot is None:
                return
            chosen[slot] = pick

    def _can_go(self, chosen: npt.NDArray[np.int64], slot: int, wanted: str) -> bool:
        if self.labelled[wanted][chosen[slot]]:
            return False
        others = (task for task in self.quotas if task != wanted and self.labelled[task][chosen[slot]])
        return all(int(self.labelled[task][chosen].sum()) > self.quotas[task] for task in others)
