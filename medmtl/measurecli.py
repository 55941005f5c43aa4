"""What is measured of a trained run besides its figures: ``medmtl mapquality`` and ``medmtl flatness``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medmtl.options import Device, Ledger, Quiet, Results, Run


def mapquality(
    run: Run,
    manifest: Annotated[Path, typer.Option(help="Manifest of images with lesion masks.")],
    split: Annotated[str, typer.Option(help="Split to look at; `all` = every row.")] = "val",
    method: Annotated[
        list[str] | None, typer.Option(help="`head` (the default) or a CAM method, as for `explain`; may be repeated.")
    ] = None,
    out: Results = None,
    ledger: Ledger = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Measure maps: do they point at the lesions, does the network use what they show, does training change them."""
    from medmtl.progress import Progress
    from medmtl.workflows.mapquality import OWN, map_quality, quality_lines

    done = map_quality(
        run,
        manifest,
        methods=method or [OWN],
        split=None if split == "all" else split,
        out=out,
        ledger=ledger,
        device=device,
        progress=Progress(quiet=quiet),
    )
    for line in quality_lines(done.table):
        typer.echo(line)
    typer.echo(f"tables {done.folder}")


def flatness(
    run: Run,
    manifest: Annotated[Path, typer.Option(help="Manifest of labelled images.")],
    split: Annotated[str, typer.Option(help="Split to look at; `all` = every row.")] = "val",
    radius: Annotated[
        list[float] | None,
        typer.Option(help="Radius, as a share of the features' size; may be repeated. Default: 0.05, 0.1 and 0.2."),
    ] = None,
    out: Results = None,
    ledger: Ledger = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Measure cooperating sub-models: how much each loss rises where the others' features are perturbed."""
    from medmtl.progress import Progress
    from medmtl.workflows.flatness import RADII, flatness_lines, measure_flatness

    done = measure_flatness(
        run,
        manifest,
        radii=radius or RADII,
        split=None if split == "all" else split,
        out=out,
        ledger=ledger,
        device=device,
        progress=Progress(quiet=quiet),
    )
    for line in flatness_lines(done.table):
        typer.echo(line)
    typer.echo(f"tables {done.folder}")
