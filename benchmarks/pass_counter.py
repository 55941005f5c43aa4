"""Counts what one update costs, by hooks: passes through the shared part and the heads, and optimizer steps.

Used by balancing.py, which prints the counts, and by tests/optim/test_pass_counts.py, which compares them with the floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook


@dataclass(frozen=True)
class Passes:
    """What was done in the body of `counted`.

    Attributes:
        forwards: Forward passes of a part with a graph, by part.
        looks: Forward passes of a part without a graph, by part.
        backwards: Backward passes through the whole of a part, by part.
        steps: Steps of optimizers that hold a parameter of any part.
    """

    forwards: Counter[str]
    looks: Counter[str]
    backwards: Counter[str]
    steps: int

    def total(self, what: str, parts: Iterable[str]) -> int:
        """The sum of one of the counts over some parts."""
        return sum(getattr(self, what)[part] for part in parts)


class _Tally:
    def __init__(self) -> None:
        self.forwards: Counter[str] = Counter()
        self.looks: Counter[str] = Counter()
        self.reached: dict[str, Counter[int]] = {}
        self.steps = 0

    def forward(self, part: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            (self.forwards if torch.is_grad_enabled() else self.looks)[part] += 1

        return hook

    def backward(self, part: str, index: int) -> Callable[[torch.Tensor], None]:
        def hook(_: torch.Tensor) -> None:
            self.reached.setdefault(part, Counter())[index] += 1

        return hook

    def backwards(self, part: str, tensors: int) -> int:
        """Passes that went through every parameter of the part; a pass through some of them would not be one."""
        times = {self.reached.get(part, Counter())[index] for index in range(tensors)}
        if len(times) > 1:
            raise AssertionError(f"backward passes end within {part}: {sorted(times)} at its parameters")
        return times.pop() if times else 0


@contextmanager
def counted(parts: Mapping[str, nn.Module]) -> Iterator[Callable[[], Passes]]:
    """Counts while its body runs; gives a function that says what was counted so far.

    Args:
        parts: The modules to count in, by name; all trainable parameters of a part lie on every path through it.
    """
    tally = _Tally()
    trained = {part: [p for p in module.parameters() if p.requires_grad] for part, module in parts.items()}
    known = {id(parameter) for parameters in trained.values() for parameter in parameters}

    def stepped(optimizer: torch.optim.Optimizer, *_: object) -> None:
        owned = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        tally.steps += bool(owned & known)

    def result() -> Passes:
        backwards = Counter({part: tally.backwards(part, len(own)) for part, own in trained.items()})
        return Passes(tally.forwards, tally.looks, backwards, tally.steps)

    with ExitStack() as hooks:
        for part, module in parts.items():
            hooks.callback(module.register_forward_hook(tally.forward(part)).remove)
            for index, parameter in enumerate(trained[part]):
                hooks.callback(parameter.register_hook(tally.backward(part, index)).remove)
        hooks.callback(register_optimizer_step_post_hook(stepped).remove)
        yield result
