"""A shared-encoder network in two halves gives the losses of the whole, and trains by weights from its features."""

from __future__ import annotations

import pytest
import torch
from test_problem import TASKS, a_batch, setup, without  # noqa: F401 - a fixture

from medmtl.optim import FeatureProblem, Services, make_method
from medmtl.training.problem import build_problem
from medmtl.training.schedule import adamw_factory


def test_two_halves_are_the_whole(setup) -> None:  # noqa: F811
    network = setup.network()
    problem = build_problem(network, setup.tasks, precision="fp32", compiled=False)
    assert isinstance(problem, FeatureProblem)
    batch = [a_batch(setup)]
    network.eval()
    whole = problem.losses(batch, TASKS, "update")
    features = problem.features(batch, TASKS, "update")
    for task in TASKS:
        (part,) = problem.losses_from(batch, features, (task,), "update").values()
        assert part.count == whole[task].count
        torch.testing.assert_close(part.sum, whole[task].sum)


@pytest.mark.parametrize("parts", [1, 2])
def test_weights_from_features_train_a_real_network(setup, parts) -> None:  # noqa: F811
    problem = build_problem(setup.network(), setup.tasks, precision="bf16", compiled=False)
    method = make_method("mgda_ub")
    method.build(problem, adamw_factory(setup.config.training))
    services = Services(problem)
    window = [[a_batch(setup)], [without(a_batch(setup), "referable", [0, 1, 2, 3])]][:parts]
    reports = [method.update(window, services) for _ in range(3)]
    assert all(sum(report.weights.values()) == pytest.approx(1) for report in reports)
    assert sum(reports[-1].losses.values()) < sum(reports[0].losses.values())
