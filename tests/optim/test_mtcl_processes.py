"""A turn of MTCL on several processes with micro-batches, also unequal numbers of them: one process on the whole batch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from optim_toys import assert_same, batch_of, built, problem_for, weights_of

from medmtl.optim import AllReduce, Services

WORLD = 3
ROWS = 8
MISSING = {"a": [0, 5], "b": [1, 3, 4, 5, 6, 7], "c": [1]}
DEALT = {
    "two of four": [range(4), range(4, 8)],  # 4 is no multiple of 3: shares of 2, 1 and 1 samples
    "last one short": [range(5), range(5, 8)],
    "some of two": [range(4), range(4, 6), range(6, 8)],  # the third process has no sample of the last two
}
BLOCKS = {
    "one and two": [[[0], [1, 2]], [[3]], [[4], [5, 6, 7]]],
    "one and none": [[[0, 1], [2, 3]], [], [[4, 5, 6, 7]]],
}
NOISE: dict[str, dict[str, Any]] = {
    "uniform": {"flatness": "uniform", "antithetic": True},
    "own": {"flatness": "gaussian", "target": "own"},
}
ASCENT: dict[str, dict[str, Any]] = {
    "ascent": {"target": "weights"},
    "adaptive": {"target": "weights", "flatness": "adaptive_ascent", "radius": 0.5},
    "noise": {"target": "weights", "flatness": "uniform"},
}
CASES = {f"{kind}/{way}": (NOISE[kind], way) for kind in NOISE for way in DEALT} | {
    f"{kind}/{way}": (ASCENT[kind], way) for kind in ASCENT for way in BLOCKS
}


def rows_for(rank: int, way: str) -> list[list[int]]:
    if way in BLOCKS:
        return BLOCKS[way][rank]
    return [rows for part in DEALT[way] if (rows := list(part)[rank::WORLD])]


def train(arguments: dict[str, Any], take: list[list[int]], **services: Any) -> dict[str, torch.Tensor]:
    problem = problem_for("mtcl")
    method, helper = built("mtcl", problem, **arguments), Services(problem, **services)
    for step in range(4):
        batch = batch_of(ROWS, seed=step, missing=MISSING)
        window = [{"x": batch["x"][rows], "y": {t: y[rows] for t, y in batch["y"].items()}} for rows in take]
        method.update(window, helper)
    return weights_of(problem)


def process(rank: int, store: str, folder: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD)
    found = {case: train(how, rows_for(rank, way), reducer=AllReduce()) for case, (how, way) in CASES.items()}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def processes(tmp_path_factory) -> list[dict[str, dict[str, torch.Tensor]]]:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    folder = tmp_path_factory.mktemp("mtcl")
    mp.spawn(process, args=(str(folder / "store"), str(folder)), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_turns_on_processes_equal_those_on_one(processes, case: str) -> None:
    arguments, way = CASES[case]
    assert sorted(row for rank in range(WORLD) for rows in rows_for(rank, way) for row in rows) == list(range(ROWS))
    expected = train(arguments, [list(range(ROWS))])
    for found in processes:
        assert_same(expected, found[case], 1e-10)
