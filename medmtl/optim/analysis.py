"""Who moves what, and who pulls where: pure measures on gradients and updates by name. Nothing here trains.

Shares of the update follow AdaTask (AAAI 2023, arXiv 2211.15055), conflict measures arXiv 2311.04698; where a definition
could not be read, its form here is said to be a reconstruction.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from medmtl.optim.base import Gradients

Layer = Callable[[str], str]
"""Parameter name to the name of its layer."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """How two gradients stand to each other, over the parameters that both reach.

    Attributes:
        cosine: g·g' / (|g||g'|), in [-1, 1]; below 0 they are in conflict.
        magnitude: 2|g||g'| / (|g|² + |g'|²), in [0, 1]; 1 for equal norms.
        opposed: Share of coordinates with opposite signs, in [0, 1]; a zero opposes nothing. Reconstruction: the
            paper's exact definition of conflicting parameters was not read.
    """

    cosine: float
    magnitude: float
    opposed: float


def conflict(first: Gradients, second: Gradients) -> Conflict | None:
    """Compares two gradients.

    Args:
        first: One gradient by parameter name.
        second: The other.

    Returns:
        The measures in float64, or None when they have no parameter in common or one of them is zero there.
    """
    names = [name for name in first if name in second]
    product = squares = others = opposed = 0.0
    entries = 0
    for name in names:
        a, b = first[name].double(), second[name].double()
        product += float((a * b).sum())
        squares += float((a * a).sum())
        others += float((b * b).sum())
        opposed += float((a.sign() * b.sign() < 0).sum())
        entries += a.numel()
    if squares == 0 or others == 0:
        return None
    length = math.sqrt(squares) * math.sqrt(others)
    return Conflict(product / length, 2 * length / (squares + others), opposed / entries)


def conflicts(rows: Sequence[Gradients]) -> list[Conflict]:
    """The conflicts of all pairs that can be compared."""
    found = (conflict(first, second) for first, second in itertools.combinations(rows, 2))
    return [measures for measures in found if measures is not None]


def spread(values: Sequence[float]) -> dict[str, float]:
    """``mean``, ``sd`` (of the population) and the 2.5 and 97.5 % quantiles ``low`` and ``high`` of some numbers."""
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(np.mean(values)), "sd": float(np.std(values)), "low": float(low), "high": float(high)}


def module_of(name: str) -> str:
    """The module that a parameter belongs to: ``trunk.0`` for ``trunk.0.weight``."""
    return name.rpartition(".")[0] or name


def squared_updates(updates: Mapping[str, Gradients], layer: Layer = module_of) -> dict[str, dict[str, float]]:
    """Sums of squared updates by layer and task, on parameters that at least two tasks reach.

    Args:
        updates: Attributed updates by task and parameter name.
        layer: Names the layer of a parameter; the identity gives every tensor its own.

    Returns:
        Layer to task to sum of squares.
    """
    reached = Counter(name for row in updates.values() for name in row)
    sums: dict[str, dict[str, float]] = {}
    for task, row in updates.items():
        for name, update in row.items():
            if reached[name] > 1:
                place = sums.setdefault(layer(name), defaultdict(float))
                place[task] += float(update.double().square().sum())
    return {name: dict(place) for name, place in sums.items()}


class UpdateShares:
    """Accumulated updates AU of each task in each shared layer, and their shares rAU.

    AU_k ← d AU_k + (1-d) Σ_i u_ki², u_ki the part of the update of parameter i that is task k's; rAU_k = AU_k / Σ_j AU_j.
    A task that is absent from an observation keeps its AU.

    Args:
        decay: d, in [0, 1).
        layer: Names the layer of a parameter.
    """

    def __init__(self, decay: float = 0.9, layer: Layer = module_of) -> None:
        self.decay = decay
        self.layer = layer
        self.accumulated: dict[str, dict[str, float]] = {}

    def observe(self, updates: Mapping[str, Gradients]) -> None:
        """Takes in the attributed updates of one step, by task and parameter name."""
        for layer, sums in squared_updates(updates, self.layer).items():
            known = self.accumulated.setdefault(layer, {})
            for task, total in sums.items():
                known[task] = self.decay * known.get(task, total) + (1 - self.decay) * total

    def shares(self) -> dict[str, dict[str, float]]:
        """Layer to task to rAU; a layer that nothing moves is left out."""
        totals = {layer: sum(known.values()) for layer, known in self.accumulated.items()}
        return {
            layer: {task: value / totals[layer] for task, value in known.items()}
            for layer, known in self.accumulated.items()
            if totals[layer] > 0
        }


def ordinary_updates(
    optimizers: Iterable[Optimizer],
    parameters: Mapping[str, nn.Parameter],
    gradients_by_task: Mapping[str, Gradients],
    *,
    taken: bool = False,
) -> dict[str, Gradients]:
    """The part of an ordinary optimizer's update that is each task's: lr · g_k / (√v̂ + eps), or lr · g_k without v.

    v̂ is that of all tasks together after taking in Σ_k g_k, as in the step that comes, or what the step just taken
    left; free of its bias where the optimizer is an Adam. Reconstruction: the attribution is not given by the paper.

    Args:
        optimizers: Ordinary optimizers; the first that holds a parameter counts.
        parameters: Parameters by name.
        gradients_by_task: Gradients by task and parameter name.
        taken: The step was taken; a parameter that it left without moments belongs to no task.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    steps: dict[str, Gradients] = {task: {} for task in gradients_by_task}
    done: set[str] = set()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = names.get(id(parameter))
                if name is None or name in done:
                    continue
                done.add(name)
                reach = {task: row[name] for task, row in gradients_by_task.items() if name in row}
                for task, step in _attributed(group, optimizer.state.get(parameter, {}), reach, taken).items():
                    steps[task][name] = step
    return steps


@torch.no_grad()
def _attributed(
    group: Mapping[str, Any], state: Mapping[str, Any], reach: Mapping[str, Tensor], taken: bool
) -> dict[str, Tensor]:
    if not reach:
        return {}
    if "eps" not in group or not ("betas" in group or "alpha" in group):  # neither Adam nor RMSprop
        return {task: gradient * group["lr"] for task, gradient in reach.items()}
    if taken and not state:
        return {}
    below = _root(group, state, reach, taken) + group["eps"]
    return {task: gradient / below * group["lr"] for task, gradient in reach.items()}


def _root(group: Mapping[str, Any], state: Mapping[str, Any], reach: Mapping[str, Tensor], taken: bool) -> Tensor:
    """√v̂ of an Adam or RMSprop, which took the sum of the gradients in or is about to."""
    decay = group["betas"][1] if "betas" in group else group["alpha"]
    known: Tensor | None = state.get("exp_avg_sq", state.get("square_avg"))
    steps = float(state.get("step", 0))
    if taken and known is not None:
        return (known / (1 - decay**steps if "betas" in group else 1.0)).sqrt()
    bias = 1 - decay ** (steps + 1) if "betas" in group else 1.0
    return second_root(known, torch.stack(list(reach.values())).sum(0), decay, bias)


def second_root(known: Tensor | None, gradient: Tensor, decay: float, bias: float) -> Tensor:
    """√v̂ after one more gradient: v ← d v + (1-d) g², divided by its bias."""
    squares = (1 - decay) * gradient.square()
    total: Tensor = squares if known is None else known * decay + squares
    return (total / bias).sqrt()
