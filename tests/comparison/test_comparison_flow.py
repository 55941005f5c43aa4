"""The whole of a comparison with fake cells: tune, choose, train, look once, tell; and what may go wrong on the way."""

from __future__ import annotations

import base64
import csv
import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fakes import FakeExecutor, make_world, quality

from medmtl import run
from medmtl.comparison import page
from medmtl.comparison.executors import Job, Outcome
from medmtl.comparison.planning import make_plan
from medmtl.comparison.scheduling import InterruptedComparison
from medmtl.comparison.spec import read_spec
from medmtl.comparison.telling import Compared, compare_with
from medmtl.errors import MedmtlError, RunError
from medmtl.locks import folder_lock
from medmtl.progress import Progress
from medmtl.run import RunFolder

TUNING = 2 * 2 + 2 + 2 + 4  # two tasks alone, equal, uw_so, and a grid of two weights, at two learning rates
SERIES = 5


def compared(spec: Path, executor: FakeExecutor, out: Path | None = None) -> Compared:
    plan = make_plan(read_spec(spec), spec)
    return compare_with(plan, out or spec.parent / "out", executor, Progress(quiet=True))


@pytest.fixture
def real_page() -> None:
    """Asked for by tests of the page; for the others it would only cost time."""


@pytest.fixture(autouse=True)
def _page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "git_state", lambda: "")
    if "real_page" not in request.fixturenames:
        monkeypatch.setattr(page, "render", lambda content, _: "".join(item.cell for item in content.missing) + "page")
        monkeypatch.setattr(page, "pictures", lambda _: ())


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return make_world(tmp_path)


def selection(spec: Path) -> dict:
    return json.loads((spec.parent / "out" / "selection.json").read_text())


def failing(*names: str, said: str = "the loss is not finite"):
    return lambda job: Outcome(job, 2, 1.0, said=said) if any(job.name.startswith(name) for name in names) else None


def test_from_a_spec_to_a_table(spec: Path):
    executor = FakeExecutor()
    done = compared(spec, executor)
    assert len(executor.trained) == TUNING + 2 * SERIES
    assert len(executor.evaluated) == 3 * SERIES
    assert done.missing == ()
    assert done.cells == 3 * SERIES
    assert executor.closed
    assert list(done.table["row"]) == ["single_task", "equal", "uw_so", "fixed"]
    for name in (
        "table.csv",
        "table.md",
        "table.tex",
        "intervals.md",
        "index.html",
        "ledger.csv",
        "selection.json",
        "cells.json",
    ):
        assert (done.folder / name).stat().st_size > 0
    assert len((done.folder / "ledger.csv").read_text().splitlines()) == 3 * SERIES


def test_a_task_alone_is_not_evaluated_where_nothing_is_known_of_it(tmp_path: Path):
    spec = make_world(tmp_path)
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    with (tmp_path / "other.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label:disease": ""} for row in rows)
    asked = yaml.safe_load(spec.read_text())
    asked["evaluate"].append({"manifest": str(tmp_path / "other.csv")})
    spec.write_text(yaml.safe_dump(asked, sort_keys=False))
    executor = FakeExecutor()
    done = compared(spec, executor)
    assert (done.missing, done.cells) == ((), 3 * SERIES)
    assert len(executor.evaluated) == 3 * (2 * SERIES - 1)
    assert not [name for name in executor.evaluated if "disease" in name and "other" in name]
    assert list(done.table["row"]) == ["single_task", "equal", "uw_so", "fixed"]


def test_every_cell_is_an_ordinary_run_folder(spec: Path):
    done = compared(spec, FakeExecutor())
    cell = RunFolder.open(done.folder / "cells" / "uw_so" / "lr0.01" / "seed2")
    assert (cell.config.method.name, cell.config.training.lr, cell.config.seed) == ("uw_so", 0.01, 2)
    alone = RunFolder.open(done.folder / "cells" / "single_task" / "disease" / "lr0.01" / "seed0").config
    assert (list(alone.tasks), alone.method.name) == (["disease"], None)


def test_a_task_alone_may_be_trained_longer_than_with_the_others(tmp_path: Path):
    epochs = make_plan(read_spec(make_world(tmp_path)), tmp_path / "spec.yaml").base.training.epochs
    path = make_world(tmp_path / "longer", alone={"disease": {"training": {"epochs": epochs + 7}}})
    plan = make_plan(read_spec(path), path)
    found = {series.name: {config.training.epochs for config in series.configs.values()} for series in plan.series}
    assert found.pop("single_task/disease") == {epochs + 7}
    assert set().union(*found.values()) == {epochs}


