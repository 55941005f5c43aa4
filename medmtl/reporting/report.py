"""One self-contained HTML page of an evaluation, with its numbers beside it as JSON and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmtl.evaluation.results import EvaluationResult
from medmtl.files import write_text
from medmtl.reporting.artifacts import Artifact, artifacts, write_artifacts, write_metrics
from medmtl.reporting.chart import Chart
from medmtl.reporting.layout import page_environment
from medmtl.reporting.page import Grid, Panel, PanelGroup, PictureKey, frame_grid, svg_uri, task_views
from medmtl.reporting.summary import RunSummary
from medmtl.reporting.tables import DASH, format_number

REPORT_FILE = "report.html"


def write_report(
    folder: Path, results: Sequence[EvaluationResult], run: RunSummary, pictures: Mapping[PictureKey, bytes]
) -> Path:
    """Writes ``report.html``, ``tables/*.csv``, ``curves/*.csv`` and, last of all, ``metrics.json``.

    Whoever finds ``metrics.json`` therefore finds the rest. The page needs no network, no script and no font.

    Args:
        folder: Where to write; made if missing.
        results: One or more evaluations of one run.
        run: The run they evaluate.
        pictures: PNG or JPEG bytes of examples by (data set, task, sample); an example without one is listed in words.

    Returns:
        The path of ``report.html``.

    Raises:
        EvaluationError: A picture is neither PNG nor JPEG.
        OutputError: A file cannot be written.
    """
    folder = Path(folder)
    files = artifacts(results, run)
    page = render_page(results, run, pictures, files)
    write_artifacts(folder, files)
    write_text(folder / REPORT_FILE, page)
    write_metrics(folder, results)
    return folder / REPORT_FILE


def write_page(path: Path, run: RunSummary) -> Path:
    """Writes the page of a run that was not evaluated: how it learned, who moved what, data, settings.

    Args:
        path: The HTML file; replaced.
        run: The run.

    Returns:
        The path.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(path, render_page([], run, {}))
    return path


def render_page(
    results: Sequence[EvaluationResult],
    run: RunSummary,
    pictures: Mapping[PictureKey, bytes],
    files: Sequence[Artifact] = (),
) -> str:
    """Gives the report as HTML text; arguments and errors as :func:`write_report`."""
    paths = {id(file.owner): file.path for file in files if file.owner is not None}
    return (
        page_environment()
        .get_template("report.html")
        .render(
            run=run,
            results=results,
            facts=_facts(results, run),
            cost=_cost(run),
            tasks=task_views(results, paths, pictures),
            learning=_learning(run),
            balance=_balance(run),
            beside=bool(files),
            counts=_counts(run, "tables/data-counts.csv" if files else ""),
            dash=DASH,
        )
    )


def _facts(results: Sequence[EvaluationResult], run: RunSummary) -> dict[str, str]:
    """The facts that tell which run, which code and which data; what is unknown is a dash."""
    ledger = dict.fromkeys([*(result.ledger_row for result in results), run.ledger_row])
    facts = {
        "Run": run.run_folder,
        "Run hash": run.run_hash,
        "Evaluated": ", ".join(dict.fromkeys(result.date for result in results)),
        "Seed": str(run.seed),
        "Code version": run.code_version,
        "Git state": run.git,
        "Ledger row": ", ".join(row for row in ledger if row),
    }
    return {name: value or DASH for name, value in facts.items()}


def _cost(run: RunSummary) -> dict[str, str]:
    cost: dict[str, Any] = {"Training, minutes": run.minutes, **run.cost}
    return {
        name: format_number(value)
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
        for name, value in cost.items()
    }


def _learning(run: RunSummary) -> tuple[Panel, ...]:
    from medmtl.reporting.learning import learning_curves  # matplotlib loads only where something is drawn

    return tuple(map(_panel, learning_curves(run.log, run.best_epoch)))


def _balance(run: RunSummary) -> tuple[PanelGroup, ...]:
    from medmtl.reporting.balance.charts import balance_charts

    groups = balance_charts(run.log, run.probe)
    return tuple(PanelGroup(group.title, group.note, tuple(map(_panel, group.charts))) for group in groups)


def _panel(chart: Chart) -> Panel:
    return Panel(chart.title, svg_uri(chart.svg), chart.alt, chart.caption, wide=chart.wide)


def _counts(run: RunSummary, file: str) -> Grid | None:
    if run.data_counts.empty:
        return None
    note = (
        "Positive, negative and unknown add up to the samples. A class of a segmentation counts as positive where a mask "
        "is given, even an empty one, and as negative where the manifest says `absent`."
    )
    return frame_grid(run.data_counts, "Samples", note if "class" in run.data_counts else "", file)
