"""The command ``medmtl``: parse, one call, print; every error a user can mend is one line and exit code 2."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from medmtl.errors import MedmtlError

# Typer carries its own click or uses the real one, by version; its errors have the same base in both.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="medmtl",
    help="Train, explain and evaluate multi-task models for retinal and other medical images. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Make, list and inspect data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Out = Annotated[Path, typer.Option(help="Folder to write.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors.")]


def _say_version(asked: bool) -> None:
    if asked:
        from medmtl import __version__

        typer.echo(f"medmtl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"), quiet: Quiet = False) -> None:
    """Train, evaluate and explain a three-task model on synthetic fundus images: a few minutes on two CPU cores."""
    from medmtl.progress import Progress
    from medmtl.workflows.demo import run_demo

    for line in run_demo(out, Progress(quiet=quiet)).lines:
        typer.echo(line)


@app.command()
def train(
    config: Annotated[list[Path], typer.Argument(help="YAML files; later ones over earlier ones.")],
    out: Out = Path("run"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change one key; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint, bit for bit.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done: labels, shapes, memory, updates.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train a run from a configuration."""
    from medmtl.config import load_config
    from medmtl.progress import Progress
    from medmtl.training.engine import InterruptedTraining
    from medmtl.workflows import training

    settings = load_config(config, overrides or [])
    if dry_run:
        for line in training.dry_run(settings).lines:
            typer.echo(line)
        return
    try:
        result = training.train(settings, out, resume=resume, progress=Progress(quiet=quiet))
    except InterruptedTraining as stop:
        typer.echo(f"{stop}", err=True)
        raise typer.Exit(128 + stop.number) from None
    typer.echo(f"run {result.run}  hash {result.run_hash}  steps {result.steps}  minutes {result.minutes:.1f}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    manifest: Annotated[Path, typer.Option(help="Manifest of the samples.")],
    split: Annotated[str, typer.Option(help="Split to evaluate; `all` = every row.")] = "test",
    out: Annotated[Path | None, typer.Option(help="Folder of the results; default: in the run folder.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="CSV that records every look; default: beside the results.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: the run's own.")] = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a run: figures with intervals, tables, one self-contained report."""
    from medmtl.progress import Progress
    from medmtl.workflows.evaluating import evaluate as run_evaluation

    asked = None if split == "all" else split
    done = run_evaluation(
        run, manifest, split=asked, out=out, ledger=ledger, device=device, progress=Progress(quiet=quiet)
    )
    for result in done.results:
        for task in result.tasks:
            for metric in task.metrics:
                value = metric.interval
                typer.echo(
                    f"{task.dataset}  {task.task}  {metric.label}  {value.value:.3f}  ({value.low:.3f} to {value.high:.3f})  n={metric.n}"
                )
    typer.echo(f"report {done.report}")


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Out = Path("heatmaps"),
    npy: Annotated[bool, typer.Option("--npy", help="Also write the raw maps as NPY (float32).")] = False,
    method: Annotated[
        str | None,
        typer.Option(help="A CAM method of pytorch-grad-cam instead of the head's own maps: gradcam, layercam, ..."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: the run's own.")] = None,
    quiet: Quiet = False,
) -> None:
    """Make heat maps: overlays on a fixed scale, raw maps, candidates, one index page."""
    from medmtl.progress import Progress
    from medmtl.workflows.explaining import explain as run_explanation

    done = run_explanation(
        run, list(images), out=out, npy=npy, method=method, device=device, progress=Progress(quiet=quiet)
    )
    typer.echo(f"{done.images} images, {done.candidates} candidates above threshold")
    typer.echo(f"index {done.index}")


@app.command()
def results(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; default: print.")] = None,
) -> None:
    """Make the tables of docs/results.md from run folders."""
    from medmtl.files import write_text
    from medmtl.reporting.results import collect_results, render_results

    text = render_results(collect_results(runs))
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text)


@app.command()
def methods(name: Annotated[str | None, typer.Argument(help="A method, for its page.")] = None) -> None:
    """List the balancing methods, or show one: what it needs and what it costs."""
    from medmtl.workflows.listing import method_lines

    for line in method_lines(name):
        typer.echo(line)


@data_app.command("list")
def data_list() -> None:
    """List the public data sets that `make` knows."""
    from medmtl.data.sources import list_sources

    for source in list_sources():
        typer.echo(f"{source.name:12} {source.title}: {source.description}")


@data_app.command("make")
def data_make(
    name: Annotated[str, typer.Argument(help="Data set; see `medmtl data list`.")],
    root: Annotated[Path, typer.Option(help="Folder of the data set, in its official layout.")],
    out: Annotated[Path, typer.Option(help="Manifest to write (.csv or .parquet).")],
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="An option of the data set; may be repeated."),
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
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Side of the images, in pixels.")] = 512,
    domain: Annotated[
        str, typer.Option(help="Camera and population: standard, warm, red, pale, dim, hazy, varied.")
    ] = "standard",
) -> None:
    """Make synthetic fundus images with exact truth for every task."""
    from medmtl.data.synthetic import write_dataset
    from medmtl.progress import Progress

    with Progress().bar("synthesizing", n) as bar:
        manifest = write_dataset(n, seed, out, size=size, domain=domain, progress=lambda done, total: bar.advance())
    typer.echo(f"manifest {manifest}")


@data_app.command("inspect")
def data_inspect(
    manifest: Annotated[Path, typer.Argument(help="Manifest.")],
    out: Annotated[Path | None, typer.Option(help="JSON file to write the findings to.")] = None,
    size: Annotated[int, typer.Option(min=32, help="Side of the view that the cache estimate is for.")] = 512,
) -> None:
    """Look a data set over: counts, sizes, faults. Exit code 1 where there are problems, 2 where it cannot be read."""
    from medmtl.workflows.manifests import inspect

    inspection = inspect(manifest, out, size)
    typer.echo(inspection.to_text())
    if not inspection.ok:
        raise typer.Exit(1)


def main() -> None:
    """The entry point: one line and exit code 2 for what a user can mend."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code: 0, 1 (problems found), 2 (an error to mend), 128 + signal."""
    _quiet_libraries()
    try:
        result = app(list(arguments), prog_name="medmtl", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except MedmtlError as error:
        return _refuse(error)
    except BrokenPipeError:
        return _unheard()
    except OSError as error:
        if error.errno is None:
            raise
        return _refuse(_system_error(error))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("stopped", err=True)
        return 130
    except _ClickError as error:
        return _refuse_usage(error)


def _refuse_usage(error: Exception) -> int:
    """One line for a command line that cannot be parsed; nothing where the help was already shown."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    if message:
        remedy = f"see {context.command_path if context is not None else 'medmtl'} --help"
        _refuse(MedmtlError(message.rstrip("."), remedy=remedy))
    return 2


def _refuse(error: MedmtlError) -> int:
    typer.echo(f"error: {error}", err=True)
    return 2


def _system_error(error: OSError) -> MedmtlError:
    """What the system refused outside of our own writing, such as a library's log on a full disk."""
    from medmtl.files import output_error

    return output_error(error, Path(str(error.filename)) if error.filename else Path.cwd())


def _unheard() -> int:
    """Whoever read our output has stopped reading (``medmtl ... | head``); nothing is to be said any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _quiet_libraries() -> None:
    """Keeps the libraries' remarks out of what we say; MEDMTL_WARNINGS=1 lets them speak."""
    if os.environ.get("MEDMTL_WARNINGS"):
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    for name in ("pydicom", "PIL", "tifffile", "nibabel.global"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
