from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import pytest
import torch

from medmtl.errors import CheckpointError, ImageError, OutputError, RunError, TrainingError
from medmtl.progress import Progress
from medmtl.run import RunFolder
from medmtl.training.checkpoint import load_checkpoint, save_checkpoint
from medmtl.training.engine import Trainer
from medmtl.training.interruption import InterruptedTraining
from medmtl.training.probing import read_probe
from medmtl.training.standing import is_better, selection_score
from medmtl.training.tracking import Tracker, read_rows
from medmtl.workflows import training
from medmtl.workflows.training import train
from medmtl.workflows.validation import Validation

QUIET = Progress(quiet=True)


def scripted(monkeypatch, scores):
    """Validation gives these scores, epoch by epoch."""
    left = iter(scores)
    names = ["referable/auc", "referable/auc.other"]
    monkeypatch.setattr(Validation, "__call__", lambda self: {names[0]: next(left), names[1]: 0.99})


def test_the_score_is_the_mean_of_each_tasks_first_figure():
    assert selection_score({"a/x": 0.2, "a/y": 0.9, "b/z": 0.6}) == pytest.approx(0.4)
    assert selection_score({"a/x": math.nan, "a/y": 0.9, "b/z": 0.6}) == pytest.approx(0.6)
    assert math.isnan(selection_score({"a/x": math.nan}))
    assert selection_score({"a/x": 0.2, "b/z": 0.6}, ["b"]) == pytest.approx(0.6)


def test_an_undefined_score_never_replaces_a_defined_one():
    assert is_better(math.nan, -math.inf)
    assert not is_better(math.nan, 0.1)
    assert is_better(0.2, 0.1)
    assert not is_better(0.1, 0.1)


def test_the_best_epoch_on_validation_is_kept_and_patience_stops(small_config, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.5, 0.8, math.nan, 0.7, 0.9])
    config = small_config(training={"epochs": 9, "patience": 2})
    result = train(config, tmp_path / "run", progress=QUIET)
    assert (result.best_epoch, result.score, result.steps) == (2, 0.8, 12)
    run = RunFolder.open(result.run)
    assert run.selected == run.best
    assert load_checkpoint(run.best)["epoch"] == 2
    assert [row["metric/referable/auc"] for row in read_rows(run.log) if row["split"] == "val"] == [
        "0.5",
        "0.8",
        "nan",
        "0.7",
    ]


def test_without_validation_the_last_is_selected(small_config, tmp_path):
    config = small_config(data={"train_split": "val", "validation_fraction": 0.0}, training={"epochs": 1})
    result = train(config, tmp_path / "run", progress=QUIET)
    run = RunFolder.open(result.run)
    assert run.selected == run.last
    assert result.best_epoch == 0
    assert not run.operating.exists()


def test_the_test_split_is_never_opened_in_training(small_manifest, small_config, tmp_path, monkeypatch):
    import medmtl.data.transforms as transforms

    seen = []
    read = transforms.read_image
    monkeypatch.setattr(transforms, "read_image", lambda path: (seen.append(Path(path).stem), read(path))[1])
    train(small_config(training={"epochs": 1}), tmp_path / "run", progress=QUIET)
    lines = [line.split(",") for line in small_manifest.read_text().splitlines()]
    place = lines[0].index("split")
    tested = {line[1] for line in lines[1:] if line[place] == "test"}
    assert tested
    assert seen
    assert not tested & set(seen)


def poisoned(monkeypatch, step):
    """One update whose images are not finite: its losses, and the running statistics of its forward pass."""
    original = Trainer._process

    def process(self, engine, window):
        if self.standing.step == step:
            for view in window[0]:
                view.image.fill_(math.nan)
        return original(self, engine, window)

    monkeypatch.setattr(Trainer, "_process", process)


def finite(network):
    return all(bool(torch.isfinite(value).all()) for value in network.values())


LOOKING = pytest.mark.parametrize("every", [0, 1], ids=["", "with analysis"])


@LOOKING
def test_a_loss_that_is_not_finite_is_named_and_the_state_before_it_saved(small_config, tmp_path, monkeypatch, every):
    poisoned(monkeypatch, 2)
    config = small_config(training={"analysis": {"every": every, "samples": 2}})
    with pytest.raises(TrainingError, match=r"step 3: .*found nan; images: .*png"):
        train(config, tmp_path / "run", progress=QUIET)
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pt")
    assert state["standing"]["step"] == state["method"]["step"] == 2
    assert finite(state["network"])


