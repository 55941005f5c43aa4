"""What a report says of the samples behind its figures: per data set, side, task and class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from medmtl.config import RunConfig
from medmtl.data.counting import class_counts
from medmtl.reporting.report import write_report
from medmtl.run import RunFolder
from medmtl.workflows.runfacts import run_summary
from medmtl.workflows.setup import Setup
from medmtl.workflows.training import _data_record


def test_the_report_counts_classes_of_training_validation_and_evaluation(
    small_config: Callable[..., RunConfig], tmp_path: Path
):
    setup = Setup(small_config())
    run = RunFolder.create(tmp_path / "run", setup.config)
    (run.path / "data.json").write_text(json.dumps(_data_record(setup)))
    targets = [task.target for task in setup.tasks]
    table = run_summary(run, "L1", class_counts(setup.cohort.validation, targets, "evaluated (val)")).data_counts
    assert list(dict.fromkeys(table["side"])) == ["training", "validation", "evaluated (val)"]
    assert (table["positive"] + table["negative"] + table["unknown"] == table["samples"]).all()
    classes = table[table["side"] == "training"].set_index(["task", "class"])
    column = [sample.labels.get("referable") for sample in setup.cohort.training]
    assert classes.loc[("referable", "referable"), "positive"] == column.count("1")
    assert classes.loc[("referable", "referable"), "negative"] == column.count("0")
    assert ("lesions", "haemorrhages") in classes.index
    page = write_report(tmp_path / "report", [], run_summary(run, "L1"), {}).read_text()
    assert "haemorrhages" in page
    assert "counts as positive where a mask is given" in page


def test_runs_that_did_not_count_classes_keep_their_totals(small_config: Callable[..., RunConfig], tmp_path: Path):
    run = RunFolder.create(tmp_path / "run", small_config())
    counts = [{"side": "training", "dataset": "d", "samples": 4, "labelled": {"lesions": 3}}]
    (run.path / "data.json").write_text(json.dumps({"manifests": {}, "counts": counts}))
    (row,) = run_summary(run, "L1", [{"side": "evaluated (test)"}]).data_counts.to_dict("records")
    assert row == {"side": "training", "dataset": "d", "samples": 4, "labelled: lesions": 3}
