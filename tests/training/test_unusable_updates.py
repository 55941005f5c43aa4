"""An update whose losses cannot be learned from: named by task, step and images; the run stops, saved, or goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medmtl.config import TrainingConfig
from medmtl.errors import TrainingError
from medmtl.optim import LossScale, StepReport, TaskLoss
from medmtl.optim.aggregation.gramian_method import GramianMethod
from medmtl.progress import Progress
from medmtl.training import unusable
from medmtl.training.checkpoint import load_checkpoint
from medmtl.training.engine import Trainer
from medmtl.training.problem import NetworkProblem
from medmtl.training.standing import Standing
from medmtl.training.tracking import read_rows
from medmtl.training.unusable import OverflowWatch
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


@pytest.fixture
def give_up(monkeypatch):
    """Lets the solver of a method's weights fail at one call."""

    def arrange(at: int) -> None:
        calls: list[int] = []
        true = GramianMethod._call

        def fail(products):
            raise RuntimeError("no\n convergence")

        def called(self, seen):
            calls.append(1)
            rule = self.rule
            if len(calls) == at:
                self.rule = replace(rule, library=fail)
            try:
                return true(self, seen)
            finally:
                self.rule = rule

        monkeypatch.setattr(GramianMethod, "_call", called)

    return arrange


def test_weights_that_cannot_be_computed_stop_the_run_with_everything_saved(small_config, tmp_path, give_up):
    give_up(3)
    with pytest.raises(TrainingError, match=r"method 'mgda', step 3: .*found no convergence; images: .*png.*clip"):
        train(small_config(method={"name": "mgda"}), tmp_path / "run", progress=QUIET)
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pt")
    assert state["standing"]["step"] == state["method"]["step"] == 2


def test_weights_that_cannot_be_computed_can_be_passed_over(small_config, tmp_path, give_up):
    give_up(2)
    config = small_config(method={"name": "mgda"}, training={"nonfinite": "skip"})
    result = train(config, tmp_path / "run", progress=QUIET)
    assert skipped(tmp_path / "run") == ["0", "1"] + ["0"] * (result.steps - 2)


def test_a_method_that_takes_negative_losses_goes_on(small_config, tmp_path, spoil):
    spoil(1, lambda total: -1 - total)
    train(small_config(training={"epochs": 1}), tmp_path / "run", progress=QUIET)
    assert set(skipped(tmp_path / "run")) == {"0"}


@pytest.mark.parametrize(
    "over",
    [
        {"method": {"name": "famo"}},
        {
            "method": {"name": "mtcl", "flatness": "none", "trace_every": 1},
            "model": {"architecture": "cooperative"},
            "views": {"field": {"size": 32}},
        },
    ],
    ids=["famo", "mtcl"],
)
def test_losses_that_a_step_spoiled_stop_the_run_at_the_last_checkpoint(
    small_config, tmp_path, spoil, monkeypatch, over
):
    spoil(2, lambda total: total * float("nan"), after=True)
    config = small_config(training={"checkpoint_every": 1}, **over)
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


# A gradient that is not finite, though the losses are.

GOOD = StepReport(losses={"a": 1.0})
BAD = StepReport(losses={"a": 1.0, "b": 2.0}, gradient_norms={"a": 1.0, "b": float("inf")}, skipped=True)
NO_LABEL = StepReport(skipped=True)


def watched(reports, scale: LossScale | None = None, **training) -> tuple[int | None, list[str], str]:
    """After how many updates the run is to stop, what was said, and the error."""
    said: list[str] = []
    watch, standing = OverflowWatch(TrainingConfig(**training), said.append, scale), Standing()
    for number, report in enumerate(reports, 1):
        standing.step = number
        if scale is not None:
            scale.update(overflow=report.skipped)
        if (error := watch.take(report, standing)) is not None:
            return number, said, str(error)
    return None, said, ""


def test_ten_in_a_row_stop_and_the_first_is_said():
    stopped, said, error = watched([GOOD, *[BAD] * 12])
    assert stopped == 11
    assert len(said) == 1
    assert "task 'b', step 2" in said[0]
    assert "task 'b', step 11" in error
    assert "10 updates in a row" in error
    assert "\n" not in error


def test_an_update_in_between_begins_the_count_anew_and_one_without_labels_does_not():
    assert watched([*[BAD] * 9, GOOD, *[BAD] * 9])[0] is None
    assert watched([*[BAD] * 5, NO_LABEL, *[BAD] * 5])[0] == 11
    assert watched([NO_LABEL] * 20)[:2] == (None, [])


def test_where_it_is_only_said_and_where_it_is_the_rule():
    stopped, said, _ = watched([BAD] * 30, nonfinite="skip")
    assert stopped is None
    assert len(said) == 1
    assert watched([BAD] * 30, precision="bf16")[0] == 10


def test_under_a_loss_scale_only_once_it_is_as_small_as_it_gets():
    stopped, said, error = watched([GOOD, *[BAD] * 60], LossScale(8.0))  # 2^3 to 2^-24: 27 overflows
    assert stopped == 1 + 27 + 9
    assert len(said) == 1
    assert "step 28;" in said[0]
    assert "10 updates in a row" in error
    assert watched([*[BAD] * 35, GOOD, *[BAD] * 9], LossScale(8.0))[0] is None
    assert watched([BAD] * 26, LossScale(8.0)) == (None, [], "")


class Heard(Progress):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def broken_from(monkeypatch, step: int) -> None:
    process = Trainer._process

    def hooked(self, engine, window):
        bad = self.standing.step >= step
        hooks = [p.register_hook(lambda g: g * float("inf")) for p in self.problem.network.parameters() if bad]
        report = process(self, engine, window)
        for hook in hooks:
            hook.remove()
        return report

    monkeypatch.setattr(Trainer, "_process", hooked)


def test_a_run_in_fp16_whose_gradients_stay_infinite_stops(small_config, tmp_path, monkeypatch):
    monkeypatch.setattr(unusable, "PATIENCE", 2)
    monkeypatch.setattr("medmtl.optim.scaling.LEAST", 2.0**15)  # one overflow below the first scale
    broken_from(monkeypatch, 0)
    config = small_config(views={"field": {"size": 32}}, training={"precision": "fp16"})
    with pytest.raises(TrainingError, match=r"step 2: .*not finite, though the losses are.*2 updates in a row"):
        train(config, tmp_path / "run", progress=QUIET)
    assert skipped(tmp_path / "run") == ["1", "1"]


def test_a_run_whose_gradients_stay_infinite_stops_saved_and_can_be_resumed(small_config, tmp_path, monkeypatch):
    monkeypatch.setattr(unusable, "PATIENCE", 3)
    config, heard = small_config(views={"field": {"size": 32}}), Heard()
    with monkeypatch.context() as patch:
        broken_from(patch, 2)
        with pytest.raises(TrainingError, match=r"step 5: .*not finite, though the losses are.*3 updates in a row"):
            train(config, tmp_path / "run", progress=heard)
    assert skipped(tmp_path / "run") == ["0", "0", "1", "1", "1"]
    assert sum("step 3; said once" in line for line in heard.lines) == 1
    state = load_checkpoint(tmp_path / "run/checkpoints/last.pt")
    assert (state["standing"]["step"], state["method"]["step"], state["standing"]["overflows"]) == (5, 5, 3)
    resumed = train(config, tmp_path / "run", resume=True, progress=QUIET)
    assert skipped(tmp_path / "run") == ["0", "0", "1", "1", "1"] + ["0"] * (resumed.steps - 5)
