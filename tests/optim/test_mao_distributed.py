"""MAO in several processes, streaming too: equal to one process; an overflow on one rank stops all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mao_toys import differing, flat, snapshot
from optim_toys import Shared, assert_same, batch_of, built, rows_of, weights_of

from medmtl.optim import AllReduce, Services

MISSING = {"a": [0, 5], "b": [4, 5, 6, 7], "c": [1]}  # the last ranks have no label of b
CUTS = {2: (0, 4, 8), 3: (0, 3, 4, 8)}


def train(gradients: str, take, **services) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Six steps, then one whose last task overflows; the weights, and what that step changed."""
    problem = Shared()
    method = built("mao", problem, gradients=gradients)
    helper = Services(problem, clip_task_norm=2.0, **services)
    for seed in range(6):
        method.update([take(batch_of(8, seed=seed, missing=MISSING))], helper)
    before = snapshot(problem, method.optimizer)
    if not services or dist.get_rank() == 0:
        problem.heads["c"].weight.register_hook(lambda gradient: gradient * float("inf"))
    assert method.update([take(batch_of(8, missing=MISSING))], helper).skipped
    return weights_of(problem), sorted(differing(before, snapshot(problem, method.optimizer)))


def process(rank: int, world: int, store: str, folder: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    start, stop = CUTS[world][rank : rank + 2]
    for gradients in ("stream", "collect"):
        result = train(gradients, lambda batch: rows_of(batch, start, stop), reducer=AllReduce())
        torch.save(result, Path(folder) / f"{gradients}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_processes_equal_one(tmp_path: Path, world: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(process, args=(world, str(tmp_path / "store"), str(tmp_path)), nprocs=world)
    for gradients in ("stream", "collect"):
        expected, _ = train(gradients, lambda batch: batch)
        for rank in range(world):
            weights, changed = torch.load(tmp_path / f"{gradients}-{rank}.pt", weights_only=True)
            assert_same(expected, weights, 1e-10)
            assert (
                changed == [] if gradients == "collect" else all(key.endswith(("first", "second")) for key in changed)
            )


def test_flat_names_every_leaf() -> None:
    assert flat({"a": [1, {"b": 2}]}) == {"/a/0": 1, "/a/1/b": 2}
