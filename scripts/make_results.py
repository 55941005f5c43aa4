"""Keeps the records of runs beside the documents, and makes docs/results.md out of them.

    python scripts/make_results.py runs/idrid-baseline-0 runs/frangi-drive    keep these runs' records, then make the page
    python scripts/make_results.py                                            make the page from the records kept
    python scripts/make_results.py --check                                    say whether the page is up to date

Kept are configuration, run record and figures: neither weights, nor reports, nor anything that shows an image.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from medmtl.files import write_text
from medmtl.reporting.results import collect_results, render_results

DOCS = Path(__file__).parents[1] / "docs"
RECORDS = DOCS / "results" / "runs"


def keep(run: Path) -> None:
    """Copies the records of one run."""
    target = RECORDS / run.name
    shutil.rmtree(target, ignore_errors=True)
    for source in [run / "config.yaml", run / "run.json", *sorted(run.glob("evaluation/*/metrics.json"))]:
        copy = target / source.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def page() -> str:
    """The page as text: the preface, then the tables of all kept records."""
    runs = sorted(path.parent for path in RECORDS.glob("*/run.json"))
    tables = render_results(collect_results(runs)) if runs else "No run is recorded yet.\n"
    return (DOCS / "results" / "preface.txt").read_text(encoding="utf-8") + tables


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
