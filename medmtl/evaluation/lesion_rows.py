"""Rows of lesion tables: a set of candidates read at the rates, with intervals; by size of lesion; by site."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from medmtl.evaluation.froc import CPM_RATES, RETINA_RATES, STRICT, Counting, Froc, pooled_froc
from medmtl.evaluation.froc_intervals import froc_intervals, froc_replicates, lesion_precision_interval
from medmtl.evaluation.intervals import DRAWS, IntArray, percentile_interval, too_few, undefined
from medmtl.evaluation.lesions import Matches
from medmtl.evaluation.results import Interval
from medmtl.evaluation.strata import by_site, by_size, size_edges


@dataclass(frozen=True)
class RowOptions:
    """How rows are read.

    Attributes:
        rates: False positives per image.
        counting: How outcomes are counted.
        draws: Bootstrap draws.
        seed: Bootstrap seed.
    """

    rates: tuple[float, ...] = RETINA_RATES
    counting: Counting = STRICT
    draws: int = DRAWS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class LesionRow:
    """One set of candidates, read at the rates, with intervals.

    Attributes:
        curve: As asked for.
        strict: One candidate, one lesion.
        lenient: One candidate, all lesions it hits.
        rates: False positives per image.
        each: Sensitivity at each.
        cpm: Mean sensitivity at the seven standard rates.
        precision: Average precision of lesions.
    """

    curve: Froc
    strict: Froc
    lenient: Froc
    rates: tuple[float, ...]
    each: tuple[Interval, ...]
    cpm: Interval
    precision: Interval


def lesion_row(images: Sequence[Matches], patients: IntArray, options: RowOptions) -> LesionRow:
    """Reads one set of candidates.

    Args:
        images: The matches of every evaluated image.
        patients: The patient of each image, shape (images,).
        options: How.
    """
    curve = pooled_froc(images, options.counting)
    strict, lenient = (pooled_froc(images, replace(options.counting, lenient=way)) for way in (False, True))
    each, cpm, precision = _intervals(images, curve, patients, options)
    return LesionRow(curve, strict, lenient, options.rates, each, cpm, precision)


def _intervals(
    images: Sequence[Matches], curve: Froc, patients: IntArray, options: RowOptions
) -> tuple[tuple[Interval, ...], Interval, Interval]:
    rates = options.rates
    if not curve.lesions:
        nothing = undefined(missing(curve))
        return (nothing,) * len(rates), nothing, nothing
    drawing: dict[str, Any] = {"draws": options.draws, "seed": options.seed, "counting": options.counting}
    values = [curve.sensitivity_at(rate).sensitivity for rate in rates]
    precision = lesion_precision_interval(images, patients, **drawing)
    if len(np.unique(patients)) < 2:
        return tuple(too_few(value) for value in values), too_few(curve.cpm()), precision
    drawn = froc_replicates(images, [*rates, *CPM_RATES], patients, **drawing)
    each = tuple(percentile_interval(value, column) for value, column in zip(values, drawn.T, strict=False))
    return each, percentile_interval(curve.cpm(), drawn[:, len(values) :].mean(axis=1)), precision


def cells(row: LesionRow) -> dict[str, Any]:
    """A row of the table of candidates, by column."""
    curve = row.curve
    found: dict[str, Any] = {"lesions": curve.lesions, "images": curve.images, "positive_images": curve.positive_images}
    found |= _interval_cells(row.rates, row.each)
    found |= {"cpm": row.cpm.value, "cpm_low": row.cpm.low, "cpm_high": row.cpm.high, "lesion_ap": row.precision.value}
    found |= {f"at_{rate:g}_strict": row.strict.sensitivity_at(rate).sensitivity for rate in row.rates}
    found |= {f"at_{rate:g}_lenient": row.lenient.sensitivity_at(rate).sensitivity for rate in row.rates}
    free = {f"at_{rate:g}_lesion_free": curve.sensitivity_at(rate, "lesion_free").sensitivity for rate in row.rates}
    last = [float(rates[-1]) if curve.images else math.nan for rates in (curve.fppi, curve.fppi_free)]
    found |= free | {
        "all_candidates": float(curve.sensitivity[-1]),
        "fppi_of_all": last[0],
        "fppi_lesion_free": last[1],
    }
    reached = [rate for rate in row.rates if curve.sensitivity_at(rate).reached]
    found |= {"reached_to": max(reached, default=0.0), "duplicates": curve.duplicates, "ignored": curve.ignored}
    return found | {"other_class_hits": curve.other_hits}


def size_table(
    images: Sequence[Matches], patients: IntArray, options: RowOptions, edges: Sequence[float] | None = None
) -> pd.DataFrame:
    """Sensitivities by area of lesion, at the same rates of false positives over all images.

    Args:
        images: The matches of every evaluated image.
        patients: The patient of each image, shape (images,).
        options: How.
        edges: Rising areas in pixels; lesions below the first or from the last on are in no row. None: thirds.
    """
    cuts = size_edges(images) if edges is None else tuple(edges)
    rows = [
        {"area_from_px": low, "area_below_px": high} | _part_cells(by_size(images, low, high), patients, options)
        for low, high in pairwise(cuts)
    ]
    return pd.DataFrame(rows)


def site_table(
    images: Sequence[Matches], patients: IntArray, options: RowOptions, sites: Sequence[Any]
) -> pd.DataFrame:
    """Sensitivities by site, each at the rates of false positives over its own images.

    Args:
        images: The matches of every evaluated image.
        patients: The patient of each image, shape (images,).
        options: How.
        sites: The site of each image.
    """
    rows = [
        {"site": site} | _part_cells([images[i] for i in numbers], patients[numbers], options)
        for site, numbers in by_site(images, sites).items()
    ]
    return pd.DataFrame(rows)


def missing(curve: Froc) -> str:
    """Why a class has no figures."""
    return f"no lesion in {curve.images} labelled images"


def _part_cells(images: Sequence[Matches], patients: IntArray, options: RowOptions) -> dict[str, Any]:
    curve, rates = pooled_froc(images, options.counting), options.rates
    found: dict[str, Any] = {"lesions": curve.lesions, "images": curve.images, "positive_images": curve.positive_images}
    each = (undefined(missing(curve)),) * len(rates)
    if curve.lesions:
        drawing: dict[str, Any] = {"draws": options.draws, "seed": options.seed, "counting": options.counting}
        each, _ = froc_intervals(images, rates, patients, **drawing)
    return found | _interval_cells(rates, each) | {"all_candidates": float(curve.sensitivity[-1])}


def _interval_cells(rates: Sequence[float], each: Sequence[Interval]) -> dict[str, float]:
    found: dict[str, float] = {}
    for rate, interval in zip(rates, each, strict=True):
        found |= {f"at_{rate:g}": interval.value, f"at_{rate:g}_low": interval.low, f"at_{rate:g}_high": interval.high}
    return found
