"""What balancing.py measures on: a shared encoder with K heads, and steps written by hand and with TorchJD.

All of them do the same work on the same kind of network: forward, losses, gradients, one step of AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmtl.optim import Services, TaskLoss, make_method

Step = Callable[[], object]


@dataclass(frozen=True)
class Size:
    """A network and its batch: stages of two convolutions each, every one at half the resolution of the one before."""

    widths: tuple[int, ...]
    image: int
    batch: int


SIZES = {
    "small": Size((16, 24), 128, 16),
    "medium": Size((24, 48, 96), 128, 5),
    "large": Size((48, 96, 192, 256), 96, 4),
}


def layers_of(size: Size) -> nn.Sequential:
    """An encoder from images to vectors."""
    layers: list[nn.Module] = []
    before = 3
    for width in size.widths:
        for stride in (2, 1):
            layers += [nn.Conv2d(before, width, 3, stride, 1), nn.GroupNorm(8, width), nn.ReLU()]
            before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Net(nn.Module):
    """An encoder, K heads on its pooled features, regression losses; a `FeatureProblem`."""

    def __init__(self, size: Size, k: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.encoder = layers_of(size)
            self.heads = nn.ModuleList(
                nn.Sequential(nn.Linear(size.widths[-1], 32), nn.ReLU(), nn.Linear(32, 1)) for _ in range(k)
            )
            self.inputs = torch.randn(size.batch, 3, size.image, size.image)
            self.targets = [torch.randn(size.batch, 1) + 2 for _ in range(k)]
        self.tasks = tuple(f"t{i}" for i in range(k))
        self._parts = dict(zip(self.tasks, zip(self.heads, self.targets, strict=True), strict=True))

    def mean_losses(self, features: Tensor) -> list[Tensor]:
        """One scalar a task, as a program without medmtl would write it."""
        return [F.mse_loss(head(features), y) for head, y in zip(self.heads, self.targets, strict=True)]

    def counts(self, batch: Tensor, tasks: tuple[str, ...]) -> dict[str, int]:
        """All labels are there."""
        return dict.fromkeys(tasks, len(batch))

    def losses(self, batch: Tensor, tasks: tuple[str, ...], buffers: str) -> dict[str, TaskLoss]:
        """The same losses as sums and counts."""
        return self.losses_from(batch, self.features(batch, tasks, buffers), tasks, buffers)

    def features(self, batch: Tensor, tasks: tuple[str, ...], buffers: str) -> Tensor:
        """The encoder."""
        return self.encoder(batch)

    def losses_from(self, batch: Tensor, features: Tensor, tasks: tuple[str, ...], buffers: str) -> dict[str, TaskLoss]:
        """The heads."""
        found = {}
        for task in tasks:
            head, target = self._parts[task]
            found[task] = TaskLoss(F.mse_loss(head(features), target, reduction="sum"), len(batch))
        return found


def adamw(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    """The optimizer of every step, as medmtl's training makes it."""
    return torch.optim.AdamW([parameter for _, parameter in named], lr=1e-5, weight_decay=1e-2, fused=True)


def ours(net: Any, name: str, **arguments: Any) -> Step:
    """A step of one of medmtl's methods."""
    method = make_method(name, **arguments)
    method.build(net, adamw)
    services = Services(net)
    window = [net.inputs]
    return lambda: method.update(window, services)


def one_backward(net: Net) -> Step:
    """The floor of loss weighting: one forward, one backward, one step."""
    optimizer = adamw(net.named_parameters())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(net.mean_losses(net.encoder(net.inputs))).backward()
        optimizer.step()

    return step


def k_backwards(net: Net) -> Step:
    """The floor of methods that look at gradients: one forward, K backward passes, their sum, one step."""
    optimizer = adamw(net.named_parameters())
    shared = list(net.encoder.parameters())
    heads = [list(head.parameters()) for head in net.heads]

    def step() -> None:
        losses = net.mean_losses(net.encoder(net.inputs))
        total: list[Tensor] = []
        for index, (loss, own) in enumerate(zip(losses, heads, strict=True)):
            found = torch.autograd.grad(loss, [*shared, *own], retain_graph=index + 1 < len(losses))
            for parameter, gradient in zip(own, found[len(shared) :], strict=True):
                parameter.grad = gradient
            if total:
                torch._foreach_add_(total, found[: len(shared)])
            else:
                total = list(found[: len(shared)])
        for parameter, gradient in zip(shared, total, strict=True):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def torchjd_scalarizer(net: Net, name: str) -> Step:
    """A loss weighting of TorchJD: its scalarizer, one backward pass, one step."""
    from torchjd import scalarization

    scalarizer = getattr(scalarization, name)(*((len(net.tasks),) if name == "UW" else ()))
    own = [(f"own.{n}", p) for n, p in scalarizer.named_parameters()]
    optimizer = adamw([*net.named_parameters(), *own])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        scalarizer(torch.stack(net.mean_losses(net.encoder(net.inputs)))).backward()
        optimizer.step()

    return step


def torchjd_aggregator(net: Net, name: str, chunk: int | None = 1) -> Step:
    """`mtl_backward`, an aggregator, one step. Chunk 1 is K backward passes, None is one under vmap."""
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    aggregator = getattr(aggregation, name)(**({"c": 0.5} if name == "CAGrad" else {}))
    optimizer = adamw(net.named_parameters())
    shared = list(net.encoder.parameters())
    heads = [list(head.parameters()) for head in net.heads]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        features = net.encoder(net.inputs)
        losses = net.mean_losses(features)
        mtl_backward(losses, features=features, shared_params=shared, tasks_params=heads, parallel_chunk_size=chunk)
        jac_to_grad(shared, aggregator)
        optimizer.step()

    return step
