"""What a user gets from `pip install`: the demo runs in an empty folder from a wheel alone, and learns what it promises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from medmtl.evaluation import EvaluationResult, TaskResult

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is left in the checkout; no network, setuptools of this environment."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "medmtl", source / "medmtl", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("medmtl-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content where Python finds it; what medmtl needs is in this environment already."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel))
    return folder


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def installed(site: Path, folder: Path, *command: str) -> str:
    """What a command of the installed package says, in a folder of its own."""
    settings = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=settings, capture_output=True, text=True, check=False, timeout=3000
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_all_that_is_no_python(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "medmtl").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in files} - names == set()
    assert not any(name.split("/")[0] in {"tests", "apps", "benchmarks"} for name in names)


def test_the_installed_package_is_the_one_that_runs(site: Path, tmp_path: Path):
    assert installed(site, tmp_path, "-c", "import medmtl; print(medmtl.__file__)").startswith(str(site))
    assert "Usage: medmtl" in installed(site, tmp_path, str(site / "bin" / "medmtl"), "--help")


def test_the_demo_learns_what_it_promises(site: Path, tmp_path: Path):
    said = installed(site, tmp_path, str(site / "bin" / "medmtl"), "demo", "--out", "demo", "--quiet")
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    demo = tmp_path / "demo"
    assert str(Path("demo") / "evaluation" / "report.html") in said
    assert (demo / "evaluation" / "report.html").is_file()
    assert (demo / "heatmaps" / "index.html").is_file()
    (result,) = json.loads((demo / "evaluation" / "metrics.json").read_text())["results"]
    tasks = {task.task: task for task in EvaluationResult.from_dict(result).tasks}
    assert figure(tasks["anatomy"], "dice.vessel") >= 0.6
    assert figure(tasks["referable"], "auc.referable") >= 0.9
    found, by_chance = at_one_false_positive(tasks["lesions"], "lesions.hard_exudates")
    assert found == figure(tasks["lesions"], "sensitivity_at_1.hard_exudates") >= 0.5
    assert found >= 3 * by_chance


def figure(task: TaskResult, name: str) -> float:
    (metric,) = [metric for metric in task.metrics if metric.name == name]
    return metric.interval.value


def at_one_false_positive(task: TaskResult, name: str) -> tuple[float, float]:
    (table,) = [table.frame for table in task.tables if table.name == name]
    rows = table.set_index("candidates")["at_1"].astype(float)
    return float(rows["model"]), float(rows["random points"])