def test_the_best_on_validation_is_chosen_and_all_scores_are_kept(spec: Path):
    def picky(task: str, series: str, rate: float, seed: int) -> float:
        flip = {"uw_so": -0.1, "single_task/disease": -0.1}.get(series, 0.0)
        return quality(task, series, rate, seed) + (flip if rate == 0.01 else 0)

    done = compared(spec, FakeExecutor(quality=picky))
    assert done.chosen == {
        "single_task/vessels": "lr0.01",
        "single_task/disease": "lr0.001",
        "equal": "lr0.01",
        "uw_so": "lr0.001",
        "fixed": "v0_lr0.01",
    }
    found = selection(spec)["series"]["fixed"]["scores"]
    assert set(found) == {"v0_lr0.001", "v0_lr0.01", "v1_lr0.001", "v1_lr0.01"}
    assert found["v1_lr0.01"] == pytest.approx(0.72)


def test_test_data_are_looked_at_after_all_choices_and_only_once(spec: Path):
    executor = FakeExecutor()
    compared(spec, executor)
    kinds = [job.arguments[0] for job in executor.jobs]
    assert kinds == sorted(kinds, reverse=True)  # every "train" before the first "evaluate"
    again = FakeExecutor()
    compared(spec, again)
    assert again.jobs == []


def test_the_choice_is_fixed_on_the_disk_before_the_first_look(spec: Path):
    seen: list[bool] = []

    def look(job: Job) -> None:
        if job.arguments[0] == "evaluate":
            seen.append(selection(spec)["fixed"])

    compared(spec, FakeExecutor(before=look))
    assert seen
    assert all(seen)


def test_other_candidates_after_the_look_are_refused(spec: Path):
    compared(spec, FakeExecutor())
    make_world(spec.parent, learning_rates=[0.001, 0.1])
    with pytest.raises(RunError, match=r"candidates changed after the test data were looked at"):
        compared(spec, FakeExecutor())


def test_a_row_that_is_added_later_is_tuned_and_the_others_stay(spec: Path):
    compared(spec, FakeExecutor())
    rows = {"equal": {}, "uw_so": {"method": {"name": "uw_so"}}, "fixed": {"grid": {"vessels": [0.5, 2]}}}
    make_world(spec.parent, rows={**rows, "plain": {"training": {"weight_decay": 0.0}}})
    executor = FakeExecutor(quality=lambda task, series, rate, seed: 0.9)
    done = compared(spec, executor)
    assert {name.split("/")[0] for name in executor.trained} == {"plain"}
    assert len(executor.trained) == 2 + 2
    assert len(done.table) == 5


def test_a_row_with_fewer_seeds_trains_and_counts_those_alone(tmp_path: Path):
    rows = {"equal": {}, "uw_so": {"method": {"name": "uw_so"}, "seeds": [2, 0]}}
    spec = make_world(tmp_path, rows=rows)
    executor = FakeExecutor()
    done = compared(spec, executor)
    plan = make_plan(read_spec(spec), spec)
    assert {cell.seed for cell in plan.chosen(done.chosen) if cell.row == "uw_so"} == {0, 2}
    looked_at = [name for name in executor.evaluated if name.startswith("uw_so")]
    assert sorted(name[-len("seed0 on m-test") :] for name in looked_at) == ["seed0 on m-test", "seed2 on m-test"]
    assert not [name for name in executor.trained if name.startswith("uw_so") and name.endswith("seed1")]
    counts = done.table.set_index("row")
    figure = next(name for name in counts.columns if name.endswith(" seeds"))
    assert (counts.loc["equal", figure], counts.loc["uw_so", figure]) == (3, 2)
    assert done.missing == ()
    assert (done.folder / "cells.json").read_text().count('"status": "done"') == len(executor.jobs)


def test_a_changed_base_is_refused_before_anything_is_started(spec: Path):
    compared(spec, FakeExecutor())
    make_world(spec.parent, set=["training.epochs=7"])
    executor = FakeExecutor()
    with pytest.raises(RunError, match=r"another configuration.*training.epochs 7 instead of 1"):
        compared(spec, executor)
    assert executor.jobs == []


def test_what_says_how_a_run_is_computed_may_change(spec: Path):
    compared(spec, FakeExecutor())
    make_world(spec.parent, set=["data.workers=1", "training.threads=1"])
    executor = FakeExecutor()
    compared(spec, executor)
    assert executor.jobs == []


