"""Figures of one lesion class: FROC with its band, sensitivities, CPM, and the rows of others on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation.classification import named, titled
from medmtl.evaluation.froc import CPM_RATES, RETINA_RATES, STRICT, Counting, Froc, pooled_froc
from medmtl.evaluation.froc_intervals import froc_replicates
from medmtl.evaluation.intervals import DRAWS, Groups, IntArray, group_codes
from medmtl.evaluation.lesion_rows import LesionRow, RowOptions, cells, lesion_row, missing, site_table, size_table
from medmtl.evaluation.lesions import Matches
from medmtl.evaluation.results import Curve, CurvePoint, Findings, Metric, Table

_TITLES = {"lesions": "Lesion sensitivity", "lesion_sizes": "By size of lesion", "lesion_sites": "By site"}
_BAND_POINTS = 200
"""Most points of a drawn curve: the band is read in every bootstrap draw at each."""


def lesion_findings(
    images: Sequence[Matches | None],
    *,
    groups: Groups | None = None,
    name: str = "",
    rates: Sequence[float] = RETINA_RATES,
    comparisons: Mapping[str, Sequence[Matches | None]] | None = None,
    counting: Counting = STRICT,
    sizes: Sequence[float] | bool = False,
    sites: Groups | None = None,
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
        counting: How outcomes are counted; the table gives strict and lenient sensitivities in any case.
        sizes: Edges of areas in pixels, rising: a table by size of lesion; True: thirds of this class's lesions.
        sites: The site of each image: a table by site.
        draws: Bootstrap draws.
        seed: Bootstrap seed.

    Returns:
        Metrics ``sensitivity_at_RATE``, ``cpm`` and ``lesion_ap`` (n is the number of lesions; the note says the hit
        rule), the FROC curve, a table with a row for the model and one a comparison, and where asked for tables by size
        and site. Without lesions the metrics are NaN with the reason.

    Raises:
        EvaluationError: A comparison is not of the same images, or sites and images differ in number.
    """
    kept = [index for index, image in enumerate(images) if image is not None]
    patients = group_codes(groups, len(images))[kept]
    options = RowOptions(tuple(rates), counting, draws, seed)
    sets = {"model": images, **(comparisons or {})}
    known = {title: _same_images(found, kept, len(images), title) for title, found in sets.items()}
    rows = {title: lesion_row(found, patients, options) for title, found in known.items()}
    curve = rows["model"].curve
    frames = {"lesions": pd.DataFrame([{"candidates": title, **cells(row)} for title, row in rows.items()])}
    curves: tuple[Curve, ...] = ()
    if curve.lesions:
        curves = (_drawn(known["model"], name, patients, options),)
        frames |= _parts(known["model"], patients, options, sizes, _of_known(sites, kept, len(images)))
    tables = tuple(
        Table(f"{kind}.{name}" if name else kind, titled(_TITLES[kind], name), frame, froc_note(curve))
        for kind, frame in frames.items()
    )
    notes = () if curve.lesions else (f"{name or 'this class'}: {missing(curve)}, so it has no FROC curve",)
    metrics = _metrics(rows["model"], name)
    return Findings(metrics, curves, (), tables, len(kept), len(images) - len(kept), notes)


def _parts(
    images: Sequence[Matches],
    patients: IntArray,
    options: RowOptions,
    sizes: Sequence[float] | bool,
    sites: list[Any] | None,
) -> dict[str, pd.DataFrame]:
    """Tables by size of lesion and by site, where they are asked for."""
    frames = {}
    if sizes is not False:
        edges = None if isinstance(sizes, bool) else sizes
        frames["lesion_sizes"] = size_table(images, patients, options, edges)
    if sites is not None:
        frames["lesion_sites"] = site_table(images, patients, options, sites)
    return frames


def froc_curve(
    images: Sequence[Matches],
    name: str = "",
    *,
    groups: Groups | None = None,
    rates: Sequence[float] = RETINA_RATES,
    counting: Counting = STRICT,
    draws: int = DRAWS,
    seed: int = 0,
) -> Curve:
    """The curve as a report draws it: its corners (at most 200, evenly taken), a point-wise band, the rates marked.

    Args:
        images: The matches of every evaluated image.
        name: Class name, for the title.
        groups: The patient of each image; None makes each image its own.
        rates: False positives per image to mark, where the curve reaches them.
        counting: How outcomes are counted.
        draws: Bootstrap draws.
        seed: Bootstrap seed.
    """
    options = RowOptions(tuple(rates), counting, draws, seed)
    return _drawn(images, name, group_codes(groups, len(images)), options)


