"""Runs: stretches of pixels in rows, and how they are cut, joined and made from masks, labels and crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from medmtl.evaluation.intervals import BoolArray, IntArray
from medmtl.evaluation.regions import Region


def expand(first: IntArray, counts: IntArray) -> tuple[IntArray, IntArray]:
    """Gives, for ranges ``first`` .. ``first + counts - 1``, the number of its range and each place, one after the other."""
    owner = np.repeat(np.arange(len(counts)), counts)
    ends = np.cumsum(counts)
    return owner, np.arange(len(owner)) + np.repeat(first - (ends - counts), counts)


def mask_runs(mask: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """Row, first column and column after the last of each run of a mask of shape (H, W), in reading order."""
    return label_runs(mask)[:3]


def label_runs(labels: npt.NDArray[Any]) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Row, first column, column after the last and number of each run of equal numbers but 0, in reading order.

    Args:
        labels: Whole numbers or bool, shape (H, W).
    """
    flat, width = labels.ravel(), labels.shape[1]
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    # No run goes on into the next row.
    places = np.sort(np.concatenate([changes, np.arange(0, flat.size, max(width, 1))]))
    places = places[np.append(True, places[1:] != places[:-1])[: len(places)]]
    number = flat[places]
    full = number != 0
    row, start = np.divmod(places[full], max(width, 1))
    stop = np.append(places, flat.size)[1:][full] - row * width
    return row, start, stop, number[full].astype(np.int64)


def cut_runs(row: IntArray, start: IntArray, stop: IntArray, mask: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """Gives the parts of runs inside a mask: the run each comes from, its start and its stop.

    Args:
        row: Rows, shape (runs,).
        start: First columns, shape (runs,).
        stop: Columns after the last, shape (runs,).
        mask: Shape (H, W).
    """
    rows, starts, stops = mask_runs(mask)
    wide = mask.shape[1] + 1
    low = np.searchsorted(rows * wide + stops, row * wide + start, side="right")
    high = np.searchsorted(rows * wide + starts, row * wide + stop, side="left")
    run, inside = expand(low, np.maximum(high - low, 0))
    return run, np.maximum(start[run], starts[inside]), np.minimum(stop[run], stops[inside])


def joined_runs(row: IntArray, start: IntArray, stop: IntArray) -> IntArray:
    """Numbers the 8-connected components of runs in reading order, by their first run.

    Args:
        row: Rows, shape (runs,), in reading order.
        start: First columns, shape (runs,).
        stop: Columns after the last, shape (runs,).

    Returns:
        Numbers from 0, shape (runs,).
    """
    size = len(row)
    if not size:
        return np.empty(0, dtype=np.int64)
    wide = int(stop.max()) + 2
    low = np.searchsorted(row * wide + stop, (row + 1) * wide + start, side="left")
    high = np.searchsorted(row * wide + start, (row + 1) * wide + stop, side="right")
    above, below = expand(low, np.maximum(high - low, 0))
    graph = sparse.coo_array((np.ones(len(above), dtype=bool), (above, below)), shape=(size, size))
    _, found = csgraph.connected_components(graph, directed=False)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    number: IntArray = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return number


def crop_runs(regions: Sequence[Region]) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Row, start, stop and region of the runs of crops."""
    place = np.array([(one.top, one.left, *one.mask.shape) for one in regions], dtype=np.int64)
    top, left, height, width = place.T
    height = np.where(width > 0, height, 0)
    flat = np.concatenate([one.mask.ravel() for one in regions])
    begins = np.cumsum(np.repeat(width, height)) - np.repeat(width, height)
    before, after = np.zeros((2, len(flat)), dtype=bool)
    before[1:], after[:-1] = flat[:-1], flat[1:]
    before[begins] = False
    after[begins[1:] - 1] = False
    starts, stops = np.flatnonzero(flat & ~before), np.flatnonzero(flat & ~after) + 1
    line = np.searchsorted(begins, starts, side="right") - 1
    region = np.repeat(np.arange(len(regions)), height)[line]
    row = line - (np.cumsum(height) - height)[region] + top[region]
    shift = left[region] - begins[line]
    return row, starts + shift, stops + shift, region
