"""Both programs as processes, on a run trained here: synthetic images in, files out."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medmtl.progress import Progress
from medmtl.workflows.training import train

APPS = Path(__file__).parents[2] / "apps"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_config):
    return train(small_config(), tmp_path_factory.mktemp("apps") / "run", progress=Progress(quiet=True)).run


def call(program, *arguments, **environment):
    command = [sys.executable, str(APPS / program), *map(str, arguments)]
    settings = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=settings)


def test_evaluate_leaves_its_results_and_nothing_elsewhere(run, small_manifest, tmp_path):
    before = sorted(run.rglob("*"))
    out = tmp_path / "output"
    done = call("evaluate.py", MEDMTL_INPUT=small_manifest.parent, MEDMTL_MODEL=run, MEDMTL_OUTPUT=out)
    assert (done.returncode, done.stdout) == (0, f"report {out / 'report.html'}\n"), done.stderr
    with small_manifest.open() as file:
        held_out = sum(row["split"] == "test" for row in csv.DictReader(file))
    assert held_out > 0
    (line,) = list(csv.DictReader((out / "ledger.csv").open()))
    assert (line["split"], int(line["samples"])) == ("test", held_out)
    assert json.loads((out / "metrics.json").read_text())
    assert sorted(run.rglob("*")) == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["output"]


def test_evaluate_says_in_one_line_that_the_model_is_none(small_manifest, tmp_path):
    done = call("evaluate.py", "--input", small_manifest.parent, "--model", tmp_path, "--output", tmp_path / "output")
    assert (done.returncode, done.stdout) == (2, "")
    found = "found no readable run.json; a run folder holds run.json and config.yaml as training wrote them"
    assert done.stderr == f"error: {tmp_path}: this is not a run folder; {found}\n"
    assert not (tmp_path / "output").exists()


def test_heatmaps_makes_a_page_for_a_folder(run, small_manifest, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for image in sorted((small_manifest.parent / "images").iterdir())[:3]:
        shutil.copy(image, images)
    done = call("heatmaps.py", run, images, tmp_path / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 images looked at, ")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert all(image.stem in page for image in images.iterdir())


def test_heatmaps_says_in_one_line_that_there_is_no_image(run, tmp_path):
    done = call("heatmaps.py", run, tmp_path, tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}: no image was found")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
