"""What formats made for volumes say of a heat map: a slice of one voxel a pixel, and the meaning of its numbers."""

from __future__ import annotations

from medmtl.explanation.candidates import COORDINATES
from medmtl.explanation.panel import RESEARCH_ONLY
from medmtl.explanation.shown import ShownClass, ShownImage


def meaning(image: ShownImage, entry: ShownClass, unknown: str) -> dict[str, str]:
    """Texts for a header, by key.

    Args:
        image: The image.
        entry: The class.
        unknown: What stands where nothing is known.
    """
    return {
        "image": image.source,
        "class": entry.scale.name,
        "unit": f"{entry.scale.unit}; {unknown}: not known",
        "method": entry.scale.made_by,
        "threshold": f"{entry.scale.threshold!r}",
        "coordinates": f"voxel (i, j) is pixel (x, y) = (i, j): {COORDINATES}",
        "use": RESEARCH_ONLY,
    }
