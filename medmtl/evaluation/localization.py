"""Figures of one lesion class: FROC with its band, sensitivities, CPM, and the rows of others on the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.classification import named, titled
from medmtl.evaluation.froc import CPM_RATES, RETINA_RATES, Froc, pooled_froc
from medmtl.evaluation.froc_intervals import froc_intervals, froc_replicates
from medmtl.evaluation.intervals import DRAWS, Groups, group_codes, undefined
from medmtl.evaluation.lesions import Matches
from medmtl.evaluation.results import Curve, CurvePoint, Findings, Interval, Metric, Table

_BAND_POINTS = 200
"""Most points of a drawn curve: the band is read in every bootstrap draw at each."""


@dataclass(frozen=True, eq=False)
class _Row:
    """One set of candidates, read at the rates, with intervals."""

    curve: Froc
    rates: tuple[float, ...]
    each: tuple[Interval, ...]
    cpm: Interval


def lesion_findings(
    images: Sequence[Matches | None],
    *,
    groups: Groups | None = None,
    name: str = "",
    rates: Sequence[float] = RETINA_RATES,
    comparisons: Mapping[str, Sequence[Matches | None]] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Findings:
    """All lesion-level figures of one class.

    Args:
        images: The matches of each image; None: the image's lesions of this class are unknown (left out and counted).
        groups: The patient of each image; None makes each image its own.
        name: Class name: ends the metric names and titles.
        rates: False positives per image to read the curve at.
        comparisons: Other candidates for the same images, such as random points, as further rows of the table.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        Metrics ``sensitivity_at_RATE`` and ``cpm`` (n is the number of lesions; the note says the hit rule), the FROC
        curve, and a table with a row for the model and one a comparison. Without lesions the metrics are NaN with the reason.

    Raises:
        EvaluationError: A comparison is not of the same images.
    """
    kept = [index for index, image in enumerate(images) if image is not None]
    patients = group_codes(groups, len(images))[kept]
    options = {"draws": draws, "seed": seed}
    sets = {"model": images, **(comparisons or {})}
    known = {title: _same_images(found, kept, len(images), title) for title, found in sets.items()}
    rows = {title: _read(found, patients, rates, options) for title, found in known.items()}
    curve = rows["model"].curve
    frame = pd.DataFrame([{"candidates": title, **_cells(row)} for title, row in rows.items()])
    curves = (froc_curve(known["model"], name, groups=patients, rates=rates, **options),) if curve.lesions else ()
    table = Table(f"lesions.{name}" if name else "lesions", titled("Lesion sensitivity", name), frame, _note(curve))
    notes = () if curve.lesions else (f"{name or 'this class'}: {_missing(curve)}, so it has no FROC curve",)
    return Findings(_metrics(rows["model"], name), curves, (), (table,), len(kept), len(images) - len(kept), notes)


def froc_curve(
    images: Sequence[Matches],
    name: str = "",
    *,
    groups: Groups | None = None,
    rates: Sequence[float] = RETINA_RATES,
    draws: int = DRAWS,
    seed: int = 0,
) -> Curve:
    """The curve as a report draws it: its corners (at most 200, evenly taken), a point-wise band, the rates marked.

    Args:
        images: The matches of every evaluated image.
        name: Class name, for the title.
        groups: The patient of each image; None makes each image its own.
        rates: False positives per image to mark, where the curve reaches them.
        draws: Bootstrap draws.
        seed: Bootstrap seed.
    """
    curve = pooled_froc(images)
    corners = _corners(curve)
    x, y = curve.fppi[corners], curve.sensitivity[corners]
    low, high = np.empty((2, 0))
    if int(group_codes(groups, len(images)).max(initial=-1)) >= 1 and curve.lesions:
        drawn = froc_replicates(images, x, groups, draws=draws, seed=seed)
        low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    readings = [curve.sensitivity_at(rate) for rate in rates]
    return Curve(
        kind="froc",
        title=titled("FROC", name),
        x=tuple(x),
        y=tuple(y),
        x_label="False positives per image",
        y_label="Lesion sensitivity",
        low=tuple(low),
        high=tuple(high),
        points=tuple(
            CurvePoint(r.fppi, r.sensitivity, f"{r.sensitivity:.2f} at {r.fppi:g}") for r in readings if r.reached
        ),
        caption=_note(curve),
    )


def _corners(curve: Froc) -> npt.NDArray[np.int64]:
    """Points before and after each rise, and the last: between them the curve is straight."""
    rises = np.diff(curve.sensitivity) > 0
    corners = np.flatnonzero(np.append(rises, True) | np.insert(rises, 0, True))
    if len(corners) <= _BAND_POINTS:
        return corners
    return corners[np.unique(np.linspace(0, len(corners) - 1, _BAND_POINTS).round().astype(np.int64))]


def _read(images: Sequence[Matches], groups: Groups, rates: Sequence[float], options: dict[str, int]) -> _Row:
    curve = pooled_froc(images)
    if not curve.lesions:
        nothing = undefined(_missing(curve))
        return _Row(curve, tuple(rates), (nothing,) * len(rates), nothing)
    each, _ = froc_intervals(images, rates, groups, **options)
    return _Row(curve, tuple(rates), each, froc_intervals(images, CPM_RATES, groups, **options)[1])


def _metrics(row: _Row, name: str) -> tuple[Metric, ...]:
    curve = row.curve
    counted = f"lesions in {curve.positive_images} of {curve.images} images"
    unit = f"{counted}; {curve.rule[:1].lower()}{curve.rule[1:].rstrip('.')}" if curve.rule else counted
    metrics = []
    for rate, interval in zip(row.rates, row.each, strict=True):
        reached = not curve.lesions or curve.sensitivity_at(rate).reached
        note = unit if reached else f"{unit}; not reached: the curve ends at {curve.fppi[-1]:.3g}"
        label = f"Lesion sensitivity at {rate:g} false positives per image"
        metrics.append(named(f"sensitivity_at_{rate:g}", label, name, interval, curve.lesions, note))
    label = "Mean lesion sensitivity at 1/8 to 8 false positives per image (CPM)"
    return (*metrics, named("cpm", label, name, row.cpm, curve.lesions, unit))


def _cells(row: _Row) -> dict[str, Any]:
    curve = row.curve
    cells: dict[str, Any] = {"lesions": curve.lesions, "images": curve.images, "positive_images": curve.positive_images}
    for rate, interval in zip(row.rates, row.each, strict=True):
        cells |= {f"at_{rate:g}": interval.value, f"at_{rate:g}_low": interval.low, f"at_{rate:g}_high": interval.high}
    last = float(curve.fppi[-1]) if curve.images else math.nan
    cells |= {"cpm": row.cpm.value, "cpm_low": row.cpm.low, "cpm_high": row.cpm.high}
    cells |= {"all_candidates": float(curve.sensitivity[-1]), "fppi_of_all": last}
    return cells | {"duplicates": curve.duplicates, "ignored": curve.ignored}


def _same_images(found: Sequence[Matches | None], kept: Sequence[int], size: int, title: str) -> list[Matches]:
    known = [found[index] for index in kept] if len(found) == size else []
    matches = [image for image in known if image is not None]
    if len(matches) != len(kept):
        raise EvaluationError("a comparison needs the same images", where=title, found=f"{len(found)} for {size}")
    return matches


def _note(curve: Froc) -> str:
    counts = f"{curve.lesions} lesions in {curve.positive_images} of {curve.images} images."
    rules = "One candidate finds at most one lesion; a hit on a lesion of another class only is a false positive."
    rest = f"{curve.duplicates} further hits on lesions already found count neither way."
    return f"{curve.rule} {rules} {counts} {rest}".strip()


def _missing(curve: Froc) -> str:
    return f"no lesion in {curve.images} labelled images"
