"""How numbers look: a value with its interval, a dash with the reason, cells of HTML, Markdown and CSV tables."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Sequence

import pandas as pd

from medmtl.evaluation.results import Interval, Metric

DASH = "–"
MINUS = "−"
_FORMULA = re.compile(r"^[=+\-@\t\r]")
_MARKDOWN = re.compile(r"([\\`*_\[\]{}#|~$])")


def decimals(value: float) -> int:
    """Decimals that suit a value: 3 below ten (shares, kappas), 1 below a thousand, none above."""
    size = abs(value)
    return 3 if size < 10 else 1 if size < 1000 else 0


def format_number(value: float, places: int | None = None) -> str:
    """Gives a number as text: ``0.912``, ``35.2``, ``1,744``; tiny ones as ``5e-05``; what is not finite as a dash.

    Args:
        value: The number.
        places: Decimals; by default those that suit the value.
    """
    if not math.isfinite(value):
        return DASH
    tiny = places is None and 0 < abs(value) < 0.001
    text = f"{value:.2g}" if tiny else f"{value:,.{decimals(value) if places is None else places}f}"
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def format_interval(interval: Interval) -> str:
    """Gives ``0.912 (0.880–0.941)``; ``0.912`` without interval; ``–`` where there is no value."""
    if not math.isfinite(interval.value):
        return DASH
    places = decimals(interval.value)
    value = format_number(interval.value, places)
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return value
    return f"{value} ({format_number(interval.low, places)}{DASH}{format_number(interval.high, places)})"


def missing_reason(interval: Interval) -> str:
    """Says why there is no value or no interval; empty where both are there."""
    if not math.isfinite(interval.value):
        return interval.method or "no value: the reason was not recorded"
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return interval.method or "no interval: the reason was not recorded"
    return ""


def metric_note(metric: Metric) -> str:
    """Joins what a metric counts, how its interval was made (or why not) and its direction if lower is better."""
    direction = "" if metric.higher_is_better else "lower is better"
    return "; ".join(part for part in (metric.unit_note, metric.interval.method, direction) if part)


def is_number(value: object) -> bool:
    """Whether a cell holds a number; truth values are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def format_cell(value: object) -> str:
    """Gives any table cell as text: whole numbers whole, others by :func:`format_number`, nothing as a dash."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return str(int(value)).replace("-", MINUS)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        return (
            f"{number:.0f}".replace("-", MINUS) if number.is_integer() and abs(number) >= 10 else format_number(number)
        )
    return DASH if value is None or value is pd.NA or value is pd.NaT or value == "" else str(value)


def markdown_cell(value: object) -> str:
    """Escapes untrusted text for one cell of a Markdown table: one line, no markup, no HTML."""
    text = " ".join(format_cell(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Words with :// or www. become links in many renderers.
    return _MARKDOWN.sub(r"\\\1", text).replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[str] = ()) -> str:
    """Renders a Markdown table; columns named in ``numeric`` are set flush right."""
    rule = ["---:" if column in numeric else "---" for column in columns]
    lines = [list(map(markdown_cell, columns)), rule, *(list(map(markdown_cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def csv_text(frame: pd.DataFrame) -> str:
    """Gives a table as CSV with full precision; not a number is an empty cell.

    Text that a spreadsheet would run as a formula (it starts with ``=``, ``+``, ``-`` or ``@`` and is no number) gets a
    leading apostrophe.
    """
    safe = frame.copy()
    safe.columns = pd.Index([_defuse(str(column)) for column in frame.columns])
    return safe.astype(object).map(_defuse).to_csv(index=False, lineterminator="\n")


def _defuse(value: object) -> object:
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
