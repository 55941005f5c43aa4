"""Loader processes: how they start, whom they obey, and how they end with whoever reads from them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from medmtl.errors import MedmtlError, TrainingError

T = TypeVar("T")
_WATCH = 2.0
"""Seconds between two looks of a loader process at whether its parent still lives."""


class StartWorker:
    """Sets a loader process up: one thread, because the step has the cores; and to stop is its parent's business.

    Args:
        parent: The process that makes the loader. A worker that asked for it itself might find it dead already, and
            torch's own watch, which does that, would then wait for ever.
    """

    def __init__(self, parent: int) -> None:
        self.parent = parent

    def __call__(self, _: int) -> None:
        """Runs in the new process, before its first sample."""
        import cv2

        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        threading.Thread(target=_obey_parent, args=(self.parent,), daemon=True).start()


def _obey_parent(parent: int) -> None:
    """Ends this process with its parent or at its word, and not on a signal to the whole group: the parent saves first."""
    while os.getppid() == parent:
        sent = signal.sigtimedwait({signal.SIGINT, signal.SIGTERM}, _WATCH)
        if sent is not None and sent.si_signo == signal.SIGTERM and sent.si_pid == parent:
            break
    os._exit(0)


def checked(batches: Iterable[T | MedmtlError]) -> Generator[T, None, None]:
    """Batches as a loader gives them; its processes end with the iteration, however that ends.

    Raises:
        MedmtlError: What a worker ran into, or that a worker was killed.
    """
    with _signals_held():
        iterator = iter(batches)
    try:
        for batch in iterator:
            if isinstance(batch, MedmtlError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        remedy = "the memory may be used up: fewer data.workers, or data.cache=disk"
        raise TrainingError("a loader process died", found=str(error).split(".")[0], remedy=remedy) from None
    finally:
        del iterator  # a traceback may keep this frame alive, and with it the processes


@contextmanager
def _signals_held() -> Iterator[None]:
    """Processes started in the block have SIGINT and SIGTERM blocked from their first instant on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
