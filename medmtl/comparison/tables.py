"""One table in three forms: CSV with full precision, Markdown and LaTeX for people; and its intervals as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from medmtl.comparison.collecting import Results
from medmtl.comparison.planning import Plan
from medmtl.comparison.summarizing import ALL_TASKS, Delta, Row, Score
from medmtl.evaluation import Interval
from medmtl.reporting.tables import DASH, csv_text, decimals, format_interval, format_number, markdown_table

_LATEX = {
    "Δm": r"$\Delta_m$",
    "Δp": r"$\Delta_p$",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "≥": r"$\geq$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
}


def full_frame(rows: Sequence[Row], results: Results) -> pd.DataFrame:
    """Every number of every row.

    Args:
        rows: The rows.
        results: What they are made from, for the names of the figures.
    """
    return pd.DataFrame([_full(row, results.names()) for row in rows])


def _full(row: Row, names: Sequence[str]) -> dict[str, object]:
    cells: dict[str, object] = {"row": row.name, "chosen": said_choice(row)}
    for name, score in zip(names, row.scores, strict=True):
        cells |= {name: score.mean, f"{name} sd": score.sd, f"{name} seeds": score.seeds}
        cells |= _ends(name, score.interval)
        cells |= {f"{name} difference": score.paired.value}
        cells |= _ends(f"{name} difference paired", score.paired)
        cells |= _ends(f"{name} difference", score.difference)
        cells |= {f"{name} rank": score.rank}
    for kind, deltas in (("delta_m_percent", row.delta_m), ("delta_p_percent", row.delta_p)):
        for form, delta in deltas.items():
            title = kind if form == ALL_TASKS else f"{kind} {form}"
            cells |= {title: delta.mean, f"{title} sd": delta.sd, **_ends(title, delta.interval), f"{title} p": delta.p}
            cells |= {f"{title} seeds": delta.seeds - len(delta.undefined)}
    cells |= {"mean_rank": row.mean_rank, "seconds_per_step": row.cost.step_seconds, "minutes": row.cost.minutes}
    cells |= {"processor_minutes": row.cost.processor_minutes}
    return cells | {"peak_memory_mb": row.cost.peak_memory_mb}


def _ends(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name} low": interval.low, f"{name} high": interval.high}


def short_frame(rows: Sequence[Row], results: Results, plan: Plan) -> pd.DataFrame:
    """The table for people: means with spread, Δ with spread, ranks, cost; all text.

    Args:
        rows: The rows.
        results: What they are made from.
        plan: The comparison, for the forms of Δm.
    """
    arrows = ["↑" if upward else "↓" for upward in results.higher_is_better]
    titles = [f"{name} {arrow}" for name, arrow in zip(results.names(), arrows, strict=True)]
    forms = [ALL_TASKS, *plan.spec.exclude_tasks] if plan.spec.single_task else []
    lines = []
    for row in rows:
        cells = {"row": row.name}
        cells |= {title: spread(score.mean, score.sd) for title, score in zip(titles, row.scores, strict=True)}
        cells |= {_title("Δm % ↓", form): said_delta(row.delta_m, form) for form in forms}
        cells |= {_title("Δp % ↑", form): said_delta(row.delta_p, form) for form in forms}
        cells |= {"mean rank": format_number(row.mean_rank, 2), "s a step": format_number(row.cost.step_seconds)}
        cells |= {"minutes": format_number(row.cost.minutes, 1)}
        cells |= {"processor min": format_number(row.cost.processor_minutes, 1)}
        cells |= {"peak MB": format_number(row.cost.peak_memory_mb, 0)}
        cells |= {"seeds": _seeds(row)}
        lines.append(cells)
    return pd.DataFrame(lines)


def interval_frame(rows: Sequence[Row], results: Results, plan: Plan) -> pd.DataFrame:
    """Figures and differences with their intervals, a line a row and figure; all text.

    Args:
        rows: The rows.
        results: What they are made from.
        plan: The comparison, for the name of the reference.
    """
    other = plan.spec.compared_with
    lines = [
        {
            "row": row.name,
            "figure": name,
            "value (seeds and patients)": format_interval(score.interval),
            f"minus {other} (patients)": format_interval(score.paired) if row.name != other else DASH,
            f"minus {other} (seeds and patients)": format_interval(score.difference) if row.name != other else DASH,
            "rank": format_number(score.rank, 1),
            "seeds": str(score.seeds),
            "note": _note(score),
        }
        for row in rows
        for name, score in zip(results.names(), row.scores, strict=True)
    ]
    return pd.DataFrame(lines)


def delta_frame(rows: Sequence[Row], plan: Plan) -> pd.DataFrame:
    """Δm and Δp of every form, with intervals and, from 6 seeds on, p-values; all text."""
    left_out = {form: f"{form} (leaves out {', '.join(tasks)})" for form, tasks in plan.spec.exclude_tasks.items()}
    lines = [
        {
            "row": row.name,
            "tasks": left_out.get(form, form),
            "Δm % (lower is better)": format_interval(row.delta_m[form].interval),
            "Δp % (higher is better)": format_interval(row.delta_p[form].interval),
            "p of Δm": format_number(row.delta_m[form].p, 3),
            "note": _lost(row.delta_m[form]),
        }
        for row in rows
        for form in row.delta_m
    ]
    return pd.DataFrame(lines)


def spread(mean: float, sd: float) -> str:
    """Gives ``0.812 ± 0.004``; without ± for one seed; a dash where there is no value."""
    if not math.isfinite(mean):
        return DASH
    places = decimals(mean)
    return format_number(mean, places) + (f" ± {format_number(sd, places)}" if math.isfinite(sd) else "")


def said_delta(deltas: Mapping[str, Delta], form: str) -> str:
    """A Δ with its spread, in percent, and how many seeds it is over where that is not all; a dash for the single-task row."""
    if form not in deltas or not math.isfinite(deltas[form].mean):
        return DASH
    delta = deltas[form]
    said = format_number(delta.mean, 2) + (f" ± {format_number(delta.sd, 2)}" if math.isfinite(delta.sd) else "")
    return f"{said} ({delta.seeds - len(delta.undefined)} of {delta.seeds} seeds)" if delta.undefined else said


def said_choice(row: Row) -> str:
    """What was chosen for a row: the candidate, or that of every task."""
    choices = {series.partition("/")[2]: candidate for series, candidate in row.chosen.items()}
    return ", ".join(f"{task} {candidate}".strip() for task, candidate in choices.items())


def table_texts(rows: Sequence[Row], results: Results, plan: Plan) -> dict[str, str]:
    """The files of the table, by name.

    Args:
        rows: The rows.
        results: What they are made from.
        plan: The comparison.
    """
    short = short_frame(rows, results, plan)
    columns = list(map(str, short.columns))
    markdown = markdown_table(columns, short.itertuples(index=False, name=None), numeric=columns[1:])
    return {
        "table.csv": csv_text(full_frame(rows, results)),
        "table.md": markdown,
        "table.tex": _latex(short),
        "intervals.md": _intervals(rows, results, plan),
    }


def _intervals(rows: Sequence[Row], results: Results, plan: Plan) -> str:
    chosen = pd.DataFrame([{"row": row.name, "chosen on validation": said_choice(row)} for row in rows])
    frames = [chosen, delta_frame(rows, plan), interval_frame(rows, results, plan)]
    tables = (markdown_table(list(map(str, f.columns)), f.itertuples(index=False, name=None)) for f in frames)
    return "\n".join(table for table, frame in zip(tables, frames, strict=True) if not frame.empty)


def _latex(frame: pd.DataFrame) -> str:
    text = frame.to_latex(index=False, escape=True, column_format="l" + "r" * (frame.shape[1] - 1))
    for character, command in _LATEX.items():
        text = text.replace(character, command)
    return text


def _title(title: str, form: str) -> str:
    return title if form == ALL_TASKS else f"{title} ({form})"


def _seeds(row: Row) -> str:
    """How many seeds the means are over; from - to, where figures differ."""
    counts = sorted({score.seeds for score in row.scores})
    return DASH.join(map(str, counts[:1] + counts[1:][-1:]))


def _lost(delta: Delta) -> str:
    """Which seeds have no Δ, and why."""
    zeros = (f"seed {seed}, where the baseline's {', '.join(names)} is 0" for seed, names in delta.undefined.items())
    said = "; ".join(zeros)
    return f"undefined in {said}" if said else ""


def _note(score: Score) -> str:
    interval = score.interval
    return "" if math.isfinite(interval.low) or not interval.method else interval.method
