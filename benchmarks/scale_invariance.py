"""Adam's partial invariance to the scale of a loss, after arXiv 2311.04698: who notices that loss 2 is 100 times larger?

python benchmarks/scale_invariance.py [--out scale_invariance.png] [--epochs 100] [--scale 100] [--eps 1e-8] [--seed 0]
                                      [--float64]

Two regressions with L1 losses, a backbone of two layers of 20 units with LeakyReLU, two heads of two layers. Each of
{equal weights + SGD, equal weights + Adam, UW-O + SGD, one Adam a task} is trained with plain losses and with loss 2
scaled, on a frozen backbone (heads only) and on a free one. What to expect: SGD notices everywhere; Adam on the sum
notices in the backbone only (the scale cancels in the heads, but for eps); UW-O and one Adam a task notice nowhere.
With eps 1e-8 the weights under one Adam a task still end some per cent apart, since coordinates with tiny gradients feel
eps and L1 gradients, signs, magnify it; with --eps 1e-12 the rounding of float32 is left, which they magnify too, and
with --float64 besides next to nothing.
The set-up is the paper's as far as it was read; data, learning rates and batch size are this program's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from medmtl.optim import Services, TaskLoss, make_method

SAMPLES, BATCH, TEST = 512, 64, 512


def _sgd(named: Iterable[tuple[str, nn.Parameter]], eps: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter for _, parameter in named], lr=1e-2)


def _adam(named: Iterable[tuple[str, nn.Parameter]], eps: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([parameter for _, parameter in named], lr=1e-3, eps=eps)


METHODS: dict[str, tuple[str, Callable[..., torch.optim.Optimizer]]] = {
    "EW + SGD": ("equal", _sgd),
    "EW + Adam": ("equal", _adam),
    "UW-O + SGD": ("uw_o", _sgd),
    "one Adam a task": ("mao", _adam),
}


class Toy(nn.Module):
    """The network, and L1 losses of it; task 2 is multiplied by a scale."""

    tasks = ("1", "2")

    def __init__(self, scale: float, seed: int, *, frozen: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = nn.Sequential(nn.Linear(10, 20), nn.LeakyReLU(), nn.Linear(20, 20), nn.LeakyReLU())
            self.heads = nn.ModuleDict(
                {task: nn.Sequential(nn.Linear(20, 20), nn.LeakyReLU(), nn.Linear(20, 1)) for task in self.tasks}
            )
            self.inputs = torch.randn(SAMPLES + TEST, 10)
            mixtures = torch.randn(10, 2) / 10**0.5
        self.targets = torch.sin(2 * self.inputs @ mixtures)
        self.scales = {"1": 1.0, "2": scale}
        self.backbone.requires_grad_(not frozen)

    def counts(self, batch: torch.Tensor, tasks: tuple[str, ...]) -> dict[str, int]:
        """All samples have all labels."""
        return dict.fromkeys(tasks, len(batch))

    def losses(self, batch: torch.Tensor, tasks: tuple[str, ...], buffers: str) -> dict[str, TaskLoss]:
        """Absolute errors of the samples with the given numbers, times the task's scale."""
        features = self.backbone(self.inputs[batch])
        return {task: TaskLoss(self.scales[task] * self._errors(features, batch, task), len(batch)) for task in tasks}

    @torch.no_grad()
    def test(self) -> dict[str, float]:
        """Mean absolute errors on samples that were not trained on, without the scale."""
        rows = torch.arange(SAMPLES, SAMPLES + TEST)
        features = self.backbone(self.inputs[rows])
        return {task: float(self._errors(features, rows, task)) / TEST for task in self.tasks}

    def _errors(self, features: torch.Tensor, rows: torch.Tensor, task: str) -> torch.Tensor:
        return (self.heads[task](features).squeeze(1) - self.targets[rows, int(task) - 1]).abs().sum()


@dataclass(frozen=True)
class Result:
    """One run: test errors after each epoch, final weights of backbone and heads."""

    errors: dict[str, list[float]]
    backbone: torch.Tensor
    heads: torch.Tensor


