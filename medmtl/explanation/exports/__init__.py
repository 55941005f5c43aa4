"""Heat maps and candidates in the formats of other programs, in original pixels: one file a format, chosen by name."""

from __future__ import annotations

from medmtl.explanation.exports.base import EXPORT_FOLDER, EXPORTS, Exporter, open_exports

# Each of these enters itself in EXPORTS.
from medmtl.explanation.exports import coco, csv, geojson, mha, nifti, png16  # noqa: F401  isort: skip

__all__ = ["EXPORTS", "EXPORT_FOLDER", "Exporter", "open_exports"]