def test_failed_cells_are_told_and_not_fatal_and_tried_again(spec: Path):
    bad = ["uw_so/lr0.01/seed2", "equal/lr0.01/seed0"]
    done = compared(spec, FakeExecutor(before=failing(*bad)))
    assert done.chosen["equal"] == "lr0.001"
    assert selection(spec)["series"]["equal"]["reasons"] == {"lr0.01": "the loss is not finite"}
    assert {(item.cell, item.reason) for item in done.missing} == {(name, "the loss is not finite") for name in bad}
    assert "uw_so/lr0.01/seed2" in (done.folder / "index.html").read_text()
    journal = json.loads((done.folder / "cells.json").read_text())["cells"]
    assert journal["uw_so/lr0.01/seed2"]["status"] == "failed"
    again = FakeExecutor()
    done = compared(spec, again)
    assert again.trained == ["uw_so/lr0.01/seed2"]  # the losing candidate is settled: the choice stands
    assert len(again.evaluated) == 1
    assert done.chosen["equal"] == "lr0.001"


def test_a_row_of_which_nothing_can_be_trained_is_told(spec: Path):
    done = compared(spec, FakeExecutor(before=failing("uw_so")))
    assert "uw_so" not in done.chosen
    assert any(item.cell == "uw_so" for item in done.missing)
    assert done.table.set_index("row").loc["uw_so"].drop(["chosen"]).filter(like="vessels dice.vessel").isna().iloc[0]


def test_an_evaluation_that_fails_is_told(spec: Path):
    bad = "equal/lr0.01/seed1 on m-test"
    done = compared(spec, FakeExecutor(before=failing(bad, said="0.png: the image does not exist")))
    assert [(item.cell, item.reason) for item in done.missing] == [
        ("equal/lr0.01/seed1", "0.png: the image does not exist")
    ]
    again = FakeExecutor()
    assert compared(spec, again).missing == ()
    assert [job.name for job in again.jobs] == [bad]


def test_nothing_at_all_can_be_trained(spec: Path):
    with pytest.raises(RunError, match=r"no cell has a result.*the loss is not finite.*mend it"):
        compared(spec, FakeExecutor(before=failing("")))


def test_a_killed_cell_says_by_what(spec: Path):
    def kill(job: Job) -> Outcome | None:
        return Outcome(job, -9, 1.0) if job.name == "equal/lr0.01/seed1" else None

    (item,) = compared(spec, FakeExecutor(before=kill)).missing
    assert item.reason == "killed by signal 9 (SIGKILL); often too little memory"


def test_an_interrupted_cell_goes_on(spec: Path):
    def half(job: Job) -> Outcome | None:
        if job.name != "equal/lr0.01/seed1":
            return None
        from medmtl.config import load_config

        RunFolder.create(Path(job.arguments[3]), load_config([Path(job.arguments[1])]))
        return Outcome(job, 143, 1.0)

    done = compared(spec, FakeExecutor(before=half))
    assert [item.cell for item in done.missing] == ["equal/lr0.01/seed1"]
    again = FakeExecutor()
    assert compared(spec, again).missing == ()
    (job,) = [job for job in again.jobs if job.arguments[0] == "train"]
    assert "--resume" in job.arguments


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [3, 15, 25])
def test_a_signal_stops_cleanly_and_a_second_call_goes_on(spec: Path, number: int, at: int):
    def interrupt(job: Job) -> None:
        if len(executor.jobs) == at:
            signal.raise_signal(number)

    executor = FakeExecutor(workers=1, before=interrupt)
    with pytest.raises(InterruptedComparison) as stop:
        compared(spec, executor)
    assert stop.value.number == number
    assert executor.stopped == 1
    assert executor.closed
    assert not (spec.parent / "out" / "table.csv").exists()
    if at < TUNING + 10:
        assert not (spec.parent / "out" / "ledger.csv").exists()
    again = FakeExecutor()
    assert compared(spec, again).missing == ()
    assert len(executor.jobs) + len(again.jobs) == TUNING + 2 * SERIES + 3 * SERIES
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("real_page")
def test_the_tables_are_the_same_for_the_same_cells(spec: Path):
    done = compared(spec, FakeExecutor())
    names = ["table.csv", "table.md", "table.tex", "intervals.md", "index.html"]
    before = [(done.folder / name).read_bytes() for name in names]
    for name in names:
        (done.folder / name).unlink()
    compared(spec, FakeExecutor())
    same = [(done.folder / name).read_bytes() == text for name, text in zip(names, before, strict=True)]
    assert all(same), same


def test_as_many_at_a_time_as_there_are_workers(spec: Path):
    executor = FakeExecutor(workers=3)
    compared(spec, executor)
    assert executor.most == 3


