"""Artery and vein labels: how they are stored, and what may stand in them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from medmtl.data.arteries import av_from_rgb
from medmtl.data.reading import read_image_info, read_pixels
from medmtl.data.sources.base import Check
from medmtl.data.sources.tables import compare

__all__ = ["EXPECTED_VALUES", "av_from_rgb", "av_reference", "labeled_images", "mask_cells"]

EXPECTED_VALUES = {"mask:av": frozenset({0, 1, 2, 3}), "mask:vessels": frozenset({0, 1})}


def _colored(path: Path) -> bool:
    if read_image_info(path).channels == 1:
        return False
    values = read_pixels(path).values
    # Some tools save grey values in three equal channels; those are classes, not colors.
    return values.ndim == 3 and bool((values[..., :3] != values[..., :1]).any())


def av_reference(path: Path) -> str:
    """Gives the mask reference of a label file: values as they are for a grey file, ``#rgb`` for a colored one.

    Grey files hold 0 background, 1 artery, 2 vein, 3 crossing or uncertain. Colored ones hold black, red, blue, and
    green or white for the same.

    Raises:
        ImageError: The file is not an image.
    """
    return f"{path}#rgb" if _colored(path) else str(path)


def mask_cells(av: Path | None, vessels: Path | None) -> dict[str, object]:
    """Gives ``mask:av``, and ``mask:vessels`` from the same labels (crossings count), else from vessel-only labels."""
    source = av or vessels
    return {
        "mask:av": None if av is None else av_reference(av),
        "mask:vessels": None if source is None else f"{source}#any",
    }


def labeled_images(frame: pd.DataFrame, expected: int) -> Check:
    """Sets the published number of images with artery and vein labels beside the one found."""
    found = int(frame["mask:av"].fillna("").astype(str).ne("").sum()) if "mask:av" in frame else 0
    return compare("images with artery and vein labels", expected, found)
