"""From a configuration to a trained run folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmtl.config import RunConfig
from medmtl.data.counting import class_counts
from medmtl.errors import MedmtlError, TrainingError
from medmtl.files import remove_litter, write_text
from medmtl.inference.network import choose_device, load_weights
from medmtl.progress import Progress
from medmtl.randomness import derive_seed, seed_torch
from medmtl.run import RunFolder, check_free, config_hash, now
from medmtl.training.checkpoint import load_checkpoint, weights_hash
from medmtl.training.engine import Trainer
from medmtl.training.interruption import interruptible
from medmtl.training.problem import NetworkProblem
from medmtl.training.processes import Processes, launched
from medmtl.training.stepping import idle_limits
from medmtl.training.windows import WindowSource, make_feed
from medmtl.workflows.dryrun import DryRun, dry_run
from medmtl.workflows.operating import choose_operating, save_operating
from medmtl.workflows.resuming import DATA_FILE, check_same_config, check_same_data, only_one
from medmtl.workflows.setup import Cache, Setup, ViewData, says, view_data
from medmtl.workflows.validation import Validation

__all__ = ["DryRun", "TrainResult", "dry_run", "train"]


@dataclass(frozen=True)
class TrainResult:
    """What training left.

    Attributes:
        run: The run folder.
        steps: Updates done.
        best_epoch: Epoch of the selected checkpoint; 0 where the last one is selected.
        score: Best validation score; -inf without validation.
        minutes: Time spent in training, resumed parts included.
        run_hash: Hash of configuration and selected weights.
    """

    run: Path
    steps: int
    best_epoch: int
    score: float
    minutes: float
    run_hash: str


def train(config: RunConfig, out: str | Path, *, resume: bool = False, progress: Progress | None = None) -> TrainResult:
    """Trains a run.

    Args:
        config: The configuration.
        out: The run folder to make, or, with ``resume``, to go on with.
        resume: Go on from the last checkpoint; the result equals that of a run that never stopped.
        progress: Where to say how far it is.

    Raises:
        MedmtlError: What is wrong, before anything is written wherever possible.
        InterruptedTraining: SIGINT or SIGTERM; the run is saved.
    """
    with launched(choose_device(config.training.device)) as processes:
        told = (progress or Progress()) if processes.main else Progress(quiet=True)
        return _train_together(config, Path(out), told, processes, resume=resume)


def _train_together(
    config: RunConfig, path: Path, progress: Progress, processes: Processes, *, resume: bool
) -> TrainResult:
    """Trains in this process; the first of several holds the folder for all."""
    if not resume:
        processes.first(lambda: check_free(path))
        return _train(Setup(config, processes), path, progress, resume=False)
    check_same_config(RunFolder.open(path), config, progress)
    with _held(path, processes):
        return _train(Setup(config, processes), path, progress, resume=True)


def _held(path: Path, processes: Processes) -> AbstractContextManager[None]:
    return only_one(path) if processes.main else nullcontext()


def _train(setup: Setup, path: Path, progress: Progress, *, resume: bool) -> TrainResult:
    config, processes = setup.config, setup.processes
    if resume:
        check_same_data(path, setup.cohort.manifest_hashes)
    network = setup.network()
    if not resume and (begun := setup.start(network)):
        progress.say(begun)
    problem = setup.problem(network)
    training, validating = _read(setup, path, progress)
    with nullcontext() if resume else _held(path, processes):
        if not resume:
            processes.first(lambda: (RunFolder.create(path, config), None)[1])
        return _learn(RunFolder.open(path), setup, problem, (training, validating), progress, new=not resume)


def _learn(
    run: RunFolder,
    setup: Setup,
    problem: NetworkProblem,
    data: tuple[dict[str, ViewData], dict[str, ViewData]],
    progress: Progress,
    *,
    new: bool,
) -> TrainResult:
    training, validating = data
    with _nothing_half_written(run, new=new and setup.processes.main):
        setup.processes.first(lambda: _begin_folder(run, setup))
        validation = Validation(setup, problem.network, validating, progress) if setup.cohort.validation else None
        trainer = _trainer(run, setup, problem, training, validation, progress)
        _start(trainer, setup.config)
        _say_start(progress, setup, trainer)
        standing = trainer.fit()
    with interruptible(standing.step):
        return setup.processes.first(lambda: _finish(run, setup, problem, validation, progress))


def _begin_folder(run: RunFolder, setup: Setup) -> None:
    remove_litter(run.path)
    write_text(run.path / DATA_FILE, json.dumps(_data_record(setup), indent=2) + "\n")


def _read(setup: Setup, path: Path, progress: Progress) -> tuple[dict[str, ViewData], dict[str, ViewData]]:
    cohort, data = setup.cohort, setup.config.data
    cache: Cache = (data.cache, data.cache_dir or path / "cache")
    if data.cache == "memory":
        progress.say(f"reading {len(cohort.training)} training and {len(cohort.validation)} validation samples")
    training = view_data(setup, cohort.training, cache, progress, training=True)
    return training, view_data(setup, cohort.validation, cache, progress, training=False)


@contextmanager
def _nothing_half_written(run: RunFolder, *, new: bool) -> Iterator[None]:
    """Takes a new run back that failed before its first checkpoint for a reason that lies outside the training itself."""
    try:
        yield
    except TrainingError:
        raise  # its log shows how the losses went
    except MedmtlError:
        if new and not run.last.exists():
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def _trainer(
    run: RunFolder,
    setup: Setup,
    problem: NetworkProblem,
    data: Mapping[str, ViewData],
    validation: Validation | None,
    progress: Progress,
) -> Trainer:
    config = setup.config
    source = WindowSource(
        {view: make_feed(item.dataset, view, config, item.tasks) for view, item in data.items()},
        {task.name: task.config.view for task in setup.tasks},
        setup.method.plan,
        accumulation=config.training.accumulation,
        workers=config.data.workers,
        pin=setup.device.type == "cuda",
        rank=setup.processes.rank,
        world=setup.processes.world,
    )
    names = validation.names if validation is not None else ()
    return Trainer(run, problem, setup.method, source, validation, names, setup.device, progress, setup.processes)


def _start(trainer: Trainer, config: RunConfig) -> None:
    """Takes up the last checkpoint, or begins the stream of dropout and the like, apart from that of the weights."""
    if trainer.run.last.exists():
        trainer.resume()
    else:
        seed_torch(derive_seed(config.seed, "training"))


def _finish(
    run: RunFolder, setup: Setup, problem: NetworkProblem, validation: Validation | None, progress: Progress
) -> TrainResult:
    standing = load_checkpoint(run.last, needs=("standing",))["standing"]
    load_weights(problem.network, load_checkpoint(run.selected)["network"], run.selected)
    if validation is not None:
        save_operating(run, choose_operating(setup.tasks, validation.records()))
    digest = weights_hash(problem.network.state_dict())
    hashed = run_hash(run.config, digest)
    steps, minutes = standing["step"], standing["seconds"] / 60
    best = standing["best_epoch"] if run.selected == run.best else 0
    figures = {"steps": steps, "minutes": round(minutes, 2), "best_epoch": best}
    if standing.get("processor_seconds"):  # unknown for a run of an earlier version
        figures["processor_minutes"] = round(standing["processor_seconds"] / 60, 2)
    run.update_record(status="trained", finished=now(), **figures, weights_sha256=digest, run_hash=hashed)
    progress.say(f"trained {steps} updates in {minutes:.1f} minutes: {run.path}")
    return TrainResult(run.path, steps, best, standing["best_score"], minutes, hashed)


def run_hash(config: RunConfig, weights: str) -> str:
    """The short name of what a run learned: a hash of its configuration and of its weights' hash."""
    return hashlib.sha256((config_hash(config) + weights).encode()).hexdigest()[:12]


