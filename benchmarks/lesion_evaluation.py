"""Lesion-level evaluation: seconds for a large set under all rules, and ratios to MONAI's and picai_eval's functions.

python benchmarks/lesion_evaluation.py [--images 1000] [--classes 4] [--picai FOLDER]

In one run, on the same input: candidates and lesions as tables and cropped masks in memory; then the same points and
label images through MONAI's FROC, the same detection maps through picai_eval's (if installed, or in FOLDER), and masks
of 4288 x 2848 pixels from the disk.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from medmtl.data.masks import read_mask_for
from medmtl.data.samples import MaskReference
from medmtl.evaluation import (
    Candidates,
    MatchPool,
    Region,
    Targets,
    components,
    lesion_targets,
    match_images,
    pooled_froc,
)
from medmtl.evaluation.froc import CPM_RATES, LENIENT, RETINA_RATES
from medmtl.evaluation.froc_intervals import froc_intervals

RULES: tuple[tuple[str, dict[str, float]], ...] = (
    ("peak_in_lesion", {}),
    ("peak_in_lesion", {"tolerance": 10}),
    ("center_distance", {"r_min": 5}),
    ("any_overlap", {}),
    ("iou", {"threshold": 0.1}),
    ("dice", {"threshold": 0.2}),
)
SHAPE = (1024, 1024)


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """Gives the result, and seconds by the clock and of the processor (which other jobs do not inflate)."""
    wall, processor = time.perf_counter(), time.process_time()
    result = function()
    return result, time.perf_counter() - wall, time.process_time() - processor


def scene(rng: np.random.Generator, most: int = 100) -> tuple[list[Region], list[Region], list[float], list[float]]:
    """Up to ``most`` lesions and candidates of an image: six candidates in ten lie on a lesion, or near it."""
    lesions = [
        Region.circle(*rng.uniform(20, 1000, 2), rng.uniform(3, 15), SHAPE) for _ in range(rng.integers(0, most + 1))
    ]
    regions, x, y = [], [], []
    for _ in range(rng.integers(0, most + 1)):
        center = rng.uniform(20, 1000, 2)
        if lesions and rng.random() < 0.6:
            center = np.clip(np.array(lesions[rng.integers(len(lesions))].centroid) + rng.normal(0, 6, 2), 0, 1023)
        regions.append(Region.circle(*center, rng.uniform(3, 15), SHAPE))
        x.append(float(center[0]))
        y.append(float(center[1]))
    return lesions, regions, x, y


def everything(images: list[Any]) -> list[float]:
    """From crops in memory to intervals: every rule, strict and lenient, hits on other classes, 2,000 draws of images."""
    found = []
    lesions = [[Targets.of_regions(row[0], SHAPE) for row in rows] for rows in images]
    for number, rows in enumerate(images):
        candidates = [Candidates.points(x, y, score, regions=tuple(crops)) for _, crops, x, y, score in rows]
        pool = MatchPool.of(candidates, lesions[number], [one for other, one in enumerate(lesions) if other != number])
        for rule, parameters in RULES:
            matches = match_images(pool, rule=rule, **parameters)
            pooled_froc(matches, LENIENT)
            each, _ = froc_intervals(matches, (*RETINA_RATES, *CPM_RATES))
            found.append(each[1].value)
    return found


def large_set(images: int, classes: int) -> None:
    """The main figure: under 10 seconds is the aim for 1,000 images and 4 classes."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(classes):
        rows = [scene(rng) for _ in range(images)]
        made.append([(*row, rng.random(len(row[1]))) for row in rows])
    candidates = sum(len(row[1]) for rows in made for row in rows)
    lesions = sum(len(row[0]) for rows in made for row in rows)
    _, wall, processor = timed(lambda: everything(made))
    print(
        f"{images} images, {classes} classes, {candidates} candidates, {lesions} lesions, {len(RULES)} rules, "
        f"hits on other classes told, 2,000 draws: {wall:.1f} s by the clock, {processor:.1f} s of the processor (aim: under 10)"
    )


