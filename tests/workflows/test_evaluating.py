"""An evaluation is whole or not there, its look is in the ledger once, and data sets are not mixed up."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medmtl.config import RunConfig
from medmtl.data.manifest import Manifest
from medmtl.errors import CheckpointError, EvaluationError, ImageError, OutputError, RunError
from medmtl.evaluation import EvaluationResult, Interval, Metric, TaskResult
from medmtl.inference.network import build_tasks, load_weights
from medmtl.progress import Progress
from medmtl.reporting import report
from medmtl.run import RunFolder
from medmtl.tasks import Origin
from medmtl.tasks.localization_matching import chance_candidates
from medmtl.training.checkpoint import load_checkpoint, save_checkpoint
from medmtl.workflows import evaluating
from medmtl.workflows.evaluating import Evaluated, evaluate, result_lines
from medmtl.workflows.ledger import Look, recorded_look
from medmtl.workflows.runfacts import run_summary
from medmtl.workflows.trained import open_trained

QUIET = Progress(quiet=True)


@pytest.fixture
def own_run(small_run: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(small_run, tmp_path / "run")


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def subset(manifest: Path, target: Path, rows: slice, **change: Callable[[int], str]) -> Path:
    """Rows of a manifest with absolute paths and changed cells."""
    with manifest.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))[rows]
    for number, row in enumerate(table):
        for column, value in row.items():
            if value not in {"", "absent"} and (column in {"image", "fov"} or column.startswith("mask:")):
                row[column] = str(manifest.parent / value)
        row |= {column: make(number) for column, make in change.items()}
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return target


@pytest.mark.parametrize("status", ["new", None])
def test_an_interrupted_run_is_refused_before_any_work(own_run: Path, small_manifest: Path, status: str | None):
    run = RunFolder.open(own_run)
    run.write_record({**run.record, "status": status, "minutes": None, "run_hash": ""})
    before = entries(own_run)
    with pytest.raises(RunError, match=r"interrupted.*--resume"):
        evaluate(own_run, small_manifest, progress=QUIET)
    assert entries(own_run) == before


def test_unknown_minutes_are_no_crash(own_run: Path):
    run = RunFolder.open(own_run)
    run.update_record(minutes=None)
    assert math.isnan(run_summary(run, "").minutes)


def test_a_missing_mask_of_lesions_is_found_before_any_prediction(
    small_run: Path, small_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (column,) = (key for key in Manifest.read(small_manifest).samples[0].masks if key == "lesions.haemorrhages")
    gone = subset(
        small_manifest, tmp_path / "m.csv", slice(0, 4), **{f"mask:{column}": lambda n: "gone.png" * (n == 3)}
    )
    monkeypatch.setattr(evaluating, "predict", lambda *_: pytest.fail("nothing must be predicted"))
    with pytest.raises(ImageError, match=r"line 5: the mask 'lesions.haemorrhages' does not exist"):
        evaluate(small_run, gone, split=None, out=tmp_path / "deep" / "out", progress=QUIET)
    assert entries(tmp_path) == ["m.csv"]


def test_a_broken_image_leaves_no_folder_and_no_ledger(small_run: Path, small_manifest: Path, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(b"")
    broken = subset(small_manifest, tmp_path / "m.csv", slice(0, 4), image=lambda n: f"x.png#{n}"[:5])
    with pytest.raises(ImageError):
        evaluate(small_run, broken, split=None, out=tmp_path / "deep" / "out", progress=QUIET)
    assert entries(tmp_path) == ["m.csv", "x.png"]


def test_a_second_evaluation_replaces_the_first_and_one_that_fails_changes_nothing(
    small_run: Path, small_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    evaluate(small_run, small_manifest, out=out, progress=QUIET)
    (out / "tables" / "old.csv").write_text("of an earlier version")
    (out / "notes.txt").write_text("mine")
    done = evaluate(small_run, small_manifest, split="val", out=out, progress=QUIET)
    found = entries(out)
    assert "tables/old.csv" not in found
    assert "notes.txt" in found
    assert not any("test" in name for name in found if name.endswith(".csv")), found
    assert [result.ledger_row for result in done.results] == ["ledger.csv:L2"]
    rows = list(csv.DictReader((tmp_path / "ledger.csv").open()))
    assert [(row["row"], row["split"]) for row in rows] == [("L1", "test"), ("L2", "val")]
    assert all(row["run_hash"] for row in rows)

    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    before = {name: (out / name).read_bytes() for name in found if (out / name).is_file()}
    monkeypatch.setattr(report, "write_metrics", full)
    with pytest.raises(OutputError):
        evaluate(small_run, small_manifest, out=out, progress=QUIET)
    assert {name: (out / name).read_bytes() for name in entries(out) if (out / name).is_file()} == before
    assert len((tmp_path / "ledger.csv").read_text().splitlines()) == 3


def test_the_report_names_the_ledger_row(small_run: Path, small_manifest: Path, tmp_path: Path):
    evaluate(small_run, small_manifest, out=tmp_path / "out", ledger=tmp_path / "books" / "looks.csv", progress=QUIET)
    data = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert data["results"][0]["ledger_row"] == "looks.csv:L1"
    assert "looks.csv:L1" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "books" / "looks.csv").is_file()
    assert not (tmp_path / "ledger.csv").exists()


def test_a_data_set_whose_name_begins_another_is_apart(small_run: Path, small_manifest: Path, tmp_path: Path):
    names = {"dataset": lambda n: "a" if n < 4 else "a/b"}
    both = subset(small_manifest, tmp_path / "m.csv", slice(0, 10), **names)
    done = evaluate(small_run, both, split=None, out=tmp_path / "out", progress=QUIET)
    counts = {result.tasks[0].dataset: [task.labelled for task in result.tasks] for result in done.results}
    assert counts["a"] == [4, 4, 4]
    assert counts["a/b"] == [6, 6, 6]
    assert all(task.unlabelled == 0 for result in done.results for task in result.tasks)


ADD = """
import sys
from pathlib import Path
from medmtl.run import RunFolder
from medmtl.workflows.ledger import Look, recorded_look
look = Look.of_run(RunFolder.open(Path(sys.argv[1])), "m.csv", "0" * 64, "test", 1)
for _ in range(10):
    with recorded_look(Path(sys.argv[2]), look):
        pass
