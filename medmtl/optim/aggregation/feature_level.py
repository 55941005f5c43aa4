"""The upper bound of MGDA: weights from the gradients of the shared features, and one backward pass below them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from medmtl.optim.aggregation.cone import minimum_norm
from medmtl.optim.aggregation.gramian_method import GramianMethod
from medmtl.optim.aggregation.rule import Rule
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.base import Batch, Buffers, FeatureProblem, OptimizerFactory, Problem, StepReport, TaskLoss, Window
from medmtl.optim.buffers import cuda_devices
from medmtl.optim.checks import check_graph
from medmtl.optim.gradients import cosines, gramian
from medmtl.optim.ledger import Ledger
from medmtl.optim.results import WindowLosses
from medmtl.optim.services import Services


class Gate:
    """What the gradient of one task is multiplied by when it passes from its head into the shared part."""

    def __init__(self) -> None:
        self.value = 1.0

    def __call__(self, features: Tensor) -> Tensor:
        """The features, whose gradient this gate will multiply."""
        passed: Tensor = _Passage.apply(features, self)
        return passed


class _Passage(torch.autograd.Function):
    """The identity, whose backward pass multiplies by a gate that may be set after the forward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, gate: Gate) -> Tensor:
        ctx.gate = gate
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.gate.value, None


class FeatureMethod(GramianMethod):
    """Weights from the Gramian of the tasks' gradients over features; heads get their plain gradient."""

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        self.problem = cast(FeatureProblem, problem)
        self._learned: dict[object, list[bool]] = {}  # which features carry a gradient; follows from what is frozen
        return super()._build(problem, optimizer_factory)

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        self._gates = {task: Gate() for task in counts}
        if len(counts) == 1:
            return self._step(window, counts, services, None, dict.fromkeys(counts, 1.0), _nothing, {})
        measured, products = self._compare(window, counts, services)
        if not products.isfinite().all():
            services.commit(self.optimizers, {}, finite=False)
            return StepReport(losses=measured.means, skipped=True)
        weights, remember = self._weigh(measured.means, products)
        for task, weight in weights.items():
            self._gates[task].value = weight
        return self._step(window, counts, services, measured, weights, remember, cosines(list(counts), products))

    def _step(
        self,
        window: Window,
        counts: dict[str, int],
        services: Services,
        measured: WindowLosses | None,
        weights: dict[str, float],
        remember: Callable[[], None],
        angles: dict[str, float],
    ) -> StepReport:
        ones = dict.fromkeys(counts, 1.0)
        losses = services.backward(window, counts, ones, measured=measured, forward=self._losses)
        done = services.commit(self.optimizers)
        if not done.skipped:
            remember()
        return StepReport(losses=losses, weights=weights, cosines=angles, norm=done.norm, skipped=done.skipped)

    def _losses(self, batch: Batch, tasks: tuple[str, ...], buffers: Buffers) -> dict[str, TaskLoss]:
        return self._heads(batch, self.problem.features(batch, tasks, buffers), tasks, buffers)[0]

    def _heads(
        self, batch: Batch, features: Any, tasks: tuple[str, ...], buffers: Buffers
    ) -> tuple[dict[str, TaskLoss], dict[str, list[Tensor]]]:
        """Losses of the tasks with labels, and the gated features that each of them read."""
        losses: dict[str, TaskLoss] = {}
        read: dict[str, list[Tensor]] = {}
        for task in tasks:
            gated = _mapped(features, self._gates[task])
            loss = self.problem.losses_from(batch, gated, (task,), buffers).get(task)
            if loss is not None and loss.count:
                losses[task] = loss
                read[task] = [tensor for tensor in _tensors(gated) if tensor.requires_grad]
        return losses, read

    def _compare(self, window: Window, counts: dict[str, int], services: Services) -> tuple[WindowLosses, Tensor]:
        """Mean losses, and the Gramian of the mean losses' gradients over the features of all samples.

        One micro-batch keeps its graph for the backward pass. Several are looked at one by one, with frozen buffers and
        the random numbers that the second forward will see, and without the graph of the shared part.
        """
        ledger = Ledger()
        total = torch.zeros(len(counts), len(counts), dtype=torch.float64)
        graph: Mapping[str, TaskLoss] | None = None
        if len(window) == 1:
            features = self.problem.features(window[0], tuple(counts), "update")
            graph, read = self._heads(window[0], features, tuple(counts), "update")
            total += _products(graph, read, counts, services)
            ledger.add(graph)
        else:
            with torch.random.fork_rng(devices=cuda_devices()):
                for batch in window:
                    losses, read = self._heads(batch, self._look(batch, tuple(counts)), tuple(counts), "frozen")
                    total += _products(losses, read, counts, services)
                    ledger.add(losses)
        means = ledger.means(counts, services.reducer)
        sums = services.reducer.sum(total.flatten().tolist())
        return WindowLosses(means, graph), torch.tensor(sums, dtype=torch.float64).view_as(total)

    def _look(self, batch: Batch, tasks: tuple[str, ...]) -> Any:
        """Features without what lies below them; those that nothing is learned from (frozen levels) ask for no gradient.

        Only a graph tells which: it is made for the first micro-batch of all, and dropped at once.
        """
        frozen = (tasks, tuple(parameter.requires_grad for parameter in self.parameters.values()))
        with torch.set_grad_enabled(frozen not in self._learned):
            features = self.problem.features(batch, tasks, "frozen")
        if frozen not in self._learned:
            self._learned[frozen] = [
                tensor.requires_grad for tensor in _tensors(features) if tensor.is_floating_point()
            ]
        carries = iter(self._learned[frozen])
        return _mapped(features, lambda tensor: tensor.detach().requires_grad_(next(carries)))


