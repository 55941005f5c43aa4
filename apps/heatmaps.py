"""Heat maps for people who write no Python: a folder of images in, a folder of overlays and one index page out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medmtl.launching import launch
from medmtl.options import AnatomyTable, Export

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def heatmaps(
    model: Annotated[
        Path, typer.Argument(help="Folder of the trained model, as `medmtl train` made it.", show_default=False)
    ],
    images: Annotated[Path, typer.Argument(help="Folder of images, or one image.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder to write the results to.")] = Path("heatmaps"),
    export: Export = None,
    anatomy: AnatomyTable = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")] = False,
) -> None:
    """Show where a model sees signs of disease. Research use only: not a diagnosis.

    Every image gets an overlay. A color means the same evidence in every image; an image without color has none above
    the model's threshold, which does not prove that the eye is healthy.
    """
    import medmtl

    done = medmtl.explain(model, images, out=out, export=export or (), anatomy=anatomy, quiet=quiet)
    typer.echo(f"{done.images} images looked at, {done.candidates} places marked.")
    typer.echo(f"Open this page in a web browser: {done.index.resolve()}")


if __name__ == "__main__":
    sys.exit(launch(app, "heatmaps", sys.argv[1:]))
