"""Writes the tables of methods and measures into docs/heat-maps.md.

``--check`` writes nothing and leaves with exit code 1 where the committed tables are not what the code says.
"""

from __future__ import annotations

import re

import typer
from reference_page import DOCS, Check, keep_or_check, markdown_table

from medmtl.explanation.cam import CAM_METHODS
from medmtl.workflows.mapquality import MEASURES

TARGET = DOCS / "heat-maps.md"


def methods_table() -> str:
    """The methods of class activation mapping, a row each."""
    rows = []
    for name in CAM_METHODS:
        entry = CAM_METHODS.get(name)
        known = "yes" if entry.by_class else "no"
        told = f"{entry.title} ({entry.source})"
        rows.append([f"`{name}`", told, entry.unit, known, entry.cost, entry.normalized or "–"])
    head = ["name", "method", "values", "knows the class", "cost", "normalized by its definition"]
    return markdown_table(head, rows)


def measures_table() -> str:
    """The measures of map quality, a row each."""
    return markdown_table(["measure", "is"], [[f"`{name}`", text] for name, text in MEASURES.items()])


def filled(text: str) -> str:
    """The page with its tables made anew between their marks."""
    for name, table in (("methods", methods_table()), ("measures", measures_table())):
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, t=table, b=begin, e=end: f"{b}\n{t}\n{e}", text, flags=re.DOTALL)
    return text


def main(check: Check = False) -> None:
    """Write the tables of docs/heat-maps.md, or check them."""
    keep_or_check(TARGET, filled(TARGET.read_text(encoding="utf-8")), "the code says", check=check)


if __name__ == "__main__":
    typer.run(main)
