"""The command itself: from a spec and a folder to cells, tables and the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medmtl.comparison.collecting import collect
from medmtl.comparison.content import Content, Missing, Tried
from medmtl.comparison.executors import Executor
from medmtl.comparison.planning import Plan
from medmtl.comparison.running import Outcomes, evaluation_name, held, opened, run_cells
from medmtl.comparison.state import Places
from medmtl.comparison.summarizing import summarize
from medmtl.comparison.tables import full_frame, table_texts
from medmtl.errors import RunError
from medmtl.files import write_text
from medmtl.progress import Progress

PAGE = "index.html"
FIGURES = "figures"


@dataclass(frozen=True, eq=False)
class Compared:
    """What a comparison left.

    Attributes:
        folder: Where everything is; the cells are run folders below ``cells``.
        page: The HTML page.
        table: Every number, a row each: what ``table.csv`` holds.
        chosen: The candidate of each row (of each task for the single-task row).
        cells: Number of evaluated cells.
        missing: Cells without a result, and why.
    """

    folder: Path
    page: Path
    table: pd.DataFrame
    chosen: dict[str, str]
    cells: int
    missing: tuple[Missing, ...]


def compare(
    spec: str | Path,
    out: str | Path,
    *,
    executor: str = "local",
    workers: int = 1,
    progress: Progress | None = None,
) -> Compared:
    """Compares methods, weights and networks over seeds and learning rates.

    Cells that are done are kept, interrupted ones go on, failed ones are tried again and are not fatal.

    Args:
        spec: YAML file of the comparison.
        out: Folder to make, or to go on with.
        executor: ``local``, or ``ray`` for the machines of a Ray cluster.
        workers: Cells at a time.
        progress: Where to say how far it is.

    Raises:
        MedmtlError: What is wrong, before anything is started wherever possible.
        InterruptedComparison: SIGINT or SIGTERM; the cells saved themselves, and a second call goes on.
    """
    plan, runner = opened(Path(spec), executor, workers)
    return compare_with(plan, Path(out), runner, progress or Progress())


def compare_with(plan: Plan, out: Path, runner: Executor, progress: Progress) -> Compared:
    """Does what :func:`compare` does, with a plan and an executor that are made already.

    Args:
        plan: The comparison.
        out: Folder to make, or to go on with.
        runner: Where the processes run; it is closed.
        progress: Where to say how far it is.

    Raises:
        RunError: No cell has a result, or as :func:`compare`.
    """
    places = Places(out)
    with closing(runner), held(places):
        outcomes = run_cells(plan, places, runner, progress)
        missing = tuple(_missing(plan, outcomes))
        if not outcomes.evaluated:
            found = f"{missing[0].cell}: {missing[0].reason}" if missing else None
            remedy = "mend it and give the same command again; the logs lie beside the cells"
            raise RunError("no cell has a result", where=out, found=found, remedy=remedy)
        return _tell(plan, places, outcomes, missing, progress)


def _tell(plan: Plan, places: Places, outcomes: Outcomes, missing: tuple[Missing, ...], progress: Progress) -> Compared:
    from medmtl.comparison.page import pictures, render  # matplotlib loads only where something is drawn

    progress.say("drawing patients and seeds, writing tables")
    results = collect(plan, outcomes.evaluated, places)
    chosen = outcomes.selection.chosen
    rows = summarize(plan, results, chosen, outcomes.facts, outcomes.journal.entries)
    tried = tuple(_tried(plan, outcomes))
    cells = len(outcomes.evaluated)
    content = Content(plan, results, rows, outcomes.selection.choices, tried, missing, cells)
    shown = pictures(content)
    files = {f"{FIGURES}/{one.file}": one.svg for one in shown} | table_texts(rows, results, plan)
    (places.root / FIGURES).mkdir(exist_ok=True)
    for name, text in {**files, PAGE: render(content, shown)}.items():
        write_text(places.root / name, text)
    return Compared(places.root, places.root / PAGE, full_frame(rows, results), chosen, cells, missing)


def _tried(plan: Plan, outcomes: Outcomes) -> Iterator[Tried]:
    for cell in plan.tuning():
        facts = outcomes.facts.get(cell.name)
        if facts is not None and math.isfinite(facts.score):
            yield Tried(cell.row, cell.series, cell.config.training.lr, facts.score, facts.by_task)


def _missing(plan: Plan, outcomes: Outcomes) -> Iterator[Missing]:
    """Every cell that should have a result and has none, with the reason that is known."""
    journal, choices = outcomes.journal.entries, outcomes.selection.choices
    done = {cell.name for cell in outcomes.evaluated}
    for cell in plan.tuning():
        if cell.name not in outcomes.facts and journal.get(cell.name):
            yield Missing(cell.name, journal[cell.name].reason or "interrupted")
    for series in plan.series:
        if choices[series.name].chosen is None:
            yield Missing(series.name, "no candidate has a validation score, so none was chosen")
    for cell in plan.chosen(outcomes.selection.chosen):
        if cell.name in done:
            continue
        names = [cell.name, *(evaluation_name(cell, item) for item in plan.evaluations_of(cell.series))]
        reasons = [journal[name].reason for name in names if name in journal and journal[name].reason]
        yield Missing(cell.name, reasons[0] if reasons else "not trained")
