"""The error family: every message says what is wrong, where, what was found and how to mend it, in one line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path


class MedmtlError(Exception):
    """An error that a user can mend; the command line prints it as one line and leaves with exit code 2.

    Args:
        what: What is wrong.
        where: The place: file, row, key path.
        found: What was found there.
        remedy: How to mend it.
    """

    def __init__(self, what: str, *, where: object = None, found: object = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.found = None if found is None else str(found)
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [self.what if self.where is None else f"{self.where}: {self.what}"]
        if self.found is not None:
            parts.append(f"found {self.found}")
        if self.remedy is not None:
            parts.append(self.remedy)
        return " ".join("; ".join(parts).split())


class ConfigError(MedmtlError):
    """A configuration key, value or combination that cannot be run."""


class ManifestError(MedmtlError):
    """A manifest that cannot be read, or that says something impossible."""


class ImageError(MedmtlError):
    """An image or mask file that is missing, unreadable or not what its row says."""


class RunError(MedmtlError):
    """A run folder that is missing, not one, already there, or from another version."""


class CheckpointError(RunError):
    """A checkpoint that cannot be read or does not fit."""


class TrainingError(MedmtlError):
    """A training step that must not go on: a loss that is not finite, a task without labels."""


class EvaluationError(MedmtlError):
    """Inputs of an evaluation that do not fit together."""


class OutputError(MedmtlError):
    """A result that cannot be written: no permission, disk full, path in the way."""


class DependencyError(MedmtlError):
    """An optional package that is needed and not installed; the message holds the install command."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Says which known name was probably meant, and lists them all when none is near.

    Args:
        name: The name as it was typed.
        known: The names that exist.

    Returns:
        ``did you mean 'x'?`` or ``known: a, b, c``.
    """
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(options) or 'none'}"


_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another place"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another place"),
    errno.EFBIG: ("the file is larger than the limit allows", "raise the file size limit or choose another place"),
    errno.EACCES: ("no permission to write", "choose a folder that you may write to"),
    errno.EPERM: ("no permission to write", "choose a folder that you may write to"),
    errno.EROFS: ("the file system is read-only", "choose a folder that you may write to"),
    errno.EISDIR: ("a folder is in the way", "choose another name"),
    errno.ENOTEMPTY: ("a folder that is not empty is in the way", "choose another name"),
    errno.EEXIST: ("a file is in the way", "choose another name"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
}


def output_error(error: OSError, path: Path) -> OutputError:
    """Turns what the operating system said about writing ``path`` into one clear line."""
    fallback = (f"cannot be written ({error.strerror or error})", "choose another place")
    what, remedy = _REMEDIES.get(error.errno or 0, fallback)
    return OutputError(what, where=path, remedy=remedy)
