from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from programs import ROOT, program

from medmtl.reporting.markdown import aggregate
from medmtl.reporting.results import collect_results


@pytest.fixture
def script():
    return program("scripts/make_results.py")


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


def means(**runs: list[float]) -> pd.DataFrame:
    rows = [
        {"run": name, "folder": f"{name}-{seed}", "seed": seed, "value": value, "config": name, "n": 20}
        for name, values in runs.items()
        for seed, value in enumerate(values)
    ]
    same = {"evaluation": "e", "dataset": "d", "split": "test", "task": "t", "metric": "m", "label": "M", "method": ""}
    return aggregate(pd.DataFrame(rows).assign(**same))


def test_a_headline_shows_mean_deviation_and_seeds_beside_the_aim_and_names_what_was_not_run(script):
    values = [0.7, 0.8, 0.75]
    figures = [
        {"figure": "F", "dataset": "d", "metric": "t/m", "aim": 0.5},
        {"figure": "G", "dataset": "d", "metric": {"one": "t/m"}},
    ]
    asked = {"title": "T", "runs": ["one", "two", "three"], "figures": figures}
    text = script.headline(asked, means(one=values, two=[0.3]))
    assert f"| F | 0.500 | 0.750 ± {np.std(values, ddof=1):.3f} (3) | 0.300 (1) |" in text
    assert "| G | – | 0.750 ± 0.050 (3) | – |" in text
    assert "Not run: three." in text


def test_a_name_that_stands_for_two_configurations_is_refused(script):
    table = means(one=[0.1])
    item = {"figure": "F", "dataset": "d", "metric": "t/m"}
    with pytest.raises(ValueError, match="2 configurations"):
        script.cell(item, "one", pd.concat([table, table]))


def test_every_headline_of_a_run_that_is_recorded_has_a_value_in_some_run(script):
    """A misspelled figure would be a row of dashes that nobody misses."""
    recorded = aggregate(collect_results(sorted(path.parent for path in script.RECORDS.glob("*/run.json"))))
    for asked in yaml.safe_load((ROOT / "docs/results/headlines.yaml").read_text(encoding="utf-8")):
        runs = [run for run in asked["runs"] if run in set(recorded["run"])]
        if len(runs) < len(asked["runs"]):
            continue  # the run that has the figure may be the one that is missing
        for item in asked["figures"]:
            cells = [script.cell(item, run, recorded) for run in runs]
            assert any(cell != "–" for cell in cells), item["figure"]
