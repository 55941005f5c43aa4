"""An update whose losses cannot be learned from: named by task, step and images; the run stops, saved, or goes on."""

from __future__ import annotations

import pytest
import torch

from medmtl.errors import TrainingError
from medmtl.optim import TaskLoss
from medmtl.progress import Progress
from medmtl.training.checkpoint import load_checkpoint
from medmtl.training.engine import Trainer
from medmtl.training.problem import NetworkProblem
from medmtl.training.tracking import read_rows
from medmtl.workflows.training import train

QUIET = Progress(quiet=True)
NEGATIVE = {"name": "uw"}


@pytest.fixture
def spoil(monkeypatch):
    """Changes the loss of `referable` in one update, in all its forward passes or only in those after its step."""

    def arrange(step: int, change, *, after: bool = False) -> None:
        now = {"here": False, "stepped": False}
        process, loss, apply = Trainer._process, NetworkProblem._loss, torch.optim.AdamW.step

        def processed(self, engine, window):
            now.update(here=self.standing.step == step, stepped=False)
            return process(self, engine, window)

        def stepped(self, *args):
            now["stepped"] = True
            return apply(self, *args)

        def changed(self, name, output, view):
            found = loss(self, name, output, view)
            hit = now["here"] and name == "referable" and (now["stepped"] or not after)
            return TaskLoss(change(found.sum), found.count) if hit else found

        monkeypatch.setattr(Trainer, "_process", processed)
        monkeypatch.setattr(NetworkProblem, "_loss", changed)
        monkeypatch.setattr(torch.optim.AdamW, "step", stepped)

    return arrange


def skipped(run) -> list[str]:
    return [row["skipped"] for row in read_rows(run / "log.csv") if row["split"] == "train"]


def test_a_negative_loss_stops_the_run_with_everything_saved(small_config, tmp_path, spoil):
    spoil(2, lambda total: -1 - total)
    with pytest.raises(TrainingError, match=r"task 'referable', step 3: .*found -.*; images: .*png.*another method"):
        train(small_config(method=NEGATIVE), tmp_path / "run", progress=QUIET)
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pt")
    assert state["standing"]["step"] == state["method"]["step"] == 2
    assert skipped(tmp_path / "run") == ["0", "0"]


def test_a_negative_loss_can_be_skipped(small_config, tmp_path, spoil):
    spoil(1, lambda total: -1 - total)
    result = train(small_config(method=NEGATIVE, training={"nonfinite": "skip"}), tmp_path / "run", progress=QUIET)
    assert skipped(tmp_path / "run") == ["0", "1"] + ["0"] * (result.steps - 2)


def test_a_method_that_takes_negative_losses_goes_on(small_config, tmp_path, spoil):
    spoil(1, lambda total: -1 - total)
    train(small_config(training={"epochs": 1}), tmp_path / "run", progress=QUIET)
    assert set(skipped(tmp_path / "run")) == {"0"}


def test_losses_that_a_step_spoiled_stop_the_run_at_the_last_checkpoint(small_config, tmp_path, spoil, monkeypatch):
    spoil(2, lambda total: total * float("nan"), after=True)
    config = small_config(method={"name": "famo"}, training={"checkpoint_every": 1})
    with pytest.raises(TrainingError, match=r"'referable', step 3: .*not finite after the step; found nan; images: "):
        train(config, tmp_path / "run", progress=QUIET)
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pt")
    assert state["standing"]["step"] == state["method"]["step"] == 2
    monkeypatch.undo()
    resumed = train(config, tmp_path / "run", resume=True, progress=QUIET)
    assert resumed.steps > 2


def test_losses_that_a_step_spoiled_can_be_passed_over(small_config, tmp_path, spoil):
    spoil(1, lambda total: total * float("nan"), after=True)
    config = small_config(method={"name": "famo"}, training={"nonfinite": "skip"})
    result = train(config, tmp_path / "run", progress=QUIET)
    assert skipped(tmp_path / "run") == ["0", "1"] + ["0"] * (result.steps - 2)
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pt")
    assert all(torch.isfinite(logit) for logit in state["method"]["own"]["logits"].values())


def test_an_overflow_leaves_running_statistics_and_weights_as_they_were(small_config, tmp_path, monkeypatch):
    process, seen = Trainer._process, []

    def watched(self, engine, window):
        before = {key: value.clone() for key, value in self.problem.network.state_dict().items()}
        hit = self.standing.step == 1
        hooks = [p.register_hook(lambda g: g * float("inf")) for p in self.problem.network.parameters() if hit]
        report = process(self, engine, window)
        for hook in hooks:
            hook.remove()
        after = self.problem.network.state_dict()
        seen.append((report.skipped, sorted(key for key in before if not torch.equal(before[key], after[key]))))
        return report

    monkeypatch.setattr(Trainer, "_process", watched)
    train(small_config(training={"epochs": 1}), tmp_path / "run", progress=QUIET)
    assert seen[1] == (True, [])
    assert not seen[0][0]
    assert any("running_mean" in key for key in seen[0][1])