"""


def test_evaluations_at_once_lose_no_row(small_run: Path, tmp_path: Path):
    ledger = tmp_path / "ledger.csv"
    command = [sys.executable, "-c", ADD, str(small_run), str(ledger)]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait(timeout=120) == 0
    rows = list(csv.DictReader(ledger.open()))
    assert [row["row"] for row in rows] == [f"L{number}" for number in range(1, 31)]


def test_a_look_whose_results_cannot_be_written_is_no_row(small_run: Path, tmp_path: Path):
    look = Look.of_run(RunFolder.open(small_run), "m.csv", "0" * 64, "test", 1)
    with pytest.raises(ZeroDivisionError), recorded_look(tmp_path / "deep" / "ledger.csv", look):
        raise ZeroDivisionError
    assert entries(tmp_path) == []


def test_weights_of_another_network_are_named_with_a_remedy(small_run: Path, own_run: Path):
    trained = open_trained(own_run)
    weights = load_checkpoint(RunFolder.open(small_run).selected)["network"]
    name = next(iter(weights))
    broken = {**weights, name: weights[name][:1], "stranger": weights[name]}
    del broken[list(weights)[5]]
    with pytest.raises(RunError) as caught:
        load_weights(trained.network, broken, "best.pt")
    found = f"1 missing ({list(weights)[5]}), 1 unknown (stranger), 1 of another shape ({name})"
    assert caught.value.found == found
    assert caught.value.remedy


def test_random_points_follow_the_seed_of_the_configuration(small_config: Callable[..., RunConfig]):
    field, origin = np.ones((64, 64), bool), Origin("a", "p")
    tasks = [build_tasks(small_config(evaluation={"seed": seed}))[2] for seed in (0, 4, 4)]
    assert [task.seed for task in tasks] == [0, 4, 4]
    first, second, again = (chance_candidates(field, 60, task.seed, origin) for task in tasks)
    assert not np.array_equal(first.x, second.x)
    np.testing.assert_array_equal(second.x, again.x)


def test_lines_give_every_figure_and_the_report(tmp_path):
    metrics = (Metric("auc", "AUC", Interval(0.91234, 0.8, 0.95), 7), Metric("ap", "AP", Interval(0.5), 3))
    tasks = (TaskResult("grade", "classification", "x", metrics), TaskResult("mask", "segmentation", "x", metrics[:1]))
    result = EvaluationResult("r", "0", "m.csv", "0", "test", "", 7, tasks)
    assert result_lines(Evaluated((result,), tmp_path, tmp_path / "report.html")) == [
        "x  grade  AUC  0.912  (0.800 to 0.950)  n=7",
        "x  grade  AP  0.500  (nan to nan)  n=3",
        "x  mask  AUC  0.912  (0.800 to 0.950)  n=7",
        f"report {tmp_path / 'report.html'}",
    ]


@pytest.mark.parametrize("columns", [{}, {"label:other": "1"}, {"label:referable": ""}])
def test_samples_of_which_nothing_is_known_are_refused_and_leave_no_look(
    small_run: Path, small_manifest: Path, tmp_path: Path, columns: dict[str, str]
):
    image = next((small_manifest.parent / "images").iterdir())
    table = tmp_path / "m.csv"
    table.write_text(",".join(["image", *columns]) + "\n" + ",".join([str(image), *columns.values()]) + "\n")
    before = entries(tmp_path)
    with pytest.raises(EvaluationError, match=r"m\.csv, split all.*mask:vessels.*label:referable"):
        evaluate(small_run, table, split=None, out=tmp_path / "out", progress=QUIET)
    assert entries(tmp_path) == before


def test_lesion_maps_need_no_labels_where_another_task_has_some(small_run: Path, small_manifest: Path, tmp_path: Path):
    table = tmp_path / "m.csv"
    images = sorted((small_manifest.parent / "images").iterdir())[:2]
    table.write_text("image,label:referable\n" + "".join(f"{image},{number}\n" for number, image in enumerate(images)))
    (result,) = evaluate(small_run, table, split=None, out=tmp_path / "out", progress=QUIET).results
    values = {task.task: {metric.label: metric.n for metric in task.metrics} for task in result.tasks}
    assert max(values["referable"].values()) == 2
    assert not any(values.get("lesions", {}).values())


@pytest.mark.parametrize("text", ["image,split\na.png,test\n", "row,date\n", ""])
def test_a_table_that_is_no_ledger_stays_as_it_is(small_run: Path, small_manifest: Path, tmp_path: Path, text: str):
    book = tmp_path / "book.csv"
    book.write_text(text)
    with pytest.raises(OutputError, match=r"book\.csv: the file is no ledger.*--ledger"):
        evaluate(small_run, small_manifest, out=tmp_path / "out", ledger=book, progress=QUIET)
    assert book.read_text() == text
    assert entries(tmp_path) == ["book.csv"]


def test_other_weights_than_those_of_the_record_are_refused(own_run: Path):
    """A lost best.pt must not be replaced by last.pt without a word."""
    run = RunFolder.open(own_run)
    state = load_checkpoint(run.selected)
    name = next(name for name, value in state["network"].items() if value.is_floating_point())
    state["network"][name] = state["network"][name] + 1e-3
    save_checkpoint(run.selected, {key: value for key, value in state.items() if key != "format"})
    with pytest.raises(CheckpointError, match=r"not the weights that the run ended with.*copy the folder"):
        open_trained(own_run)
