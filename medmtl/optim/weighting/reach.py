"""Which parameters are shared: those that at least two tasks have reached so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

Reach = Mapping[str, frozenset[str]]
"""Task to the names of the parameters that its gradients have reached."""


def extended(reach: Reach, names: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """The reach after a step in which each present task reached some parameters."""
    return {**reach, **{task: reach.get(task, frozenset()) | frozenset(found) for task, found in names.items()}}


def shared(reach: Reach) -> frozenset[str]:
    """The parameters of at least two tasks.

    They are remembered over steps: a parameter stays shared while the other tasks that reach it are absent, and a
    problem with one task has none.
    """
    times = Counter(name for names in reach.values() for name in names)
    return frozenset(name for name, number in times.items() if number > 1)


def reach_state(reach: Reach) -> dict[str, list[str]]:
    """Plain lists, to be saved."""
    return {task: sorted(names) for task, names in reach.items()}


def load_reach(saved: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Takes a saved reach up again."""
    return {task: frozenset(names) for task, names in saved.items()}