def test_the_numbers_of_the_table(spec: Path):
    table = compared(spec, FakeExecutor()).table.set_index("row")
    dice = table["vessels dice.vessel"]
    for row, good in (("equal", 0.76), ("uw_so", 0.81), ("fixed", 0.78), ("single_task", 0.77)):
        assert dice[row] == pytest.approx(good, abs=1e-9)
    assert table["vessels dice.vessel sd"]["equal"] == pytest.approx(0.01)
    # Δm by hand: each seed against the single-task networks of that seed, both figures equally.
    by_seed = []
    for seed in range(3):
        vessels = [0.75 + 0.01 * seed, 0.76 + 0.01 * seed]
        disease = [round((0.65 + 0.01 * seed) * 12) / 12, round((0.66 + 0.01 * seed) * 12) / 12]
        by_seed.append(-100 * np.mean([(m - s) / s for m, s in (vessels, disease)]))
    assert table["delta_m_percent"]["equal"] == pytest.approx(np.mean(by_seed), abs=1e-6)
    assert table["delta_m_percent sd"]["equal"] == pytest.approx(np.std(by_seed, ddof=1), abs=1e-6)
    assert table["delta_p_percent"]["equal"] == pytest.approx(-np.mean(by_seed), abs=1e-6)
    alone = [-100 * (-0.01) / (0.76 + 0.01 * seed) for seed in range(3)]
    assert table["delta_m_percent without disease"]["equal"] == pytest.approx(np.mean(alone), abs=1e-6)
    assert np.isnan(table["delta_m_percent"]["single_task"])
    assert table["delta_m_percent p"].isna().all()  # three seeds
    assert list(table["vessels dice.vessel rank"]) == [3, 4, 1, 2]
    assert table["seconds_per_step"]["equal"] == pytest.approx(0.9)
    assert table["seconds_per_step"]["single_task"] == pytest.approx(2 * 0.7)
    assert (table["minutes"]["equal"], table["minutes"]["single_task"]) == (4, 4)
    # seeds 0, 1, 2: two tasks together, and one by one
    assert (table["processor_minutes"]["equal"], table["processor_minutes"]["single_task"]) == (7, 8)
    assert table["peak_memory_mb"].gt(500).all()
    # A paired difference of two networks that differ by the same in every image has no width over patients.
    low, high = (table[f"vessels dice.vessel difference paired {end}"]["uw_so"] for end in ("low", "high"))
    assert low == pytest.approx(high, abs=1e-9)
    assert table["vessels dice.vessel low"]["equal"] < dice["equal"] < table["vessels dice.vessel high"]["equal"]


def test_six_seeds_have_p_values(tmp_path: Path):
    spec = make_world(
        tmp_path, seeds=list(range(6)), rows={"uw_so": {"method": {"name": "uw_so"}}}, learning_rates=None
    )
    table = compared(spec, FakeExecutor()).table.set_index("row")
    assert table["delta_m_percent p"]["uw_so"] == pytest.approx(2 / 64)


def test_a_seed_whose_single_task_network_finds_nothing_has_no_delta_and_that_is_told(tmp_path: Path):
    def poor(task: str, series: str, rate: float, seed: int) -> float:
        return 0.0 if series == "single_task/disease" and seed == 1 else quality(task, series, rate, seed)

    rows = {"equal": {}, "uw_so": {"method": {"name": "uw_so"}, "seeds": [0, 2]}}
    done = compared(make_world(tmp_path, rows=rows), FakeExecutor(quality=poor))
    table = done.table.set_index("row")
    assert table["disease accuracy.disease seeds"]["equal"] == 3
    assert table["delta_m_percent seeds"].tolist()[1:] == [2, 2]
    assert table["delta_p_percent seeds"]["equal"] == 2
    assert table["delta_m_percent without disease seeds"]["equal"] == 3
    assert np.isfinite(table["delta_m_percent"]["equal"])
    short = (done.folder / "table.md").read_text().splitlines()
    assert [line.count("(2 of 3 seeds)") for line in short] == [0, 0, 0, 2, 0]  # Δm and Δp of equal
    intervals = (done.folder / "intervals.md").read_text()
    assert intervals.count("undefined in seed 1, where the baseline's disease accuracy.disease is 0") == 1


def test_without_single_task_networks_there_is_no_delta(tmp_path: Path):
    spec = make_world(tmp_path, single_task=None, rows={"equal": {}, "b": {"training": {"warmup": 0.0}}}, seeds=[4])
    spec.write_text(spec.read_text().replace("exclude_tasks:\n  without disease:\n  - disease\n", ""))
    done = compared(spec, FakeExecutor(quality=lambda *_: 0.7))
    assert not [name for name in done.table if name.startswith("delta")]
    assert "Δm" not in (done.folder / "table.md").read_text()


