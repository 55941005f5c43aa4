"""The candidates that an evaluation writes give its own lesion figures again, by the other way of counting them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import medmtl
from medmtl.evaluation import Candidates
from medmtl.lesionapi import LesionResult
from medmtl.tasks.localization_rivals import UNTRAINED

CLASSES = ("hard_exudates", "haemorrhages")


@pytest.fixture(scope="module")
def evaluated(small_run: Path, small_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("candidates") / "e"
    return medmtl.evaluate(small_run, small_manifest, split=None, out=out, quiet=True).folder


def told(folder: Path) -> tuple[dict[str, float], dict[str, pd.DataFrame]]:
    """Metrics and tables of the localization."""
    tasks = json.loads((folder / "metrics.json").read_text())["results"][0]["tasks"]
    (task,) = [one for one in tasks if one["task"] == "lesions"]
    frames = {
        one["name"]: pd.DataFrame(one["frame"]["rows"], columns=one["frame"]["columns"]) for one in task["tables"]
    }
    return {one["name"]: one["interval"]["value"] for one in task["metrics"]}, frames


@pytest.fixture(scope="module")
def again(evaluated: Path, small_manifest: Path) -> LesionResult:
    folder = evaluated / "candidates"
    return medmtl.lesions(
        folder / "lesions.csv",
        small_manifest,
        classes=CLASSES,
        beside={"untrained": folder / "lesions-the-network-before-training.csv"},
        rules=["peak_in_lesion", "any_overlap"],
        outside_field="count",
        draws=50,
    )


@pytest.mark.parametrize("label", CLASSES)
def test_the_table_scored_by_medmtl_lesions_gives_the_figures_of_evaluate(
    evaluated: Path, again: LesionResult, label: str
):
    metrics, frames = told(evaluated)
    (task,) = [one for one in again.result.tasks if one.task == f"{label}, peak_in_lesion"]
    theirs = {metric.name: metric.interval.value for metric in task.metrics}
    compared = [f"{kind}.{label}" for kind in ("sensitivity_at_1", "sensitivity_at_10", "cpm", "lesion_ap")]
    assert [metrics[name] for name in compared] == pytest.approx([theirs[name] for name in compared], nan_ok=True)
    mine = frames[f"lesions.{label}"].set_index("candidates")
    other = next(table.frame for table in task.tables if table.name == f"lesions.{label}").set_index("candidates")
    columns = ["lesions", "images", "all_candidates", "fppi_of_all", "duplicates", "other_class_hits"]
    for row, name in (("model", "model"), (UNTRAINED, "untrained")):
        np.testing.assert_allclose(mine.loc[row, columns].astype(float), other.loc[name, columns].astype(float))
    assert mine.loc["model", "lesions"] > 0


def test_some_candidate_hits_another_class(evaluated: Path):
    """Or the column would agree because it is always 0."""
    frames = told(evaluated)[1]
    assert sum(frames[f"lesions.{label}"]["other_class_hits"].sum() for label in CLASSES) > 0


def test_rules_of_area_have_their_tricks_beside_them(again: LesionResult):
    for label in CLASSES:
        (task,) = [one for one in again.result.tasks if one.task == f"{label}, any_overlap"]
        rows = next(table.frame for table in task.tables if table.name == f"lesions.{label}")["candidates"].tolist()
        assert sum("trick" in row for row in rows) == 2
        assert "untrained" in rows


def test_a_peak_is_a_disc_as_large_as_a_cell_of_the_map(evaluated: Path):
    frame = pd.read_csv(evaluated / "candidates" / "lesions.csv")
    assert list(frame) == ["image", "class", "x", "y", "score", "radius"]
    assert set(frame["class"]) == set(CLASSES)
    # stride 16 in a view of 64 pixels: the radius is that of a quarter of the view's side, in original pixels
    side = frame["radius"] * math.sqrt(math.pi) * 4
    assert side.between(50, 90).all()  # the field of a picture of 72 pixels
    assert frame.groupby(["image", "class"])["score"].apply(lambda part: part.is_monotonic_decreasing).all()


def test_other_rows_need_names_of_their_own(evaluated: Path, small_manifest: Path):
    table = evaluated / "candidates" / "lesions.csv"
    for name in ("random points", " ", "compared with", "model"):
        with pytest.raises(medmtl.MedmtlError, match="not a name for a row of its own"):
            medmtl.lesions(table, small_manifest, beside={name: table})


def test_a_task_of_no_lesions_has_no_file(evaluated: Path):
    names = sorted(path.name for path in (evaluated / "candidates").iterdir())
    assert names == ["lesions-the-network-before-training.csv", "lesions.csv"]


def test_no_candidate_at_all_is_a_table_without_rows(tmp_path: Path):
    from medmtl.workflows.candidatefiles import _joined, _rows

    frame = _joined([_rows("a", "b", Candidates.none())])
    assert list(frame) == ["image", "class", "x", "y", "score", "radius"]
    assert frame.empty
