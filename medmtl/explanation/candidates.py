"""The table of one image's candidates: what was found, where in the original pixels, and how sure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.explanation.anatomy import Anatomy, position
from medmtl.explanation.color import probability
from medmtl.explanation.scale import ClassScale

COORDINATES = "original image pixels; x to the right, y down; 0-based, the center of the first pixel is (0, 0)"
PLACE = ["quadrant", "quadrant_about", "fovea_distance_dd", "disc_distance_dd", "laterality"]
"""Columns of a candidate's place in the eye; distances in disc diameters; empty where not known."""
COLUMNS = ["image", "class", "number", "x", "y", "score", "probability", "area_px", *PLACE]


def candidate_table(
    image: str,
    scale: ClassScale,
    *,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    area_px: npt.ArrayLike | None = None,
    anatomy: Anatomy | None = None,
) -> pd.DataFrame:
    """Makes the table of one class's candidates in one image, strongest first, numbered from 1.

    Args:
        image: Name of the image.
        scale: The class's scale: candidates below its threshold are left out.
        x: (n,) in original pixels, 0-based pixel centers.
        y: (n,) in original pixels, 0-based pixel centers.
        score: (n,) evidence at the peak, in the scale's unit; what is not in logits has no probability.
        area_px: (n,) area of the region at or above the threshold, in original pixels; NaN or None where not known.
        anatomy: What is known of the eye; None for nothing.

    Returns:
        A table with the columns of ``COLUMNS``.

    Raises:
        EvaluationError: The columns differ in length.
    """
    scores = np.asarray(score, dtype=np.float64).ravel()
    area = np.full(scores.size, np.nan) if area_px is None else area_px
    columns = {"x": x, "y": y, "area_px": area}
    values = {key: np.asarray(column, dtype=np.float64).ravel() for key, column in columns.items()}
    lengths = {key: column.size for key, column in values.items()}
    if any(length != scores.size for length in lengths.values()):
        raise EvaluationError(
            "candidate columns differ in length", where=image, found=f"{scores.size} scores, {lengths}"
        )
    table = pd.DataFrame({"image": image, "class": scale.name, **values, "score": scores})
    table = table[table["score"] >= scale.threshold]
    table = table.sort_values(["score", "y", "x"], ascending=[False, True, True], kind="stable", ignore_index=True)
    table["number"] = np.arange(1, len(table) + 1)
    table["probability"] = probability(table["score"].to_numpy()) if scale.in_logits else np.nan
    return _placed(table, anatomy or Anatomy())[COLUMNS]


def _placed(table: pd.DataFrame, anatomy: Anatomy) -> pd.DataFrame:
    places = [position(x, y, anatomy) for x, y in zip(table["x"], table["y"], strict=True)]
    return table.assign(
        quadrant=[place.quadrant for place in places],
        quadrant_about=[place.center for place in places],
        fovea_distance_dd=np.array([place.from_fovea for place in places], dtype=np.float64),
        disc_distance_dd=np.array([place.from_disc for place in places], dtype=np.float64),
        laterality=anatomy.laterality or "",
    )
