"""Heat maps of an image against one forward pass of the same network.

    python benchmarks/explain.py demo/run demo/data/images

Prints, per image: one forward pass, the maps and candidates beside it (aim: under 1.3 forward passes), reading and
cropping the image, and writing the files.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from medmtl.data.samples import Sample
from medmtl.inference.predict import evaluation_batches, predict, view_tasks
from medmtl.progress import Progress
from medmtl.workflows.explaining import explain, find_images
from medmtl.workflows.trained import open_trained


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """Median duration of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Times the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--number", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    trained = open_trained(arguments.run)
    paths = find_images([arguments.images])[: arguments.number]
    samples = [Sample(path.stem, path, n, path.parent, "images", path.stem) for n, path in enumerate(paths)]
    tasks = [task for task in trained.tasks if task.kind == "localization"]
    view, members = next(iter(view_tasks(tasks).items()))
    config = trained.folder.config
    batches = list(evaluation_batches(samples, view, members, config, targets=False))
    names = [task.name for task in members]

    @torch.no_grad()
    def forward() -> None:
        for batch in batches:
            trained.network(batch.to(trained.device, channels_last=True).image, names, valid=batch.field)

    def maps() -> None:
        list(predict(trained.network, members, batches, samples, trained.device, config))

    def everything() -> None:
        with tempfile.TemporaryDirectory() as folder:
            explain(arguments.run, paths, out=Path(folder) / "out", progress=Progress(quiet=True))

    count = len(samples)
    one, with_maps, whole = (median_seconds(call, arguments.repeats) / count for call in (forward, maps, everything))
    print(f"forward pass {1e3 * one:.1f} ms an image")
    print(f"forward pass, maps and candidates {1e3 * with_maps:.1f} ms an image: {with_maps / one:.2f} forward passes")
    print(f"explain, with loading the run, reading images and writing files: {1e3 * whole:.0f} ms an image")


if __name__ == "__main__":
    main()
