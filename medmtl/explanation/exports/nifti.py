"""Maps as NIfTI with identity affine: voxel (i, j, 0) is the pixel in column i and row j."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from medmtl.explanation.exports.base import EXPORTS, PerImage
from medmtl.explanation.exports.volume import meaning
from medmtl.explanation.shown import ShownImage
from medmtl.files import atomic_write

NOT_KNOWN = -100.0
"""What stands where nothing is known: ITK's reader, and every program on it, turns NaN into 0, which is even odds."""


def write_nifti(folder: Path, image: ShownImage) -> list[Path]:
    """Writes ``NAME/CLASS.nii`` for each class: float32 (W, H, 1), -100 where nothing is known.

    What the numbers mean stands in the header's extension, as JSON. World coordinates are pixels, not millimeters.

    Args:
        folder: Where to.
        image: The image.

    Raises:
        OutputError: A file cannot be written.
    """
    import nibabel

    paths = []
    for stem, entry in zip(image.stems(), image.classes, strict=True):
        values = np.where(np.isfinite(entry.evidence), entry.evidence, NOT_KNOWN).astype(np.float32)
        volume = nibabel.Nifti1Image(values.T[:, :, None], np.eye(4))
        volume.header["descrip"] = b"medmtl evidence in logits; research use only"
        text = json.dumps(meaning(image, entry, f"{NOT_KNOWN:g}"), ensure_ascii=False).encode()
        volume.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", text))
        path = folder / image.name / f"{stem}.nii"
        with atomic_write(path) as temporary:
            nibabel.save(volume, temporary)
        paths.append(path)
    return paths


EXPORTS.register("nifti")(partial(PerImage, write=write_nifti))
