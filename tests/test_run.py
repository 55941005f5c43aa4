from __future__ import annotations

import json
import os

import pytest
import yaml

from medmtl.errors import RunError
from medmtl.files import remove_litter
from medmtl.run import FORMAT, RunFolder, config_hash


def test_a_run_opens_as_it_was_made(small_config, tmp_path):
    config = small_config()
    made = RunFolder.create(tmp_path / "run", config)
    opened = RunFolder.open(tmp_path / "run")
    assert opened.config == config
    assert config_hash(opened.config) == config_hash(config) == opened.record["config_hash"]
    assert opened.record["seed"] == 5
    assert opened.record["environment"]["python"].startswith("3.")
    made.update_record(status="trained")
    assert opened.record["status"] == "trained"


def test_what_is_there_stays(small_config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("mine")
    for place in (tmp_path / "run", tmp_path / "run/config.yaml"):
        with pytest.raises(RunError, match="exists already"):
            RunFolder.create(place, small_config())
    (tmp_path / "run/config.yaml").rename(tmp_path / "run/run.json")
    with pytest.raises(RunError, match="exists already"):
        RunFolder.create(tmp_path / "run", small_config())
    assert (tmp_path / "run/run.json").read_text() == "mine"


def test_a_run_killed_while_it_was_made_can_be_made_again(small_config, tmp_path):
    run = RunFolder.create(tmp_path / "run", small_config()).path
    (run / "config.yaml").unlink()
    (run / ".config.99999999-0123abcd.tmp.yaml").write_text("na")
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder.open(run)
    RunFolder.create(run, small_config())
    remove_litter(run)
    assert sorted(entry.name for entry in run.iterdir()) == ["config.yaml", "run.json"]
    with pytest.raises(RunError, match="exists already"):
        RunFolder.create(run, small_config())


def test_litter_of_the_living_and_files_of_the_user_stay(tmp_path):
    parent = os.getppid()
    names = [f".a.{parent}-0123abcd.tmp.pt", ".mine.tmp.pt", "b.pt", ".config"]
    gone = [".a.99999999-0123abcd.tmp.pt", f".a.{os.getpid()}-0123abcd.tmp"]
    (tmp_path / "deep").mkdir()
    for name in [*names, *gone]:
        (tmp_path / "deep" / name).write_text("x")
    remove_litter(tmp_path)
    assert sorted(entry.name for entry in (tmp_path / "deep").iterdir()) == sorted(names)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("run.json", None, "not a run folder"),
        ("config.yaml", None, "not a run folder"),
        ("run.json", "{", "not a run folder"),
        ("run.json", "[]", "not a run folder"),
        ("run.json", '{"format": "x"}', "not a run folder"),
        ("run.json", json.dumps({"format": FORMAT + 1}), "newer version"),
        ("config.yaml", "- 1", "not a run folder"),
        ("config.yaml", "a: [", "not a run folder"),
        ("config.yaml", "tasks: {a: {type: classification}}\nnoise: 1\n", "unknown key"),
    ],
)
def test_other_folders_are_refused(name, text, what, small_config, tmp_path):
    run = RunFolder.create(tmp_path / "run", small_config()).path
    (run / name).unlink() if text is None else (run / name).write_text(text)
    with pytest.raises(RunError, match=what) as caught:
        RunFolder.open(run)
    assert "\n" not in str(caught.value)
    assert "run" in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        RunFolder.open(tmp_path / "nowhere")


def test_the_configuration_is_written_out_in_full(small_config, tmp_path):
    run = RunFolder.create(tmp_path / "run", small_config())
    text = yaml.safe_load((run.path / "config.yaml").read_text())
    assert text["training"]["weight_decay"] == run.config.training.weight_decay
