"""An error in a configuration names the file in which its key stands, and says how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import medmtl
from medmtl.cli import run
from medmtl.config import load_config, opened_config, parse_config, with_overrides
from medmtl.errors import ConfigError, RunError
from medmtl.workflows import training

TASKS = {"tasks": {"grade": {"type": "classification", "mode": "ordinal", "classes": [0, 1]}}}


def write(folder: Path, **files: dict[str, Any]) -> list[Path]:
    paths = [folder / f"{name}.yaml" for name in files]
    for path, data in zip(paths, files.values(), strict=True):
        path.write_text(yaml.safe_dump(data))
    return paths


@pytest.mark.parametrize(
    ("first", "second", "overrides", "place"),
    [
        ({**TASKS, "training": {"epoch": 3}}, {"seed": 1}, [], "{a}: training.epoch: "),
        (TASKS, {"training": {"epoch": 3}}, [], "{b}: training.epoch: "),
        ({**TASKS, "training": {"epochs": 3}}, {"training": {"epochs": "x"}}, [], "{b}: training.epochs: "),
        ({**TASKS, "training": {"epochs": "x"}}, {"training": {"lr": 1e-3}}, [], "{a}: training.epochs: "),
        (TASKS, {"training": {"lr": 1e-3}}, ["training.epochs=x"], "--set training.epochs: "),
        ({"seed": 1}, {"name": "x"}, [], "{a}, {b}: tasks: "),
        ({"trainin": {}, **TASKS}, {"seed": 1}, [], "{a}: trainin: "),
        ({**TASKS, "data": {"exclude_patients": ["a", 7]}}, {"seed": 1}, [], "{a}: data.exclude_patients.1: "),
        ({"tasks": {"grade": {"type": "x", "view": "feild"}}}, {"seed": 1}, [], "{a}, {b}: configuration: "),
    ],
)
def test_the_file_of_the_key_is_named(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], overrides: list[str], place: str
):
    a, b = write(tmp_path, a=first, b=second)
    with pytest.raises(ConfigError) as caught:
        load_config([a, b], overrides)
    assert str(caught.value).startswith(place.format(a=a, b=b))
    assert caught.value.remedy


def test_also_where_it_is_found_only_later(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (path,) = write(tmp_path, a={"tasks": {"grade": {"type": "clasification"}}, "data": {"manifests": []}})
    assert run(["train", str(path), "--out", str(tmp_path / "run"), "--dry-run"]) == 2
    assert capfd.readouterr().err.startswith(f"error: {path}: tasks.grade.type: ")
    with pytest.raises(ConfigError, match=r"a\.yaml: tasks\.grade\.type: "):
        medmtl.train(path, tmp_path / "run", quiet=True)
    with pytest.raises(ConfigError, match=r"^--set tasks\.grade\.type: "):
        medmtl.train(path, tmp_path / "run", overrides=["tasks.grade.type=clasification"], quiet=True)


def test_an_error_about_something_else_keeps_its_place(tmp_path: Path):
    paths = write(tmp_path, a=TASKS)
    for error in (ConfigError("x", where="somewhere/data.csv"), ConfigError("x"), RunError("x", where="training")):
        with pytest.raises(type(error)) as caught, opened_config(paths):
            raise error
        assert str(caught.value) == str(error)


def test_overrides_of_python_callers_are_never_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr("medmtl.api._train", lambda config, *_, **__: seen.append(config))
    (path,) = write(tmp_path, a=TASKS)
    for config in (TASKS, parse_config(TASKS), path, [path]):
        medmtl.train(config, tmp_path / "run", overrides=["seed=7", "training.epochs=3", "tasks.grade.mode=multiclass"])
        found = seen.pop()
        assert (found.seed, found.training.epochs) == (7, 3)
        assert found.tasks["grade"].model_dump()["mode"] == "multiclass"
        assert found.tasks["grade"].model_dump()["classes"] == [0, 1]
    with pytest.raises(ConfigError, match=r"^--set training\.epoch: unknown key"):
        medmtl.train(TASKS, tmp_path / "run", overrides=["training.epoch=3"])


def test_a_configuration_without_overrides_is_itself():
    config = parse_config(TASKS)
    assert with_overrides(config) is config
    assert with_overrides(config, ["seed=0"]) == config


@pytest.mark.parametrize(
    "blocks",
    [
        {"training": {"epochs": "many"}},
        {"training": {"epochs": 2.5}},
        {"training": {"epochs": True}},
        {"training": {"epochs": 0}},
        {"training": {"lr": "fast"}},
        {"training": {"lr": 100}},
        {"training": {"lr": float("nan")}},
        {"training": {"compile": 1}},
        {"training": {"device": "gpu"}},
        {"training": {"precision": "fp8"}},
        {"training": []},
        {"data": {"manifests": "m.csv"}},
        {"data": {"manifests": {"a": 1}}},
        {"data": {"manifests": [3]}},
        {"name": 5},
        {"name": [5]},
        {"views": {}},
        {"views": {"a b": {}}},
        {"views": {"field": {"size": 64, "patch": 128}}},
        {"tasks": {"image": {"type": "x"}}},
        {"tasks": []},
        {7: 8},
    ],
)
def test_every_refusal_says_how_to_mend_it(blocks: dict[Any, Any]):
    with pytest.raises(ConfigError) as caught:
        parse_config({**TASKS, **blocks})
    assert caught.value.remedy
    assert str(caught.value).endswith(caught.value.remedy)


def test_the_workflow_itself_takes_no_file(tmp_path: Path):
    """Whoever has a configuration, and no file, is told the key alone."""
    config = parse_config({"tasks": {"grade": {"type": "clasification"}}})
    with pytest.raises(ConfigError, match=r"^tasks\.grade\.type: "):
        training.train(config, tmp_path / "run")
