"""The command ``medmtl``: parse, one call, print; every error a user can mend is one line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from medmtl.datacli import data_app
from medmtl.differencecli import lesiondiff
from medmtl.launching import launch
from medmtl.lesioncli import lesions
from medmtl.measurecli import flatness, mapquality
from medmtl.options import AnatomyTable, Device, Export, Ledger, Out, Quiet, Results, Run
from medmtl.recalibratecli import recalibrate

app = typer.Typer(
    name="medmtl",
    help="Train, explain and evaluate multi-task models for retinal and other medical images. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")


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
def demo(out: Out = Path("demo"), quiet: Quiet = False) -> None:
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
    from medmtl.config import opened_config
    from medmtl.progress import Progress
    from medmtl.training.engine import InterruptedTraining
    from medmtl.workflows import training

    try:
        with opened_config(config, overrides or []) as settings:
            if dry_run:
                typer.echo("\n".join(training.dry_run(settings).lines))
                return
            result = training.train(settings, out, resume=resume, progress=Progress(quiet=quiet))
    except InterruptedTraining as stop:
        typer.echo(f"{stop}", err=True)
        raise typer.Exit(128 + stop.number) from None
    typer.echo(f"run {result.run}  hash {result.run_hash}  steps {result.steps}  minutes {result.minutes:.1f}")


@app.command()
def evaluate(
    run: Run,
    manifest: Annotated[Path, typer.Option(help="Manifest of the samples.")],
    split: Annotated[str, typer.Option(help="Split to evaluate; `all` = every row.")] = "test",
    out: Results = None,
    ledger: Ledger = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a run: figures with intervals, tables, one self-contained report."""
    from medmtl.progress import Progress
    from medmtl.workflows.evaluating import evaluate as run_evaluation
    from medmtl.workflows.evaluating import result_lines

    asked = None if split == "all" else split
    done = run_evaluation(
        run, manifest, split=asked, out=out, ledger=ledger, device=device, progress=Progress(quiet=quiet)
    )
    for line in result_lines(done):
        typer.echo(line)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Run folder; its training may still be going on.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Show how a run learned and which task moved what, without evaluating it: one self-contained page."""
    from medmtl.workflows.reporting import report as write_report

    typer.echo(f"report {write_report(run, out)}")


@app.command()
def explain(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    out: Out = Path("heatmaps"),
    npy: Annotated[bool, typer.Option("--npy", help="Also write the raw maps as NPY (float32).")] = False,
    method: Annotated[
        str | None,
        typer.Option(
            help="A CAM method of pytorch-grad-cam, by its name, instead of the head's own maps: gradcam, layercam, ..."
        ),
    ] = None,
    export: Export = None,
    anatomy: AnatomyTable = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluation folder outside of the run whose figures the page gives; may be repeated."),
    ] = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Make heat maps: overlays on a fixed scale, raw maps, candidates, one index page."""
    from medmtl.progress import Progress
    from medmtl.workflows.explaining import explain as run_explanation

    done = run_explanation(
        run,
        list(images),
        out=out,
        npy=npy,
        method=method,
        export=export or (),
        anatomy=anatomy,
        evaluations=evaluation or (),
        device=device,
        progress=Progress(quiet=quiet),
    )
    typer.echo(f"{done.images} images, {done.candidates} candidates above threshold")
    typer.echo(f"index {done.index}")


app.command()(recalibrate)
app.command()(mapquality)
app.command()(flatness)
app.command()(lesions)
app.command()(lesiondiff)


@app.command()
def compare(
    spec: Annotated[Path, typer.Argument(help="YAML file of the comparison; see docs/comparing.md.")],
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on with.")],
    executor: Annotated[str, typer.Option(help="Where cells run: local, or ray.")] = "local",
    workers: Annotated[int, typer.Option(help="Cells at a time.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Compare methods over seeds and learning rates: tuned on validation, tested once, one table and one page."""
    from medmtl.comparison.scheduling import InterruptedComparison
    from medmtl.comparison.telling import compare as run_comparison
    from medmtl.progress import Progress

    try:
        done = run_comparison(spec, out, executor=executor, workers=workers, progress=Progress(quiet=quiet))
    except InterruptedComparison as stop:
        typer.echo(f"{stop}", err=True)
        raise typer.Exit(128 + stop.number) from None
    for item in done.missing:
        typer.echo(f"no result: {item.cell}: {item.reason}")
    typer.echo(f"{done.cells} cells evaluated, {len(done.missing)} without a result")
    typer.echo(f"page {done.page}")


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
def methods(
    name: Annotated[str | None, typer.Argument(help="A method, for its page.")] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Also memory, state, optimizer, precision and processes.")
    ] = False,
) -> None:
    """List the balancing methods, or show one: what it needs and what it costs."""
    from medmtl.workflows.listing import method_lines

    for line in method_lines(name, wide=wide):
        typer.echo(line)


def main() -> None:
    """The entry point: one line and exit code 2 for what a user can mend."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code, as :func:`medmtl.launching.launch`."""
    return launch(app, "medmtl", arguments)
