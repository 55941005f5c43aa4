"""A manifest with new splits: by patient, stratified, seeded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from medmtl.data.columns import Column
from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.samples import ABSENT
from medmtl.data.splits import split_by_patient
from medmtl.data.table import read_table
from medmtl.errors import ConfigError


def split(
    path: Path, out: Path, *, val: float = 0.0, test: float = 0.2, seed: int = 0, stratify: Sequence[str] = ()
) -> list[str]:
    """Writes a manifest again with other splits, and says what is in them.

    All images of a patient go to one split. Splits that the manifest has are replaced; paths are made relative to the
    new place.

    Args:
        path: The manifest.
        out: The manifest to write (.csv or .parquet).
        val: Share of the patients for validation, 0 to below 1.
        test: Share of the patients for testing, 0 to below 1.
        seed: Seed; the same gives the same splits, whatever the order of the rows.
        stratify: Labels (``NAME`` or ``NAME.CLASS``) whose combinations are spread evenly; unknown counts as a value.

    Raises:
        ManifestError: The manifest cannot be read, or patients stand in two of its splits.
        ConfigError: The shares leave nothing for training, or no sample has such a label.
        OutputError: The new one cannot be written.
    """
    manifest, table = Manifest.read(path), read_table(path)
    samples = split_by_patient(manifest.samples, _shares(val, test), seed, stratify)
    cells = {
        column.header: [_placed(row[index], column, path.parent) for _, row in table.rows]
        for index, column in enumerate(manifest.columns)
    }
    cells["split"] = [str(sample.split) for sample in samples]
    write_manifest(pd.DataFrame(cells, dtype=str), out)
    counts = Counter(cells["split"])
    people = {name: len({sample.person for sample in samples if sample.split == name}) for name in counts}
    return [f"{name}: {counts[name]} samples of {people[name]} patients" for name in sorted(counts)]


def _shares(val: float, test: float) -> dict[str, float]:
    if val < 0 or test < 0 or not 0 < val + test < 1:
        remedy = "give --val and --test shares from 0 that leave some patients for training"
        raise ConfigError("the shares of the splits", found=f"val {val:g}, test {test:g}", remedy=remedy)
    named = {"train": 1 - val - test, "val": val, "test": test}
    return {name: share for name, share in named.items() if share > 0}


def _placed(cell: str, column: Column, folder: Path) -> str:
    """The cell with its path made absolute, for the new manifest may lie elsewhere."""
    names_file = column.kind == "mask" or column.header in {"image", "fov"}
    return str(folder.resolve() / cell) if cell and cell != ABSENT and names_file else cell
