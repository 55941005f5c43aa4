"""The page of a comparison: one self-contained HTML file, the same for the same cells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from medmtl.comparison.collecting import Results
from medmtl.comparison.content import Content
from medmtl.comparison.plots import delta_against_seconds, rate_sensitivity, trade_off, validation_front
from medmtl.comparison.selection import Choice
from medmtl.comparison.spec import SINGLE_TASK
from medmtl.comparison.tables import delta_frame, interval_frame, short_frame
from medmtl.reporting.layout import page_environment
from medmtl.reporting.page import Grid, Panel, svg_uri
from medmtl.reporting.tables import DASH, format_cell, format_number


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        title: What it shows.
        svg: SVG text.
        told: The same in words.
    """

    title: str
    svg: str
    told: str

    @property
    def file(self) -> str:
        """Name of a file of its own."""
        words = re.sub(r"[^a-z0-9]+", "_", self.title.lower().replace("δ", "delta_")).strip("_")
        return f"{words}.svg"


def render(content: Content, shown: Sequence[Picture]) -> str:
    """Gives the page as HTML text; everything in it that comes from a file is escaped.

    Args:
        content: What was found.
        shown: As :func:`pictures` draws them.
    """
    plan, rows, results = content.plan, content.rows, content.results
    return (
        page_environment("medmtl.comparison")
        .get_template("comparison.html")
        .render(
            title=plan.spec.name,
            facts=_facts(content),
            table=_grid(short_frame(rows, results, plan), "Means and standard deviations over seeds", "table.csv"),
            deltas=_grid(delta_frame(rows, plan), "Against the single-task networks"),
            intervals=_grid(interval_frame(rows, results, plan), "Intervals"),
            selection=_grid(_selection_frame(content), "Choices on validation", "selection.json"),
            labels=list(zip(results.names(), results.labels, strict=True)),
            plots=tuple(Panel(one.title, svg_uri(one.svg), f"{one.title}. {one.told}") for one in shown),
            missing=content.missing,
            reference=plan.spec.compared_with,
            draws=plan.base.evaluation.bootstrap,
            single=plan.spec.single_task,
        )
    )


def _facts(content: Content) -> dict[str, str]:
    spec = content.plan.spec
    rates = ", ".join(f"{rate:g}" for rate in spec.learning_rates) or "the configuration's own"
    return {
        "Rows": str(len(content.rows)),
        "Seeds": ", ".join(map(str, spec.seeds)),
        "Tuned on": f"validation, seed {spec.tuned_on}",
        "Learning rates": rates,
        "Evaluated on": ", ".join(f"{item.manifest.name} ({item.split})" for item in spec.evaluate),
        "Cells evaluated": str(content.cells),
        "Failed or missing": str(len(content.missing)),
    }


def _grid(frame: pd.DataFrame, title: str, file: str = "") -> Grid:
    cells = tuple(tuple(map(format_cell, row)) for row in frame.itertuples(index=False, name=None))
    text = {"row", "figure", "note", "tasks", "series", "chosen", "why"}
    columns = tuple(map(str, frame.columns))
    return Grid(title, columns, cells, tuple(column not in text for column in columns), file=file)


def _selection_frame(content: Content) -> pd.DataFrame:
    lines = [
        {
            "series": choice.series,
            "chosen": choice.chosen or DASH,
            "score": format_number(choice.scores.get(choice.chosen or "", float("nan"))),
            "candidates": str(max(1, len(choice.scores))),
            "why": _why(choice),
        }
        for choice in content.choices.values()
    ]
    return pd.DataFrame(lines)


def _why(choice: Choice) -> str:
    if not choice.scores:
        return "the only candidate"
    failed = f"; without a score: {', '.join(choice.reasons)}" if choice.reasons else ""
    return f"highest validation score{failed}" if choice.chosen else f"no candidate has a score{failed}"


def pictures(content: Content) -> tuple[Picture, ...]:
    """Draws the figures of the page; those that need more points than there are are left out."""
    return tuple(Picture(title, svg, told) for title, svg, told in _drawn(content) if svg is not None)


def _drawn(content: Content) -> Iterator[tuple[str, str | None, str]]:
    rows, results = content.rows, content.results
    told = [f"{row.name} {form.mean:.2f}" for row in rows for form in list(row.delta_m.values())[:1]]
    yield "Δm against seconds a step", delta_against_seconds(rows), "; ".join(told)
    for first, second in combinations(_first_figures(results), 2):
        title = f"{results.figures[first].task} against {results.figures[second].task}"
        points = [f"{row.name} ({row.scores[first].mean:.3f}, {row.scores[second].mean:.3f})" for row in rows]
        yield f"Trade-off: {title}", trade_off(rows, results, first, second), "; ".join(points)
    multi = [item for item in content.tried if item.row != SINGLE_TASK]
    tasks = list(dict.fromkeys(task for item in multi for task in item.by_task))
    for one, two in combinations(tasks, 2):
        front = validation_front(content.tried, one, two, results.rows)
        yield f"All candidates on validation: {one} against {two}", front, f"{len(multi)} candidates"
    yield "Sensitivity to the learning rate", rate_sensitivity(content.tried), "validation scores"


def _first_figures(results: Results) -> list[int]:
    """Place of the first figure of each task."""
    first: dict[str, int] = {}
    for place, figure in enumerate(results.figures):
        first.setdefault(figure.task, place)
    return list(first.values())
