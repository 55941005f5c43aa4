"""One MAO step without K gradients: each is folded into its moments and the sum of the steps, then dropped."""

from __future__ import annotations

from medmtl.optim.pertask.optimizer import MultiAdaptiveOptimizer
from medmtl.optim.results import TaskGradient
from medmtl.optim.streams import GradientStream

SPIKE = 100.0
_MEMORY = 0.9


class Streamer:
    """Folds gradients as they come, and takes everything back when a later one is not finite.

    What holds after an overflow: parameters, step counters, states that this step would have created, and the
    moments of tasks that were not folded yet are the same bits as before. No bit is lost either when the first or the
    second present task overflows, so with two tasks nothing ever is: two gradients are as much memory as one and the
    sum. From three on, the moments of the folded tasks are inverted with their gradients, computed once more from the
    graph that is still there: exact but for rounding relative to the larger of moment and gradient. So that this
    stays near the precision of the moments, a gradient of more than `SPIKE` times the usual norm of its task is not
    folded before the last gradient is known, nor are those that follow it: such a step holds several gradients.

    `exact` takes the gradients from the third task on twice: first only to see that they are finite, before anything is
    folded. Then no bit is ever lost, in the same memory, for K - 2 further backward passes a step. (Nothing cheaper
    can do that: the old moments, the new ones and the gradient determine each other but for rounding, and the lost
    bits have to be somewhere. It rests on backward passes that give the same bits twice.)

    Args:
        optimizer: The optimizer; what it has staged is part of the step.
        exact: Whether to look ahead.
    """

    def __init__(self, optimizer: MultiAdaptiveOptimizer, *, exact: bool = False) -> None:
        self.optimizer = optimizer
        self.exact = exact
        self._usual: dict[str, float] = {}  # squared norms; decides memory only, never a number: not saved

    def run(self, stream: GradientStream) -> tuple[dict[str, float], dict[str, float], bool]:
        """Takes all gradients in; nothing is written to parameters, that is left to the commit.

        Args:
            stream: The gradients of the present tasks.

        Returns:
            Mean losses, gradient norms, and whether all gradients were finite; if not, all state is as before.
        """
        losses: dict[str, float] = {}
        norms: dict[str, float] = {}
        folded: list[str] = []
        finite = False
        try:
            finite = self._finite_ahead(stream, losses, norms) and self._take_all(stream, losses, norms, folded)
        finally:
            if not finite:
                self._undo(stream, folded)
        if finite:  # an overflow says nothing of what is usual
            self._usual |= {task: self._mixed(task, norm) for task, norm in norms.items()}
        return losses, norms, finite

    def _finite_ahead(self, stream: GradientStream, losses: dict[str, float], norms: dict[str, float]) -> bool:
        """Whether the gradients that come after the first two, which are held together, will be finite."""
        for task in stream.tasks[2:] if self.exact else ():
            result = stream.again(task)
            losses[task], norms[task] = result.loss, result.norm
            if not result.finite:
                return False
            del result
        losses.clear()
        norms.clear()
        return True

    def _take_all(
        self, stream: GradientStream, losses: dict[str, float], norms: dict[str, float], folded: list[str]
    ) -> bool:
        calm = True
        waiting: list[str] = []
        for result in stream:
            losses[result.task], norms[result.task] = result.loss, result.norm
            if not result.finite:
                return False
            calm = calm and (self.exact or self._is_calm(result))
            self.optimizer.accumulate(result.task, result.gradients, result.count, norm=result.norm)
            waiting.append(result.task)
            if calm and 1 < len(losses) < len(stream.tasks):
                self.optimizer.fold()
                folded += waiting
                waiting = []
            del result  # the next backward pass shall not find it in memory
        return True

    def _undo(self, stream: GradientStream, folded: list[str]) -> None:
        for task in reversed(folded):
            self.optimizer.unfold(task, stream.again(task).gradients)
        self.optimizer.zero_grad()

    def _is_calm(self, result: TaskGradient) -> bool:
        usual = self._usual.get(result.task)
        return usual is None or result.norm**2 <= SPIKE**2 * usual

    def _mixed(self, task: str, norm: float) -> float:
        return _MEMORY * self._usual.get(task, norm**2) + (1 - _MEMORY) * norm**2
