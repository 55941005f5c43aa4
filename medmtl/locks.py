"""Locks between processes: on a folder itself, so that no file is left, and gone with the process that held them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on this system: nobody is kept out
    fcntl = None  # type: ignore[assignment]  # no stub knows its absence

_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_held: set[int] = set()


def _let_go() -> None:
    # A loader process inherits the lock and may outlive a killed parent by seconds.
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def folder_lock(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds a folder against other processes that ask for the same while the block runs.

    Where the system has no such locks, or the file system knows none, the block runs without.

    Args:
        folder: An existing folder.
        wait: Wait until it is free.

    Raises:
        BlockingIOError: Another process holds it, and ``wait`` is false.
        OSError: The folder cannot be opened.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    _held.add(descriptor)
    try:
        _lock(descriptor, folder, wait=wait)
        yield
    finally:
        _held.discard(descriptor)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if not wait and error.errno in _TAKEN:
            raise BlockingIOError(error.errno, "held by another process", str(folder)) from None
