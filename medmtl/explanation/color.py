"""One fixed color for one amount of evidence, transparent below the threshold.

The colors are Matplotlib's ``winter``, blue to green: they rise in lightness, stay apart with the common kinds of color
blindness, and do not occur in a retina. Maps that end in yellow (viridis, cividis) or orange (inferno) turn into the
color of exudates or of the fundus itself once they are laid over it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from medmtl.explanation.scale import ClassScale

COLORS = 256
OPACITY = 0.55

CLASS_COLORS = ((86, 180, 233), (255, 255, 255), (204, 121, 167), (0, 158, 115), (240, 228, 66), (0, 114, 178))
"""Colors of classes beside each other, red, green, blue: those of Okabe and Ito ("Color universal design", 2008), whose
differences are seen with every common kind of color blindness, and white. Their black, orange and vermilion are left
out: they are the colors of a fundus. Yellow, near that of exudates, comes late. Lines in them need a dark rim."""

Bytes = npt.NDArray[np.uint8]


@lru_cache(maxsize=1)
def color_table() -> Bytes:
    """The colors from the threshold (first row) to the top (last row): (256, 3), red, green, blue."""
    from matplotlib import colormaps

    positions = np.linspace(0.0, 1.0, COLORS)
    table = np.round(np.asarray(colormaps["winter"](positions))[:, :3] * 255).astype(np.uint8)
    table.setflags(write=False)  # the cache hands out one array
    return table


def visible(evidence: npt.ArrayLike, scale: ClassScale) -> npt.NDArray[np.bool_]:
    """Where evidence reaches the threshold; a value that is not a number does not.

    Args:
        evidence: Logits, any shape.
        scale: The class's scale.
    """
    return np.asarray(np.asarray(evidence) >= scale.threshold)  # false for NaN


def colorize(evidence: npt.ArrayLike, scale: ClassScale, *, opacity: float = OPACITY) -> Bytes:
    """Colors evidence: a function of the value and the class's scale and of nothing else.

    Args:
        evidence: Logits, any shape (...).
        scale: The class's scale.
        opacity: Opacity of what is visible, in [0, 1].

    Returns:
        (..., 4): red, green, blue, opacity; all 0 below the threshold.
    """
    shown = visible(evidence, scale)
    values = np.asarray(evidence)[shown].astype(np.float64)
    position = np.clip((values - scale.threshold) / (scale.top - scale.threshold), 0.0, 1.0)
    out = np.zeros((*shown.shape, 4), dtype=np.uint8)
    out[shown, :3] = color_table()[np.round(position * (COLORS - 1)).astype(np.intp)]
    out[shown, 3] = round(opacity * 255)
    return out


def blend(image: Bytes, colors: Bytes) -> Bytes:
    """Lays colors over an image; where they are transparent the image's bytes are unchanged.

    Args:
        image: (H, W, 3).
        colors: (H, W, 4), as :func:`colorize` gives.

    Returns:
        (H, W, 3), a new array.
    """
    out = image.copy()
    shown = colors[..., 3] > 0  # only what is seen is computed: maps are mostly blank
    weight = colors[shown][:, 3:].astype(np.float64) / 255
    out[shown] = np.round((1 - weight) * image[shown] + weight * colors[shown][:, :3]).astype(np.uint8)
    return out


def probability(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The probability of evidence in logits, without overflow at either end."""
    from scipy.special import expit

    return np.asarray(expit(np.asarray(logits, dtype=np.float64)))
