"""Maps as 16-bit PNG with the meaning of their codes beside them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from medmtl.explanation.exports.base import EXPORTS, PerClass
from medmtl.explanation.rawmap import write_map
from medmtl.explanation.shown import ShownClass, ShownImage


def write_png16(path: Path, image: ShownImage, entry: ShownClass) -> list[Path]:
    """Writes a class's map, and its JSON file; see ``rawmap``.

    Args:
        path: The PNG file.
        image: The image.
        entry: The class.

    Raises:
        OutputError: A file cannot be written.
    """
    write_map(path, entry.evidence, entry.scale)
    return [path, path.with_suffix(".json")]


EXPORTS.register("png16")(partial(PerClass, suffix=".png", write=write_png16))
