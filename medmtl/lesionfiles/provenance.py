"""What went into an evaluation, so that its numbers can be told from those of other files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from medmtl.files import sha256_file


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over files: of one file its own, of several that of their names, relative to what they share, and digests.

    The same files in another place give the same value.
    """
    # By the system's own reading of `..`: behind a link to a folder it is not that of the text.
    files = sorted({path.parent.resolve() / path.name for path in paths})
    if len(files) == 1:
        return sha256_file(files[0])
    shared = Path(os.path.commonpath(files)) if files else Path()
    lines = [f"{path.relative_to(shared).as_posix()} {sha256_file(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
