from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script():
    specification = importlib.util.spec_from_file_location("make_results", ROOT / "scripts/make_results.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_committed_page_is_what_the_records_say(script):
    committed = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert committed == script.page(), "run scripts/make_results.py"


def test_records_hold_figures_and_nothing_that_shows_an_image(script):
    files = [path for path in script.RECORDS.rglob("*") if path.is_file()]
    assert files
    assert {path.name for path in files} <= {"config.yaml", "run.json", "metrics.json"}


def test_a_figure_of_the_page_is_the_figure_of_its_record(script):
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for path in script.RECORDS.glob("*/evaluation/*/metrics.json"):
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
        values = [metric["interval"]["value"] for metric in results[0]["tasks"][0]["metrics"]]
        value = next(value for value in values if value is not None)
        run = path.parents[2].name
        row = next(line for line in page.splitlines() if line.startswith(f"| {run} ") and f"{value:.3f} (" in line)
        assert row


def test_keeping_a_run_copies_its_records_only(script, tmp_path, monkeypatch):
    run = tmp_path / "runs/a"
    for name in (
        "config.yaml",
        "run.json",
        "evaluation/m-test/metrics.json",
        "evaluation/m-test/report.html",
        "checkpoints/last.pt",
    ):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("{}")
    monkeypatch.setattr(script, "RECORDS", tmp_path / "kept")
    script.keep(run)
    kept = {str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    assert kept == {"a/config.yaml", "a/run.json", "a/evaluation/m-test/metrics.json"}
