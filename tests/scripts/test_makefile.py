from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder with the Makefile alone and fake Pythons first on the path."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()

    def run(*arguments, python):
        for name in ("python3", "python3.11"):
            (tools / name).write_text(f"#!/bin/sh\n{python}\n")
            (tools / name).chmod(0o755)
        command = ["make", *arguments]
        environment = {"PATH": f"{tools}:/usr/bin:/bin"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    run.folder = tmp_path
    return run


def test_another_python_is_said_in_one_line(make):
    done = make("demo", python='[ "$1" = --version ] && { echo Python 3.13.1; exit 0; }; exit 1')
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert line.startswith("error: medmtl needs Python 3.11, found Python 3.13.1;")
    assert not (make.folder / ".venv").exists()


def test_a_python_without_venv_leaves_nothing_half_made(make):
    done = make(
        "test", python='case "$1" in -c) exit 0;; -m) mkdir -p .venv/bin; touch .venv/bin/python; exit 1;; esac'
    )
    assert done.returncode == 2
    assert "error: this Python cannot make virtual environments" in done.stderr
    assert not (make.folder / ".venv").exists()


def test_a_second_run_installs_nothing(make):
    stamp = make.folder / ".venv" / ".test"
    (stamp.parent / "bin").mkdir(parents=True)
    (stamp.parent / "bin" / "python").touch()
    stamp.touch()
    assert "pip" not in make("-n", "test", python="exit 1").stdout
    (make.folder / "pyproject.toml").touch()
    assert "pip" in make("-n", "test", python="exit 1").stdout


def test_help_is_the_default_and_names_every_target(make):
    told = make(python="exit 1").stdout
    assert [f"make {name} " in told for name in ("demo", "test", "check", "lint", "bench", "clean")] == [True] * 6
