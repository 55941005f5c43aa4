"""What the programs in this folder share: one clear line and exit code 2 for what a user can mend."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import typer

from medmtl.errors import MedmtlError


def launch(app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Runs a program and gives its exit code: 0, or 2 after one line on the standard error stream.

    Args:
        app: The program.
        name: Its name, for its help.
        arguments: The command line without the program.
    """
    if not os.environ.get("MEDMTL_WARNINGS"):
        warnings.simplefilter("ignore")
    try:
        app(list(arguments), prog_name=name, standalone_mode=True)
    except MedmtlError as error:
        typer.echo(f"error: {error}", err=True)
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        return 130
    return 0
