"""How every program here is run: what a user can mend is one line and exit code 2, whatever is wrong with it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import typer

from medmtl.errors import MedmtlError, output_error

# Typer carries its own click or uses the real one, by version; its errors have the same base in both.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]


def launch(app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Runs one command line of a program, in the process, and gives its exit code.

    Args:
        app: The program.
        name: Its name, for its help.
        arguments: The command line without the program.

    Returns:
        0; 1 (problems found); 2 after one line on the standard error stream (an error to mend); 128 + signal.
    """
    _quiet_libraries()
    try:
        result = app(list(arguments), prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except MedmtlError as error:
        return _refuse(error)
    except UnicodeEncodeError as error:
        if error.reason != "surrogates not allowed":
            raise
        return _refuse(_foreign_name(error))
    except BrokenPipeError:
        return _unheard()
    except OSError as error:
        if error.errno is None:
            raise
        return _refuse(_system_error(error))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("stopped", err=True)
        return 130
    except _ClickError as error:
        return _refuse_usage(error, name)


def _refuse_usage(error: Exception, name: str) -> int:
    """One line for a command line that cannot be parsed; nothing where the help was already shown."""
    message: str = error.format_message()  # type: ignore[attr-defined]  # click has no stubs here
    context = getattr(error, "ctx", None)
    if message:
        remedy = f"see {context.command_path if context is not None else name} --help"
        _refuse(MedmtlError(message.rstrip("."), remedy=remedy))
    return 2


def _refuse(error: MedmtlError) -> int:
    typer.echo(f"error: {error}", err=True)
    return 2


def _system_error(error: OSError) -> MedmtlError:
    """What the system refused outside of our own writing, such as a library's log on a full disk."""
    return output_error(error, Path(str(error.filename)) if error.filename else Path.cwd())


def _foreign_name(error: UnicodeEncodeError) -> MedmtlError:
    """A name of a file or folder whose bytes are no UTF-8, where it was to be printed or written."""
    around = error.object[max(error.start - 30, 0) : error.end + 10].encode("utf-8", "backslashreplace").decode()
    return MedmtlError("the name of a file or folder is not UTF-8", found=f"...{around}...", remedy="rename it")


def _unheard() -> int:
    """Whoever read our output has stopped reading (``medmtl ... | head``); nothing is to be said any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _quiet_libraries() -> None:
    """Keeps the libraries' remarks out of what we say; MEDMTL_WARNINGS=1 lets them speak."""
    if os.environ.get("MEDMTL_WARNINGS"):
        return
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    for name in ("pydicom", "PIL", "tifffile", "nibabel.global"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
