"""`medmtl train` under `torchrun`, unchanged: two processes make one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from medmtl.run import dump_config
from medmtl.training.checkpoint import load_checkpoint, weights_hash
from medmtl.training.tracking import read_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def config_file(small_config, tmp_path: Path) -> Path:
    training = {"epochs": 3, "threads": 1, "analysis": {"every": 2, "samples": 2}}
    config = small_config(data={"workers": 0}, views={"field": {"size": 48}}, training=training)
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(dump_config(config))), encoding="utf-8")
    return path


def start(config: Path, out: Path, *, processes: int = 2, resume: bool = False) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "medmtl"]
    command = [sys.executable, *(launcher if processes > 1 else ["-m", "medmtl"])]
    command += ["train", str(config), "--out", str(out), *(["--resume"] if resume else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    return said


def rows(run: Path, split: str = "train") -> list[dict[str, Any]]:
    return [row for row in read_rows(run / "log.csv") if row["split"] == split]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(run / "checkpoints/last.pt")["network"])


def test_two_processes_make_one_run(config_file: Path, tmp_path: Path) -> None:
    said = finish(start(config_file, tmp_path / "two"))
    finish(start(config_file, tmp_path / "one", processes=1))
    assert json.loads((tmp_path / "two/run.json").read_text())["status"] == "trained", said
    assert said.count("epoch 3/3") == 1  # one process speaks
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert [row["step"] for row in two] == [row["step"] for row in one]
    for name in one[0]:
        if name.startswith("count/"):  # the same samples, shared out
            assert [row[name] for row in two] == [row[name] for row in one]
    # Batch norm sees half a batch in each process: close in the first step, not equal.
    for name in (key for key in one[0] if key.startswith("loss/")):
        assert float(two[0][name]) == pytest.approx(float(one[0][name]), rel=0.3)
    assert len(rows(tmp_path / "two", "val")) == len(rows(tmp_path / "one", "val")) == 3
    assert (tmp_path / "two/probe.csv").stat().st_size > 100


def test_a_stopped_run_goes_on_as_if_it_never_stopped(config_file: Path, tmp_path: Path) -> None:
    finish(start(config_file, tmp_path / "whole"))
    process = start(config_file, tmp_path / "stopped")
    log = tmp_path / "stopped/log.csv"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not (log.exists() and len(read_rows(log)) >= 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    finish(process)
    said = finish(start(config_file, tmp_path / "stopped", resume=True))
    assert json.loads((tmp_path / "stopped/run.json").read_text())["status"] == "trained", said
    assert weights_hash(weights(tmp_path / "stopped")) == weights_hash(weights(tmp_path / "whole"))
    assert [row["step"] for row in rows(tmp_path / "stopped")] == [row["step"] for row in rows(tmp_path / "whole")]


def test_how_often_a_run_is_saved_changes_nothing(small_config, tmp_path: Path) -> None:
    """Sub-models lend features in evaluation mode: what a checkpoint did to running statistics would reach the training."""
    found = {}
    for every in (1, 1000):
        training = {"epochs": 2, "threads": 1, "checkpoint_every": every}
        model = {"architecture": "cooperative"}
        sizes = {"field": {"size": 48}}
        config = small_config(
            data={"workers": 0}, views=sizes, training=training, model=model, method={"name": "mtcl", "warmup_steps": 1}
        )
        path = tmp_path / f"{every}.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(dump_config(config))), encoding="utf-8")
        said = finish(start(path, tmp_path / str(every)))
        assert json.loads((tmp_path / f"{every}/run.json").read_text())["status"] == "trained", said
        found[every] = weights_hash(weights(tmp_path / str(every)))
    assert found[1] == found[1000]


def test_a_mistake_is_one_line_whichever_process_finds_it(config_file: Path, tmp_path: Path) -> None:
    process = start(config_file, tmp_path / "x", processes=9)  # more than a batch holds
    said = finish(process)
    assert process.returncode != 0
    assert "a batch holds fewer samples than there are processes" in said
    assert not (tmp_path / "x").exists()
