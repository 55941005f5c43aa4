"""Slow and plain twins of lesion-level evaluation: full masks, loops over pixels and candidates, nothing shared with it."""

from __future__ import annotations

import math

import numpy as np

from medmtl.evaluation.candidates import Candidates
from medmtl.evaluation.regions import Region
from medmtl.evaluation.targets import Targets

RULES = [
    ("peak_in_lesion", {}),
    ("peak_in_lesion", {"tolerance": 1.5}),
    ("center_distance", {}),
    ("center_distance", {"factor": 0.5, "r_min": 2.0}),
    ("any_overlap", {}),
    ("any_overlap", {"guard": 1.2}),
    ("any_overlap", {"guard": math.inf}),
    ("iou", {"threshold": 0.1}),
    ("dice", {"threshold": 0.4}),
]


def full(region, shape):
    mask = np.zeros(shape, bool)
    h, w = region.mask.shape
    mask[region.top : region.top + h, region.left : region.left + w] = region.mask
    return mask


def random_region(rng, shape):
    kind = rng.integers(4)
    x, y = rng.uniform(0, shape[1] - 1), rng.uniform(0, shape[0] - 1)
    if kind == 0:
        return Region.box(x, y, x + rng.uniform(0, 5), y + rng.uniform(0, 5), shape)
    if kind == 1:
        return Region.circle(x, y, rng.uniform(0, 3), shape)
    if kind == 2:
        return Region.point(x, y, shape)
    mask = np.zeros(shape, bool)
    mask[int(y) : int(y) + 4, int(x) : int(x) + 4] = (
        rng.random(mask[int(y) : int(y) + 4, int(x) : int(x) + 4].shape) < 0.6
    )
    mask[int(y), int(x)] = True
    return Region.of_mask(mask)


def scene(seed, with_regions=True):
    """Candidates, lesions, irrelevant findings, unknown pixels and another class of one small image, with ties."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 16)), int(rng.integers(8, 16)))
    make = lambda n: [random_region(rng, shape) for _ in range(n)]  # noqa: E731
    lesions, ignored, other = make(rng.integers(0, 6)), make(rng.choice([0, 2])), make(rng.choice([0, 2]))
    unknown = rng.random(shape) < rng.choice([0.0, 0.2])
    n = int(rng.integers(0, 10))
    regions = tuple(make(n))
    x, y = rng.uniform(-0.4, shape[1] - 0.6, n), rng.uniform(-0.4, shape[0] - 0.6, n)
    candidates = Candidates.points(x, y, rng.integers(0, 5, n) / 4, regions=regions if with_regions else None)
    targets = Targets.of_regions(lesions, shape, unknown=unknown, irrelevant=ignored)
    return candidates, targets, Targets.of_regions(other, shape), (lesions, ignored, other, unknown)


def cost(rule, parameters, point, region, lesion, shape):
    """The cost of a hit, or None; from full masks."""
    x, y = point
    mask = full(lesion, shape)
    if rule == "peak_in_lesion":
        best = None
        for row, column in zip(*np.nonzero(mask), strict=True):
            under = math.floor(x + 0.5) == column and math.floor(y + 0.5) == row
            away = 0.0 if under else math.hypot(column - x, row - y)
            if away <= parameters.get("tolerance", 0.0) and (best is None or away < best):
                best = away
        return best
    if rule == "center_distance":
        center, radius = lesion.centroid, lesion.equivalent_radius
        away = math.hypot(x - center[0], y - center[1])
        return away if away <= max(parameters.get("factor", 1.0) * radius, parameters.get("r_min", 0.0)) else None
    mine = full(region, shape)
    shared, a, b = int((mine & mask).sum()), int(mine.sum()), int(mask.sum())
    if not shared:
        return None
    if rule == "any_overlap":
        return -shared if a <= parameters.get("guard", 4.0) * b else None
    value = shared / (a + b - shared) if rule == "iou" else 2 * shared / (a + b)
    return -value if value >= parameters["threshold"] - 1e-12 else None


def outcomes(case, rule, parameters, other_class="false_positive", threshold=-math.inf):
    """(name, lesions newly found by lenient counting) of each candidate at or above a threshold, one after the other."""
    candidates, targets, _, (lesions, ignored, other, unknown) = case
    shape, claimed, first, result = targets.shape, set(), set(), []
    for i in range(len(candidates)):
        if candidates.score[i] < threshold:
            continue
        x, y = candidates.x[i], candidates.y[i]
        region = None if candidates.regions is None else candidates.regions[i]

        def hits(those, point=(x, y), region=region):
            found = [(cost(rule, parameters, point, region, one, shape), k) for k, one in enumerate(those)]
            return sorted(pair for pair in found if pair[0] is not None)

        mine = hits(lesions)
        free = [k for _, k in mine if k not in claimed]
        new = {k for _, k in mine} - first
        first |= new
        row, column = math.floor(y + 0.5), math.floor(x + 0.5)
        inside = 0 <= row < shape[0] and 0 <= column < shape[1]
        if free:
            claimed.add(free[0])
            name = "TRUE_POSITIVE"
        elif mine:
            name = "DUPLICATE"
        elif rule == "any_overlap" and any((full(region, shape) & full(one, shape)).any() for one in lesions):
            name = "FALSE_POSITIVE"  # too large for every lesion that it touches
        elif (inside and unknown[row, column]) or hits(ignored) or (other_class == "ignored" and hits(other)):
            name = "IGNORED"
        else:
            name = "FALSE_POSITIVE"
        result.append((name, len(new)))
    return result