def test_one_candidate_needs_no_tuning(tmp_path: Path):
    spec = make_world(tmp_path, learning_rates=None, rows={"equal": {}}, tune_seed=9)
    executor = FakeExecutor()
    compared(spec, executor)
    assert len(executor.trained) == 3 * 3
    assert not [name for name in executor.trained if name.endswith("seed9")]


def test_a_tuning_seed_of_its_own_is_not_in_the_means(tmp_path: Path):
    spec = make_world(tmp_path, tune_seed=9, rows={"equal": {}}, single_task=None, exclude_tasks=None)
    executor = FakeExecutor()
    done = compared(spec, executor)
    assert len(executor.trained) == 2 + 3
    assert done.table["vessels dice.vessel seeds"].tolist() == [3]
    assert [name for name in executor.evaluated if "seed9" in name] == []


def test_metrics_that_count(tmp_path: Path):
    spec = make_world(
        tmp_path, metrics={"disease": ["accuracy.disease"], "vessels": ["dice.vessel"]}, rows={"equal": {}}
    )
    table = compared(spec, FakeExecutor()).table
    assert {"vessels dice.vessel", "disease accuracy.disease"} <= set(table)


@pytest.mark.usefixtures("real_page")
def test_an_evaluation_without_single_samples_has_values_and_no_intervals(spec: Path):
    done = compared(spec, FakeExecutor())
    for path in done.folder.rglob("samples/*.csv"):
        path.unlink()
    table = compared(spec, FakeExecutor()).table
    assert table["vessels dice.vessel"].notna().all()
    assert table["vessels dice.vessel low"].isna().all()
    assert "cannot be made from single images" in (done.folder / "index.html").read_text()


def test_two_comparisons_never_share_a_folder(spec: Path):
    cells = spec.parent / "out" / "cells"
    cells.mkdir(parents=True)
    with folder_lock(cells, wait=False), pytest.raises(RunError, match="another comparison works in this folder"):
        compared(spec, FakeExecutor())


@pytest.mark.parametrize("name", ["selection.json", "cells.json"])
def test_a_damaged_record_is_one_clear_line(spec: Path, name: str):
    done = compared(spec, FakeExecutor())
    (done.folder / name).write_text('{"format": 1')
    with pytest.raises(MedmtlError, match="cannot be read"):
        compared(spec, FakeExecutor())


def test_results_that_are_damaged_are_one_clear_line(spec: Path):
    done = compared(spec, FakeExecutor())
    path = next(done.folder.rglob("metrics.json"))
    data = json.loads(path.read_text())
    data["results"][0]["tasks"] = [{"task": 1}]
    path.write_text(json.dumps(data))
    with pytest.raises(RunError, match="the results cannot be read"):
        compared(spec, FakeExecutor())


def test_a_manifest_that_changed_between_evaluations_is_refused(spec: Path):
    done = compared(spec, FakeExecutor())
    path = next(done.folder.rglob("metrics.json"))
    path.write_text(path.read_text().replace("manifest hash", "another"))
    with pytest.raises(RunError, match="the manifest changed between two evaluations"):
        compared(spec, FakeExecutor())


def test_a_cell_that_was_trained_anew_is_evaluated_anew(spec: Path):
    done = compared(spec, FakeExecutor())
    cell = RunFolder.open(done.folder / "cells" / "equal" / "lr0.01" / "seed1")
    cell.update_record(run_hash="another")
    executor = FakeExecutor()
    compared(spec, executor)
    assert [job.name for job in executor.jobs] == ["equal/lr0.01/seed1 on m-test"]


@pytest.mark.usefixtures("real_page")
def test_the_page_stands_alone_and_escapes(tmp_path: Path):
    spec = make_world(tmp_path, name="<script>alert(1)</script>", rows={"equal": {}})
    folder = compared(spec, FakeExecutor()).folder
    text = (folder / "index.html").read_text()
    assert "<script" not in text
    figures = [path.read_bytes() for path in (folder / "figures").iterdir()]
    assert len(figures) == text.count("data:image/svg+xml;base64,")
    assert all(base64.b64encode(svg).decode() in text for svg in figures)
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("data:image/svg+xml;base64,") >= 3
    assert str(tmp_path) not in text


def test_the_csv_reads_back(spec: Path):
    done = compared(spec, FakeExecutor())
    pd.testing.assert_frame_equal(pd.read_csv(done.folder / "table.csv"), done.table, check_dtype=False)
    assert r"$\Delta_m$" in (done.folder / "table.tex").read_text()
