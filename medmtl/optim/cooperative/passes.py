"""The forward passes of one update in a task's turn: what micro-batches and processes have to agree on."""

from __future__ import annotations

from typing import cast

from medmtl.optim.base import Batch, Buffers, SplitProblem, TaskLoss, WeightSplitProblem, Window
from medmtl.optim.cooperative.objective import ASCENTS, NOISE, Flatness, Place, TurnLoss, turn_loss
from medmtl.optim.cooperative.weightspace import Weights, ascended, weight_turn_loss, window_passes
from medmtl.optim.ledger import Ledger
from medmtl.optim.services import Services


class TurnPasses:
    """Gives the mixed loss of each micro-batch of a window, as `Services.backward` asks for it.

    n micro-batches act as the one big batch, also on several processes and with unequal numbers of them: an ascent in
    the weights is that of the whole window, and noise is numbered by the place of a sample in it.

    Args:
        problem: The sub-models.
        task: Whose turn it is.
        flatness: The perturbation.
        window: The micro-batches, in the order in which they will be asked for.
        step: Number of the update.
        services: For loss scale and sums over processes.

    Attributes:
        clean: The task's own losses.
        flat: Its losses under perturbation.
        finite: False where an ascent overflowed under a loss scale: the update must be skipped.
    """

    def __init__(
        self, problem: SplitProblem, task: str, flatness: Flatness, window: Window, step: int, services: Services
    ) -> None:
        self.problem, self.task, self.flatness = problem, task, flatness
        self.clean, self.flat, self.finite = Ledger(), Ledger(), True
        self._step, self._length = step, len(window)
        self._reducer = services.reducer
        self._scale = services.scale.value if services.scale else 1.0
        self._done, self._before = 0, 0
        self._longest = self._agreed_length()
        self._moved = self._ascended(window)

    def __call__(self, batch: Batch, tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        """The mixed loss of the next micro-batch."""
        place = Place(self._step, self._before, self._reducer.rank, self._reducer.world, self._scale)
        found = self._turn_loss(batch, buffers, place)
        self._count(found.samples)
        self.finite = self.finite and found.finite
        self.clean.add({self.task: found.clean})
        self.flat.add({self.task: found.flat})
        return {self.task: found.mixed(self.flatness.mix)}

    def _turn_loss(self, batch: Batch, buffers: Buffers, place: Place) -> TurnLoss:
        if not self._in_weights:
            return turn_loss(self.problem, batch, self.task, buffers, self.flatness, place)
        problem = cast(WeightSplitProblem, self.problem)
        return weight_turn_loss(
            problem, batch, self.task, buffers, self.flatness, place, self._reducer, moved=self._moved
        )

    @property
    def _in_weights(self) -> bool:
        return self.flatness.on and self.flatness.target == "weights"

    def _ascended(self, window: Window) -> tuple[Weights, bool] | None:
        """The ascent of several micro-batches; that of one comes along with its own forward pass."""
        several = len(window) != 1 and len(self.problem.tasks) > 1
        if not (several and self._in_weights and self.flatness.kind in ASCENTS):
            return None
        problem = cast(WeightSplitProblem, self.problem)
        passes = window_passes(problem, window, self.task)
        return ascended(problem, passes, self.task, self.flatness, self._scale, self._reducer)

    def _agreed_length(self) -> int:
        """Micro-batches of the process that has most of them; 1 where nobody needs to know."""
        numbered = self.flatness.on and not self._in_weights and self.flatness.kind in NOISE
        if not numbered or self._reducer.world == 1:
            return 1
        own = [float(self._length if rank == self._reducer.rank else 0) for rank in range(self._reducer.world)]
        longest = int(max(self._reducer.sum(own)))
        self._add_up(longest - 1 if self._length == 0 else 0)
        return longest

    def _count(self, samples: int) -> None:
        """Moves on to the next micro-batch: by the samples of all processes, of which each has its own share."""
        self._done += 1
        if self._reducer.world == 1:
            self._before += samples
        elif self._done < self._longest:
            self._before += int(self._reducer.sum([float(samples)])[0])
        if self._done == self._length:
            self._add_up(self._longest - 1 - self._done)

    def _add_up(self, times: int) -> None:
        """Takes part in the sums of processes that have more micro-batches."""
        for _ in range(times):
            self._reducer.sum([0.0])
