"""A folder's lock: one holder at a time, across processes, and gone with the process that held it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medmtl.locks import folder_lock

HOLD = """
import sys, time
from pathlib import Path
from medmtl.locks import folder_lock
with folder_lock(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(60)
"""


def take(folder: Path) -> None:
    with folder_lock(folder, wait=False):
        pass


def test_a_second_holder_is_refused_and_a_later_one_is_not(tmp_path: Path):
    with folder_lock(tmp_path, wait=False), pytest.raises(BlockingIOError):
        take(tmp_path)
    take(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            take(tmp_path)
        process.kill()
        process.wait()
    take(tmp_path)


def test_a_child_that_outlives_a_killed_holder_holds_nothing(tmp_path: Path):
    """As a loader process does for some seconds."""
    program = HOLD.replace('print("held", flush=True)', "import os\n    if os.fork() == 0: print('held', flush=True)")
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError):
            take(tmp_path)
        process.kill()
        process.wait()
        try:
            take(tmp_path)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_an_error_frees_it(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), folder_lock(tmp_path, wait=True):
        raise ZeroDivisionError
    take(tmp_path)


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(descriptor: int, kind: int) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr("medmtl.locks.fcntl.flock", refuse)
    take(tmp_path)
