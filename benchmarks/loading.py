"""Loading: an epoch after the first against as many steps on one batch in memory, and against a plain MONAI pipeline.

    python benchmarks/loading.py [--size 256] [--images 64] [--batch 8] [--workers 2] [--cache memory]

The first ratio should stay at or below 1.10 on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from monai.data import CacheDataset
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandFlipd,
    RandRotate90d,
    RandScaleIntensityd,
    Resized,
    ScaleIntensityRanged,
)

from medmtl.config import parse_config
from medmtl.data.loading import Batch, ViewDataset
from medmtl.data.synthetic import write_dataset
from medmtl.optim import Services
from medmtl.progress import Progress
from medmtl.training.problem import to_device
from medmtl.training.stepping import train_step
from medmtl.training.windows import WindowSource, make_feed
from medmtl.workflows.setup import Setup, ViewData, view_data


def make_setup(folder: Path, arguments: argparse.Namespace) -> Setup:
    """Three tasks on synthetic images."""
    manifest = write_dataset(arguments.images, 1, folder / "data", size=2 * arguments.size)
    config = {
        "data": {"manifests": [str(manifest)], "validation_fraction": 0.0},
        "views": {"field": {"size": arguments.size, "batch_size": arguments.batch}},
        "model": {"encoder": {"weights": "none"}},
        "tasks": {
            "vessels": {"type": "segmentation", "classes": {"vessel": {"column": "vessels"}}},
            "referable": {"type": "classification"},
            "lesions": {"type": "localization", "classes": ["hard_exudates", "haemorrhages"]},
        },
        "training": {"device": "cpu"},
    }
    return Setup(parse_config(config))


def epochs(setup: Setup, data: ViewData, workers: int, rounds: int) -> list[float]:
    """For each epoch after the first: its duration over that of as many steps on one of its batches."""
    feed = make_feed(data.dataset, "field", setup.config, data.tasks)
    views = {task.name: "field" for task in setup.tasks}
    source = WindowSource({"field": feed}, views, setup.method.plan, accumulation=1, workers=workers, pin=False)
    problem = setup.problem(setup.network().train())
    services, length = Services(problem), source.steps_per_epoch

    def step(window: list[list[Batch]]) -> None:
        here = [to_device(batch, setup.device, channels_last=True) for batch in window]
        train_step(setup.method, services, here, step=5, total=100, warmup=0.1)

    windows: Iterator[list[list[Batch]]] = source.windows(0, length * (rounds + 1))
    ratios = []
    for _ in range(rounds + 1):
        kept: list[list[Batch]] = []
        start = time.perf_counter()
        for _ in range(length):
            kept = next(windows)
            step(kept)
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(length):
            step(kept)
        ratios.append(loaded / (time.perf_counter() - start))
    return ratios[1:]


def plain_monai(dataset: ViewDataset, size: int) -> CacheDataset:
    """What one would write with MONAI alone: image and vessel mask, resized, flipped, turned, scaled."""
    keys = ["image", "mask"]
    items = [{"image": str(s.image), "mask": str(s.masks["vessels"].path)} for s in dataset.samples]
    transform = Compose(
        [
            LoadImaged(keys),
            EnsureChannelFirstd(keys),
            Resized(keys, (size, size), mode=["area", "nearest"]),
            ScaleIntensityRanged("image", 0, 255, 0, 1),
            RandFlipd(keys, prob=0.5, spatial_axis=0),
            RandFlipd(keys, prob=0.5, spatial_axis=1),
            RandRotate90d(keys, prob=0.75),
            RandScaleIntensityd("image", 0.1, prob=1.0),
        ]
    )
    return CacheDataset(items, transform, num_workers=0, progress=False)


def per_image(dataset: object, count: int) -> float:
    """Seconds for one image."""
    start = time.perf_counter()
    for index in range(count):
        dataset[index]  # type: ignore[index]
    return (time.perf_counter() - start) / count


def timed(make: Callable[[], object]) -> tuple[object, float]:
    """What is made, and how long it took."""
    start = time.perf_counter()
    return make(), time.perf_counter() - start


def main() -> None:
    """Prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", choices=["none", "disk", "memory"], default="memory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = make_setup(Path(folder), arguments)
        cache = (arguments.cache, Path(folder) / "cache")
        training = setup.cohort.training
        data = view_data(setup, training, cache, Progress(quiet=True), training=True)["field"]
        ratios = epochs(setup, data, arguments.workers, arguments.rounds)
        print(
            f"epoch over the same steps on one batch in memory: {statistics.median(ratios):.3f} {np.round(ratios, 3)}"
        )
        quiet = Progress(quiet=True)
        mine, filled = timed(
            lambda: view_data(setup, training, ("memory", None), quiet, training=True)["field"].dataset
        )
        plain, plain_filled = timed(lambda: plain_monai(data.dataset, arguments.size))
        pairs = [(per_image(plain, len(training)), per_image(mine, len(training))) for _ in range(7)]
        low, high = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(
            f"filling the cache: MONAI {plain_filled:.2f} s, medmtl {filled:.2f} s, ratio {filled / plain_filled:.2f}"
        )
        print(f"per image: MONAI {low:.2f} ms, medmtl {high:.2f} ms, ratio {ratio:.2f} (four targets instead of one)")


if __name__ == "__main__":
    main()
