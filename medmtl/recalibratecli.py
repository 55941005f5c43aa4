"""The command ``medmtl recalibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medmtl.options import Device, Out, Quiet


def recalibrate(
    run: Annotated[Path, typer.Argument(help="Trained run folder.")],
    out: Out,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY.PATH=VALUE", help="Change a key that no weight depends on; may be repeated."
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Manifest of other samples to choose thresholds on; default: the run's validation samples."),
    ] = None,
    split: Annotated[str, typer.Option(help="Their split, never test; `all` = every row.")] = "train",
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Make a run with the same weights that looks, picks candidates or counts otherwise; thresholds are chosen anew."""
    from medmtl.progress import Progress
    from medmtl.workflows.recalibrating import recalibrate as run_recalibration

    done = run_recalibration(
        run,
        out,
        overrides=overrides or (),
        manifest=manifest,
        split=None if split == "all" else split,
        device=device,
        progress=Progress(quiet=quiet),
    )
    for task, chosen in done.thresholds.items():
        for label, threshold in chosen.items():
            typer.echo(f"{task}  threshold of {label}: {threshold:.3f}")
    typer.echo(f"run {done.run}  hash {done.run_hash}")
