"""Finding one's way in somebody's folder: names as people really have them, a level more or less, equal files."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from medmtl.data import sniffing
from medmtl.errors import ManifestError

IMAGE_SUFFIXES = sniffing.IMAGE_SUFFIXES | {".gz"}  # .nii.gz

Rows = list[dict[str, object]]


def _plain(name: str) -> str:
    # Some archives keep names URL-encoded or with doubled blanks ("A.%20Segmentation").
    return " ".join(unquote(name).split()).casefold()


def children(folder: Path) -> list[Path]:
    """Returns what a folder holds, sorted, hidden files left out; nothing for a folder that may not be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def child(folder: Path, relative: str) -> Path | None:
    """Finds a file or folder below ``folder``, whatever the case, the blanks or the URL-encoding of its names.

    Args:
        folder: Where to start.
        relative: A path with ``/``, each part a name.
    """
    current = folder
    for part in relative.split("/"):
        exact = current / part
        if not exact.exists():
            matches = [path for path in children(current) if _plain(path.name) == _plain(part)]
            if not matches:
                return None
            exact = matches[0]
        current = exact
    return current


def _homes(root: Path, first_part: str) -> Iterator[Path]:
    yield root
    if _plain(root.name) == _plain(first_part):  # the marker folder itself was given
        yield root.parent
    level = [root]
    for _ in range(2):
        level = [path for folder in level for path in children(folder) if path.is_dir()]
        yield from level


def find_home(root: Path, *markers: str) -> Path | None:
    """Finds the folder that holds all markers: ``root``, one up to two levels below it, or its parent.

    Args:
        root: Where to start.
        *markers: Relative paths that the folder wanted must hold.
    """
    for folder in _homes(root, markers[0].split("/")[0]):
        if all(child(folder, marker) is not None for marker in markers):
            return folder
    return None


def inventory(folder: Path, limit: int = 6) -> str:
    """Says in a few words what a folder holds, for an error message."""
    paths = children(folder)
    if not paths:
        return "an empty folder"
    names = [path.name + "/" if path.is_dir() else path.name for path in paths[:limit]]
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return ", ".join(names) + more


def wrong_root(root: Path, looked_for: str, layout: str) -> ManifestError:
    """Makes the error for a folder that is not the data set asked for."""
    what = f"no {looked_for} here or in the two levels below"
    return ManifestError(what, where=root, found=inventory(root), remedy=f"expected: {layout}")


def files_below(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES, depth: int = 6) -> list[Path]:
    """Returns the files with these suffixes below a folder, sorted by path; hidden ones are left out.

    Args:
        folder: Where to look.
        suffixes: With their dot, in lower case.
        depth: How many folders deep; a limit, because somebody may name a whole disk.
    """
    wanted = frozenset(suffixes)
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        deep = len(Path(place).relative_to(folder).parts) >= depth
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        visible = (name for name in names if not name.startswith("."))
        found += [Path(place) / name for name in visible if Path(name).suffix.casefold() in wanted]
    return sorted(found)


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Maps the case-folded stem of every file to the file; of several with one stem, the first by order."""
    table: dict[str, Path] = {}
    for path in paths:
        table.setdefault(path.stem.casefold(), path)
    return table


def identical_files(paths: Sequence[Path]) -> dict[Path, Path]:
    """Finds byte-identical files.

    Returns:
        Every file to the first file with the same content (itself, for most).
    """
    sizes: defaultdict[int, list[Path]] = defaultdict(list)
    for path in paths:
        sizes[path.stat().st_size].append(path)
    first: dict[tuple[int, str], Path] = {}
    result: dict[Path, Path] = {}
    for path in paths:
        size = path.stat().st_size
        alone = len(sizes[size]) == 1  # most files; spares reading them
        digest = str(path) if alone else hashlib.sha256(path.read_bytes()).hexdigest()
        result[path] = first.setdefault((size, digest), path)
    return result


def require_files(missing: Sequence[str], total: int, where: Path, searched: Path) -> None:
    """Raises when some listed images are not there.

    Raises:
        ManifestError: ``missing`` is not empty.
    """
    if missing:
        what = f"{len(missing)} of {total} listed images are not in {searched}"
        remedy = "complete the copy, or take the missing ones off the list"
        raise ManifestError(what, where=where, found=f"no file for '{missing[0]}'", remedy=remedy)


def table(rows: Sequence[Mapping[str, object]], dataset: str | None) -> pd.DataFrame:
    """Makes the frame: every cell text, ``None`` and a cell not given become empty, columns in order of appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [["" if row.get(name) is None else str(row[name]) for name in columns] for row in rows]
    frame = pd.DataFrame(cells, columns=columns, dtype=object)
    if rows and dataset:
        frame.insert(min(2, len(columns)), "dataset", dataset)
    return frame
