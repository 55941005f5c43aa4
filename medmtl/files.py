"""Files that are either whole or not there: write to a temporary neighbor, flush, rename."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medmtl.errors import OutputError, output_error

_TEMPORARY = re.compile(r"\..*\.(\d+)-[0-9a-f]{8}\.tmp(\..*)?")


def _neighbor(path: Path) -> Path:
    # The suffix stays, because many writers choose their format by it; the stem is cut so that long names stay legal.
    return path.with_name(f".{path.stem[:80]}.{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")


def is_temporary(path: Path) -> bool:
    """Whether the name is that of a file or folder that was still being written."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_litter(folder: Path) -> None:
    """Removes temporaries in a folder and below that a killed process left; those of living processes stay."""
    for path in folder.rglob(".*.tmp*"):
        owner = _TEMPORARY.fullmatch(path.name)
        if owner is not None and not _alive(int(owner[1])):
            with suppress(OSError):
                _remove(path)


def _alive(process: int) -> bool:
    if process == os.getpid():  # also a namesake before us, as the first process of a container is
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _concerns(error: OSError, temporary: Path) -> bool:
    """Whether an error raised by a writer is about its output and not about some input that it read."""
    if error.errno is None:  # a library's own OSError, such as Pillow's for an image it cannot identify
        return False
    name = error.filename
    return not isinstance(name, str | os.PathLike) or Path(name).is_relative_to(temporary.parent)


def _make(folder: Path, made: list[Path]) -> None:
    made += [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)


def _prepare(path: Path, made: list[Path], *, folder: bool) -> Path:
    """Makes the parent folders, noting them, and returns the place to write to; a link is followed and stays a link."""
    try:
        path = path.resolve() if path.is_symlink() else path
        _make(path.parent, made)
        blocked = path.is_dir() if not folder else path.is_dir() and any(path.iterdir())
        in_the_way = path.exists() and not (path.is_dir() if folder else path.is_file())
    except OSError as error:
        if error.errno == errno.EEXIST:  # mkdir says so where a parent is a file
            error.errno = errno.ENOTDIR
        raise output_error(error, path) from error
    if blocked:
        raise output_error(OSError(errno.ENOTEMPTY if folder else errno.EISDIR, ""), path)
    if in_the_way:
        raise output_error(OSError(errno.EEXIST, ""), path)
    return path


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _made_folders() -> Iterator[list[Path]]:
    """Gives a list; folders put into it, nearest first, are taken back if empty where the block fails."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _atomically(path: Path, *, folder: bool) -> Iterator[Path]:
    with _made_folders() as made:
        target = _prepare(path, made, folder=folder)
        temporary = _neighbor(target)
        try:
            if folder:
                temporary.mkdir()
            yield temporary
            if not temporary.exists():
                remedy = "the writer made no file at the name it got"
                raise OutputError("nothing was written", where=path, remedy=remedy)
            _flush(temporary)
            temporary.replace(target)
            _flush(target.parent)
        except OSError as error:
            if _concerns(error, temporary):
                raise output_error(error, path) from error
            raise
        finally:
            _remove(temporary)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` (same suffix) and renames it to ``path`` once the block ends well.

    Missing parent folders are made. An error in the block leaves what was at ``path`` untouched.

    Args:
        path: The file to write; an existing file is replaced.

    Yields:
        The name to write to.

    Raises:
        OutputError: The disk is full, there is no permission, a folder is in the way, or nothing was written.
    """
    with _atomically(Path(path), folder=False) as temporary:
        yield temporary


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Gives a temporary folder beside ``path`` and renames it to ``path`` once the block ends well.

    Args:
        path: The folder to make; it must not exist, or be empty.

    Yields:
        The folder to fill.

    Raises:
        OutputError: The disk is full, there is no permission, or something is in the way.
    """
    with _atomically(Path(path), folder=True) as temporary:
        yield temporary


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it; what was made is taken back, as far as it is empty, where the block fails.

    Raises:
        OutputError: There is no permission, or a file is in the way.
    """
    with _made_folders() as made:
        try:
            _make(folder, made)
        except OSError as error:
            raise output_error(error, folder) from error
        yield


@contextmanager
def refilled_folder(path: str | Path) -> Iterator[Path]:
    """Gives a temporary folder inside ``path``; its entries replace those of the same names once the block ends well.

    The folder itself is never renamed, because it may be a mount point; what else lies in it stays.

    Args:
        path: The folder; made if missing, and taken back where the block fails.

    Yields:
        What to fill.

    Raises:
        OutputError: The disk is full, there is no permission, or a file is in the way.
    """
    folder = Path(path)
    with made_folder(folder):
        temporary = _neighbor(folder / "new")
        try:
            temporary.mkdir()
            yield temporary
            _flush(temporary)
            _take_over(temporary, folder)
            _flush(folder)
        except OSError as error:
            if _concerns(error, temporary):
                raise output_error(error, folder) from error
            raise
        finally:
            _remove(temporary)


def _take_over(temporary: Path, folder: Path) -> None:
    """Puts all entries in the place of the old ones, or none: the old ones first leave, files come after folders."""
    entries = sorted(temporary.iterdir(), key=lambda entry: (entry.is_file(), entry.name))
    (old := temporary / ".old").mkdir()
    moves = [(folder / entry.name, old / entry.name) for entry in entries if (folder / entry.name).exists()]
    moves += [(entry, folder / entry.name) for entry in entries]
    done = 0
    try:
        for done, (source, target) in enumerate(moves):  # noqa: B007  read where a rename fails
            source.rename(target)
    except OSError:
        for source, target in reversed(moves[:done]):
            target.rename(source)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all.

    Raises:
        OutputError: As :func:`atomic_write`.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256_file(path: str | Path) -> str:
    """Returns the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
