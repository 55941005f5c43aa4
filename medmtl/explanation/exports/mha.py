"""Maps as MetaImage, for ITK's family of programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from medmtl.explanation.exports.base import EXPORTS, PerImage
from medmtl.explanation.exports.volume import meaning
from medmtl.explanation.shown import ShownImage
from medmtl.files import atomic_write


def write_mha(folder: Path, image: ShownImage) -> list[Path]:
    """Writes ``NAME/CLASS.mha`` for each class: float32, spacing 1, origin 0, its meaning in the header.

    Args:
        folder: Where to.
        image: The image.

    Raises:
        OutputError: A file cannot be written.
    """
    import SimpleITK

    paths = []
    for stem, entry in zip(image.stems(), image.classes, strict=True):
        picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(entry.evidence, dtype=np.float32))
        for key, text in meaning(image, entry, "NaN").items():
            picture.SetMetaData(key, text)
        path = folder / image.name / f"{stem}.mha"
        with atomic_write(path) as temporary:
            SimpleITK.WriteImage(picture, str(temporary), useCompression=True)
        paths.append(path)
    return paths


EXPORTS.register("mha")(partial(PerImage, write=write_mha))
