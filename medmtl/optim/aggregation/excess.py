"""ExcessMTL: tasks that are far from their optimum get more weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medmtl.optim.aggregation.frame import Aggregation, Decision, Gathered
from medmtl.optim.aggregation.rule import Kept, Rule
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.base import Gradients, OptimizerFactory, Problem
from medmtl.optim.checks import check_number
from medmtl.optim.gradients import combine

_UNDER_ROOT = 1e-7
"""The library's constants: under the root of the curvature, and beside a baseline."""


def excess_risk(gradients: Mapping[str, Tensor], squares: Mapping[str, Tensor]) -> float:
    """Σ g²/√(S + g²), S the sum of the squares of former gradients: the second-order estimate of the excess risk."""
    total = 0.0
    for name, gradient in gradients.items():
        square = gradient.double().square()
        curvature = square + squares[name] if name in squares else square
        total += float((square / (curvature + _UNDER_ROOT).sqrt()).sum())
    return total


class ExcessMethod(Aggregation):
    """TorchJD's ExcessMTL by parameter: its state follows the tasks and the parameters that are shared in a step."""

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> Any:
        self._squares: dict[str, Gradients] = {task: {} for task in problem.tasks}
        self._steps = 0
        return super()._build(problem, optimizer_factory)

    def _decide(self, step: Gathered) -> Decision:
        weights = dict.fromkeys(step.tasks, 1.0)
        places = [place for place in self._order(step.tasks) if step.products[place, place] > 0]
        if len(places) < 2:
            return Decision(combine(step.rows, list(weights.values()), step.shared), weights, lambda: None)
        names = [step.tasks[place] for place in places]
        moved = [{name: step.rows[place][name] for name in step.shared if name in step.rows[place]} for place in places]
        risks = [excess_risk(row, self._squares[name]) for name, row in zip(names, moved, strict=True)]
        index = torch.tensor([sorted(self.tasks).index(name) for name in names])
        kept = self._advance(index, torch.tensor(risks, dtype=torch.float64))
        weights |= dict(zip(names, kept["weights"][index].softmax(0).tolist(), strict=True))
        direction = combine(step.rows, list(weights.values()), step.shared)
        return Decision(direction, weights, lambda: self._learn(names, moved, kept))

    def _advance(self, index: Tensor, risks: Tensor) -> dict[str, Tensor]:
        """The kept numbers after this step: logarithms of the weights, baselines, sums and counts of the warm-up."""
        kept = {name: values.clone() for name, values in self._kept.items()}
        if self._steps < self.rule.library["n_warmup_steps"]:
            kept["sums"][index] += risks
            kept["seen"][index] += 1
            return kept
        first = bool(kept["baseline"].isnan().all() and (kept["seen"] == 0).all())
        warmed = torch.where(kept["seen"][index] > 0, kept["sums"][index] / kept["seen"][index], risks)
        baseline = torch.where(kept["baseline"][index].isnan(), warmed, kept["baseline"][index])
        kept["baseline"][index] = baseline
        # The library takes the very first risk as it is when there was no warm-up, and ratios to the baseline later.
        ratios = risks if first else risks / (baseline + _UNDER_ROOT)
        logits = kept["weights"][index].log_softmax(0) + self.rule.library["robust_step_size"] * ratios
        kept["weights"][index] = logits.log_softmax(0)
        return kept

    def _learn(self, names: list[str], moved: list[Gradients], kept: dict[str, Tensor]) -> None:
        self._kept = kept
        self._steps += 1
        for task, row in zip(names, moved, strict=True):
            squares = self._squares[task]
            for name, gradient in row.items():
                if name not in squares:
                    squares[name] = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
                squares[name].addcmul_(gradient, gradient)

    def _own_state(self) -> dict[str, Any]:
        squares = {task: {name: value.clone() for name, value in row.items()} for task, row in self._squares.items()}
        return super()._own_state() | {"squares": squares, "steps": self._steps}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        super()._load_own_state(state)
        self._squares = {  # checkpoints are loaded to the CPU
            task: {name: value.to(self.parameters[name].device, copy=True) for name, value in row.items()}
            for task, row in state["squares"].items()
        }
        self._steps = int(state["steps"])


@aggregation(
    "excess_mtl",
    paper="He et al., ICML 2024 (Robust Multi-Task Learning with Excess Risks), Equations 6, 7, 9",
    frame=ExcessMethod,
    extra_memory="K gradients and K sums of squares of the shared parameters",
    state="K weights and baselines, K sums of squares of the shared parameters",
)
def excess_mtl(*, robust_step_size: float = 1.0, n_warmup_steps: int = 0) -> Rule:
    """Gives weight to tasks that are still far from their optimum, and so not to those that are merely noisy.

    The excess risk of a task is estimated as e = Σ g²/√S, S the sum of its squared gradients so far (a diagonal
    curvature, as in AdaGrad), divided by its baseline; weights a ← a exp(η e), scaled to the sum 1. The sums, the
    baseline and the weight of an absent task rest. Without warm-up, the first step uses e itself, as the library does:
    on large networks that can settle all weight on one task at once. Use a warm-up.

    Args:
        robust_step_size: η, above 0. Default 1.
        n_warmup_steps: Steps with equal weights whose mean e is the baseline. Default 0; the paper's appendix C.1
            takes three epochs. A task that comes later has its first e as baseline.
    """
    check_number("excess_mtl.robust_step_size", robust_step_size, above=0.0)
    check_number("excess_mtl.n_warmup_steps", n_warmup_steps, least=0, whole=True)
    settings = {"robust_step_size": robust_step_size, "n_warmup_steps": n_warmup_steps}
    kept = (Kept("weights"), Kept("baseline", start=float("nan")), Kept("sums"), Kept("seen"))
    return Rule(settings, kept=kept)
