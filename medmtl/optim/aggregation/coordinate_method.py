"""Methods that join the tasks' gradients coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medmtl.optim.aggregation.frame import Aggregation, Decision, Gathered
from medmtl.optim.aggregation.randomness import drawn
from medmtl.optim.base import Gradients
from medmtl.optim.gradients import chunks


class CoordinateMethod(Aggregation):
    """The library's aggregator sees a shared parameter at a time, in bounded chunks: K rows are never joined whole.

    On each parameter only the tasks that reach it take part. There is no weight to report.
    """

    def _decide(self, step: Gathered) -> Decision:
        state = None if self._random is None else self._random.get_state()
        device = next((row[name].device for row in step.rows for name in row), None)
        joined, after = drawn(state, lambda: self._joined(step), device)
        direction = {name: gradient for row in step.rows for name, gradient in row.items()}
        return Decision(direction | joined, {}, self._remembering(after))

    def _joined(self, step: Gathered) -> Gradients:
        order, shared = self._order(step.tasks), set(step.shared)
        names = [
            name for name in self.parameters if name in shared
        ]  # the network's order: draws must not follow the tasks'
        return {name: self._join(step, [i for i in order if name in step.rows[i]], name) for name in names}

    def _join(self, step: Gathered, places: list[int], name: str) -> Tensor:
        gradients = [step.rows[place][name] for place in places]
        self._settle([step.tasks[place] for place in places], gradients[0])
        parts = [self.rule.library(chunk) for chunk in chunks(gradients)]
        return torch.cat(parts).view(gradients[0].shape)

    def _remembering(self, random: Tensor | None) -> Callable[[], None]:
        def remember() -> None:
            if self._random is not None and random is not None:
                self._random.set_state(random)

        return remember
