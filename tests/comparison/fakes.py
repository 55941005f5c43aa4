"""A world in which cells are trained and evaluated by a few lines of Python: plausible run folders, no network."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medmtl.comparison.executors import Executor, Job, Outcome
from medmtl.config import load_config
from medmtl.evaluation import EvaluationResult, Interval, Metric, TaskResult
from medmtl.reporting.artifacts import write_metrics
from medmtl.run import RunFolder
from medmtl.training.standing import selection_score

PATIENTS = 12
BASE: dict[str, Any] = {
    "views": {"field": {"size": 32, "batch_size": 4}},
    "model": {"encoder": {"weights": "none"}},
    "tasks": {
        "vessels": {"type": "segmentation", "classes": {"vessel": {"column": "vessel"}}},
        "disease": {"type": "classification", "mode": "multiclass", "classes": ["no", "dr", "glaucoma"]},
    },
    "training": {"epochs": 1, "lr": 0.001, "device": "cpu"},
    "evaluation": {"bootstrap": 200},
}
SPEC: dict[str, Any] = {
    "name": "methods",
    "base": ["base.yaml"],
    "seeds": [0, 1, 2],
    "learning_rates": [0.001, 0.01],
    "single_task": True,
    "rows": {"equal": {}, "uw_so": {"method": {"name": "uw_so"}}, "fixed": {"grid": {"vessels": [0.5, 2]}}},
    "exclude_tasks": {"without disease": ["disease"]},
}


def make_world(folder: Path, **over: Any) -> Path:
    """A manifest, a base and a spec that work; ``over`` replaces keys of the spec. Gives the spec's path."""
    rows = [
        {"image": f"{n}.png", "split": "train" if n < 8 else "test", "label:disease": ("no", "dr", "glaucoma")[n % 3],
         "mask:vessel": f"{n}-mask.png"}
        for n in range(8 + PATIENTS)
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "m.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    base = {**BASE, "data": {"manifests": [str(folder / "m.csv")], "workers": 0}}
    (folder / "base.yaml").write_text(yaml.safe_dump(base, sort_keys=False))
    spec = {**SPEC, "evaluate": [{"manifest": str(folder / "m.csv")}], **over}
    (folder / "spec.yaml").write_text(
        yaml.safe_dump({key: value for key, value in spec.items() if value is not None}, sort_keys=False)
    )
    return folder / "spec.yaml"


def quality(task: str, series: str, rate: float, seed: int) -> float:
    """How good a cell's network is: known, so that choices and Δm can be checked."""
    gain = {"equal": 0.0, "uw_so": 0.05, "fixed": 0.02, "single_task": 0.01}[series.split("/")[0]]
    return 0.6 + gain + (0.05 if rate == 0.01 else 0.0) + 0.01 * seed + (0.1 if task == "vessels" else 0.0)


class FakeExecutor(Executor):
    """Does the jobs one after the other in this process.

    Args:
        workers: Jobs that may be submitted before one is waited for.
        before: Called with each job; what it gives instead of None is the job's end.
        quality: How good a network is.
    """

    def __init__(
        self,
        workers: int = 1,
        before: Callable[[Job], Outcome | None] = lambda job: None,
        quality: Callable[[str, str, float, int], float] = quality,
    ) -> None:
        self.workers = workers
        self.before = before
        self.quality = quality
        self.jobs: list[Job] = []
        self.most = 0
        self.stopped = 0
        self.closed = False
        self._running: list[Job] = []

    def submit(self, job: Job) -> None:
        self._running.append(job)
        self.most = max(self.most, len(self._running))

    def wait(self, seconds: float) -> Sequence[Outcome]:
        if not self._running:
            return []
        job = self._running.pop(0)
        self.jobs.append(job)
        early = self.before(job)
        if early is not None:
            return [early]
        (fake_train if job.arguments[0] == "train" else fake_evaluate)(job, self.quality)
        return [Outcome(job, 0, 60.0, peak_memory_mb=500.0 + len(self.jobs))]

    def stop(self) -> None:
        self.stopped += 1
        self._running = []

    def kill(self) -> None:
        self._running = []

    def close(self) -> None:
        self.closed = True

    @property
    def trained(self) -> list[str]:
        return [job.name for job in self.jobs if job.arguments[0] == "train"]

    @property
    def evaluated(self) -> list[str]:
        return [job.name for job in self.jobs if job.arguments[0] == "evaluate"]


def option(job: Job, name: str) -> str:
    return job.arguments[job.arguments.index(name) + 1]


def fake_train(job: Job, quality: Callable[[str, str, float, int], float]) -> None:
    """What training would leave: record, configuration, log."""
    config, out = load_config([Path(job.arguments[1])]), Path(option(job, "--out"))
    run = RunFolder.open(out) if "--resume" in job.arguments else RunFolder.create(out, config)
    names = {"vessels": "dice", "disease": "accuracy"}
    figures = {f"{task}/{names[task]}": _quality(out, task, config, quality) for task in config.tasks}
    columns = ["step", "epoch", "split", "seconds", *(f"metric/{name}" for name in figures)]
    lines = [",".join(columns)]
    slower = 0.4 if config.seed == 1 else 0.0  # something else was running then
    lines += [
        f"{step},1,train,{0.5 + slower + 0.1 * step * len(config.tasks)}" + "," * len(figures) for step in range(1, 4)
    ]
    lines.append("3,1,val,," + ",".join(f"{value:.7g}" for value in figures.values()))
    run.log.write_text("\n".join(lines) + "\n")
    assert math.isfinite(selection_score(figures))
    minutes = {"minutes": 2.0 * len(config.tasks), "processor_minutes": 3.0 * len(config.tasks) + config.seed}
    run.update_record(status="trained", **minutes, run_hash=f"hash of {job.name}"[:60])


def _quality(out: Path, task: str, config: Any, quality: Callable[[str, str, float, int], float]) -> float:
    series = "/".join(out.parts[out.parts.index("cells") + 1 : -2])
    return quality(task, series, config.training.lr, config.seed)


def fake_evaluate(job: Job, quality: Callable[[str, str, float, int], float]) -> None:
    """What an evaluation would leave: metrics.json, a row a sample, a line in the ledger."""
    run, out = RunFolder.open(Path(job.arguments[1])), Path(option(job, "--out"))
    tasks = []
    for task in run.config.tasks:
        tasks.append(_evaluated(task, out, _quality(run.path, task, run.config, quality), run.config.seed))
    result = EvaluationResult(
        run.config.name, run.record["run_hash"], "m.csv", "manifest hash", "test", "2025-01-01", PATIENTS, tuple(tasks)
    )
    write_metrics(out, [result])
    with Path(option(job, "--ledger")).open("a") as ledger:
        ledger.write(f"{run.path.name},{json.dumps(job.name)}\n")


def _evaluated(task: str, out: Path, good: float, seed: int) -> TaskResult:
    noise = np.random.default_rng([seed, len(task)]).normal(0, 0.05, PATIENTS)
    dataset = "m"
    (out / "samples").mkdir(parents=True, exist_ok=True)
    head = "dataset,sample,patient"
    if task == "vessels":
        values = np.clip(good + noise - noise.mean(), 0, 1)
        rows = [f"{dataset},s{n},p{n},{value!r}" for n, value in enumerate(map(float, values))]
        text, name, value = [f"{head},dice.vessel", *rows], "dice.vessel", float(values.mean())
    else:
        right = np.arange(PATIENTS) < round(good * PATIENTS)
        rows = [f"{dataset},s{n},p{n},0.0,{0.0 if hit else 1.0},1,0,0" for n, hit in enumerate(right)]
        columns = "label,predicted,probability.no,probability.dr,probability.glaucoma"
        text, name, value = [f"{head},{columns}", *rows], "accuracy.disease", float(right.mean())
    (out / "samples" / f"{task}.csv").write_text("\n".join(text) + "\n")
    metrics = (
        Metric(name, name.title(), Interval(value, method="fake"), PATIENTS),
        Metric("brier", "Brier", Interval(0.2), 9, "", False),
    )
    return TaskResult(task, "any", dataset, metrics, labelled=PATIENTS)