@LOOKING
def test_an_update_that_is_not_finite_can_be_skipped(small_config, tmp_path, monkeypatch, every):
    poisoned(monkeypatch, 1)
    config = small_config(training={"nonfinite": "skip", "analysis": {"every": every, "samples": 2}})
    result = train(config, tmp_path / "run", progress=QUIET)
    looked = {row["step"] for row in read_probe(tmp_path / "run/probe.csv")}
    assert looked == ({str(step) for step in range(result.steps)} - {"1"} if every else set())
    rows = [row for row in read_rows(tmp_path / "run/log.csv") if row["split"] == "train"]
    assert [row["skipped"] for row in rows] == ["0", "1"] + ["0"] * (result.steps - 2)
    assert finite(load_checkpoint(tmp_path / "run/checkpoints/last.pt")["network"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_handlers_come_back(number, small_config, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    process = Trainer._process

    def hook(self, engine, window):
        if self.standing.step == 1:
            os.kill(os.getpid(), number)
        return process(self, engine, window)

    monkeypatch.setattr(Trainer, "_process", hook)
    with pytest.raises(InterruptedTraining) as caught:
        train(small_config(), tmp_path / "run", progress=QUIET)
    assert (caught.value.step, caught.value.number) == (2, number)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_after_the_last_step_is_clean_too(small_config, tmp_path, monkeypatch):
    config = small_config(training={"epochs": 1})
    with monkeypatch.context() as patch:
        patch.setattr(training, "choose_operating", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(InterruptedTraining, match="--resume"):
            train(config, tmp_path / "run", progress=QUIET)
    result = train(config, tmp_path / "run", resume=True, progress=QUIET)
    assert RunFolder.open(result.run).record["status"] == "trained"


def test_a_full_disk_leaves_the_last_checkpoint_usable(small_config, tmp_path, monkeypatch):
    config = small_config(training={"checkpoint_every": 1})
    train(config, tmp_path / "whole", progress=QUIET)
    write = Path.write_bytes
    calls = []

    def filling(self, data):
        calls.append(self)
        if len(calls) > 1:
            raise OSError(28, "No space left on device", str(self))
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", filling)
        with pytest.raises(OutputError, match="the disk is full"):
            train(config, tmp_path / "run", progress=QUIET)
    assert load_checkpoint(tmp_path / "run/checkpoints/last.pt")["standing"]["step"] == 1
    again = train(config, tmp_path / "run", resume=True, progress=QUIET)
    assert again.run_hash == RunFolder.open(tmp_path / "whole").record["run_hash"]


def test_a_full_disk_under_the_log_is_one_line(tmp_path):
    tracker = Tracker(tmp_path / "log.csv", None, ("loss/a",), step=0)

    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    tracker._stream.close()
    tracker._stream = Full()
    with pytest.raises(OutputError, match="the disk is full"):
        tracker.write(1, 1, "train", {"loss/a": 1.0})
    tracker.close()


def test_the_log_is_cut_back_to_the_checkpoint_and_a_torn_line_goes(tmp_path):
    log = tmp_path / "log.csv"
    tracker = Tracker(log, None, ("loss/a",), step=0)
    for step in range(1, 6):
        tracker.write(step, 1, "train", {"loss/a": step / 3})
    tracker.close()
    log.write_text(log.read_text() + "6,1,tra")
    assert [row["step"] for row in read_rows(log)] == list("12345")
    Tracker(log, None, ("loss/a",), step=3).close()
    assert [row["step"] for row in read_rows(log)] == list("123")
    assert log.read_text().endswith("1\n")
    Tracker(log, None, ("loss/a",), step=0).close()
    assert read_rows(log) == []


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_a_bad_image_leaves_no_run_behind_and_says_one_thing(cache, small_manifest, small_config, tmp_path, capfd):
    import shutil

    shutil.copytree(small_manifest.parent, tmp_path / "data")
    for image in sorted((tmp_path / "data/images").iterdir()):
        image.write_bytes(image.read_bytes()[:200])
    config = small_config(data={"manifests": [str(tmp_path / "data/manifest.csv")], "cache": cache})
    with pytest.raises(ImageError, match="line "):
        train(config, tmp_path / "run", progress=QUIET)
    assert not (tmp_path / "run").exists()
    assert "terminating" not in capfd.readouterr().err


def test_a_loss_that_is_not_finite_stops_and_keeps_the_log(small_config, tmp_path, capfd):
    config = small_config(training={"lr": 10, "warmup": 0.0, "epochs": 1}, method={"name": "equal"})
    weights = Trainer._process

    def poison(self, engine, window):
        if self.standing.step == 1:
            with torch.no_grad():
                next(iter(self.problem.network.parameters())).fill_(math.nan)
        return weights(self, engine, window)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_process", poison)
        with pytest.raises(TrainingError, match="not finite"):
            train(config, tmp_path / "run", progress=QUIET)
    assert len(read_rows(tmp_path / "run/log.csv")) == 1
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def trained(small_config, tmp_path_factory):
    config = small_config(training={"epochs": 1})
    return config, train(config, tmp_path_factory.mktemp("trained") / "run", progress=QUIET).run


def broken(state, how):
    if how == "method":
        state["method"]["method"] = "uw"
    elif how == "tasks":
        state["method"]["tasks"] = ["other"]
    elif how == "weights":
        state["network"].popitem()
    elif how == "standing":
        state["standing"]["unheard"] = 1
    elif how == "optimizer":
        state["method"]["optimizers"][0]["param_groups"].pop()
    else:
        del state[how]
    return state


@pytest.mark.parametrize("how", ["method", "tasks", "weights", "standing", "optimizer", "services", "random"])
def test_a_checkpoint_of_another_run_is_refused(how, trained, tmp_path):
    import shutil

    config, run = trained
    shutil.copytree(run, tmp_path / "run")
    last = tmp_path / "run/checkpoints/last.pt"
    save_checkpoint(last, broken(load_checkpoint(last), how))
    with pytest.raises(CheckpointError) as caught:
        train(config, tmp_path / "run", resume=True, progress=QUIET)
    assert "\n" not in str(caught.value)


def test_another_configuration_or_manifest_is_refused(trained, small_manifest, tmp_path):
    import shutil

    config, run = trained
    other = config.model_copy(update={"seed": 99})
    with pytest.raises(RunError, match="configuration differs"):
        train(other, run, resume=True, progress=QUIET)
    shutil.copytree(small_manifest.parent, tmp_path / "data")
    manifest = tmp_path / "data/manifest.csv"
    mine = config.model_copy(update={"data": config.data.model_copy(update={"manifests": [manifest]})})
    train(mine, tmp_path / "run", progress=QUIET)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(RunError, match="manifest changed"):
        train(mine, tmp_path / "run", resume=True, progress=QUIET)


def test_a_run_is_not_written_over(trained):
    config, run = trained
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="exists already"):
        train(config, run, progress=QUIET)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