def against_monai(images: int = 1000) -> None:
    """The same points and label images through ``monai.metrics.froc`` and through ours: one curve of one class."""
    froc = importlib.import_module("monai.metrics.froc")
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(images):
        canvas = np.zeros((384, 384), dtype=np.int16)
        for number, (x, y) in enumerate(rng.integers(10, 370, (int(rng.integers(1, 100)), 2)), 1):
            canvas[y - 4 : y + 5, x - 4 : x + 5] = number
        numbers = np.unique(canvas, return_inverse=True)[1].reshape(canvas.shape).astype(np.int16)
        points = rng.integers(0, 384, (100, 2))
        rows.append((numbers, points, rng.random(100)))

    def theirs() -> Any:
        parts = [froc.compute_fp_tp_probs_nd(score, points, labels) for labels, points, score in rows]
        false, true = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return froc.compute_froc_curve_data(false, true, sum(part[2] for part in parts), images)

    def ours() -> Any:
        targets = [Targets.of_labels(labels) for labels, *_ in rows]
        found = [Candidates.points(points[:, 1], points[:, 0], score) for _, points, score in rows]
        return pooled_froc(match_images(found, targets))

    (fppi, sensitivity), _, slow = timed(theirs)
    curve, _, quick = timed(ours)
    same = np.interp(50.0, fppi[::-1], sensitivity[::-1])
    print(
        f"MONAI's FROC, {images} images of 384 px, 100 points each: {slow:.2f} s, ours {quick:.2f} s, "
        f"ratio {slow / quick:.0f} (sensitivity at 50: {same:.3f} and {curve.sensitivity_at(50).sensitivity:.3f})"
    )


def against_picai(images: int = 12) -> None:
    """The same detection maps and masks through ``picai_eval.evaluate`` and through ours: one curve, IoU of 0.1."""
    try:
        picai = importlib.import_module("picai_eval")
    except ImportError:
        print("picai_eval is not installed: no ratio to it (pip install picai_eval, or --picai FOLDER)")
        return
    rng = np.random.default_rng(2)
    truth, maps = np.zeros((2, images, 512, 512), dtype=np.float32)
    for number in range(images):
        for x, y in rng.integers(20, 490, (int(rng.integers(0, 25)), 2)):
            truth[number, y - 5 : y + 6, x - 5 : x + 6] = 1
        for x, y in rng.integers(20, 490, (25, 2)):
            maps[number, y - 5 : y + 6, x - 5 : x + 6] = rng.integers(1, 17) / 16
        for x, y in np.argwhere(truth[number].T)[:: 11 * 11 * 2]:
            maps[number, y - 3 : y + 6, x - 3 : x + 6] = rng.integers(1, 17) / 16

    def theirs() -> Any:
        return picai.evaluate(y_det=list(maps[:, None]), y_true=list(truth[:, None].astype(int)), num_parallel_calls=1)

    def ours() -> Any:
        targets = [lesion_targets(mask.astype(np.uint8)) for mask in truth]
        found = [components(one, 1e-6) for one in maps]
        return pooled_froc(match_images(found, targets, "iou", threshold=0.1))

    metrics, slow, _ = timed(theirs)
    curve, quick, _ = timed(ours)
    print(
        f"picai_eval, {images} maps of 512 px: {slow:.2f} s, ours {quick:.2f} s, ratio {slow / quick:.0f} "
        f"({metrics.num_lesions} and {curve.lesions} lesions)"
    )


def large_masks(images: int = 4) -> None:
    """Masks and maps of 4288 x 2848 pixels: reading a mask file, its lesions, and candidates under all rules."""
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for number in range(images):
            mask = np.zeros((2848, 4288), dtype=np.uint8)
            for x, y in rng.integers(50, 2800, (300, 2)):
                cv2.circle(mask, (int(x), int(y)), int(rng.integers(4, 40)), 1, -1)
            path = Path(folder) / f"{number}.png"
            cv2.imwrite(str(path), mask)
            x, y = rng.uniform(50, 2800, (2, 60))
            regions = tuple(Region.circle(*point, 20, mask.shape) for point in zip(x, y, strict=True))
            made.append((path, Candidates.points(x, y, rng.random(60), regions=regions)))

        def one_by_one() -> None:
            for path, candidates in made:
                targets = lesion_targets(read_mask_for(MaskReference(path), (2848, 4288), binary=True))
                pool = MatchPool.of([candidates], [targets])
                for rule, parameters in RULES:
                    pooled_froc(match_images(pool, rule=rule, **parameters))

        one_by_one()
        _, wall, processor = timed(one_by_one)
    print(
        f"a mask of 4288 x 2848, read from PNG and evaluated by {len(RULES)} rules: {wall / images:.3f} s by the clock, "
        f"{processor / images:.3f} s of the processor (aim: under 0.3)"
    )


def main() -> None:
    """Runs the four parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--picai", help="folder that holds picai_eval")
    given = parser.parse_args()
    if given.picai:
        sys.path.append(given.picai)
    cv2.setNumThreads(1)
    large_set(given.images, given.classes)
    against_monai()
    against_picai()
    large_masks()


if __name__ == "__main__":
    main()
