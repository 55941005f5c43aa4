"""Executors run processes, say how they ended, and stop them: local ones, and Ray's (a stand-in, and the real one)."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import stat
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medmtl.comparison.executors import Executor, Job, Outcome, make_executor
from medmtl.comparison.executors import process as processes
from medmtl.comparison.executors.base import last_words
from medmtl.comparison.executors.local import LocalExecutor
from medmtl.comparison.executors.ray import stop_file
from medmtl.comparison.scheduling import Estimate, InterruptedComparison, Scheduler, Task, said_time
from medmtl.errors import DependencyError, OutputError
from medmtl.progress import Progress
from medmtl.training.interruption import StopWish

Script = Callable[[str], None]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Puts a shell script in the place of Python: a process that starts in no time."""

    def put(text: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(processes.sys, "executable", str(path))

    return put


def wait_all(executor: Executor, count: int = 1, seconds: float = 20) -> list[Outcome]:
    found: list[Outcome] = []
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        found += executor.wait(0.2)
    return found


def job(tmp_path: Path, name: str = "a/seed0") -> Job:
    return Job(name, ("train", "x.yaml"), tmp_path / "logs" / f"{name}.log")


@pytest.fixture
def local() -> Iterator[LocalExecutor]:
    executor = LocalExecutor(2)
    yield executor
    executor.close()


def test_a_process_that_works(local: LocalExecutor, script: Script, tmp_path: Path):
    script('echo "$@"; echo "$OMP_NUM_THREADS" >&2')
    local.submit(job(tmp_path))
    (done,) = wait_all(local)
    assert (done.code, done.reason, done.stopped) == (0, "", False)
    assert done.peak_memory_mb > 0.5
    assert (tmp_path / "logs" / "a" / "seed0.log").read_text().splitlines()[0] == "-m medmtl train x.yaml"


def test_the_real_program_says_why_it_failed(local: LocalExecutor, tmp_path: Path):
    local.submit(Job("a", ("train", "gone.yaml", "--out", str(tmp_path / "run")), tmp_path / "a.log"))
    (done,) = wait_all(local, seconds=120)
    assert done.code == 2
    assert done.reason.startswith("gone.yaml: the configuration cannot be read")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo 'error: the loss is not finite; step 3' >&2; echo bye; exit 2", "the loss is not finite; step 3"),
        ("echo one; echo '  two   words '; exit 1", "two words"),
        ("exit 3", "ended with exit code 3 and said nothing"),
        ("kill -9 $$", "killed by signal 9 (SIGKILL); often too little memory"),
        ("kill -11 $$", "killed by signal 11 (SIGSEGV)"),
    ],
)
def test_one_line_says_why(local: LocalExecutor, script: Script, tmp_path: Path, text: str, reason: str):
    log = tmp_path / "logs" / "a" / "seed0.log"
    log.parent.mkdir(parents=True)
    log.write_text("error: of an earlier call\n")
    script(text)
    local.submit(job(tmp_path))
    (done,) = wait_all(local)
    assert done.reason == reason
    assert not done.stopped


def test_a_stopped_process_saves_itself(local: LocalExecutor, script: Script, tmp_path: Path):
    script(
        "trap 'touch saved; exit 143' TERM; touch ready; while true; do sleep 0.05; done".replace(
            " saved", f" {tmp_path}/saved"
        ).replace("ready", f"{tmp_path}/ready")
    )
    local.submit(job(tmp_path))
    while not (tmp_path / "ready").exists():
        assert local.wait(0.05) == []
    local.stop()
    (done,) = wait_all(local)
    assert done.stopped
    assert (tmp_path / "saved").exists()


def test_nothing_outlives_a_comparison_that_fails(local: LocalExecutor, script: Script, tmp_path: Path):
    script(f"trap '' TERM; echo $$ > {tmp_path}/pid; sleep 60")
    local.submit(job(tmp_path))
    until = time.monotonic() + 10
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()) and time.monotonic() < until:
        time.sleep(0.02)
    local.close()
    (done,) = wait_all(local)
    assert done.code == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_log_that_cannot_be_written(local: LocalExecutor, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        local.submit(Job("a", (), tmp_path / "file" / "a.log"))


def test_last_words():
    assert last_words("") == ""
    assert last_words("a\n\n  error:  no  data\n") == "no data"
    assert last_words("error: first\nTraceback\nerror: second\nend\n") == "second"


def test_an_estimate_of_the_time_left():
    estimate = Estimate(workers=2)
    assert math.isnan(estimate.left(["a"]))
    for seconds in (50.0, 70.0, math.nan):
        estimate.learn("a", seconds)
    estimate.learn("b", 100.0)
    assert estimate.left(["a", "b", "new"]) == pytest.approx((60 + 100 + 80) / 2)
    assert said_time(math.nan) == said_time(0) == ""
    assert said_time(600) == ", about 10 min left"
    assert said_time(7200) == ", about 2.0 h left"


def test_what_is_said_on_the_way(
    capfd: pytest.CaptureFixture[str], script: Script, tmp_path: Path, local: LocalExecutor
):
    script("case $3 in bad) echo 'error: no data' >&2; exit 2;; esac")
    ended: list[Outcome] = []
    progress = Progress()
    scheduler = Scheduler(local, progress, StopWish(), ended.append, total=3, estimate=Estimate(2))
    tasks = [Task(Job(name, (name,), tmp_path / f"{name}.log"), "train") for name in ("good", "bad", "fine")]
    with progress.bar("cells", 3) as bar:
        scheduler.run(tasks, ["train"], bar)
    told = capfd.readouterr().err
    assert len(ended) == 3
    assert "bad: failed: no data" in told
    assert "2 done, 0 running, 1 failed of 3" in told


def test_a_signal_reaches_real_processes_and_waits_for_them(script: Script, tmp_path: Path, local: LocalExecutor):
    script(
        f"trap 'sleep 0.3; touch {tmp_path}/saved-$3; exit 143' TERM; touch {tmp_path}/ready; while true; do sleep 0.05; done"
    )
    wish, ended = StopWish(), []
    scheduler = Scheduler(local, Progress(quiet=True), wish, ended.append, total=9, estimate=Estimate(2))
    tasks = [Task(Job(name, (name,), tmp_path / f"{name}.log"), "train") for name in "abcd"]

    def interrupt() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.02)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    other = threading.Thread(target=interrupt)
    with wish.watched(), Progress(quiet=True).bar("cells", 9) as bar:
        other.start()
        with pytest.raises(InterruptedComparison):
            scheduler.run(tasks, [], bar)
    other.join()
    assert sorted(path.name for path in tmp_path.glob("saved-*")) == ["saved-a", "saved-b"]
    assert [outcome.stopped for outcome in ended] == [True, True]
    assert (scheduler.done, scheduler.failed) == (0, 0)


