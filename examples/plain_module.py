"""A plain `nn.Module` with three losses, balanced by MAO and by UW-SO with `medmtl.optim` alone.

The ten lines that matter are in `train`. Nothing of medmtl is used but its balancing methods; the network, the data and
the loop are ordinary PyTorch. Every third label is missing (NaN, or -1 for a class): such a sample changes nothing
for that task.

The figures compare nothing: learning rates are not tuned, and MAO's summed steps are up to three times as long as Adam's.

    python examples/plain_module.py
    python examples/plain_module.py pcgrad --steps 500
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medmtl.optim import PlainProblem, Services, make_method


class Network(nn.Module):
    """One trunk, three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.heads = nn.ModuleDict({"age": nn.Linear(32, 1), "grade": nn.Linear(32, 3), "signs": nn.Linear(32, 4)})

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Outputs of all tasks."""
        features = self.trunk(inputs)
        return {name: head(features) for name, head in self.heads.items()}


LOSSES = {
    "age": lambda output, label: F.mse_loss(output[:, 0], label, reduction="none"),
    "grade": lambda output, label: F.cross_entropy(output, label, reduction="none"),
    "signs": lambda output, label: F.binary_cross_entropy_with_logits(output, label, reduction="none"),
}

Batch = tuple[Tensor, dict[str, Tensor]]


def train(method_name: str, batches: Iterator[Batch], learning_rate: float = 1e-3, **arguments: Any) -> list[Any]:
    """Trains a new network and returns one report an update: losses, weights, gradient norms, ..."""
    torch.manual_seed(0)
    network = Network()
    problem = PlainProblem(network, LOSSES)
    method = make_method(method_name, **arguments)
    method.build(problem, lambda named: torch.optim.AdamW([p for _, p in named], lr=learning_rate))
    services = Services(problem)
    return [method.update([batch], services) for batch in batches]  # several in one list act as one big batch


def synthetic(steps: int, samples: int = 32, seed: int = 0) -> Iterator[Batch]:
    """Batches of made-up patients whose labels all depend on the same eight measurements."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(8, 6, generator=random)
    for _ in range(steps):
        inputs = torch.randn(samples, 8, generator=random)
        hidden = torch.tanh(inputs @ mixing / 2)
        age = 6 + 3 * hidden[:, 0]  # in decades
        grade = (hidden[:, 1] > -0.3).long() + (hidden[:, 1] > 0.5).long()
        signs = (hidden[:, 2:] > 0).float()
        missing = torch.rand(samples, 3, generator=random) < 1 / 3
        age[missing[:, 0]], grade[missing[:, 1]], signs[missing[:, 2]] = torch.nan, -1, torch.nan
        yield inputs, {"age": age, "grade": grade, "signs": signs}


def mean_losses(reports: Sequence[Any], last: int = 50) -> dict[str, float]:
    """Mean loss of each task over the last updates."""
    found = {task: [report.losses[task] for report in reports[-last:] if task in report.losses] for task in LOSSES}
    return {task: sum(values) / len(values) for task, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains with each method and prints the losses of the last updates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("methods", nargs="*", default=["equal", "mao", "uw_so"], help="see `medmtl methods`")
    parser.add_argument("--steps", type=int, default=600, help="updates")
    options = parser.parse_args(arguments)
    settings: dict[str, dict[str, Any]] = {
        "uw_so": {"temperature": 1.0}
    }  # in units of 1/loss; at 0.2 one task takes all
    print(f"{'method':12}" + "".join(f"{task:>10}" for task in LOSSES))
    for name in options.methods:
        reports = train(name, synthetic(options.steps), **settings.get(name, {}))
        print(f"{name:12}" + "".join(f"{loss:10.4f}" for loss in mean_losses(reports).values()))


if __name__ == "__main__":
    main()
