"""Maps as MetaImage, for ITK's family of programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from medmtl.explanation.exports.base import EXPORTS, PerClass
from medmtl.explanation.exports.volume import meaning
from medmtl.explanation.shown import ShownClass, ShownImage
from medmtl.files import atomic_write


def write_mha(path: Path, image: ShownImage, entry: ShownClass) -> list[Path]:
    """Writes a class's map: float32, spacing 1, origin 0, its meaning in the header.

    Args:
        path: The file.
        image: The image.
        entry: The class.

    Raises:
        OutputError: It cannot be written.
    """
    import SimpleITK

    picture = SimpleITK.GetImageFromArray(np.ascontiguousarray(entry.evidence, dtype=np.float32))
    for key, text in meaning(image, entry, "NaN").items():
        picture.SetMetaData(key, text)
    with atomic_write(path) as temporary:
        SimpleITK.WriteImage(picture, str(temporary), useCompression=True)
    return [path]


EXPORTS.register("mha")(partial(PerClass, suffix=".mha", write=write_mha))
