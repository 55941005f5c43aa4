"""Methods whose weights follow from the Gramian of the tasks' gradients alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from medmtl.optim.aggregation.frame import Aggregation, Decision, Gathered
from medmtl.optim.aggregation.randomness import drawn
from medmtl.optim.checks import WeightsUnusable
from medmtl.optim.gradients import combine

FAILURES = (ArithmeticError, RuntimeError, TypeError, ValueError, np.linalg.LinAlgError)
"""What the solvers below the library raise when they give up."""

_REMEDY = "lower the learning rate, clip gradients, or choose another method"


class GramianMethod(Aggregation):
    """The direction is a weighted sum of the tasks' gradients; the weights come from their inner products."""

    def _decide(self, step: Gathered) -> Decision:
        weights, remember = self._weigh(step.losses, step.products)
        direction = combine(step.rows, list(weights.values()), step.shared, spend=True)
        return Decision(direction, weights, remember)

    def _weigh(self, losses: Mapping[str, float], products: Tensor) -> tuple[dict[str, float], Callable[[], None]]:
        """Weights of the present tasks, and how to keep what the rule learned.

        A task whose gradient is zero on all that is shared has no direction to weigh: it is left out, with weight 1.
        A single remaining task is plain descent.
        """
        tasks = list(losses)
        weights = dict.fromkeys(tasks, 1.0)
        squares = products.diagonal().tolist()
        places = [place for place in self._order(tasks) if squares[place] > 0]
        if len(places) < 2:
            return weights, _nothing
        names = [tasks[place] for place in places]
        as_they_are = places == list(range(len(tasks)))
        among = products.clone() if as_they_are else products[places][:, places]
        seen = self.rule.prepare(among, {name: losses[name] for name in names})
        ranks = sorted(self.tasks)
        index = torch.tensor([ranks.index(name) for name in names])
        self._lend(names, index, seen)
        state = None if self._random is None else self._random.get_state()
        values, after = drawn(state, lambda: self._call(seen))
        weights |= dict(zip(names, values, strict=True))
        learned = {kept.attribute: getattr(self.rule.library, kept.attribute) for kept in self.rule.kept}
        return weights, lambda: self._remember(index, learned, after)

    def _call(self, seen: Tensor) -> list[float]:
        where = f"method '{self.info.name}'"
        try:
            weights: list[float] = self.rule.library(seen).tolist()
        except FAILURES as error:
            reason = " ".join(str(error).split())
            raise WeightsUnusable(
                "the weights could not be computed", where=where, found=reason, remedy=_REMEDY
            ) from error
        if not all(map(math.isfinite, weights)):
            raise WeightsUnusable("the weights are not finite", where=where, found=str(weights), remedy=_REMEDY)
        return weights

    def _lend(self, names: list[str], index: Tensor, like: Tensor) -> None:
        self._settle(names, like)
        for kept in self.rule.kept:
            values = self._kept[kept.attribute]
            own = values[index] if kept.order == 1 else values[index[:, None], index]
            setattr(self.rule.library, kept.attribute, own.clone())

    def _remember(self, index: Tensor, learned: Mapping[str, Tensor], random: Tensor | None) -> None:
        for kept in self.rule.kept:
            place = index if kept.order == 1 else (index[:, None], index)
            self._kept[kept.attribute][place] = learned[kept.attribute].to(torch.float64)
        if self._random is not None and random is not None:
            self._random.set_state(random)


def _nothing() -> None:
    return
