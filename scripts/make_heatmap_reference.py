"""Writes the tables of methods and measures into docs/heat-maps.md: `python scripts/make_heatmap_reference.py`."""

from __future__ import annotations

import re
from pathlib import Path

from medmtl.explanation.cam import CAM_METHODS
from medmtl.workflows.mapquality import MEASURES

PAGE = Path(__file__).parents[1] / "docs" / "heat-maps.md"


def methods_table() -> str:
    """The methods of class activation mapping, a row each."""
    rows = ["| name | method | values | knows the class | cost | normalized by its definition |", "| --- " * 6 + "|"]
    for name in CAM_METHODS:
        entry = CAM_METHODS.get(name)
        known = "yes" if entry.by_class else "no"
        cells = (f"`{name}`", f"{entry.title} ({entry.source})", entry.unit, known, entry.cost, entry.normalized or "–")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def measures_table() -> str:
    """The measures of map quality, a row each."""
    return "\n".join(
        ["| measure | is |", "| --- | --- |", *(f"| `{name}` | {text} |" for name, text in MEASURES.items())]
    )


def filled(text: str) -> str:
    """The page with its tables made anew between their marks."""
    for name, table in (("methods", methods_table()), ("measures", measures_table())):
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, t=table, b=begin, e=end: f"{b}\n{t}\n{e}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
