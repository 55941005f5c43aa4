"""Does the scale of one loss decide who learns? Two regressions on a shared trunk, loss 2 times s; a table, a figure.

python benchmarks/mao_toy.py [--out mao_toy.png] [--steps 400] [--seed 0]

Adam on the sum of the losses starves the task with the smaller scale; MAO's run is the same for every scale (but for
eps). The table shows that invariance, not that MAO is more accurate.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from medmtl.optim import Services, TaskLoss, make_method
from medmtl.optim.analysis import UpdateShares

SCALES = (1.0, 0.01, 100.0)
METHODS = {"Adam": ("equal", {}), "MAO (mean)": ("mao", {"form": "adam", "combine": "mean"})}
LEARNING_RATE = 3e-3


class Toy(nn.Module):
    """10 → 16 → 16 shared, two heads; each target is a fixed nonlinear function of its own mixture of the inputs."""

    tasks = ("1", "2")

    def __init__(self, scale: float, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh())
            self.heads = nn.ModuleDict({task: nn.Linear(16, 1) for task in self.tasks})
            self.inputs = torch.randn(256, 10)
            mixtures = torch.randn(10, 2) / 10**0.5
        self.targets = torch.sin(2 * self.inputs @ mixtures)
        self.scales = {"1": 1.0, "2": scale}

    def counts(self, batch: object, tasks: tuple[str, ...]) -> dict[str, int]:
        """All samples have all labels."""
        return dict.fromkeys(tasks, len(self.inputs))

    def losses(self, batch: object, tasks: tuple[str, ...], buffers: str) -> dict[str, TaskLoss]:
        """Squared errors of all samples, times the task's scale."""
        features = self.trunk(self.inputs)
        found = {}
        for task in tasks:
            errors = self.heads[task](features).squeeze(1) - self.targets[:, int(task) - 1]
            found[task] = TaskLoss(self.scales[task] * errors.square().sum(), len(errors))
        return found


@dataclass(frozen=True)
class Result:
    """One run: losses without their scale at each step, rAU of task 1 in each shared tensor, final weights."""

    losses: dict[str, list[float]]
    shares: list[float]
    weights: torch.Tensor


def adam(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    """The optimizer of every run."""
    return torch.optim.Adam([parameter for _, parameter in named], lr=LEARNING_RATE)


def train(name: str, scale: float, *, steps: int = 400, seed: int = 0) -> Result:
    """Trains one method at one scale of loss 2."""
    kind, arguments = METHODS[name]
    problem, method = Toy(scale, seed), make_method(kind, **arguments)
    method.build(problem, adam)
    services, shares = Services(problem), UpdateShares(decay=0.96, layer=lambda tensor: tensor)
    history: dict[str, list[float]] = {task: [] for task in problem.tasks}
    counts = services.counts([None], problem.tasks)
    for step in range(steps):
        if step % 4 == 0:
            rows = {found.task: found.gradients for found in services.task_gradients([None], counts)}
            shares.observe(method.attributed_updates(rows))
        report = method.update([None], services)
        for task, loss in report.losses.items():
            history[task].append(loss / problem.scales[task])
    first = [found["1"] for found in shares.shares().values()]
    return Result(history, first, nn.utils.parameters_to_vector(problem.parameters()).detach())


def table(results: dict[tuple[str, float], Result]) -> str:
    """Final losses and shares as Markdown."""
    lines = ["| optimizer | s | loss 1 | loss 2 / s | rAU of task 1 | distance to s = 1 |", "|---|---|---|---|---|---|"]
    for (name, scale), result in results.items():
        ends = " | ".join(f"{losses[-1]:.4f}" for losses in result.losses.values())
        shares = " ".join(f"{share:.2f}" for share in result.shares)
        distance = float((result.weights - results[name, 1.0].weights).norm())
        lines.append(f"| {name} | {scale:g} | {ends} | {shares} | {distance:.4f} |")
    return "\n".join(lines)


def draw(results: dict[tuple[str, float], Result], path: str) -> None:
    """Losses without their scale against the step, a panel for each method and task."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(METHODS), 2, figsize=(9, 6), sharex=True, sharey=True, layout="constrained")
    styles = dict(zip(SCALES, ((1.5, "-"), (3.5, ":"), (2.5, "--")), strict=True))
    for row, name in zip(axes, METHODS, strict=True):
        for axis, task in zip(row, Toy.tasks, strict=True):
            for scale, (width, style) in styles.items():
                axis.semilogy(results[name, scale].losses[task], style, lw=width, label=f"loss 2 × {scale:g}")
            axis.set_title(f"{name}: task {task}")
    for axis in axes[-1]:
        axis.set_xlabel("step")
    for row in axes:
        row[0].set_ylabel("loss without its scale")
    axes[0, 0].legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Runs all, prints the table, draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="file of the figure")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    results = {
        (name, scale): train(name, scale, steps=given.steps, seed=given.seed) for name in METHODS for scale in SCALES
    }
    print(table(results))
    if given.out:
        draw(results, given.out)
        print(f"figure: {given.out}")


if __name__ == "__main__":
    main()
