"""Lines over updates as figures that are told in words, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medmtl.reporting.balance.drawing import Look, lines
from medmtl.reporting.balance.trends import Trend, needs_logarithm
from medmtl.reporting.chart import Chart


def line_chart(title: str, found: Sequence[Trend], look: Look, tasks: Sequence[str], caption: str = "") -> Chart:
    """A figure of lines over updates; a logarithmic axis where a linear one would hide a line.

    Args:
        title: What it shows.
        found: The lines.
        look: The axis of values.
        tasks: Names in the order of their colors.
        caption: How it is to be read.
    """
    if look.limits is None and look.level is None and not look.logarithmic and needs_logarithm(found):
        look = Look(look.label, logarithmic=True)
    ends = listed(f"{line.name} from {line.middle[0]:.3g} to {line.middle[-1]:.3g}" for line in found)
    return Chart(title, f"{title} over updates: {ends}", lines(found, look, tasks), caption)


def listed(parts: Iterable[str]) -> str:
    """Parts of a text that stands for a figure."""
    return ", ".join(parts)