def batches(epochs: int, seed: int) -> Iterator[Iterator[torch.Tensor]]:
    """The same shuffled batches for every run."""
    random = torch.Generator().manual_seed(seed)
    return (iter(torch.randperm(SAMPLES, generator=random).split(BATCH)) for _ in range(epochs))


def train(name: str, scale: float, *, frozen: bool, epochs: int, seed: int, eps: float = 1e-8) -> Result:
    """Trains one method."""
    kind, optimizer = METHODS[name]
    problem, method = Toy(scale, seed, frozen=frozen), make_method(kind)
    method.build(problem, lambda named: optimizer(named, eps))
    services = Services(problem)
    errors: dict[str, list[float]] = {task: [] for task in problem.tasks}
    for epoch in batches(epochs, seed):
        for batch in epoch:
            method.update([batch], services)
        for task, error in problem.test().items():
            errors[task].append(error)
    backbone, heads = (
        nn.utils.parameters_to_vector(part.parameters()).detach() for part in (problem.backbone, problem.heads)
    )
    return Result(errors, backbone, heads)


Results = dict[tuple[str, bool, float], Result]


def table(results: Results, scale: float) -> str:
    """Errors with plain and scaled losses, and how far the final weights are apart, as Markdown."""
    lines = [
        "| method | backbone | task 1 plain | scaled | task 2 plain | scaled | heads apart | backbones apart |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, frozen in {(name, frozen): None for name, frozen, _ in results}:
        plain, scaled = results[name, frozen, 1.0], results[name, frozen, scale]
        errors = " | ".join(f"{run.errors[task][-1]:.4f}" for task in Toy.tasks for run in (plain, scaled))
        apart = [
            float((a - b).norm() / a.norm())
            for a, b in ((plain.heads, scaled.heads), (plain.backbone, scaled.backbone))
        ]
        lines.append(f"| {name} | {'frozen' if frozen else 'free'} | {errors} | {apart[0]:.1e} | {apart[1]:.1e} |")
    return "\n".join(lines)


def draw(results: Results, scale: float, path: str) -> None:
    """Test errors against the epoch; a row for each kind of backbone, a column for each method."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(METHODS), figsize=(14, 6), sharex=True, sharey=True, layout="constrained")
    for row, frozen in zip(axes, (True, False), strict=True):
        for axis, name in zip(row, METHODS, strict=True):
            for task, colour in zip(Toy.tasks, ("tab:blue", "tab:orange"), strict=True):
                for factor, style, width in ((1.0, "-", 1.2), (scale, ":", 3.0)):
                    label = f"task {task}" + (f", loss 2 × {scale:g}" if factor != 1 else "")
                    axis.plot(results[name, frozen, factor].errors[task], style, color=colour, lw=width, label=label)
            axis.set_title(f"{name}, backbone {'frozen' if frozen else 'free'}")
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    for row in axes:
        row[0].set_ylabel("test error (L1, without scale)")
    top = max(run.errors[task][0] for run in results.values() for task in Toy.tasks)
    axes[0, 0].set_ylim(0, 1.3 * top if top < float("inf") else None)
    axes[0, 0].legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    """Runs all, prints the table, draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="file of the figure")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--scale", type=float, default=100.0)
    parser.add_argument("--eps", type=float, default=1e-8, help="of Adam")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--float64", action="store_true", help="compute in float64 (other data: they are drawn in it)")
    given = parser.parse_args()
    if given.float64:
        torch.set_default_dtype(torch.float64)
    results = {
        (name, frozen, scale): train(name, scale, frozen=frozen, epochs=given.epochs, seed=given.seed, eps=given.eps)
        for name in METHODS
        for frozen in (True, False)
        for scale in (1.0, given.scale)
    }
    print(table(results, given.scale))
    if given.out:
        draw(results, given.scale, given.out)
        print(f"figure: {given.out}")


if __name__ == "__main__":
    main()
