"""Methods that compare the tasks' gradients: K backward passes, then one direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torchjd.aggregation import PCGradWeighting

from medmtl.optim.base import MethodInfo, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import check_number
from medmtl.optim.gradients import combine, cosines, gramian, shared_names
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.services import Services


@methods.register("pcgrad")
class PCGrad(Method):
    """Projects each task's gradient off those it conflicts with, in random order, and adds (Algorithm 1).

    The surgery sees the parameters that at least two present tasks reach; others get their plain gradient.

    Args:
        seed: Seed of the random order; the same on every process.
    """

    info = MethodInfo(
        name="pcgrad",
        family="aggregation",
        backward_passes="K",
        extra_memory="K gradients",
        state="random state",
        needs_split=False,
        own_optimizer=False,
        mixed_precision="bf16; fp16 with a loss scale, unscaled before the surgery",
        processes="losses, counts and each task's gradient are summed before the surgery",
        paper="Yu et al., NeurIPS 2020, arXiv 2001.06782",
        evidence="library (TorchJD)",
    )

    def __init__(self, *, seed: int = 0) -> None:
        check_number("pcgrad.seed", seed, least=0, whole=True)
        self._random = torch.Generator().manual_seed(seed)
        self._weighting = PCGradWeighting()

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        return [optimizer_factory(trainable(problem))]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        found = list(services.task_gradients(window, counts, "collect"))
        losses = {result.task: result.loss for result in found}
        norms = {result.task: result.norm for result in found}
        if not all(result.finite for result in found):
            services.commit(self.optimizers, {}, finite=False)
            return StepReport(losses=losses, gradient_norms=norms, skipped=True)
        rows = [result.gradients for result in found]
        shared = shared_names(rows)
        products = gramian(rows, shared)
        weights = self._weigh(products)
        done = services.commit(self.optimizers, combine(rows, weights, shared))
        return StepReport(
            losses=losses,
            weights=dict(zip(losses, weights, strict=True)),
            gradient_norms=norms,
            cosines=cosines(list(losses), products),
            norm=done.norm,
            skipped=done.skipped,
        )

    def _weigh(self, products: Tensor) -> list[float]:
        # The library draws from PyTorch's global generator: lend it ours, and take the drawn state back.
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random.get_state())
            weights = self._weighting(products)
            self._random.set_state(torch.get_rng_state())
        return [float(weight) for weight in weights.tolist()]

    def _own_state(self) -> dict[str, Any]:
        return {"random": self._random.get_state()}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        self._random.set_state(state["random"].cpu())
