"""The commands ``medmtl data ...``: make, split, list and inspect data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medmtl.data.synthesis.domain import DOMAINS
from medmtl.options import Quiet, Seed

data_app = typer.Typer(help="Make, split, list and inspect data sets.", no_args_is_help=True)


@data_app.command("list")
def data_list() -> None:
    """List the public data sets that `make` knows, with their options."""
    from medmtl.workflows.manifests import source_lines

    for line in source_lines():
        typer.echo(line)


@data_app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="Data set; see `medmtl data list`.")],
    root: Annotated[Path, typer.Option(help="Folder of the data set, in its official layout.")],
    out: Annotated[Path, typer.Option(help="Manifest to write (.csv or .parquet).")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="KEY=VALUE",
            help="An option of the data set; may be repeated. `medmtl data list` shows those of each.",
        ),
    ] = None,
) -> None:
    """Make the manifest of a public data set."""
    from medmtl.workflows.manifests import make

    for line in make(name, root, out, option or []):
        typer.echo(line)


@data_app.command("synth")
def data_synth(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 100,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Side of the images, in pixels.")] = 512,
    domain: Annotated[str, typer.Option(help=f"Camera and population: {', '.join(DOMAINS)}.")] = "standard",
) -> None:
    """Make synthetic fundus images with exact truth for every task."""
    from medmtl.data.synthetic import write_dataset
    from medmtl.progress import Progress

    with Progress().bar("synthesizing", n) as bar:
        manifest = write_dataset(n, seed, out, size=size, domain=domain, progress=lambda done, total: bar.advance())
    typer.echo(f"manifest {manifest}")


@data_app.command("paint")
def data_paint(
    manifest: Annotated[
        Path, typer.Argument(help="Manifest with images of healthy eyes, their grade among the labels.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 480,
    seed: Seed = 0,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Side of the images, in pixels.")] = 1024,
    split: Annotated[str, typer.Option(help="Split whose healthy images are painted on; `all` = every row.")] = "train",
    grade: Annotated[str, typer.Option(metavar="LABEL", help="Label that is 0 for healthy eyes.")] = "dr_grade",
    domain: Annotated[str, typer.Option(help=f"Sizes and contrasts of lesions: {', '.join(DOMAINS)}.")] = "varied",
    quiet: Quiet = False,
) -> None:
    """Paint synthetic lesions on photographs of healthy eyes: exact masks on real backgrounds."""
    from medmtl.progress import Progress
    from medmtl.workflows.painting import paint_manifest

    progress = Progress(quiet=quiet)
    for line in paint_manifest(
        manifest,
        out,
        n=n,
        size=size,
        seed=seed,
        split=None if split == "all" else split,
        grade=grade,
        domain=domain,
        progress=progress,
    ):
        typer.echo(line)


@data_app.command("split")
def data_split(
    manifest: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path, typer.Option(help="Manifest to write (.csv or .parquet).")],
    test: Annotated[float, typer.Option(help="Share of the patients for testing.")] = 0.2,
    val: Annotated[float, typer.Option(help="Share of the patients for validation.")] = 0.0,
    seed: Seed = 0,
    stratify: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Label to spread evenly; may be repeated.")
    ] = None,
) -> None:
    """Split a manifest anew: by patient, stratified, seeded. Splits that it has are replaced."""
    from medmtl.workflows.splitting import split

    for line in split(manifest, out, val=val, test=test, seed=seed, stratify=stratify or []):
        typer.echo(line)


@data_app.command("inspect")
def data_inspect(
    manifest: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write the findings to; default: they are printed only.")
    ] = None,
    size: Annotated[int, typer.Option(min=32, help="Side of the view that the cache estimate is for.")] = 512,
    known: Annotated[
        list[str] | None,
        typer.Option(
            "--known",
            metavar="COLUMN=0,1,2",
            help="Values that the files of a mask column may hold, others being a problem; may be repeated.",
        ),
    ] = None,
) -> None:
    """Look a data set over: counts, sizes, faults. Exit code 1 where there are problems, 2 where it cannot be read."""
    from medmtl.workflows.manifests import inspect

    inspection = inspect(manifest, out, size, known or [])
    typer.echo(inspection.to_text())
    if not inspection.ok:
        raise typer.Exit(1)
