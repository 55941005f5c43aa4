"""Real processes, killed from outside at random moments or asked to stop, and taken up again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml

from medmtl.files import is_temporary
from medmtl.run import dump_config
from medmtl.training.checkpoint import load_checkpoint, weights_hash
from medmtl.training.tracking import read_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def config_file(small_config, tmp_path):
    config = small_config(
        data={"workers": 2, "cache": "disk"},
        views={"field": {"size": 48, "augment": {"rotate": 20.0}}},
        training={"precision": "bf16", "accumulation": 2, "checkpoint_every": 1, "epochs": 10, "threads": 1},
    )
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(dump_config(config))), encoding="utf-8")
    return path


def start(config, out, *, resume=False):
    command = [sys.executable, "-m", "medmtl", "train", str(config), "--out", str(out), "--quiet"]
    command += ["--resume"] if resume else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process, expected=0):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == expected, errors
    return out, errors


def weights(run):
    return weights_hash(load_checkpoint(run / "checkpoints/last.pt")["network"])


def training_steps(run):
    return [int(row["step"]) for row in read_rows(run / "log.csv") if row["split"] == "train"]


def temporaries(run):
    return [path for path in run.rglob(".*") if is_temporary(path)] if run.exists() else []


def test_twenty_kills_change_no_bit(config_file, tmp_path):
    began = time.monotonic()
    finish(start(config_file, tmp_path / "whole"))
    duration = time.monotonic() - began
    steps = training_steps(tmp_path / "whole")
    assert steps == list(range(1, len(steps) + 1))

    chance = random.Random(20)
    kills, runs, torn, reached = 0, 0, 0, []
    while kills < 20:
        runs += 1
        run = tmp_path / f"killed{runs}"
        while True:
            process = start(config_file, run, resume=(run / "config.yaml").exists())
            try:
                process.wait(timeout=chance.uniform(0, duration) if kills < 20 else 300)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                torn += bool(temporaries(run))
                reached.append(len(training_steps(run)))
            else:
                finish(process)
                break
        assert weights(run) == weights(tmp_path / "whole")
        assert training_steps(run) == steps
        assert not temporaries(run)
    print(f"{kills} kills in {runs} runs at steps {sorted(reached)}, {torn} while a file was being written")  # noqa: T201
    assert max(reached) > 0


def kill_while_writing(process, run, name, after):
    """Kills as soon as the temporary of a checkpoint is seen, once training has reached a step."""
    wait_for_steps(run, after)
    deadline = time.monotonic() + 120
    while not any((run / "checkpoints").glob(f".{name}.*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it was caught"
    process.kill()
    process.communicate()


def test_kills_while_a_checkpoint_is_written_change_no_bit(config_file, tmp_path):
    finish(start(config_file, tmp_path / "whole"))
    run, torn = tmp_path / "run", 0
    for name, after in (("last", 1), ("last", 6), ("last", 9)):
        process = start(config_file, run, resume=run.exists())
        kill_while_writing(process, run, name, after)
        torn += len(temporaries(run))
    finish(start(config_file, run, resume=True))
    assert torn > 0
    assert weights(run) == weights(tmp_path / "whole")
    assert training_steps(run) == training_steps(tmp_path / "whole")
    assert not temporaries(run)


def wait_for_steps(run, steps):
    deadline = time.monotonic() + 120
    while len(training_steps(run)) < steps:
        assert time.monotonic() < deadline, "training did not start"
        time.sleep(0.05)


@pytest.mark.parametrize(("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)])
def test_a_signal_saves_and_says_how_to_go_on(number, group, config_file, tmp_path):
    run = tmp_path / "run"
    process = start(config_file, run)
    wait_for_steps(run, 2)
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = finish(process, expected=128 + number)
    assert "--resume" in errors
    assert len(errors.strip().splitlines()) == 1
    saved = load_checkpoint(run / "checkpoints/last.pt")["standing"]["step"]
    assert saved == len(training_steps(run))
    assert json.loads((run / "run.json").read_text())["status"] == "new"
    assert not temporaries(run)
