"""Maps as NIfTI with identity affine: voxel (i, j, 0) is the pixel in column i and row j."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from medmtl.explanation.exports.base import EXPORTS, PerClass
from medmtl.explanation.exports.volume import meaning
from medmtl.explanation.shown import ShownClass, ShownImage
from medmtl.files import atomic_write

NOT_KNOWN = -100.0
"""What stands where nothing is known: ITK's reader, and every program on it, turns NaN into 0, which is even odds."""


def write_nifti(path: Path, image: ShownImage, entry: ShownClass) -> list[Path]:
    """Writes a class's map: float32 (W, H, 1), -100 where nothing is known.

    What the numbers mean stands in the header's extension, as JSON. World coordinates are pixels, not millimeters.

    Args:
        path: The file.
        image: The image.
        entry: The class.

    Raises:
        OutputError: It cannot be written.
    """
    import nibabel

    values = np.where(np.isfinite(entry.evidence), entry.evidence, NOT_KNOWN).astype(np.float32)
    volume = nibabel.Nifti1Image(values.T[:, :, None], np.eye(4))
    unit = "logits" if entry.scale.in_logits else entry.scale.unit.replace("×", "x")
    volume.header["descrip"] = f"medmtl evidence, {unit}; research use only".encode()
    text = json.dumps(meaning(image, entry, f"{NOT_KNOWN:g}"), ensure_ascii=False).encode()
    volume.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", text))
    with atomic_write(path) as temporary:
        nibabel.save(volume, temporary)
    return [path]


EXPORTS.register("nifti")(partial(PerClass, suffix=".nii", write=write_nifti))
