"""Several processes equal one on the union of their batches, for every method; and what batch norm does to that."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from optim_toys import EVERY, assert_same, batch_of, built, problem_for, weights_of

from medmtl.optim import AllReduce, Services

BLOCKS = {2: (0, 5, 8), 3: (0, 3, 4, 8)}
# By step: labels that are missing. The last block, and the second of samples dealt in turn, have no label of b;
# in step 3 nobody has one of a.
MISSING = {"a": [0, 5], "b": [1, 3, 4, 5, 6, 7], "c": [1]}
NOBODY = {**MISSING, "a": range(8)}
STEPS = 6
PLAIN_THREE = ("equal", "mao", "pcgrad")

CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in EVERY} | {
    "fixed zero": ("fixed", {"weights": {"a": 1.0, "b": 0.5, "c": 0.0}}),
    "mao stream": ("mao", {"gradients": "stream"}),
    "mao shared": ("mao", {"momentum": "shared", "combine": "mean"}),
    "mtcl warm-up": ("mtcl", {"warmup_steps": 3}),
    "mtcl uniform": ("mtcl", {"flatness": "uniform", "antithetic": True}),
    "mtcl own": ("mtcl", {"flatness": "gaussian", "target": "own"}),
    "mtcl weights": ("mtcl", {"target": "weights"}),
    "mtcl weight noise": ("mtcl", {"target": "weights", "flatness": "uniform", "radius": 0.05}),
    "mtcl traced": ("mtcl", {"trace_every": 1, "clamp": 0.1}),
}
DEALT = ("mtcl uniform", "mtcl own")  # noise is numbered by sample as the loader deals them: in turn
NORMS = ("group", "frozen batch")

Take = Callable[[dict[str, Any]], list[dict[str, Any]]]


def block(rank: int, world: int) -> slice:
    return slice(*BLOCKS[world][rank : rank + 2])


def part_of(batch: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {"x": batch["x"][rows], "y": {task: y[rows] for task, y in batch["y"].items()}}


def problem_of(name: str, norm: str) -> Any:
    """Frozen batch norm: in evaluation mode, with statistics that are not those of the data."""
    problem = problem_for(name, norm="group" if norm == "group" else "batch")
    if norm == "frozen batch":
        problem.eval()
        for key, buffer in problem.named_buffers():
            buffer.copy_(torch.full_like(buffer, 0.3 if key.endswith("mean") else 1.7))
    return problem


def train(case: str, norm: str, take: Take, steps: int = STEPS, **services: Any) -> dict[str, torch.Tensor]:
    name, arguments = CASES[case]
    problem = problem_of(name, norm)
    method = built(name, problem, **arguments)
    helper = Services(problem, clip_norm=1.0, clip_task_norm=2.0, **services)
    for step in range(steps):
        batch = batch_of(8, seed=step, missing=NOBODY if step == 3 else MISSING)
        method.update(take(batch), helper)
    return weights_of(problem)


def process(rank: int, world: int, store: str, folder: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    reducer, here = AllReduce(), block(rank, world)
    found = {}
    for case in CASES:
        rows = slice(rank, None, world) if case in DEALT else here
        for norm in NORMS:
            found[f"{case}/{norm}"] = train(case, norm, lambda batch: [part_of(batch, rows)], reducer=reducer)  # noqa: B023
    for name in EVERY:  # accumulation as well
        found[f"{name}/micro"] = train(name, "group", lambda batch: micro(part_of(batch, here)), 3, reducer=reducer)
    for name in PLAIN_THREE:
        found[f"{name}/batch"] = train(name, "batch", lambda batch: [part_of(batch, here)], 1, reducer=reducer)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def micro(batch: dict[str, Any]) -> list[dict[str, Any]]:
    """Two micro-batches of different lengths; processes may have different numbers of them."""
    return [part_of(batch, rows) for rows in (slice(0, 1), slice(1, None)) if len(batch["x"][rows])]


@pytest.fixture(scope="module", params=[2, 3], ids=["two", "three"])
def processes(request, tmp_path_factory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What every process ended with, all cases."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(process, args=(request.param, str(folder / "store"), str(folder)), nprocs=request.param)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(request.param)]


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", CASES)
def test_processes_equal_one(processes, case: str, norm: str) -> None:
    expected = train(case, norm, lambda batch: [batch])
    for found in processes:
        assert_same(expected, found[f"{case}/{norm}"], 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_processes_with_micro_batches_equal_one(processes, name: str) -> None:
    expected = train(name, "group", lambda batch: [batch], 3)
    for found in processes:
        assert_same(expected, found[f"{name}/micro"], 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN_THREE)
def test_batch_norm_sees_each_processes_part(processes, name: str) -> None:
    """The one thing that is not equal: statistics of a part of the batch. See benchmarks/batch_norm_processes.py."""
    before, expected = weights_of(problem_of(name, "batch")), train(name, "batch", lambda batch: [batch], 1)
    keys = [key for key in before if key.startswith("trunk.0")]
    for found in processes:
        moved = torch.cat([(expected[key] - before[key]).flatten() for key in keys])
        other = torch.cat([(found[f"{name}/batch"][key] - before[key]).flatten() for key in keys])
        assert (moved - other).norm() > 1e-3 * moved.norm()
    first = processes[0][f"{name}/batch"]
    trained = [key for key in before if "running" not in key and "num_batches" not in key]
    for found in processes[1:]:  # but all processes have the same weights
        assert_same({k: first[k] for k in trained}, {k: found[f"{name}/batch"][k] for k in trained})