# --- Ray: a stand-in that does at once what Ray does elsewhere ---


class FakeRay(types.ModuleType):
    """As much of Ray as the executor uses; a task runs when it is asked for."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=RuntimeError, TaskCancelledError=InterruptedError)
        self.started: dict[str, object] = {}
        self.cancelled: set[int] = set()
        self.options: dict[str, object] = {}
        self.calls: dict[int, tuple[object, ...]] = {}

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: object) -> None:
        self.started = options

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, **options: object):
        self.options = options

        def wrap(function):
            def call(*arguments: object) -> int:
                self.calls[len(self.calls)] = (function, *arguments)
                return len(self.calls) - 1

            return types.SimpleNamespace(remote=call)

        return wrap

    def wait(self, references: list[int], num_returns: int, timeout: float):
        return references[:num_returns], references[num_returns:]

    def get(self, reference: int) -> object:
        if reference in self.cancelled:
            raise InterruptedError
        function, *arguments = self.calls[reference]
        return function(*arguments)

    def cancel(self, reference: int, *, force: bool) -> None:
        self.cancelled.add(reference)

    def shutdown(self) -> None:
        self.started = {}


def test_ray_does_the_same(monkeypatch: pytest.MonkeyPatch, script: Script, tmp_path: Path):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    script("case $4 in bad) echo 'error: no data' >&2; exit 2;; esac")
    executor = make_executor("ray", 2)
    assert ray.started["num_cpus"] == 2
    assert ray.options == {"num_cpus": 1, "num_gpus": 0, "max_retries": 0}
    for name in ("good", "bad", "late"):
        executor.submit(Job(name, ("train", name), tmp_path / f"{name}.log"))
    assert [(done.job.name, done.code, done.reason) for done in wait_all(executor, 2)] == [
        ("good", 0, ""),
        ("bad", 2, "no data"),
    ]
    executor.stop()
    (done,) = wait_all(executor)
    assert done.stopped
    assert not (tmp_path / "late.log").exists()
    assert not list(tmp_path.glob("*.stop"))
    executor.close()
    assert ray.started == {}


def test_a_running_ray_task_is_asked_to_stop_and_an_old_wish_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, script: Script, tmp_path: Path
):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    monkeypatch.chdir(tmp_path)
    script("trap 'touch saved; exit 143' TERM; touch started; while true; do sleep 0.05; done")
    one = job(tmp_path)
    executor = make_executor("ray", 1)
    stop_file(one).parent.mkdir(parents=True)
    stop_file(one).touch()  # of an evening that was interrupted
    executor.submit(one)

    def ask() -> None:
        while not (tmp_path / "started").exists():
            time.sleep(0.02)
        executor.stop()

    other = threading.Thread(target=ask)
    other.start()
    (done,) = wait_all(executor)
    other.join()
    assert (done.code, done.stopped, (tmp_path / "saved").exists()) == (143, True, True)
    assert not stop_file(one).exists()


def test_a_lost_machine_is_a_failed_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)

    def lose(reference: int) -> object:
        raise RuntimeError("The worker died\nNode 3 is gone")

    monkeypatch.setattr(ray, "get", lose)
    executor = make_executor("ray", 1)
    executor.submit(job(tmp_path))
    (done,) = wait_all(executor)
    assert (done.code, done.reason, done.stopped) == (1, "Ray: Node 3 is gone", False)


def test_without_ray_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install 'medmtl\[ray\]'"):
        make_executor("ray", 1)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'medmtl[ray]'")
def test_a_local_ray(tmp_path: Path):
    executor = make_executor("ray", 2)
    try:
        executor.submit(Job("good", ("--version",), tmp_path / "good.log"))
        executor.submit(Job("bad", ("train", "gone.yaml"), tmp_path / "bad.log"))
        found = {done.job.name: done for done in wait_all(executor, 2, seconds=180)}
        assert (found["good"].code, found["bad"].code) == (0, 2)
        assert found["bad"].reason.startswith("gone.yaml: the configuration cannot be read")
        executor.submit(Job("late", ("demo", "--out", str(tmp_path / "demo")), tmp_path / "late.log"))
        time.sleep(3)  # whether Ray has begun it by then or not
        executor.stop()
        (done,) = wait_all(executor, seconds=120)
        assert done.stopped
    finally:
        executor.close()
