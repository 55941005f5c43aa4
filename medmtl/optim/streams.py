"""Task gradients one after the other, which can be had once more while the graph is held."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from medmtl.optim.results import TaskGradient


class GradientStream:
    """The gradients of the present tasks, each computed when it is asked for; none is kept.

    The graph lives as long as this object: no more memory at its peak than a graph that goes with the last task,
    since it is whole during every backward pass but the last in either case.

    Args:
        tasks: The present tasks.
        take: Computes the gradient of one task, any number of times.
    """

    def __init__(self, tasks: tuple[str, ...], take: Callable[[str], TaskGradient]) -> None:
        self.tasks = tasks
        self._take = take

    def __iter__(self) -> Iterator[TaskGradient]:
        return (self._take(task) for task in self.tasks)

    def again(self, task: str) -> TaskGradient:
        """The gradient of one task, computed once more: the same bits where the backward pass is deterministic."""
        return self._take(task)