def _data_record(setup: Setup) -> dict[str, Any]:
    rows, classes = [], []
    targets = [task.target for task in setup.tasks]
    for side, samples in (("training", setup.cohort.training), ("validation", setup.cohort.validation)):
        for dataset, count in Counter(sample.dataset for sample in samples).items():
            members = [sample for sample in samples if sample.dataset == dataset]
            labelled = {
                task.name: sum(says(task, sample, training=side == "training") for sample in members)
                for task in setup.tasks
            }
            rows.append({"side": side, "dataset": dataset, "samples": count, "labelled": labelled})
        classes += class_counts(samples, targets, side)
    validation = [f"{sample.dataset}/{sample.id}" for sample in setup.cohort.validation]
    hashes = setup.cohort.manifest_hashes
    return {"manifests": hashes, "counts": rows, "classes": classes, "validation_samples": validation}


def _say_start(progress: Progress, setup: Setup, trainer: Trainer) -> None:
    for task in setup.tasks:
        progress.say(setup.task_line(task))
    for line in idle_limits(setup.method.info, setup.config.training):
        progress.say(line)
    began = f"from step {trainer.standing.step} " if trainer.standing.step else ""
    epochs, method = setup.config.training.epochs, setup.method.info.name
    progress.say(f"training {began}to step {trainer.total} ({epochs} epochs) on {setup.device}, method {method}")
