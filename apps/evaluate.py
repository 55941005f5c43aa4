"""The container's program: evaluate the run in ``/model`` on the images in ``/input``, and leave all results in ``/output``.

Every option is a flag or an environment variable, so that a container needs nothing but its three folders.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from medmtl.errors import ConfigError, ManifestError, suggestion
from medmtl.launching import launch

TABLES = (".csv", ".parquet", ".pq")
SPLITS = ("auto", "train", "val", "test", "all")

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command()
def evaluate(
    input_folder: Annotated[
        Path,
        typer.Option(
            "--input",
            envvar="MEDMTL_INPUT",
            help="Folder with manifest.csv (or one CSV or Parquet table) and the images it names.",
        ),
    ] = Path("/input"),
    model: Annotated[Path, typer.Option(envvar="MEDMTL_MODEL", help="Run folder that `medmtl train` made.")] = Path(
        "/model"
    ),
    output: Annotated[
        Path, typer.Option(envvar="MEDMTL_OUTPUT", help="Folder for metrics.json, tables and report.html.")
    ] = Path("/output"),
    split: Annotated[
        str,
        typer.Option(
            envvar="MEDMTL_SPLIT",
            help="train, val, test, all; `auto` = test where the manifest names splits, else all.",
        ),
    ] = "auto",
    device: Annotated[
        str,
        typer.Option(envvar="MEDMTL_DEVICE", help="auto, cpu, cuda or cuda:N; `auto` uses a GPU where there is one."),
    ] = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", envvar="MEDMTL_QUIET", help="Say nothing but results and errors.")
    ] = False,
) -> None:
    """Evaluate a trained run on a folder of images with a manifest. Research use only."""
    if split not in SPLITS:
        raise ConfigError("unknown split", where="--split", found=f"'{split}'", remedy=suggestion(split, SPLITS))
    manifest = find_manifest(input_folder)
    # Loaded only now: a missing manifest is said at once, not after the libraries.
    from medmtl.progress import Progress
    from medmtl.workflows.evaluating import evaluate as run_evaluation

    asked = choose_split(manifest, split)
    # The ledger lies inside the output, because nothing else of a container may be written.
    done = run_evaluation(
        model,
        manifest,
        split=asked,
        out=output,
        ledger=output / "ledger.csv",
        device=device,
        progress=Progress(quiet=quiet),
    )
    typer.echo(f"report {done.report}")


def find_manifest(folder: Path) -> Path:
    """The table in a folder: ``manifest.csv`` or ``manifest.parquet``, or else the only table there.

    Raises:
        ManifestError: There is no such folder, no table, or more than one.
    """
    if not folder.is_dir():
        raise ManifestError("there is no such input folder", where=folder, remedy="mount it, or name it with --input")
    tables = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in TABLES and not path.name.startswith(".")
    )
    named = [path for path in tables if path.stem.lower() == "manifest"] or tables
    if not named:
        raise ManifestError(
            "the input folder holds no manifest", where=folder, remedy="put a manifest.csv beside the images"
        )
    if len(named) > 1:
        found = ", ".join(path.name for path in named)
        raise ManifestError(
            "the input folder holds several tables",
            where=folder,
            found=found,
            remedy="name one of them manifest.csv and remove any other manifest",
        )
    return named[0]


def choose_split(manifest: Path, split: str) -> str | None:
    """The split to evaluate; None for every row.

    Raises:
        ManifestError: The manifest cannot be read.
    """
    if split != "auto":
        return None if split == "all" else split
    from medmtl.data.manifest import Manifest

    named = any(sample.split is not None for sample in Manifest.read(manifest).samples)
    return "test" if named else None


if __name__ == "__main__":
    sys.exit(launch(app, "evaluate", sys.argv[1:]))
