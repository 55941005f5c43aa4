from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from medmtl.config import TrainingConfig
from medmtl.optim import methods
from medmtl.training.schedule import adamw_factory, learning_rate_factor, set_learning_rates
from medmtl.training.stepping import idle_limits


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_the_factor_has_its_closed_form(total, warmup):
    rising = round(warmup * total)
    for step in range(total):
        if step < rising:
            expected = (step + 1) / (rising + 1)
        else:
            expected = math.cos(math.pi / 2 * (step - rising) / (total - rising)) ** 2
        assert learning_rate_factor(step, total, warmup) == pytest.approx(expected)
        assert 0 < learning_rate_factor(step, total, warmup) <= 1


def test_the_cosine_is_torchs():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert learning_rate_factor(step, 50, 0.0) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        oracle.step()


def test_groups_have_their_rates_and_biases_and_norms_do_not_decay():
    network = nn.ModuleDict({"encoder": nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "heads": nn.Linear(4, 2)})
    config = TrainingConfig(lr=0.01, head_lr_factor=3.0, weight_decay=0.1)
    optimizer = adamw_factory(config)(network.named_parameters())
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    found = {name: settings[id(p)] for name, p in network.named_parameters()}
    assert found == {
        "encoder.0.weight": (0.01, 0.1),
        "encoder.0.bias": (0.01, 0.0),
        "encoder.1.weight": (0.01, 0.0),
        "encoder.1.bias": (0.01, 0.0),
        "heads.weight": (pytest.approx(0.03), 0.1),
        "heads.bias": (pytest.approx(0.03), 0.0),
    }


def test_each_group_keeps_its_own_peak_also_one_set_after_it_was_made():
    groups = [{"lr": 0.1}, {"lr": 0.3}]
    set_learning_rates(groups, 0.5)
    set_learning_rates(groups, 0.25)
    assert [group["lr"] for group in groups] == [pytest.approx(0.025), pytest.approx(0.075)]
    made = adamw_factory(TrainingConfig(lr=0.01))([("log_variance.a", nn.Parameter(torch.zeros(())))]).param_groups
    made[0]["lr"] = 0.7  # as the method "uw" does with its learning_rate
    set_learning_rates(made, 0.5)
    assert made[0]["lr"] == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("name", "idle"),
    [
        ("equal", {"clip_task_norm"}),
        ("mtcl", {"clip_task_norm"}),
        ("independent", {"clip_task_norm"}),
        ("mgda_ub", {"clip_task_norm"}),
        ("mao", {"clip_norm"}),
        ("pcgrad", set()),
        ("gradnorm", set()),
    ],
)
def test_a_limit_that_a_method_never_looks_at_is_named(name, idle):
    info = methods.get(name).info
    assert idle_limits(info, TrainingConfig()) == []
    lines = idle_limits(info, TrainingConfig(clip_norm=1.0, clip_task_norm=1.0))
    assert lines == [f"training.{limit} has no effect with method '{name}'" for limit in sorted(idle)]
