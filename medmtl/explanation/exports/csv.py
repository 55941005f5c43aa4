"""Candidates of an image as CSV: a row each, with what the coordinates mean in a column of its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from medmtl.explanation.candidates import COLUMNS, COORDINATES
from medmtl.explanation.exports.base import EXPORTS, PerImage
from medmtl.explanation.shown import ShownImage
from medmtl.files import atomic_write


def write_csv(folder: Path, image: ShownImage) -> list[Path]:
    """Writes ``NAME.csv``; a header alone where nothing is above a threshold.

    Args:
        folder: Where to.
        image: The image.

    Raises:
        OutputError: It cannot be written.
    """
    filled = [entry.candidates for entry in image.classes if len(entry.candidates)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=COLUMNS)
    path = folder / f"{image.name}.csv"
    made = (
        {"method": image.classes[0].scale.made_by, "score_unit": image.classes[0].scale.unit} if image.classes else {}
    )
    told = {"file": image.source, "coordinates": COORDINATES, **made}
    with atomic_write(path) as temporary:
        table[COLUMNS].assign(**told).to_csv(temporary, index=False, lineterminator="\n")
    return [path]


EXPORTS.register("csv")(partial(PerImage, write=write_csv))
