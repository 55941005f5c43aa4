"""Bootstrap intervals of the FROC curve over patients, and of the difference of two models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.froc import STRICT, Counting, pooled_froc, ranking
from medmtl.evaluation.froc_bootstrap import CurveEvents, average_precisions, drawn_weights, read_draws
from medmtl.evaluation.intervals import (
    DRAWS,
    FloatArray,
    Groups,
    group_codes,
    group_sums,
    percentile_interval,
    too_few,
)
from medmtl.evaluation.lesions import Matches
from medmtl.evaluation.results import Interval


def froc_replicates(
    images: Sequence[Matches],
    rates: npt.ArrayLike,
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> FloatArray:
    """Sensitivities at rates of false positives in bootstrap draws of patients.

    Args:
        images: The matches of every evaluated image.
        rates: False positives per image, shape (rates,).
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws; the same seed and groups draw the same, so that two methods can be compared in pairs.
        counting: How outcomes are counted.

    Returns:
        Shape (draws, rates); NaN in draws without a lesion.
    """
    codes = group_codes(groups, len(images))
    size = int(codes.max(initial=-1)) + 1
    events = CurveEvents.of(ranking(images, counting), codes, size)
    asked, places = np.unique(np.asarray(rates, dtype=np.float64), return_inverse=True)
    totals = np.column_stack(
        [group_sums([image.lesions for image in images], codes), np.bincount(codes, minlength=size)]
    )
    rows = [read_draws(events, weights, totals, asked) for weights in drawn_weights(size, draws, seed)]
    return np.concatenate(rows)[:, places] if rows else np.empty((0, len(places)))


def froc_intervals(
    images: Sequence[Matches],
    rates: Sequence[float],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> tuple[tuple[Interval, ...], Interval]:
    """Sensitivity at each rate, and their mean (the CPM at the seven standard rates), with bootstrap intervals.

    Args:
        images: The matches of every evaluated image.
        rates: False positives per image.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.
    """
    curve = pooled_froc(images, counting)
    values = [curve.sensitivity_at(rate).sensitivity for rate in rates]
    mean = float(np.mean(values))
    if int(group_codes(groups, len(images)).max(initial=-1)) < 1:
        return tuple(too_few(value) for value in values), too_few(mean)
    drawn = froc_replicates(images, rates, groups, draws=draws, seed=seed, counting=counting)
    each = tuple(percentile_interval(value, column) for value, column in zip(values, drawn.T, strict=True))
    return each, percentile_interval(mean, drawn.mean(axis=1))


def paired_froc_difference(
    images: Sequence[Matches],
    others: Sequence[Matches],
    rates: Sequence[float],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> tuple[Interval, ...]:
    """Difference of two models' sensitivities on the same images, in pairs: each draw takes one set of patients for both.

    Args:
        images: The matches of one model, image by image.
        others: The matches of the other model on the same images in the same order.
        rates: False positives per image; each model is read at its own threshold for that rate.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.

    Returns:
        One minus other at each rate, in [-1, 1]; an interval without 0 is a difference at the 5 % level.

    Raises:
        EvaluationError: The images differ in number or in their lesions.
    """
    return mean_froc_difference([images], [others], rates, groups, draws=draws, seed=seed, counting=counting)


def mean_froc_difference(
    models: Sequence[Sequence[Matches]],
    others: Sequence[Sequence[Matches]],
    rates: Sequence[float],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> tuple[Interval, ...]:
    """Difference of the mean sensitivities of two sets of models on the same images, such as the seeds of two networks.

    Each draw takes one set of patients for all models, so that what is left is what images do, not what seeds do.

    Args:
        models: For each model its matches, image by image.
        others: The same of the others, on the same images in the same order.
        rates: False positives per image; each model is read at its own threshold for that rate.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.

    Returns:
        Mean of the models minus mean of the others at each rate, in [-1, 1].

    Raises:
        EvaluationError: A side has no model, or the images differ in number or in their lesions.
    """
    parts = [*models, *others]
    if not models or not others:
        raise EvaluationError("a comparison needs a model on both sides", found=f"{len(models)} and {len(others)}")
    lesions = [[image.lesions for image in part] for part in parts]
    for one in lesions:
        if one != lesions[0]:
            raise EvaluationError(
                "a paired comparison needs the same images with the same lesions, in the same order",
                found=f"{len(lesions[0])} images with {sum(lesions[0])} lesions, {len(one)} with {sum(one)}",
            )
    curves = [pooled_froc(part, counting) for part in parts]
    read = np.array([[curve.sensitivity_at(rate).sensitivity for rate in rates] for curve in curves])
    values = (read[: len(models)].mean(axis=0) - read[len(models) :].mean(axis=0)).tolist()
    if int(group_codes(groups, len(parts[0])).max(initial=-1)) < 1:
        return tuple(too_few(value) for value in values)
    options: dict[str, Any] = {"draws": draws, "seed": seed, "counting": counting}
    drawn = np.stack([froc_replicates(part, rates, groups, **options) for part in parts])
    apart = drawn[: len(models)].mean(axis=0) - drawn[len(models) :].mean(axis=0)
    return tuple(percentile_interval(value, column) for value, column in zip(values, apart.T, strict=True))


def lesion_precision_interval(
    images: Sequence[Matches],
    groups: Groups | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    counting: Counting = STRICT,
) -> Interval:
    """Average precision of lesions (``Froc.average_precision``) with its bootstrap interval.

    Args:
        images: The matches of every evaluated image.
        groups: The patient of each image; None makes each image its own.
        draws: Number of draws.
        seed: Seed of the draws.
        counting: How outcomes are counted.
    """
    value = pooled_froc(images, counting).average_precision
    codes = group_codes(groups, len(images))
    size = int(codes.max(initial=-1)) + 1
    if size < 2:
        return too_few(value)
    events = CurveEvents.of(ranking(images, counting), codes, size)
    lesions = group_sums([image.lesions for image in images], codes).ravel()
    rows = [average_precisions(events, weights, lesions) for weights in drawn_weights(size, draws, seed)]
    return percentile_interval(value, np.concatenate(rows))
