"""What pages are laid out with: the look of the report, ``page.html`` to extend, and nothing that is not escaped."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


def page_environment(*packages: str) -> Environment:
    """Templates of pages.

    Args:
        packages: Packages with templates of their own, in a folder ``templates``; the report's come last.
    """
    # Everything shown may come from a file name or a table that somebody else wrote: escape all, mark nothing safe.
    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "medmtl.reporting")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
