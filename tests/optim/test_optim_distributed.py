"""Two processes equal one on the union of their batches; uneven counts, a task without labels on one of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from optim_toys import EVERY, assert_same, batch_of, built, problem_for, rows_of, weights_of

from medmtl.optim import AllReduce, Services

MISSING = {"a": [0, 5], "b": [4, 5, 6, 7], "c": [1]}
SPLIT_AT = 4


def train(name: str, windows: list, **services) -> dict[str, torch.Tensor]:
    problem = problem_for(name)
    method = built(name, problem)
    helper = Services(problem, clip_norm=1.0, **services)
    for window in windows:
        method.update(window, helper)
    return weights_of(problem)


def process(rank: int, store: str, folder: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for name in EVERY:
        windows = []
        for seed in range(6):
            batch = batch_of(8, seed=seed, missing=MISSING)
            windows.append([rows_of(batch, 0, SPLIT_AT) if rank == 0 else rows_of(batch, SPLIT_AT, 8)])
        torch.save(train(name, windows, reducer=AllReduce()), Path(folder) / f"{name}-{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(process, args=(str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    for name in EVERY:
        expected = train(name, [[batch_of(8, seed=seed, missing=MISSING)] for seed in range(6)])
        for rank in range(2):
            assert_same(expected, torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True), 1e-10)
