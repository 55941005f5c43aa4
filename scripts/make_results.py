"""Keeps the records of runs beside the documents, and makes docs/results.md out of them.

    python scripts/make_results.py runs/idrid-baseline-0 runs/frangi-drive    keep these runs' records, then make the page
    python scripts/make_results.py comparisons/seeds-against-baseline         the same of what medmtl lesiondiff or compare wrote
    python scripts/make_results.py                                            make the page from the records kept
    python scripts/make_results.py --check                                    say whether the page is up to date

The first tables are those that docs/results/headlines.yaml asks for: figures of runs, or rows of lesion tables. Of what medmtl lesions
wrote below a run (runs/NAME/evaluation/FOLDER), which has hundreds of figures, only those are shown. Kept are configuration, run
record and figures: neither weights, nor reports, nor anything that shows an image.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from medmtl.files import write_text
from medmtl.reporting.lesiontables import collect_rows, differences_markdown, is_by_lesion, rows_markdown
from medmtl.reporting.markdown import aggregate
from medmtl.reporting.results import collect_results, render_results
from medmtl.reporting.tables import DASH, format_number, markdown_table

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = DOCS / "results" / "runs"
COMPARISONS = DOCS / "results" / "comparisons"
METHODS = DOCS / "results" / "methods"
TABLE = "table.md"
SHOWN = re.compile(r"^(delta_m|trade_off|sensitivity)")  # of a comparison's figures
LEGEND = """A column is a configuration of that name in [configs](../configs), or a method without training. A cell is the mean over seeds ± their
standard deviation, and in brackets the number of seeds; with one seed it is that seed's figure. Aims were set before the runs.
"""


def keep(run: Path) -> None:
    """Copies the records of one run, or the figures of one comparison."""
    if not (run / "run.json").exists() and (run / "metrics.json").exists():
        keep_figures(run / "metrics.json", COMPARISONS / run.name / "metrics.json")
        return
    if (run / TABLE).exists():
        keep_comparison(run)
        return
    target = RECORDS / run.name
    shutil.rmtree(target, ignore_errors=True)
    for source in [run / "config.yaml", run / "run.json", *sorted(run.glob("evaluation/*/metrics.json"))]:
        keep_figures(source, target / source.relative_to(run))


def keep_comparison(folder: Path) -> None:
    """Copies the tables and figures of one comparison, what it chose and its looks at test data."""
    shutil.rmtree(METHODS / folder.name, ignore_errors=True)
    figures = [f"figures/{path.name}" for path in sorted(folder.glob("figures/*.svg")) if SHOWN.search(path.name)]
    for name in (TABLE, "intervals.md", "table.csv", "selection.json", "ledger.csv", *figures):
        if (folder / name).exists():
            target = METHODS / folder.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target)


def keep_figures(source: Path, copy: Path) -> None:
    """Copies a file; of what ``medmtl lesions`` wrote without the points of its curves, which are hundreds of pages."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    if source.name == "config.yaml":  # where decoded images lay on one machine says nothing about the run
        text = source.read_text(encoding="utf-8")
        write_text(copy, re.sub(r"^ +cache_dir: .*\n", "", text, flags=re.MULTILINE))
        return
    if source.name != "metrics.json" or not is_by_lesion(source):
        shutil.copyfile(source, copy)
        return
    content = json.loads(source.read_text(encoding="utf-8"))
    for task in (task for result in content["results"] for task in result["tasks"]):
        task["curves"] = []
    write_text(copy, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def page() -> str:
    """The page as text: the preface, the headlines, then the tables of all kept records."""
    runs = sorted(path.parent for path in RECORDS.glob("*/run.json"))
    preface = (DOCS / "results" / "preface.txt").read_text(encoding="utf-8")
    if not runs:
        return preface + "No run is recorded yet.\n"
    frame = collect_results(runs)
    asked = yaml.safe_load((DOCS / "results" / "headlines.yaml").read_text(encoding="utf-8"))
    means, rows = aggregate(frame), collect_rows(runs)
    headlines = "\n".join(row_tables(table, rows) if "rows" in table else headline(table, means) for table in asked)
    pairs = differences_markdown(sorted(path.parent for path in COMPARISONS.glob("*/metrics.json")))
    compared = f"\n## Compared in pairs\n\n{COMPARED}\n\n{pairs}" if pairs else ""
    by_lesion = {
        (run.name, path.parent.name)
        for run in runs
        for path in run.glob("evaluation/*/metrics.json")
        if is_by_lesion(path)
    }
    apart = [(folder, name) in by_lesion for folder, name in zip(frame["folder"], frame["evaluation"], strict=True)]
    every = render_results(frame[~pd.Series(apart, index=frame.index, dtype=bool)])
    return f"{preface}## In short\n\n{LEGEND}\n{headlines}{compared}{methods()}\n## Every figure\n\n{every}"


def methods() -> str:
    """The tables of ``medmtl compare``: a section a comparison, intervals folded; empty without any."""
    sections = []
    for folder in sorted(path.parent for path in METHODS.glob(f"*/{TABLE}")):
        table, more = ((folder / name).read_text(encoding="utf-8") for name in (TABLE, "intervals.md"))
        told = (
            f"Records: [{folder.name}](results/methods/{folder.name}), with what was chosen and the looks at test data."
        )
        drawn = [f"![{path.stem.replace('_', ' ')}](results/methods/{folder.name}/figures/{path.name})" for path in sorted(folder.glob("figures/*.svg"))]  # fmt: skip
        folded = f"<details>\n<summary>Choices and intervals</summary>\n\n{more}\n</details>\n"
        sections.append(f"### configs/compare/{folder.name}.yaml\n\n{told}\n\n{table}\n{' '.join(drawn)}\n\n{folded}")
    return "\n## Methods compared\n\n" + METHODS_LEGEND + "\n" + "\n".join(sections) if sections else ""


METHODS_LEGEND = """`medmtl compare`: mean ± standard deviation over seeds; Δm is the mean relative loss against the single-task networks (lower is
better), Δp the mean gain (higher is better). Learning rates and weights were chosen by validation ([how](comparing.md)).
"""


COMPARED = (
    "`medmtl lesiondiff`: lesion sensitivities of one side minus the other's, means where a side has several seeds; intervals of a "
    "bootstrap of images that takes the same images for all."
)


def row_tables(asked: dict[str, Any], rows: pd.DataFrame) -> str:
    """Rows of lesion tables, a table a run.

    Args:
        asked: Title, runs, what :func:`rows_markdown` is asked for under ``rows``, and whether the tables are ``folded``.
        rows: As :func:`collect_rows` gives them.
    """
    made = {run: rows_markdown(rows, run, asked["rows"]) for run in asked["runs"]}
    said = "Mean over seeds; in brackets the widest of the seeds' 95 % intervals."
    if asked["rows"].get("table", "lesions") == "lesions":
        said += " Further hits (on a lesion found already) and hits on another class only: of all candidates, whatever their score."
    absent = [run for run, text in made.items() if not text]
    note = f"\nNot run: {', '.join(absent)}.\n" if absent else ""
    tables = "\n".join(f"**{run}**\n\n{text}" for run, text in made.items() if text)
    if tables and asked.get("folded"):
        tables = f"<details>\n<summary>The table</summary>\n\n{tables}\n</details>\n"
    return f"### {asked['title']}\n\n" + (f"{said}\n\n{tables}" if tables else "") + note


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
    wanted |= {key: item[key] for key in ("split", "evaluation") if key in item}
    found = means[(means[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if len(found) > 1:
        told = "; say `split` or `evaluation`" if found["evaluation"].nunique() > 1 else ""
        raise ValueError(f"{run} stands for {len(found)} configurations or evaluations of {named}{told}")
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
