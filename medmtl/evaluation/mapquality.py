"""How well a map points at what is marked: figures of one map and one mask, and how alike two maps are."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import BoolArray, FloatArray


def pointing(
    evidence: npt.ArrayLike, mask: npt.ArrayLike, valid: npt.ArrayLike | None = None, tolerance: float = 0.0
) -> float:
    """The pointing game: whether a map's highest pixel lies in the mask (Zhang et al., IJCV 2018, section 4.2).

    Args:
        evidence: The map, shape (H, W); more is more evidence.
        mask: What is marked, shape (H, W).
        valid: The field of view, shape (H, W); None: everywhere.
        tolerance: Pixels by which it may miss. The paper allows 15; lesions are smaller than that.

    Returns:
        1 or 0; where several pixels are the highest, the share of them that hit, which is what drawing one would give.
        NaN where nothing is marked.

    Raises:
        EvaluationError: The shapes differ, or the map is not finite in the field.
    """
    values, marked, inside = _checked(evidence, mask, valid)
    if not marked.any():
        return math.nan
    near = marked if tolerance <= 0 else ndimage.distance_transform_edt(~marked) <= tolerance
    highest = inside & (values == values[inside].max())
    return float((near & highest).sum() / highest.sum())


def mass_inside(evidence: npt.ArrayLike, mask: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> float:
    """The share of a map's positive part that lies in the mask (Wang et al. 2020, arXiv 1910.01279, section 4.3).

    Args:
        evidence: The map, shape (H, W).
        mask: What is marked, shape (H, W).
        valid: The field of view, shape (H, W); None: everywhere.

    Returns:
        0 to 1; NaN where nothing is marked or the map is nowhere positive.

    Raises:
        EvaluationError: As :func:`pointing`.
    """
    values, marked, inside = _checked(evidence, mask, valid)
    positive = np.where(inside, np.maximum(values, 0), 0)
    total = float(positive.sum())
    return float(positive[marked].sum() / total) if total > 0 and marked.any() else math.nan


def marked_share(mask: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> float:
    """The share of the field that is marked: what a constant map gets in both of the above; NaN where nothing is."""
    _, marked, inside = _checked(np.zeros(np.shape(mask)), mask, valid)
    return float(marked.sum() / inside.sum()) if marked.any() else math.nan


def rank_correlation(one: npt.ArrayLike, other: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> float:
    """Spearman's correlation of two maps (Adebayo et al. 2018, arXiv 1810.03292): near 0 where they have nothing in common.

    Args:
        one: A map, shape (H, W).
        other: Another, of the same shape.
        valid: The field of view, shape (H, W); None: everywhere.

    Returns:
        -1 to 1; NaN where a map is constant.

    Raises:
        EvaluationError: As :func:`pointing`.
    """
    first, _, inside = _checked(one, np.zeros(np.shape(one)), valid)
    second, _, _ = _checked(other, np.zeros(np.shape(one)), valid)
    if np.ptp(first[inside]) == 0 or np.ptp(second[inside]) == 0:
        return math.nan
    return float(stats.spearmanr(first[inside], second[inside]).statistic)


def _checked(
    evidence: npt.ArrayLike, mask: npt.ArrayLike, valid: npt.ArrayLike | None
) -> tuple[FloatArray, BoolArray, BoolArray]:
    values, marked = np.asarray(evidence, dtype=np.float64), np.asarray(mask) > 0
    inside = np.ones(values.shape, dtype=bool) if valid is None else np.asarray(valid).astype(bool)
    if values.ndim != 2 or not values.shape == marked.shape == inside.shape:
        found = f"{values.shape}, {marked.shape} and {inside.shape}"
        raise EvaluationError("map, mask and field need one shape (H, W)", found=found)
    if not inside.any():
        raise EvaluationError("the field of view is empty")
    if not np.isfinite(values[inside]).all():
        raise EvaluationError("a map holds values that are not finite inside the field of view")
    return values, marked & inside, inside
