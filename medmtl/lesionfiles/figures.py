"""All figures of one class under one rule: lesions, images, and the difference to other candidates in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from medmtl.evaluation import (
    Counting,
    Findings,
    Matches,
    Metric,
    Outcome,
    Table,
    binary_findings,
    delong_test,
    lesion_findings,
    paired_froc_difference,
)
from medmtl.evaluation.froc import STRICT
from medmtl.evaluation.intervals import FloatArray

Known = Sequence[Matches | None]
_NOTHING = "an image without candidates lies below all others, and below any threshold"


@dataclass(frozen=True)
class FigureOptions:
    """What is computed.

    Attributes:
        rates: False positives per image to read curves at.
        counting: How outcomes are counted.
        sizes: Edges of lesion areas in pixels; True: thirds; False: no table by size.
        image_threshold: Score at or above which an image is called positive, chosen elsewhere; None: none was chosen.
        draws: Bootstrap draws.
        seed: Bootstrap seed.
    """

    rates: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    counting: Counting = STRICT
    sizes: tuple[float, ...] | bool = False
    image_threshold: float | None = None
    draws: int = 2000
    seed: int = 0


def class_figures(
    images: Known,
    name: str,
    patients: Sequence[str],
    sites: Sequence[str | None],
    rows: Mapping[str, Known],
    against: str | None,
    options: FigureOptions,
) -> Findings:
    """All figures of one class under one rule.

    Args:
        images: The matches of each image; None: its lesions of this class are not known.
        name: The class.
        patients: The patient of each image.
        sites: The site of each image; the table by site is made where any is told.
        rows: Other candidates for the same images.
        against: The row that is compared with in pairs; None: none is.
        options: What is computed.
    """
    drawing = {"draws": options.draws, "seed": options.seed}
    found = lesion_findings(
        images,
        groups=patients,
        name=name,
        rates=options.rates,
        comparisons=rows,
        counting=options.counting,
        sizes=options.sizes,
        sites=[site or "not told" for site in sites] if any(sites) else None,
        **drawing,
    )
    levels = _image_level(images, name, patients, options)
    tables = found.tables
    if against is not None and found.curves:
        tables += (_differences(images, rows[against], name, patients, options),)
        tables += (_area_difference(images, rows[against], name, patients),)
    return replace(
        found,
        metrics=found.metrics + levels.metrics,
        curves=found.curves + levels.curves,
        tables=tables,
        notes=found.notes + levels.notes,
    )


def _image_level(images: Known, name: str, patients: Sequence[str], options: FigureOptions) -> Findings:
    """Is there any such lesion in the image, by its highest candidate."""
    findings = binary_findings(
        _labels(images),
        _highest(images, options.image_threshold),
        threshold=options.image_threshold,
        groups=patients,
        name=name,
        probabilities=False,
        draws=options.draws,
        seed=options.seed,
    )
    kept = [metric for metric in findings.metrics if options.image_threshold is not None or _ranks(metric)]
    return replace(findings, metrics=tuple(map(_of_images, kept)))


def _labels(images: Known) -> list[float]:
    """Which images have a lesion; NaN where that is not known, or where all of their lesions count neither way."""
    return [
        np.nan if image is None or not (image.lesions or image.free) else float(image.lesions > 0) for image in images
    ]


def _ranks(metric: Metric) -> bool:
    """Whether a figure needs no threshold."""
    return metric.name.startswith(("auc", "average_precision"))


def _of_images(metric: Metric) -> Metric:
    note = f"{metric.unit_note}; " if metric.unit_note else ""
    return replace(
        metric, label=f"Image level: {metric.label}", unit_note=f"{note}by the highest candidate; {_NOTHING}"
    )


def _highest(images: Known, threshold: float | None = None) -> FloatArray:
    """The highest score of each image; below all others and below the threshold where it has no candidate.

    Below the threshold too, because candidates may have been cut above it: nothing found is never called positive.
    Candidates that are ignored lesion by lesion are no evidence here either.
    """
    values = np.array([np.nan if image is None else _highest_counted(image) for image in images], dtype=np.float64)
    bounds = [float(image.score[-1]) for image in images if image is not None and len(image.score)]
    lowest = min(bounds + ([] if threshold is None else [threshold]), default=0.0)
    return np.where(np.isnan(values), lowest - 1.0, values)


def _highest_counted(image: Matches) -> float:
    counted = image.score[image.outcome != Outcome.IGNORED]
    return float(counted[0]) if len(counted) else np.nan


def _differences(images: Known, others: Known, name: str, patients: Sequence[str], options: FigureOptions) -> Table:
    kept = [index for index, image in enumerate(images) if image is not None]
    pairs = [[part[index] for index in kept] for part in (images, others)]
    mine, theirs = ([one for one in part if one is not None] for part in pairs)
    found = paired_froc_difference(
        mine,
        theirs,
        options.rates,
        [patients[index] for index in kept],
        draws=options.draws,
        seed=options.seed,
        counting=options.counting,
    )
    rows = [
        {
            "false_positives_per_image": rate,
            "difference": one.value,
            "low": one.low,
            "high": one.high,
            "method": one.method,
        }
        for rate, one in zip(options.rates, found, strict=True)
    ]
    note = (
        "Sensitivity of the candidates minus that of the others, each at its own threshold for the rate; every draw of the "
        "bootstrap takes one set of patients for both. An interval without 0 is a difference at the 5 % level."
    )
    return Table(f"difference.{name}", f"Difference to the other candidates: {name}", pd.DataFrame(rows), note)


def _area_difference(images: Known, others: Known, name: str, patients: Sequence[str]) -> Table:
    labels = _labels(images)
    title = f"Difference in the area under the ROC curve of images: {name}"
    if len({label for label in labels if np.isfinite(label)}) < 2:
        note = "No area: images with and without such a lesion are needed."
        return Table(
            f"auc_difference.{name}", title, pd.DataFrame(columns=["auc", "of_the_others", "difference"]), note
        )
    found = delong_test(labels, _highest(images), _highest(others), patients)
    row = {
        "auc": found.one.value,
        "of_the_others": found.other.value,
        "difference": found.difference.value,
        "low": found.difference.low,
        "high": found.difference.high,
        "p_value": found.p,
        "method": found.difference.method,
    }
    return Table(f"auc_difference.{name}", title, pd.DataFrame([row]), f"By the highest candidate; {_NOTHING}.")
