"""What several processes agree on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from medmtl.errors import ConfigError
from medmtl.optim import AllReduce
from medmtl.training.processes import ALONE, Processes

CASES = ((15, 15), (2, 15), (None, 2), (None, None))


def agree(rank: int, store: str, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    processes = Processes(rank, 2, AllReduce())
    numbers = [processes.any(case[rank]) for case in CASES]
    network = nn.BatchNorm1d(2)
    network.register_buffer("constant", torch.tensor([0.1, 1 / 3]))
    network.running_mean.copy_(torch.tensor([1.0, 4.0]) * (rank + 1))
    network.num_batches_tracked.fill_(3 + rank)
    processes.share_buffers(network)
    assert network.running_mean.tolist() == [1.5, 6.0]
    assert network.constant.equal(torch.tensor([0.1, 1 / 3]))
    assert int(network.num_batches_tracked) == 4
    assert processes.each(10 * rank) == [0, 10]
    shared = processes.first(lambda: f"from {rank}")
    Path(folder, f"{rank}.txt").write_text(f"{numbers} {shared}")
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_hear_of_the_same_signal_and_the_same_result(tmp_path: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(agree, args=(str(tmp_path / "store"), str(tmp_path)), nprocs=2)
    told = {(tmp_path / f"{rank}.txt").read_text() for rank in range(2)}
    assert told == {"[15, 15, 2, None] from 0"}


def test_alone_there_is_nothing_to_share() -> None:
    assert (ALONE.any(None), ALONE.any(15), ALONE.first(lambda: 3), ALONE.each(4)) == (None, 15, 3, [4])
    with pytest.raises(ConfigError, match=r"views\.v\.batch_size: .*found 1 for 2"):
        Processes(0, 2).check_batch("v", 1)
