"""A comparison that cannot be run is one clear line with file, key and remedy, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import make_world

from medmtl.cli import run
from medmtl.comparison.planning import lay_over, make_plan
from medmtl.comparison.spec import read_spec

Change = Callable[[dict[str, Any]], Any]


def put(**keys: Any) -> Change:
    return lambda spec: spec.update(keys)


def drop(key: str) -> Change:
    return lambda spec: spec.pop(key)


def row(**keys: Any) -> Change:
    return put(rows={"bad": keys})


CASES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "unknown key": (put(sedes=[1]), ("spec.yaml: sedes: unknown key", "did you mean 'seeds'?")),
    "unknown key in evaluate": (put(evaluate=[{"manifests": "m.csv"}]), ("evaluate.0.manifests", "did you mean 'manifest'?")),
    "unknown key in a row": (row(methods={"name": "equal"}), ("spec.yaml: rows.bad", "'methods'", "did you mean 'method'?")),
    "unknown key deeper in a row": (row(training={"lrr": 1}), ("rows.bad: training.lrr: unknown key", "'lr'")),
    "unknown method": (row(method={"name": "uwso"}), ("rows.bad", "unknown", "'uwso'", "did you mean 'uw_so'?")),
    "argument of another method": (row(method={"name": "equal", "temperature": 2}), ("rows.bad: equal.temperature",)),
    "value of a method out of range": (row(method={"name": "uw_so", "temperature": -1}), ("rows.bad", "temperature")),
    "no seeds": (drop("seeds"), ("spec.yaml: seeds: a required key is missing", "add it")),
    "empty seeds": (put(seeds=[]), ("spec.yaml: seeds", "list of that length")),
    "seed twice": (put(seeds=[1, 1]), ("seeds: 1 stands twice",)),
    "negative seed": (put(seeds=[-1]), ("seeds.0", "-1")),
    "seed that is no number": (put(seeds=["a"]), ("seeds.0", "write a whole number")),
    "seed of a row that the comparison has not": (row(seeds=[7]), ("rows.bad.seeds names 7", "choose among the comparison's seeds: 0, 1, 2")),
    "seed of a row twice": (row(seeds=[1, 1]), ("rows.bad.seeds: 1 stands twice",)),
    "seed of a row below 0": (row(seeds=[-1]), ("rows.bad.seeds.0", "-1")),
    "seed instead of a list": (put(seeds=3), ("seeds", "write [3]")),
    "tune_seed below 0": (put(tune_seed=-2), ("tune_seed", "-2")),
    "learning rate 0": (put(learning_rates=[0.0]), ("learning_rates.0", "greater than 0")),
    "negative learning rate": (put(learning_rates=[0.1, -0.1]), ("learning_rates.1",)),
    "learning rate twice": (put(learning_rates=[0.1, 0.1]), ("learning_rates: 0.1 stands twice",)),
    "infinite learning rate": (put(learning_rates=[float("inf")]), ("learning_rates.0",)),
    "no base": (drop("base"), ("spec.yaml: base: a required key is missing",)),
    "base missing": (put(base=["gone.yaml"]), ("gone.yaml", "cannot be read", "give the path of a YAML file")),
    "base as text": (put(base="base.yaml"), ("base", "write ['base.yaml']")),
    "base with an unknown key": (put(set=["trainin.epochs=1"]), ("--set", "trainin", "did you mean 'training'?")),
    "set without a value": (put(set=["training.epochs"]), ("set: 'training.epochs' is no key.path=value",)),
    "no rows": (lambda spec: (spec.pop("rows"), spec.pop("single_task")), ("nothing is compared", "single_task: true")),
    "row's name with a slash": (put(rows={"a/b": {}}), ("'a/b' is no row's name",)),
    "row's name with dots": (put(rows={"..": {}}), ("'..' is no row's name",)),
    "row named single_task": (put(rows={"single_task": {}}), ("'single_task' is made by single_task: true", "rename it")),
    "row that is no block": (put(rows={"a": 3}), ("rows.a", "block of keys")),
    "variants and grid": (row(variants=[{}], grid={"vessels": [1]}), ("rows.bad", "both variants and a grid")),
    "variant with an unknown key": (row(variants=[{}, {"training": {"epoch": 1}}]), ("variants.1: training.epoch", "epochs")),
    "grid of another task": (row(grid={"vesels": [1]}), ("rows.bad.grid: unknown task", "did you mean 'vessels'?")),
    "negative weight": (row(grid={"vessels": [-1]}), ("rows.bad.grid.vessels.0",)),
    "grid without weights": (row(grid={"vessels": []}), ("rows.bad", "list at least one number")),
    "grid of zeros": (row(grid={"vessels": [0], "disease": [0]}), ("rows.bad", "no task is trained")),
    "grid too large": (row(grid={"vessels": list(range(1, 30)), "disease": list(range(1, 30))}), ("rows.bad.grid", "1682 candidates")),
    "task that is not there": (row(tasks={"lesions": {"view": "field"}}), ("rows.bad: tasks.lesions",)),
    "no evaluate": (drop("evaluate"), ("evaluate: a required key is missing",)),
    "empty evaluate": (put(evaluate=[]), ("spec.yaml: evaluate",)),
    "manifest missing": (put(evaluate=[{"manifest": "gone.csv"}]), ("gone.csv",)),
    "split without samples": (lambda spec: spec["evaluate"][0].update(split="val"), ("m.csv", "no sample in the split 'val'", "test, train")),
    "unknown split": (lambda spec: spec["evaluate"][0].update(split="tset"), ("evaluate.0.split", "did you mean 'test'?")),
    "one manifest twice": (lambda spec: spec["evaluate"].append(spec["evaluate"][0]), ("same results' folder", "m-test")),
    "metrics of another task": (put(metrics={"disese": ["accuracy"]}), ("metrics: unknown task", "did you mean 'disease'?")),
    "another metric": (put(metrics={"disease": ["acuracy.disease"]}), ("metrics.disease", "did you mean 'accuracy.disease'?")),
    "metrics without a name": (put(metrics={"disease": []}), ("metrics", "lists nothing")),
    "excluded task that is not there": (put(exclude_tasks={"a": ["x"]}), ("exclude_tasks.a: unknown task",)),
    "all tasks excluded": (put(exclude_tasks={"a": ["vessels", "disease"]}), ("exclude_tasks.a: no task is left",)),
    "reference to no row": (put(reference="equl"), ("reference names the row 'equl'", "did you mean 'equal'?")),
    "yes instead of a number": (put(tune_seed=True), ("tune_seed", "yes or no")),
    "alone of another task": (put(alone={"disese": {}}), ("alone: unknown task", "did you mean 'disease'?")),
    "alone with an unknown key": (put(alone={"disease": {"trainig": {}}}), ("alone.disease", "did you mean 'training'?")),
    "alone with an unknown key deeper": (put(alone={"disease": {"training": {"epoch": 2}}}), ("single_task/disease: training.epoch", "epochs")),
    "alone without single tasks": (put(alone={"disease": {}}, single_task=False), ("trained alone", "single_task: true")),
    "text for single_task": (put(single_task="yes please"), ("single_task", "true or false")),
}  # fmt: skip


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_left(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    change, says = CASES[name]
    path = make_world(tmp_path)
    spec = yaml.safe_load(path.read_text())
    change(spec)
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    before = tree(tmp_path)
    assert run(["compare", str(path), "--out", str(tmp_path / "out")]) == 2
    told = capfd.readouterr().err
    assert len(told.splitlines()) == 1, told
    assert told.startswith("error: ")
    for said in says:
        assert said in told, told
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("", "the comparison is empty"),
        ("- a\n", "must be a mapping"),
        ("seeds: [1\n", "not valid YAML"),
        ("seeds: [1]\nseeds: [2]\n", "stands twice"),
        ("base: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_none(text: str | None, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = make_world(tmp_path)
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert run(["compare", str(path), "--out", str(tmp_path / "out")]) == 2
    told = capfd.readouterr().err
    assert "spec.yaml" in told
    assert says in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--executor", "rya"], "did you mean 'ray'?"),
        (["--workers", "0"], "--workers: a comparison needs a worker"),
        (["--workers", "x"], "--workers"),
    ],
)
def test_options(options: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert run(["compare", str(make_world(tmp_path)), "--out", str(tmp_path / "out"), *options]) == 2
    assert says in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (tmp_path / "out").write_text("x")
    assert run(["compare", str(make_world(tmp_path)), "--out", str(tmp_path / "out")]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_the_plan(tmp_path: Path):
    path = make_world(tmp_path)
    plan = make_plan(read_spec(path), path)
    assert [series.name for series in plan.series] == [
        "single_task/vessels", "single_task/disease", "equal", "uw_so", "fixed",
    ]  # fmt: skip
    grid = plan.series[-1]
    assert list(grid.configs) == ["v0_lr0.001", "v0_lr0.01", "v1_lr0.001", "v1_lr0.01"]
    assert grid.configs["v1_lr0.01"].method.arguments == {"weights": {"vessels": 2.0, "disease": 1.0}}
    assert plan.spec.compared_with == "single_task"
    cells = list(plan.chosen({series.name: next(iter(series.configs)) for series in plan.series}))
    assert [cell.seed for cell in cells] == [0] * 5 + [1] * 5 + [2] * 5  # seeds before rows
    assert cells[0].name == "single_task/vessels/lr0.001/seed0"


def test_another_method_takes_no_argument_of_the_first_along():
    base = {"method": {"name": "uw_so", "temperature": 2}, "seed": 1}
    assert lay_over(base, {"method": {"name": "famo"}}) == {"method": {"name": "famo"}, "seed": 1}
    assert lay_over(base, {"method": {"temperature": 3}})["method"] == {"name": "uw_so", "temperature": 3}
    assert lay_over(base, {"seed": 2})["method"] == base["method"]
