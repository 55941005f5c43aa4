"""Keeps the records of runs beside the documents, and makes docs/results.md out of them.

    python scripts/make_results.py runs/idrid-baseline-0 runs/frangi-drive    keep these runs' records, then make the page
    python scripts/make_results.py                                            make the page from the records kept
    python scripts/make_results.py --check                                    say whether the page is up to date

The first tables are those that docs/results/headlines.yaml asks for. Kept are configuration, run record and figures: neither weights, nor reports, nor anything that shows an image.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from medmtl.files import write_text
from medmtl.reporting.markdown import aggregate
from medmtl.reporting.results import collect_results, render_results
from medmtl.reporting.tables import DASH, format_number, markdown_table

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = DOCS / "results" / "runs"
LEGEND = """A column is a configuration of that name in [configs](../configs), or a method without training. A cell is the mean over seeds ± their
standard deviation, and in brackets the number of seeds; with one seed it is that seed's figure. Aims were set before the runs.
"""


def keep(run: Path) -> None:
    """Copies the records of one run."""
    target = RECORDS / run.name
    shutil.rmtree(target, ignore_errors=True)
    for source in [run / "config.yaml", run / "run.json", *sorted(run.glob("evaluation/*/metrics.json"))]:
        copy = target / source.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def page() -> str:
    """The page as text: the preface, the headlines, then the tables of all kept records."""
    runs = sorted(path.parent for path in RECORDS.glob("*/run.json"))
    preface = (DOCS / "results" / "preface.txt").read_text(encoding="utf-8")
    if not runs:
        return preface + "No run is recorded yet.\n"
    frame = collect_results(runs)
    asked = yaml.safe_load((DOCS / "results" / "headlines.yaml").read_text(encoding="utf-8"))
    means = aggregate(frame)
    headlines = "\n".join(headline(table, means) for table in asked)
    return f"{preface}## In short\n\n{LEGEND}\n{headlines}\n## Every figure\n\n{render_results(frame)}"


def headline(asked: dict[str, Any], means: pd.DataFrame) -> str:
    """One table of headlines: a row a figure, a column a run.

    Args:
        asked: Title, runs and figures, as in headlines.yaml.
        means: Means over seeds, as :func:`aggregate` gives them.
    """
    runs = [name for name in asked["runs"] if (means["run"] == name).any()]
    rows = [
        [item["figure"], item.get("aim", DASH), *(cell(item, name, means) for name in runs)]
        for item in asked["figures"]
    ]
    absent = [name for name in asked["runs"] if name not in runs]
    note = f"\nNot run: {', '.join(absent)}.\n" if absent else ""
    return f"### {asked['title']}\n\n" + markdown_table(["Figure", "Aim, at least", *runs], rows) + note


def cell(item: dict[str, Any], run: str, means: pd.DataFrame) -> str:
    """Mean, deviation and number of seeds of one figure of one run; a dash where the run has no such figure.

    Raises:
        ValueError: Two configurations share the name, so that it is not clear which one is meant.
    """
    named = item["metric"]
    task, _, metric = (named.get(run, "") if isinstance(named, dict) else named).partition("/")
    wanted = {"run": run, "dataset": item["dataset"], "task": task, "metric": metric}
    found = means[(means[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if len(found) > 1:
        raise ValueError(f"{run} stands for {len(found)} configurations or evaluations of {named}")
    if found.empty or not math.isfinite(found.iloc[0]["mean"]):
        return DASH
    row = found.iloc[0]
    spread = f" ± {format_number(row['sd'], 3)}" if math.isfinite(row["sd"]) else ""
    return f"{format_number(row['mean'], 3)}{spread} ({row['seeds']})"


def main() -> None:
    """Keeps, makes or checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for run in arguments.runs:
        keep(run)
    if arguments.check:
        sys.exit((DOCS / "results.md").read_text(encoding="utf-8") != page())
    write_text(DOCS / "results.md", page())


if __name__ == "__main__":
    main()
