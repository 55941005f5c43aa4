"""A class without a color scale is named with the reason, not passed over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medmtl.data.manifest import Manifest
from medmtl.progress import Progress
from medmtl.workflows.explaining import explain
from medmtl.workflows.mapscales import classes_without
from medmtl.workflows.operating import load_operating
from medmtl.workflows.trained import open_trained

WHY = "no validation image is known to be with <b>the class</b>"


@pytest.fixture
def half_scaled(small_run: Path, tmp_path: Path) -> Path:
    """A run with a scale for one of its two classes."""
    run = shutil.copytree(small_run, tmp_path / "run")
    data = json.loads((run / "operating.json").read_text())
    kept = {"hard_exudates": {"name": "hard_exudates", "threshold": 0.5, "top": 2.0, "origin": "here"}}
    data["scales"] = {"lesions": kept}
    data["missing"] = {"lesions": {"haemorrhages": WHY}}
    (run / "operating.json").write_text(json.dumps(data))
    return run


def test_it_stands_on_the_page_and_in_one_line(
    half_scaled: Path, small_manifest: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    image = Manifest.read(small_manifest).samples[0].image
    done = explain(half_scaled, [image], out=tmp_path / "maps", progress=Progress())
    assert f"no heat map for haemorrhages: {WHY}\n" in capfd.readouterr().err
    page = done.index.read_text(encoding="utf-8")
    assert "No map for <strong>haemorrhages</strong>: no validation image is known to be with &lt;b&gt;" in page
    assert not (tmp_path / "maps" / image.stem / "haemorrhages.overlay.png").exists()


def test_a_class_of_which_the_run_says_nothing(half_scaled: Path):
    data = json.loads((half_scaled / "operating.json").read_text())
    (half_scaled / "operating.json").write_text(json.dumps({**data, "missing": {}}))
    trained = open_trained(half_scaled)
    found = classes_without(trained, load_operating(trained.folder))
    assert found == (("haemorrhages", "the run has no color scale for it"),)


def test_a_run_with_all_its_scales_says_nothing(small_run: Path):
    trained = open_trained(small_run)
    operating = load_operating(trained.folder)
    named = [label for label, _ in classes_without(trained, operating)]
    assert sorted([*named, *operating.scales.get("lesions", {})]) == ["haemorrhages", "hard_exudates"]
