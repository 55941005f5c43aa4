"""The page of a run that was not evaluated: no image, no network, no look at a test split."""

from __future__ import annotations

from pathlib import Path

from medmtl.errors import OutputError
from medmtl.reporting.report import write_page
from medmtl.run import RunFolder
from medmtl.workflows.runfacts import run_summary

_SUFFIXES = (".html", ".htm")


def report(run: str | Path, out: str | Path) -> Path:
    """Writes how a run learned and who moved what, from its own tables alone; the run may be going on.

    Args:
        run: Run folder.
        out: HTML file to write; replaced.

    Returns:
        The file.

    Raises:
        RunError: No run folder, or a damaged table in it.
        OutputError: The file cannot be written, or is none.
    """
    page = Path(out)
    if page.suffix.lower() not in _SUFFIXES:
        raise OutputError("the report is one HTML file", where=page, remedy="choose a name that ends with .html")
    return write_page(page, run_summary(RunFolder.open(Path(run)), ""))
