"""Maps as 16-bit PNG with the meaning of their codes beside them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from medmtl.explanation.exports.base import EXPORTS, PerImage
from medmtl.explanation.rawmap import write_map
from medmtl.explanation.shown import ShownImage


def write_png16(folder: Path, image: ShownImage) -> list[Path]:
    """Writes ``NAME/CLASS.png`` and ``NAME/CLASS.json`` for each class; see ``rawmap``.

    Args:
        folder: Where to.
        image: The image.

    Raises:
        OutputError: A file cannot be written.
    """
    paths = []
    for stem, entry in zip(image.stems(), image.classes, strict=True):
        path = folder / image.name / f"{stem}.png"
        write_map(path, entry.evidence, entry.scale)
        paths += [path, path.with_suffix(".json")]
    return paths


EXPORTS.register("png16")(partial(PerImage, write=write_png16))
