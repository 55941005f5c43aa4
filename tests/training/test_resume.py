"""Resume is exact: stopped after any step and taken up again, a run ends in the same bits as one that never stopped."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from medmtl.progress import Progress
from medmtl.run import RunFolder
from medmtl.training.checkpoint import load_checkpoint, weights_hash
from medmtl.training.engine import Trainer
from medmtl.training.interruption import InterruptedTraining
from medmtl.training.tracking import read_rows
from medmtl.workflows.training import train

METHODS = ["equal", "uw", "pcgrad", "famo", "mao", "alternating", "mtcl"]
MTCL = {"warmup_steps": 1, "flatness": "uniform", "clamp": 0.05, "order": "random", "trace_every": 2}
QUIET = Progress(quiet=True)


@pytest.fixture
def hard(small_config):
    """Loader processes, augmentation, bf16, accumulation and checkpoints within an epoch, all at once."""

    def make(method, **training):
        architecture = "cooperative" if method in ("alternating", "mtcl") else "shared"
        return small_config(
            data={"workers": 2, "cache": "memory"},
            views={"field": {"size": 32, "augment": {"rotate": 20.0, "zoom": 0.1}}},
            model={"architecture": architecture},
            method={"name": method, **(MTCL if method == "mtcl" else {})},
            training={"precision": "bf16", "accumulation": 2, "checkpoint_every": 1, "clip_norm": 5.0, **training},
        )

    return make


def stop_after(monkeypatch, step):
    """As if a signal came while update number `step` was under way."""
    after = Trainer._after_step

    def hook(self, engine):
        if self.standing.step + 1 == step:
            self._wish.number = signal.SIGTERM
        after(self, engine)

    monkeypatch.setattr(Trainer, "_after_step", hook)


def break_after(monkeypatch, step):
    """As if the process died right after the update was logged and before anything was saved."""
    write = Trainer._after_step

    def hook(self, engine):
        if self.standing.step + 1 == step:
            self.tracker.write(step, 1, "train", {})
            raise ZeroDivisionError
        write(self, engine)

    monkeypatch.setattr(Trainer, "_after_step", hook)


def final(run: Path):
    state = load_checkpoint(RunFolder.open(run).last)
    rows = [row for row in read_rows(run / "log.csv") if row["split"] == "train"]
    for row in rows:
        del row["seconds"]
    return weights_hash(state["network"]), flat(state["method"]), rows


def flat(value):
    if isinstance(value, torch.Tensor):
        return weights_hash({"": value})
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    return [flat(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("method", METHODS)
def test_a_run_stopped_in_the_middle_of_an_epoch_ends_in_the_same_bits(method, hard, tmp_path, monkeypatch):
    config = hard(method)
    train(config, tmp_path / "whole", progress=QUIET)
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(InterruptedTraining, match="--resume"):
            train(config, tmp_path / "cut", progress=QUIET)
    assert load_checkpoint(tmp_path / "cut/checkpoints/last.pt")["standing"]["step"] == 1
    train(config, tmp_path / "cut", resume=True, progress=QUIET)
    whole, cut = final(tmp_path / "whole"), final(tmp_path / "cut")
    assert cut[0] == whole[0]
    assert cut[1] == whole[1]
    assert cut[2] == whole[2]
    steps = [int(row["step"]) for row in cut[2]]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) == 4


def test_another_seed_ends_elsewhere(hard, tmp_path, monkeypatch):
    first = train(hard("equal", epochs=1), tmp_path / "a", progress=QUIET)
    other = hard("equal", epochs=1).model_copy(update={"seed": 6})
    second = train(other, tmp_path / "b", progress=QUIET)
    assert final(first.run)[0] != final(second.run)[0]


def test_updates_after_the_last_checkpoint_are_done_again_and_logged_once(small_config, tmp_path, monkeypatch):
    config = small_config(training={"checkpoint_every": 2})
    train(config, tmp_path / "whole", progress=QUIET)
    for run, step in (("three", 3), ("five", 5), ("first", 1)):
        with monkeypatch.context() as patch:
            break_after(patch, step)
            with pytest.raises(ZeroDivisionError):
                train(config, tmp_path / run, progress=QUIET)
        assert int(read_rows(tmp_path / run / "log.csv")[-1]["step"]) == step
        train(config, tmp_path / run, resume=True, progress=QUIET)
        assert final(tmp_path / run) == final(tmp_path / "whole")


def test_stopping_again_and_again_changes_nothing(small_config, tmp_path, monkeypatch):
    config = small_config(training={"checkpoint_every": 100})
    train(config, tmp_path / "whole", progress=QUIET)
    for step in range(1, 6):
        if step % 3 == 0:
            continue  # the end of an epoch is saved anyway
        with monkeypatch.context() as patch:
            stop_after(patch, step)
            with pytest.raises(InterruptedTraining):
                train(config, tmp_path / "cut", resume=step > 1, progress=QUIET)
    train(config, tmp_path / "cut", resume=True, progress=QUIET)
    assert final(tmp_path / "cut") == final(tmp_path / "whole")


def test_a_finished_run_resumed_stays_as_it_is(small_config, tmp_path):
    config = small_config(training={"epochs": 1})
    first = train(config, tmp_path / "run", progress=QUIET)
    log = (tmp_path / "run/log.csv").read_bytes()
    again = train(config, tmp_path / "run", resume=True, progress=QUIET)
    assert again == first
    assert (tmp_path / "run/log.csv").read_bytes() == log


def test_worker_count_and_cache_change_nothing(small_config, tmp_path):
    hashes = set()
    for number, (workers, cache) in enumerate([(0, "memory"), (2, "memory"), (1, "none"), (2, "disk")]):
        config = small_config(data={"workers": workers, "cache": cache}, training={"epochs": 1})
        train(config, tmp_path / str(number), progress=QUIET)
        hashes.add(final(tmp_path / str(number))[0])
    assert len(hashes) == 1