def _drawn(images: Sequence[Matches], name: str, patients: IntArray, options: RowOptions) -> Curve:
    curve = pooled_froc(images, options.counting)
    corners = _corners(curve)
    x, y = curve.fppi[corners], curve.sensitivity[corners]
    low, high = np.empty((2, 0))
    if len(np.unique(patients)) > 1 and curve.lesions:
        drawn = froc_replicates(images, x, patients, draws=options.draws, seed=options.seed, counting=options.counting)
        low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    readings = [curve.sensitivity_at(rate) for rate in options.rates]
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
        caption=froc_note(curve),
    )


def froc_note(curve: Froc) -> str:
    """What stands beneath every table and curve: the rule, the counting and the numbers, in words."""
    counts = f"{curve.lesions} lesions in {curve.positive_images} of {curve.images} images."
    share = "counts as false positive" if curve.counting.duplicates == "false_positive" else "counts neither way"
    finds = "finds every lesion it hits" if curve.counting.lenient else "finds at most one lesion"
    rules = f"One candidate {finds}; a hit on a lesion of another class only is a false positive unless it is ignored."
    rest = (
        f"{curve.duplicates} further hits on lesions already found: each {share}. {curve.ignored} candidates ignored."
    )
    other = f" {curve.other_hits} candidates hit another class only." if curve.other_hits else ""
    return f"{curve.rule} {rules} {counts} {rest}{other}".strip()


def _corners(curve: Froc) -> npt.NDArray[np.int64]:
    """Points before and after each rise, and the last: between them the curve is straight."""
    rises = np.diff(curve.sensitivity) > 0
    corners = np.flatnonzero(np.append(rises, True) | np.insert(rises, 0, True))
    if len(corners) <= _BAND_POINTS:
        return corners
    return corners[np.unique(np.linspace(0, len(corners) - 1, _BAND_POINTS).round().astype(np.int64))]


def _metrics(row: LesionRow, name: str) -> tuple[Metric, ...]:
    curve = row.curve
    counted = f"lesions in {curve.positive_images} of {curve.images} images"
    unit = f"{counted}; {curve.rule[:1].lower()}{curve.rule[1:].rstrip('.')}" if curve.rule else counted
    metrics = []
    for rate, interval in zip(row.rates, row.each, strict=True):
        note = unit if not _beyond(curve, [rate]) else f"{unit}; not reached: the curve ends at {curve.fppi[-1]:.3g}"
        label = f"Lesion sensitivity at {rate:g} false positives per image"
        metrics.append(named(f"sensitivity_at_{rate:g}", label, name, interval, curve.lesions, note))
    label = "Mean lesion sensitivity at 1/8 to 8 false positives per image (CPM)"
    beyond = ", ".join(f"{rate:g}" for rate in _beyond(curve, CPM_RATES))
    note = f"{unit}; not reached at {beyond}: the curve ends at {curve.fppi[-1]:.3g}" if beyond else unit
    metrics.append(named("cpm", label, name, row.cpm, curve.lesions, note))
    return (*metrics, named("lesion_ap", "Average precision of lesions", name, row.precision, curve.lesions, unit))


def _beyond(curve: Froc, rates: Sequence[float]) -> list[float]:
    """The rates of false positives that the curve of some lesions does not reach."""
    return [rate for rate in rates if curve.lesions and not curve.sensitivity_at(rate).reached]


def _same_images(found: Sequence[Matches | None], kept: Sequence[int], size: int, title: str) -> list[Matches]:
    known = [found[index] for index in kept] if len(found) == size else []
    matches = [image for image in known if image is not None]
    if len(matches) != len(kept):
        raise EvaluationError("a comparison needs the same images", where=title, found=f"{len(found)} for {size}")
    return matches


def _of_known(sites: Groups | None, kept: Sequence[int], size: int) -> list[Any] | None:
    if sites is not None and len(sites) != size:
        raise EvaluationError("sites and images differ in number", found=f"{len(sites)} and {size}")
    return None if sites is None else [sites[index] for index in kept]
