"""What may differ where a run goes on, and that one process at a time trains in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medmtl.config import RunConfig
from medmtl.errors import CheckpointError, ConfigError, RunError
from medmtl.locks import folder_lock
from medmtl.progress import Progress
from medmtl.run import RunFolder
from medmtl.training.checkpoint import load_checkpoint, weights_hash
from medmtl.workflows.dryrun import dry_run
from medmtl.workflows.resuming import check_same_config, only_one
from medmtl.workflows.setup import Setup
from medmtl.workflows.training import train

QUIET = Progress(quiet=True)
Config = Callable[..., RunConfig]


class Said(Progress):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_how_a_run_is_computed_may_differ(small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = small_config(training={"epochs": 1}, tasks={"vessels": None, "lesions": None})
    whole = train(config, tmp_path / "whole", progress=QUIET)
    from medmtl.workflows import training

    with monkeypatch.context() as patch:
        patch.setattr(training, "_finish", lambda *_: pytest.skip("not here"))
        with pytest.raises(pytest.skip.Exception):
            train(config, tmp_path / "cut", progress=QUIET)
    other = small_config(
        training={"epochs": 1, "threads": 1},
        data={"cache": "disk", "cache_dir": str(tmp_path / "elsewhere"), "workers": 1},
        tasks={"vessels": None, "lesions": None},
    )
    progress = Said()
    done = train(other, tmp_path / "cut", resume=True, progress=progress)
    assert done.run_hash == whole.run_hash
    assert RunFolder.open(tmp_path / "cut").config == config
    assert any("training.threads is 1 and was None" in line for line in progress.lines)
    weights = [load_checkpoint(path / "checkpoints/last.pt")["network"] for path in (whole.run, done.run)]
    assert weights_hash(weights[0]) == weights_hash(weights[1])


def test_a_run_starts_from_another_and_goes_on_without_it(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tasks = {"vessels": None, "lesions": None}
    first = train(small_config(training={"epochs": 1}, tasks=tasks), tmp_path / "first", progress=QUIET)
    file = first.run / "checkpoints/last.pt"
    config = small_config(training={"epochs": 1}, tasks=tasks, model={"start": str(file)})
    setup = Setup(config)
    network = setup.network()
    assert weights_hash(network.state_dict()) != weights_hash(load_checkpoint(file)["network"])
    assert setup.start(network).startswith(f"starts from {file}: encoder.network, heads.")
    assert weights_hash(network.state_dict()) == weights_hash(load_checkpoint(file)["network"])
    from medmtl.workflows import training

    progress = Said()
    with monkeypatch.context() as patch:
        # cut off after the last checkpoint, as a kill would
        patch.setattr(training, "_finish", lambda *_: pytest.skip("not here"))
        with pytest.raises(pytest.skip.Exception):
            train(config, tmp_path / "second", progress=progress)
    assert any(line.startswith("starts from") for line in progress.lines)
    assert any(line.startswith("starts from") for line in dry_run(config).lines)
    file.unlink()
    assert train(config, tmp_path / "second", resume=True, progress=QUIET).run_hash != first.run_hash
    with pytest.raises(CheckpointError, match="cannot be read"):
        dry_run(config)


@pytest.mark.parametrize(
    ("over", "found"),
    [
        ({"training": {"lr": 0.5}}, "training.lr 0.5 instead of 0.0005"),
        ({"training": {"lr": 0.5}, "seed": 9}, "(and 1 more keys)"),
        ({"tasks": {"vessels": None}}, "tasks.vessels."),
    ],
)
def test_another_key_is_named(small_config: Config, tmp_path: Path, over: dict[str, object], found: str):
    run = RunFolder.create(tmp_path / "run", small_config())
    with pytest.raises(RunError) as caught:
        check_same_config(run, small_config(**over), QUIET)
    assert found in str(caught.value)
    assert caught.value.remedy


def test_two_processes_do_not_train_in_one_folder(small_config: Config, tmp_path: Path):
    path = tmp_path / "run"
    RunFolder.create(path, small_config())
    before = sorted(path.rglob("*"))
    with folder_lock(path, wait=False), pytest.raises(RunError, match="another process is training"):
        train(small_config(), path, resume=True, progress=QUIET)
    assert sorted(path.rglob("*")) == before


def test_nothing_is_left_where_training_fails_in_its_folder(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), only_one(tmp_path / "deep" / "run"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BlockingIOError), only_one(tmp_path / "run"):
        raise BlockingIOError  # of something else


def test_compiling_without_a_compiler_is_said_at_once(
    small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = small_config(training={"compile": True})
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(ConfigError) as caught:
        train(config, tmp_path / "run", progress=QUIET)
    line = str(caught.value)
    assert line.startswith("training.compile: ")
    assert "no-such-compiler" in line
    assert "training.compile=false" in line
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("CXX", "python3")
    Setup(config)
