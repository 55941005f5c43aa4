"""Arguments and options that several commands have: written once, so that they are called and told alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(help="Run folder.")]
Out = Annotated[Path, typer.Option(help="Folder to write.")]
Results = Annotated[Path | None, typer.Option(help="Folder of the results; default: in the run folder.")]
Ledger = Annotated[Path | None, typer.Option(help="CSV that records every look; default: beside the results.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: the run's own.")]
Export = Annotated[
    list[str] | None,
    typer.Option(metavar="FORMAT,...", help="Also write for other programs: geojson, coco, csv, png16, nifti, mha."),
]
AnatomyTable = Annotated[
    Path | None,
    typer.Option(help="CSV of eyes: image, laterality, disc_x, disc_y, disc_diameter, fovea_x, fovea_y."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")]
