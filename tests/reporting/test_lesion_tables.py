"""Rows of lesion tables and differences in pairs as Markdown, from files that the programs write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medmtl.errors import RunError
from medmtl.evaluation import EvaluationResult, Findings, Table, TaskResult
from medmtl.reporting.lesiontables import collect_rows, differences_markdown, is_by_lesion, rows_markdown

FIGURES = {0: (0.40, 0.30, 0.50), 1: (0.50, 0.35, 0.62)}
"""By seed: sensitivity of the model at 2 with its interval."""


def saved(folder: Path, tasks: dict[str, list[Table]], **beside: object) -> Path:
    made = tuple(TaskResult.of(name, "lesions", "d", Findings(tables=tuple(found))) for name, found in tasks.items())
    result = EvaluationResult("r", "h", "m.csv", "x", "test", "2026", 9, made)
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"format": 1, "results": [result.to_dict()], **beside}))
    return folder


def row(name: str, value: float, low: float, high: float) -> dict[str, object]:
    return {"candidates": name, "lesions": 136, "at_2": value, "at_2_low": low, "at_2_high": high}


def run_of(tmp_path: Path, seed: int) -> Path:
    run = tmp_path / f"net-{seed}"
    rows = [
        row("model", *FIGURES[seed]),
        row("random points", 0.01, 0.0, 0.02),
        row("constant map", 0.0, np.nan, np.nan),
    ]
    sizes = [
        {"area_from_px": 1, "area_below_px": 50, "lesions": 60, "at_2": 0.25, "at_2_low": 0.1, "at_2_high": 0.3},
        {"area_from_px": 50, "area_below_px": np.inf, "lesions": 76, "at_2": 0.6, "at_2_low": 0.5, "at_2_high": 0.7},
    ]
    found = [Table("lesions.ex", "", pd.DataFrame(rows)), Table("lesion_sizes.ex", "", pd.DataFrame(sizes))]
    saved(run / "evaluation" / "by-lesion", {"ex, peak_in_lesion": found, "ex, any_overlap": found[:1]}, provenance={})
    saved(run / "evaluation" / "plain", {"lesions": [Table("lesions.ex~dr", "", pd.DataFrame(rows[:1]))]})
    (run / "run.json").write_text(json.dumps({"name": "net", "seed": seed}))
    return run


def lines(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_rows_are_means_over_seeds_with_the_widest_interval(tmp_path: Path):
    rows = collect_rows([run_of(tmp_path, 0), run_of(tmp_path, 1)])
    text = rows_markdown(rows, "net", {"evaluation": "by-lesion", "rates": [2, 5]})
    found = lines(text)
    assert [line[0] for line in found] == ["ex, peak\\_in\\_lesion"] * 3 + ["ex, any\\_overlap"] * 3
    assert [line[1] for line in found[:3]] == ["model", "random points", "constant map"]
    assert found[0][2:] == ["2", "136", "0.450 (0.300–0.620)", "–"]
    assert found[2][4] == "0.000"
    one = rows_markdown(rows, "net", {"evaluation": "by-lesion", "tasks": ["ex, any_overlap"], "rates": [2]})
    assert {line[0] for line in lines(one)} == {"ex, any\\_overlap"}


def test_rows_of_an_evaluation_of_all_tasks_are_called_as_their_tables(tmp_path: Path):
    text = rows_markdown(collect_rows([run_of(tmp_path, 0)]), "net", {"evaluation": "plain", "rates": [2]})
    assert lines(text) == [["ex\\~dr", "model", "1", "136", "0.400 (0.300–0.500)"]]


def test_sizes(tmp_path: Path):
    asked = {"evaluation": "by-lesion", "table": "lesion_sizes", "rates": [2]}
    found = lines(rows_markdown(collect_rows([run_of(tmp_path, 0)]), "net", asked))
    assert [line[1] for line in found] == ["1 to below 50", "50 and more"]
    assert [line[3:] for line in found] == [["60", "0.250 (0.100–0.300)"], ["76", "0.600 (0.500–0.700)"]]


def test_images_with_a_lesion_and_hits_of_other_kinds_stand_beside_lesions(tmp_path: Path):
    """Means over seeds as whole numbers: (10 + 21) / 2 and (3 + 4) / 2 are rounded to even, 9 is told by one seed only."""
    told = {0: (38, 10, 3, None), 1: (38, 21, 4, 9)}
    for seed, (images, further, other, few) in told.items():
        run = tmp_path / f"net-{seed}"
        counts = {"positive_images": images, "duplicates": further, "other_class_hits": other}
        rows = [row("model", *FIGURES[seed]) | counts, row("points", *FIGURES[seed]) | {"duplicates": few}]
        saved(run / "evaluation" / "kept", {"ex, rule": [Table("lesions.ex", "", pd.DataFrame(rows))]}, provenance={})
        (run / "run.json").write_text(json.dumps({"name": "net", "seed": seed}))
    asked = {"evaluation": "kept", "rates": [2]}
    text = rows_markdown(collect_rows([tmp_path / "net-0", tmp_path / "net-1"]), "net", asked)
    head = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    assert head[2:] == ["Seeds", "Lesions", "Images with one", "Further hits", "Hits on another class", "2"]
    model, points = lines(text)
    assert model[2:7] == ["2", "136", "38", "16", "4"]
    assert points[2:7] == ["2", "136", "–", "9", "–"]


def test_what_was_not_run_is_empty(tmp_path: Path):
    rows = collect_rows([run_of(tmp_path, 0)])
    assert rows_markdown(rows, "other", {"evaluation": "by-lesion"}) == ""
    assert rows_markdown(rows, "net", {"evaluation": "gone"}) == ""
    assert rows_markdown(collect_rows([]), "net", {"evaluation": "gone"}) == ""


def test_differences_say_whether_0_is_excluded(tmp_path: Path):
    frame = pd.DataFrame(
        {
            "false_positives_per_image": [2.0, 5.0, 10.0],
            "sensitivity": [0.6, 0.7, 0.7],
            "of_the_others": [0.42, 0.68, 0.7],
            "difference": [0.18, 0.02, 0.0],
            "low": [0.05, -0.03, np.nan],
            "high": [0.3, 0.07, np.nan],
        }
    )
    folder = saved(tmp_path / "main", {"ex, peak_in_lesion": [Table("difference.ex", "", frame)]}, provenance={})
    found = lines(differences_markdown([folder]))
    assert [line[3] for line in found] == ["2", "5", "10"]
    assert found[0][4:] == ["0.600", "0.420", "0.180 (0.050–0.300)", "yes"]
    assert found[1][-2:] == ["0.020 (−0.030–0.070)", "no"]
    assert found[2][-1] == "–"
    assert differences_markdown([]) == ""


def test_damaged_files_are_told(tmp_path: Path):
    run = run_of(tmp_path, 0)
    path = run / "evaluation" / "plain" / "metrics.json"
    path.write_text("{")
    with pytest.raises(RunError, match="no file of results"):
        collect_rows([run])
    with pytest.raises(RunError, match="no file of results"):
        is_by_lesion(path)


def test_evaluations_by_lesion_are_told_apart(tmp_path: Path):
    run = run_of(tmp_path, 0)
    assert is_by_lesion(run / "evaluation" / "by-lesion" / "metrics.json")
    assert not is_by_lesion(run / "evaluation" / "plain" / "metrics.json")
