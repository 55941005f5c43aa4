"""An overflow in one process stops the update in all, for every method: none moves, and none waits for another."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mao_toys import equal, flat
from optim_toys import EVERY, TASKS, assert_same, batch_of, built, problem_for, rows_of, weights_of

from medmtl.optim import AllReduce, LossScale, Services

CUTS = {2: (0, 4, 8), 3: (0, 3, 4, 8)}
MISSING = {"a": [0, 5], "c": [1]}


def overflow(name: str, rank: int, world: int) -> tuple[bool, float, list[str], dict[str, torch.Tensor]]:
    """Whether the update was skipped, the scale after it, what it changed, and the weights one update later."""
    problem, scale = problem_for(name), LossScale(4.0)
    method, services = built(name, problem), Services(problem, scale=scale, reducer=AllReduce())
    batches = [rows_of(batch_of(8, seed=seed, missing=MISSING), *CUTS[world][rank : rank + 2]) for seed in range(6)]
    for batch in batches[: len(TASKS)]:
        method.update([batch], services)
    before = {**weights_of(problem), **flat(method.state_dict())}
    hooks = [p.register_hook(lambda g: g * float("inf")) for p in problem.parameters()] if rank == world - 1 else []
    skipped = method.update([batches[3]], services).skipped
    for hook in hooks:
        hook.remove()
    after = {**weights_of(problem), **flat(method.state_dict())}
    changed = sorted(key for key in before.keys() | after.keys() if not equal(before.get(key), after.get(key)))
    method.update([batches[4]], services)
    return skipped, scale.value, changed, weights_of(problem)


def process(rank: int, world: int, store: str, folder: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    torch.save({name: overflow(name, rank, world) for name in EVERY}, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3], ids=["two", "three"])
def processes(request, tmp_path_factory) -> list[dict]:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    folder = tmp_path_factory.mktemp("overflow")
    mp.spawn(process, args=(request.param, str(folder / "store"), str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(request.param)]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_all_skip_and_nothing_moves(processes, name: str) -> None:
    for found in processes:
        skipped, scale, changed, weights = found[name]
        assert skipped
        assert scale == 2.0
        assert changed == ["/step"]
        assert_same(processes[0][name][3], weights)
