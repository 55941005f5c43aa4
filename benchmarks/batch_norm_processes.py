"""What several processes change where batch norm trains: each sees its own part of a batch. A table, beside group norm.

python benchmarks/batch_norm_processes.py [--batch 24] [--steps 60] [--processes 2,3]

A convolutional encoder with two heads (regressions on synthetic images) is trained on the same batches by one process and
by several (gloo, CPU). Columns: how far the first update of the encoder is from that of one process, relative to its
length; the same for the way that the weights have gone in all steps; mean loss at the end, on one fixed set of images in
evaluation mode, where batch norm uses its running statistics (those of the first process).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from medmtl.optim import AllReduce, PlainProblem, Services, make_method

METHODS = ("equal", "mao", "pcgrad")
NORMS = ("group", "batch")
TEST = 256

Batch = tuple[Tensor, dict[str, Tensor]]


class Net(nn.Module):
    """Three convolutions with a norm, two heads."""

    def __init__(self, norm: str) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers: list[nn.Module] = []
            for before, width in ((3, 16), (16, 32), (32, 32)):
                kind = nn.GroupNorm(4, width) if norm == "group" else nn.BatchNorm2d(width)
                layers += [nn.Conv2d(before, width, 3, 2, 1), kind, nn.ReLU()]
            self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.heads = nn.ModuleDict({"a": nn.Linear(32, 1), "b": nn.Linear(32, 1)})
        self.double()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Both outputs."""
        features = self.trunk(x)
        return {name: head(features) for name, head in self.heads.items()}


def images(number: int, seed: int) -> Batch:
    """Images with a brightness and a contrast of their own, which are the targets."""
    random = torch.Generator().manual_seed(seed)
    bright, contrast = (torch.rand(number, 1, generator=random, dtype=torch.float64) for _ in range(2))
    noise = torch.randn(number, 3, 24, 24, generator=random, dtype=torch.float64)
    return noise * (0.2 + contrast[..., None, None]) + bright[..., None, None], {"a": bright, "b": contrast}


def part_of(batch: Batch, rank: int, world: int) -> Batch:
    """Every ``world``-th image, as the loader deals them."""
    inputs, labels = batch
    return inputs[rank::world], {task: values[rank::world] for task, values in labels.items()}


def train(method_name: str, norm: str, size: int, steps: int, rank: int, world: int) -> tuple[Tensor, Tensor, float]:
    """First update of the trunk, the whole way of it, and the mean loss at the end."""
    net = Net(norm)
    problem = PlainProblem(net, dict.fromkeys("ab", lambda output, label: (output - label) ** 2))
    method = make_method(method_name)
    method.build(problem, _adamw)
    services = Services(problem, reducer=AllReduce() if world > 1 else None)
    start = nn.utils.parameters_to_vector(net.trunk.parameters()).detach()
    first = start
    for step in range(steps):
        method.update([part_of(images(size, step), rank, world)], services)
        if step == 0:
            first = nn.utils.parameters_to_vector(net.trunk.parameters()).detach() - start
    way = nn.utils.parameters_to_vector(net.trunk.parameters()).detach() - start
    net.eval()
    with torch.no_grad():
        found = problem.losses(images(TEST, 10**6), problem.tasks, "frozen")
    return first, way, sum(float(loss.mean) for loss in found.values())


def _adamw(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW([parameter for _, parameter in named], lr=3e-3)


def _process(rank: int, world: int, store: str, folder: str, size: int, steps: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    found = {f"{m} {n}": train(m, n, size, steps, rank, world) for m in METHODS for n in NORMS}
    if rank == 0:
        torch.save(found, Path(folder) / f"{world}.pt")
    dist.destroy_process_group()


def main() -> None:
    """Trains by one process and by several, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--processes", default="2,3")
    given = parser.parse_args()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    alone = {f"{m} {n}": train(m, n, given.batch, given.steps, 0, 1) for m in METHODS for n in NORMS}
    print(f"batch of {given.batch} in all, {given.steps} steps, AdamW at 3e-3, float64\n")
    print(
        "| method | norm | processes | first update | way | loss at the end (one process) |\n|---|---|---|---|---|---|"
    )
    for world in map(int, given.processes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(_process, (world, f"{folder}/store", folder, given.batch, given.steps), nprocs=world)
            found = torch.load(Path(folder) / f"{world}.pt", weights_only=True)
        for key, (first, way, loss) in found.items():
            one_first, one_way, one_loss = alone[key]
            apart = [float((a - b).norm() / b.norm()) for a, b in ((first, one_first), (way, one_way))]
            method, norm = key.split()
            print(f"| {method} | {norm} | {world} | {apart[0]:.1e} | {apart[1]:.1e} | {loss:.5f} ({one_loss:.5f}) |")


if __name__ == "__main__":
    main()
