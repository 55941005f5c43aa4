"""AdaTask against MAO, against the published loop, and where the two differ."""

from __future__ import annotations

import pytest
import torch
from mao_toys import Many, data
from optim_toys import adam, adamw, assert_same, built, run, weights_of
from torch import nn

from medmtl.errors import ConfigError
from medmtl.optim import Services, TaskLoss


class Decoder(nn.Module):
    """Trunk, a decoder that two tasks reach, and heads: what AdaTask and MAO see differently."""

    tasks = ("t0", "t1")

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.trunk, self.decoder = nn.Linear(4, 5), nn.Linear(5, 5)
            self.heads = nn.ModuleDict({task: nn.Linear(5, 1) for task in self.tasks})
        self.double()

    def counts(self, batch, tasks):
        return dict.fromkeys(tasks, len(batch["x"]))

    def losses(self, batch, tasks, buffers):
        features = self.decoder(self.trunk(batch["x"]).tanh()).tanh()
        return {
            t: TaskLoss(((self.heads[t](features).squeeze(1) - batch["y"][:, int(t[1])]) ** 2).sum(), len(batch["x"]))
            for t in tasks
        }


def published(problem: Decoder, shared: tuple[str, ...], steps: int, lr: float = 1e-2) -> None:
    """The authors' loop: moments a task on shared parameters, written task by task; one Adam on the total elsewhere."""
    first: dict = {}
    second: dict = {}
    named = dict(problem.named_parameters())
    for step in range(1, steps + 1):
        losses = {t: loss.mean for t, loss in problem.losses(data(step, 2), problem.tasks, "update").items()}
        rows = {
            t: torch.autograd.grad(v, named.values(), retain_graph=True, allow_unused=True) for t, v in losses.items()
        }
        rows["total"] = torch.autograd.grad(sum(losses.values()), named.values())
        with torch.no_grad():
            for index, (name, parameter) in enumerate(named.items()):
                for task in problem.tasks if name.startswith(shared) else ("total",):
                    key, g = (task, name), rows[task][index]
                    first[key] = 0.9 * first.get(key, 0) + 0.1 * g
                    second[key] = 0.999 * second.get(key, 0) + 0.001 * g * g
                    root = (second[key] / (1 - 0.999**step)).sqrt() + 1e-8
                    parameter -= lr * first[key] / (1 - 0.9**step) / root


@pytest.mark.parametrize("shared", [("trunk.",), ("trunk.", "decoder.")])
def test_equals_the_published_loop(shared: tuple[str, ...]) -> None:
    ours, theirs = Decoder(), Decoder()
    run("adatask", ours, [[data(step, 2)] for step in range(1, 11)], adam, shared=shared)
    published(theirs, shared, 10)
    assert_same(weights_of(theirs), weights_of(ours), 1e-12)


@pytest.mark.parametrize("shared", [None, ["trunk."]])
def test_on_one_task_heads_it_is_mao(shared) -> None:
    ours, mao = Many(3), Many(3)
    windows = [[data(seed, 3)] for seed in range(10)]
    run("adatask", ours, windows, shared=shared)
    run("mao", mao, windows)
    assert_same(weights_of(mao), weights_of(ours))


def test_on_a_decoder_of_two_tasks_it_is_not() -> None:
    ends = []
    for name, arguments in (("mao", {}), ("adatask", {}), ("adatask", {"shared": ["trunk."]})):
        problem = Decoder()
        run(name, problem, [[data(step, 2)] for step in range(3)], adam, **arguments)
        ends.append(problem.decoder.weight.detach())
    assert torch.equal(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2], atol=1e-4)


def test_decay_can_be_ignored_as_published() -> None:
    plain, decayed, ignored = Decoder(), Decoder(), Decoder()
    windows = [[data(step, 2)] for step in range(4)]
    run("adatask", plain, windows, adam)
    run("adatask", decayed, windows, adamw)
    run("adatask", ignored, windows, adamw, decay=False)
    assert_same(weights_of(plain), weights_of(ignored))
    assert not torch.equal(plain.trunk.weight, decayed.trunk.weight)


def test_an_absent_task_keeps_its_moments() -> None:
    problem = Many(3)
    method = built("adatask", problem, shared=["trunk."])
    for absent in ((), ("t1",), ()):
        problem.absent = set(absent)
        method.update([data(0, 3)], Services(problem))
    own = method.optimizer.state[problem.trunk[0].weight]["tasks"]
    assert [own[task]["step"] for task in problem.tasks] == [3, 2, 3]


def test_a_name_that_fits_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"adatask\.shared.*'encoder\.'.*trunk\.0\.weight"):
        built("adatask", Many(2), shared=["encoder."])
