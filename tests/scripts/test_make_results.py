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
    paths = [path for path in script.RECORDS.glob("*/evaluation/*/metrics.json") if not script.is_by_lesion(path)]
    assert len(paths) > 10  # what medmtl lesions wrote is shown as means over seeds, where headlines.yaml asks for it
    for path in paths:
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


def test_a_comparison_of_methods_is_shown_with_its_intervals_folded(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "METHODS", tmp_path / "kept")
    assert script.methods() == ""
    out = tmp_path / "comparisons/mine"
    for name in (
        "table.md",
        "intervals.md",
        "table.csv",
        "selection.json",
        "ledger.csv",
        "index.html",
        "cells/a/b.log",
        "figures/delta_m_against_seconds_a_step.svg",
        "figures/all_candidates_on_validation_a_against_b.svg",
    ):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(f"<{name}>\n")
    script.keep(out)
    kept = {path.name for path in (tmp_path / "kept/mine").rglob("*") if path.is_file()}
    assert kept == {
        "table.md",
        "intervals.md",
        "table.csv",
        "selection.json",
        "ledger.csv",
        "delta_m_against_seconds_a_step.svg",
    }
    text = script.methods()
    assert text.index("### configs/compare/mine.yaml") < text.index("<table.md>") < text.index("<details>")
    assert text.index("<details>") < text.index("<intervals.md>") < text.index("</details>")
    assert "](results/methods/mine/figures/delta_m_against_seconds_a_step.svg)" in text


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
        for item in asked.get("figures", []):
            cells = [script.cell(item, run, recorded) for run in runs]
            assert any(cell != "–" for cell in cells), item["figure"]


def lesion_figures(folder, value=0.5):
    """What medmtl lesions writes, in little."""
    from medmtl.evaluation import Curve, EvaluationResult, Findings, Interval, Metric, Table, TaskResult

    frame = pd.DataFrame([{"candidates": "model", "lesions": 3, "at_2": value, "at_2_low": 0.4, "at_2_high": 0.6}])
    metric = Metric("sensitivity_at_2.ex", "Sensitivity of ex", Interval(value, 0.4, 0.6, "b"), 3)
    curve = Curve("froc", "FROC", (0.0, 1.0), (0.0, value), "x", "y")
    found = Findings((metric,), (curve,), (), (Table("lesions.ex", "", frame),))
    result = EvaluationResult(
        "c", "h", "m.csv", "x", "test", "2026", 9, (TaskResult.of("ex, rule", "lesions", "m", found),)
    )
    folder.mkdir(parents=True)
    content = {"format": 1, "provenance": {"images": []}, "results": [result.to_dict()]}
    (folder / "metrics.json").write_text(json.dumps(content))


def test_rows_of_lesion_tables_and_differences_come_into_the_page(script, tmp_path, monkeypatch):
    source = next(iter(sorted(script.RECORDS.glob("*/run.json")))).parent
    run = tmp_path / "runs" / "net-0"
    run.mkdir(parents=True)
    for name in ("config.yaml", "run.json"):
        (run / name).write_bytes((source / name).read_bytes())
    lesion_figures(run / "evaluation" / "by-lesion")
    lesion_figures(tmp_path / "against-baseline")
    docs = tmp_path / "docs"
    (docs / "results").mkdir(parents=True)
    (docs / "results" / "preface.txt").write_text("P\n\n")
    name = json.loads((run / "run.json").read_text())["name"]
    asked = [{"title": "Rows", "runs": [name, "later"], "rows": {"evaluation": "by-lesion", "rates": [2]}}]
    (docs / "results" / "headlines.yaml").write_text(yaml.safe_dump(asked))
    monkeypatch.setattr(script, "DOCS", docs)
    monkeypatch.setattr(script, "RECORDS", docs / "results" / "runs")
    monkeypatch.setattr(script, "COMPARISONS", docs / "results" / "comparisons")
    script.keep(run)
    kept = json.loads((script.RECORDS / "net-0/evaluation/by-lesion/metrics.json").read_text())
    assert kept["results"][0]["tasks"][0]["curves"] == []
    text = script.page()
    assert "| ex, rule | model | 1 | 3 | 0.500 (0.400–0.600) |" in text
    assert "Not run: later." in text
    assert "Sensitivity of ex" not in text.split("## Every figure")[1]
    assert "Compared in pairs" not in text
    script.keep(tmp_path / "against-baseline")
    assert (script.COMPARISONS / "against-baseline" / "metrics.json").exists()


def test_a_figure_of_several_evaluations_says_which(script):
    rows = [
        {"run": "one", "folder": "one-0", "seed": 0, "value": value, "config": "c", "n": 20, "evaluation": f"d-{split}"}
        | {"dataset": "d", "split": split, "task": "t", "metric": "m", "label": "M", "method": ""}
        for split, value in (("all", 0.25), ("test", 0.75))
    ]
    table = aggregate(pd.DataFrame(rows))
    item = {"figure": "F", "dataset": "d", "metric": "t/m"}
    with pytest.raises(ValueError, match="say `split`"):
        script.cell(item, "one", table)
    assert script.cell(item | {"split": "test"}, "one", table) == "0.750 (1)"
    assert script.cell(item | {"evaluation": "d-all"}, "one", table) == "0.250 (1)"