def _products(
    losses: Mapping[str, TaskLoss], read: Mapping[str, list[Tensor]], counts: Mapping[str, int], services: Services
) -> Tensor:
    """The share of one micro-batch in the Gramian of the mean losses over features, (K, K)."""
    check_graph(losses)
    scale = services.scale.value if services.scale else 1.0
    rows: list[dict[str, Tensor]] = []
    for task, count in counts.items():
        row: dict[str, Tensor] = {}
        if read.get(task):
            loss = losses[task].sum * (scale / count)
            found = torch.autograd.grad(loss, read[task], retain_graph=True, allow_unused=True)
            row = {str(i): gradient.double() / scale for i, gradient in enumerate(found) if gradient is not None}
        rows.append(row)
    return gramian(rows, list(dict.fromkeys(name for row in rows for name in row)))


def _mapped(features: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Features with their floating-point tensors changed, in dictionaries, lists and tuples."""
    if isinstance(features, Tensor):
        return change(features) if features.is_floating_point() else features
    if isinstance(features, Mapping):
        return {key: _mapped(value, change) for key, value in features.items()}
    if isinstance(features, list | tuple):
        return [_mapped(value, change) for value in features]
    return features


def _tensors(features: Any) -> Iterator[Tensor]:
    if isinstance(features, Tensor):
        yield features
    elif isinstance(features, Mapping | list | tuple):
        for value in features.values() if isinstance(features, Mapping) else features:
            yield from _tensors(value)


def _nothing() -> None:
    return


@aggregation(
    "mgda_ub",
    paper="Sener, Koltun, NeurIPS 2018, Section 3.3",
    frame=FeatureMethod,
    backward_passes="1 through the shared part; 2 through each head",
    extra_memory="K gradients of the features",
    processes="losses, counts, the inner products and the one gradient are summed",
    evidence="definition (exact solver), library (TorchJD, Frank-Wolfe); the normalizations second-hand (LibMTL)",
    extra_forwards="0; 1 without gradient through the shared part when a window has several micro-batches",
    needs_features=True,
    clipping="direction",
)
def mgda_ub(
    *, solver: str = "exact", normalization: str = "none", epsilon: float = 0.001, max_iters: int = 100
) -> Rule:
    """MGDA on the gradients of the shared features instead of the shared parameters: an upper bound of its objective.

    With Z the features of all samples of the update, minimizes |Σ a_k ∇_Z L_k|² over a >= 0, Σ a_k = 1. By the chain
    rule |Σ a_k g_k| is at most the norm of ∂Z/∂θ times as much. One backward pass through the shared part whatever K;
    it is as good as MGDA where ∂Z/∂θ has full rank, and promises no more than that. Everything below the features is
    weighted, what follows them gets its plain gradient. Batch norm in the heads, and any loss across samples, make
    micro-batches differ from the big batch here as everywhere.

    Args:
        solver: ``exact`` or ``frank_wolfe``, as in `mgda`. Default ``exact``.
        normalization: ``none``, ``l2``, ``loss`` or ``loss+``, as in `mgda`. Default ``none``.
        epsilon: Frank-Wolfe stops at a smaller step than this. Default 0.001.
        max_iters: Largest number of Frank-Wolfe steps. Default 100.
    """
    return minimum_norm("mgda_ub", solver, normalization, epsilon, max_iters)
