"""The confusion matrix of a yes/no class at its operating point."""

from __future__ import annotations

import math

from medmtl.evaluation.labels import Labelled
from medmtl.evaluation.results import Confusion


def threshold_confusion(data: Labelled, threshold: float | None, name: str = "") -> tuple[Confusion, ...]:
    """Counts what a threshold calls right and wrong.

    Args:
        data: Labels of 0 and 1, and scores.
        threshold: A score from which on the class is called present; None or NaN: none was chosen.
        name: Class name, for the labels and the title.

    Returns:
        Two rows (absent, present) of two columns (called absent, called present); none without a threshold or a label.
    """
    if threshold is None or not math.isfinite(threshold) or not len(data.labels):
        return ()
    called, positive = data.scores >= threshold, data.labels == 1
    matrix = tuple((int((row & ~called).sum()), int((row & called).sum())) for row in (~positive, positive))
    title = f"Confusion matrix at threshold {threshold:.3g}"
    labels = (f"no {name}", name) if name else ("negative", "positive")
    return (Confusion(labels, matrix, f"{title}: {name}" if name else title),)
