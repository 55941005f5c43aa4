"""What enters a classification figure: known labels only, finite scores only, and a count of what was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation.intervals import FloatArray, Groups, take_groups


@dataclass(frozen=True, eq=False)
class Labelled:
    """The samples with a known label.

    Attributes:
        labels: Known labels, shape (labelled,).
        scores: Their scores, shape (labelled,).
        groups: Their patients, or None.
        unlabelled: How many samples had no label.
        kept: Which samples these are, shape (samples,).
    """

    labels: FloatArray
    scores: FloatArray
    groups: Groups | None
    unlabelled: int
    kept: npt.NDArray[np.bool_]


def known_only(
    labels: npt.ArrayLike, scores: npt.ArrayLike, groups: Groups | None = None, *, allowed: Iterable[float] = (0, 1)
) -> Labelled:
    """Leaves out the samples whose label is unknown (NaN) and checks the rest.

    Args:
        labels: Shape (samples,); NaN is unknown.
        scores: Shape (samples,).
        groups: The patient of each sample, or None.
        allowed: The labels that exist.

    Raises:
        EvaluationError: Lengths differ, a label is none of the allowed, or the score of a labelled sample is not finite.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or (groups is not None and len(groups) != len(truth)):
        raise EvaluationError(
            "labels, scores and groups differ in number", found=f"shapes {truth.shape} and {values.shape}"
        )
    kept = ~np.isnan(truth)
    _check_labels(truth, kept, sorted(allowed))
    bad = np.flatnonzero(kept & ~np.isfinite(values))
    if bad.size:
        raise EvaluationError("a score is not finite", where=f"sample {bad[0]}", found=values[bad[0]])
    return Labelled(truth[kept], values[kept], take_groups(groups, kept), int((~kept).sum()), kept)


def _check_labels(truth: FloatArray, kept: npt.NDArray[np.bool_], allowed: list[float]) -> None:
    strange = np.flatnonzero(kept & ~np.isin(truth, allowed))
    if strange.size:
        raise EvaluationError(
            "a label is outside its classes",
            where=f"sample {strange[0]}",
            found=f"{truth[strange[0]]:g}",
            remedy=f"labels are {', '.join(f'{label:g}' for label in allowed)}, or NaN where unknown",
        )
