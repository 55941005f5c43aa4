"""A training step against the bare forward, backward and optimizer step of the same network; prints the ratio.

python benchmarks/step.py [--size 256] [--batch 8] [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from medmtl.config import parse_config
from medmtl.data.loading import Batch
from medmtl.data.synthetic import write_dataset
from medmtl.optim import Services
from medmtl.progress import Progress
from medmtl.training.schedule import adamw_factory
from medmtl.training.stepping import train_step
from medmtl.training.windows import make_feed
from medmtl.workflows.setup import Setup, view_data


def seconds(work: Callable[[], object]) -> float:
    """Duration of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make_setup(folder: Path, size: int, batch: int) -> Setup:
    """Three tasks on synthetic images."""
    manifest = write_dataset(2 * batch + 8, 1, folder / "data", size=size)
    config = {
        "data": {"manifests": [str(manifest)], "workers": 0, "validation_fraction": 0.0},
        "views": {"field": {"size": size, "batch_size": batch}},
        "model": {"encoder": {"weights": "none"}},
        "tasks": {
            "vessels": {"type": "segmentation", "classes": {"vessel": {"column": "vessels"}}},
            "referable": {"type": "classification"},
            "lesions": {"type": "localization", "classes": ["hard_exudates", "haemorrhages"]},
        },
        "training": {"device": "cpu"},
    }
    return Setup(parse_config(config))


def first_batch(setup: Setup) -> Batch:
    """A batch as the loader gives it."""
    data = view_data(setup, setup.cohort.training, ("memory", None), Progress(quiet=True), training=True)["field"]
    feed = make_feed(data.dataset, "field", setup.config, data.tasks)
    from medmtl.data.loading import collate

    return collate("field", [data.dataset[draw] for draw in feed.stream.batch(0)]).to(setup.device, channels_last=True)


def bare(setup: Setup, batch: Batch) -> Callable[[], None]:
    """Forward, sum of mean losses, backward, AdamW; nothing else."""
    network = setup.network().train()
    optimizer = adamw_factory(setup.config.training)(network.named_parameters())

    def step() -> None:
        outputs = network(batch.image, None, valid=batch.field)
        total = torch.zeros(())
        for task in setup.tasks:
            total = total + task.loss(outputs[task.name], batch.targets[task.name], batch.field).mean
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()

    return step


def ours(setup: Setup, batch: Batch) -> Callable[[], None]:
    """The step that training takes."""
    problem = setup.problem(setup.network().train())
    services = Services(problem)

    def step() -> None:
        train_step(setup.method, services, [[batch]], step=5, total=100, warmup=0.1)

    return step


def main() -> None:
    """Interleaved rounds, medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = make_setup(Path(folder), arguments.size, arguments.batch)
        batch = first_batch(setup)
    floor, step = bare(setup, batch), ours(setup, batch)
    pairs = [(seconds(floor), seconds(step)) for _ in range(arguments.rounds + 2)][2:]
    low, high = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"bare step {low * 1e3:.1f} ms, training step {high * 1e3:.1f} ms, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
