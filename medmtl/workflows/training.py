"""From a configuration to a trained run folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medmtl.config import RunConfig
from medmtl.data.cohort import Cohort, check_labels, read_cohort
from medmtl.data.loading import Batch, ViewDataset
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, RunError
from medmtl.files import write_text
from medmtl.inference.network import Network, build_network, build_tasks, choose_device, load_weights
from medmtl.inference.predict import evaluation_batches, predict, view_records, view_tasks
from medmtl.optim import Method, make_method
from medmtl.progress import Progress
from medmtl.randomness import derive_seed, seed_torch
from medmtl.run import RunFolder, config_hash, now
from medmtl.tasks import AnyTask
from medmtl.training.checkpoint import load_checkpoint, weights_hash
from medmtl.training.engine import Trainer
from medmtl.training.problem import NetworkProblem, build_problem
from medmtl.training.schedule import adamw_factory
from medmtl.training.windows import WindowSource, make_feed
from medmtl.workflows.operating import choose_operating, save_operating


@dataclass(frozen=True)
class TrainResult:
    """What training left.

    Attributes:
        run: The run folder.
        steps: Updates done.
        best_epoch: Epoch of the selected checkpoint; 0 where the last one is selected.
        score: Validation score of the selected checkpoint; -inf without validation.
        minutes: Time spent in training, resumed parts included.
        run_hash: Hash of configuration and selected weights.
    """

    run: Path
    steps: int
    best_epoch: int
    score: float
    minutes: float
    run_hash: str


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        lines: Report for people.
        steps: Updates in all.
        parameters: Trainable parameters.
    """

    lines: tuple[str, ...]
    steps: int
    parameters: int


class Setup:
    """Everything of a run that the configuration decides, checked before anything is written."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.device = choose_device(config.training.device)
        self.method: Method = make_method(config.method.name, **config.method.arguments)
        self.tasks = build_tasks(config)
        self.cohort: Cohort = read_cohort(config.data)
        check_labels(self.cohort.training, [task.target for task in self.tasks])
        self._check_combinations()

    def _check_combinations(self) -> None:
        training = self.config.training
        if training.patience is not None and not self.cohort.validation:
            raise ConfigError("early stopping needs a validation set", where="training.patience", remedy="set data.validation_fraction, or drop patience")
        if self.method.info.needs_split and self.config.model.architecture != "cooperative":
            raise ConfigError(f"method '{self.method.info.name}' needs one sub-model per task", where="model.architecture", found="shared", remedy="--set model.architecture=cooperative")

    def network(self) -> Network:
        """A freshly initialized network on the run's device."""
        if self.config.training.threads is not None:
            torch.set_num_threads(self.config.training.threads)
        seed_torch(derive_seed(self.config.seed, "weights"))
        memory = torch.channels_last if self.config.training.channels_last else torch.contiguous_format
        return build_network(self.config, self.tasks).to(self.device, memory_format=memory)  # type: ignore[call-overload,no-any-return]

    def problem(self, network: Network) -> NetworkProblem:
        """The network as a problem, with the method built on it."""
        training = self.config.training
        problem = build_problem(network, self.tasks, precision=training.precision, compiled=training.compile)
        self.method.build(problem, adamw_factory(training))
        return problem


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
    progress = progress or Progress()
    path = Path(out)
    _check_out(path, config, resume)
    setup = Setup(config)
    network = setup.network()
    problem = setup.problem(network)
    datasets = _training_data(setup, path, progress)
    run = _open(path, config, resume)
    _write_data_record(run, setup)
    trainer = _trainer(run, setup, problem, datasets, progress)
    if resume and run.last.exists():
        trainer.resume()
    seed_torch_unless_resumed(trainer, config)
    _say_start(progress, setup, trainer)
    standing = trainer.fit()
    return _finish(run, setup, network, standing.step, progress)


def seed_torch_unless_resumed(trainer: Trainer, config: RunConfig) -> None:
    """Starts the stream of dropout and the like, apart from that of the weights."""
    if trainer.standing.step == 0:
        seed_torch(derive_seed(config.seed, "training"))


def dry_run(config: RunConfig) -> DryRun:
    """Says what a run would do: samples, labels, shapes, memory, updates; trains nothing and writes nothing."""
    setup = Setup(config)
    network = setup.network()
    problem = setup.problem(network)
    feeds = {view: make_feed(_dataset(setup, setup.cohort.training, view, tasks, "none", None, Progress(quiet=True)), view, config, tasks) for view, tasks in view_tasks(setup.tasks).items()}
    steps = max(-(-feed.stream.batches_per_epoch // config.training.accumulation) for feed in feeds.values()) * config.training.epochs
    parameters = sum(parameter.numel() for _, parameter in problem.named_parameters() if parameter.requires_grad)
    lines = [f"run '{config.name}', seed {config.seed}, on {setup.device}, method {setup.method.info.name}"]
    lines.append(f"training samples {len(setup.cohort.training)}, validation samples {len(setup.cohort.validation)}")
    lines += [_task_line(task, setup.cohort) for task in setup.tasks]
    for view, feed in feeds.items():
        settings = config.views[view]
        first = feed.dataset[0]
        megabytes = len(setup.cohort.training) * sum(value.numel() * value.element_size() for key, value in first.items() if key not in {"index", "image"}) / 1e6
        megabytes += len(setup.cohort.training) * 3 * settings.size**2 / 1e6
        lines.append(f"view {view}: input {settings.batch_size}x3x{first['image'].shape[1]}x{first['image'].shape[2]}, cache of the training samples about {megabytes:.0f} MB")
    lines.append(f"{parameters / 1e6:.2f} M trainable parameters, {steps} updates in {config.training.epochs} epochs")
    lines.append(f"cost of the method: {setup.method.info.backward_passes} backward passes per micro-batch; {setup.method.info.extra_memory}")
    return DryRun(tuple(lines), steps, parameters)


def _task_line(task: AnyTask, cohort: Cohort) -> str:
    counts = [sum(task.target.labelled(sample) for sample in samples) for samples in (cohort.training, cohort.validation)]
    return f"task {task.name} ({task.kind}; {', '.join(task.classes)}): {counts[0]} labelled training samples, {counts[1]} labelled validation samples"


def _check_out(path: Path, config: RunConfig, resume: bool) -> None:
    if not resume:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError("the run folder exists already", where=path, remedy="choose another --out, or go on with --resume")
        return
    run = RunFolder.open(path)
    if config_hash(run.config) != config_hash(config):
        raise RunError("the configuration differs from the run's own", where=path, remedy="resume with the same configuration, or choose another --out")


def _open(path: Path, config: RunConfig, resume: bool) -> RunFolder:
    return RunFolder.open(path) if resume else RunFolder.create(path, config)


def _dataset(setup: Setup, samples: Sequence[Sample], view: str, tasks: Sequence[AnyTask], cache: str, folder: Path | None, progress: Progress, *, training: bool = True) -> ViewDataset:
    targets = [task.target for task in tasks]
    return ViewDataset(samples, setup.config.views[view], targets, training=training, cache=cache, cache_dir=folder, progress=progress.terminal)


def _training_data(setup: Setup, run: Path, progress: Progress) -> dict[str, tuple[ViewDataset, list[AnyTask]]]:
    data = setup.config.data
    folder = data.cache_dir or run / "cache"
    views = view_tasks(setup.tasks)
    if data.cache == "memory":
        progress.say(f"reading {len(setup.cohort.training)} training and {len(setup.cohort.validation)} validation samples")
    return {view: (_dataset(setup, _seen(setup.cohort.training, tasks), view, tasks, data.cache, folder, progress), tasks) for view, tasks in views.items()}


def _seen(samples: Sequence[Sample], tasks: Sequence[AnyTask]) -> list[Sample]:
    """Samples that say something about any of a view's tasks; the others would only cost time."""
    return [sample for sample in samples if any(task.target.labelled(sample) for task in tasks)]


def _trainer(run: RunFolder, setup: Setup, problem: NetworkProblem, datasets: dict[str, tuple[ViewDataset, list[AnyTask]]], progress: Progress) -> Trainer:
    config = setup.config
    feeds = {view: make_feed(dataset, view, config, tasks) for view, (dataset, tasks) in datasets.items()}
    source = WindowSource(
        feeds,
        {task.name: task.config.view for task in setup.tasks},
        setup.method.plan,
        accumulation=config.training.accumulation,
        workers=config.data.workers,
        pin=setup.device.type == "cuda",
    )
    validation = Validation(setup, problem.network, progress)
    names = [f"{task.name}/{name}" for task in setup.tasks for name in task.selection([])]
    return Trainer(run, problem, setup.method, source, validation if setup.cohort.validation else None, names, setup.device, progress)


class Validation:
    """Validation figures of the network as it stands; the samples are read once."""

    def __init__(self, setup: Setup, network: Network, progress: Progress) -> None:
        self.setup = setup
        self.network = network
        self.progress = progress
        self._views: dict[str, tuple[list[AnyTask], list[Sample], list[Batch]]] = {}

    def __call__(self) -> dict[str, float]:
        """Each task's validation figures, as ``task/name``."""
        records = self.records()
        return {f"{task.name}/{name}": value for task in self.setup.tasks for name, value in task.selection(records[task.name]).items()}

    def records(self) -> dict[str, list[Any]]:
        """Records in the pixels of the views."""
        records: dict[str, list[Any]] = {}
        for tasks, samples, batches in self._batches().values():
            predicted = predict(self.network, tasks, batches, samples, self.setup.device, self.setup.config)
            records |= view_records(self.progress.track(predicted, "validating", len(samples)), tasks)
        return records

    def _batches(self) -> dict[str, tuple[list[AnyTask], list[Sample], list[Batch]]]:
        # Kept as tensors: validation samples are few, and are shown again after every epoch.
        for view, tasks in view_tasks(self.setup.tasks).items():
            if view not in self._views:
                samples = _seen(self.setup.cohort.validation, tasks)
                batches = list(evaluation_batches(samples, view, tasks, self.setup.config)) if samples else []
                self._views[view] = (tasks, samples, batches)
        return self._views


def _finish(run: RunFolder, setup: Setup, network: Network, steps: int, progress: Progress) -> TrainResult:
    state = load_checkpoint(run.selected)
    load_weights(network, state["network"], run.selected)
    network.to(setup.device)
    if setup.cohort.validation:
        save_operating(run, choose_operating(setup.tasks, Validation(setup, network, progress).records()))
    standing = load_checkpoint(run.last)["standing"]
    digest = weights_hash(network.state_dict())
    run_hash = _short(config_hash(setup.config), digest)
    minutes = standing["seconds"] / 60
    best = standing["best_epoch"] if run.selected == run.best else 0
    run.update_record(status="trained", finished=now(), steps=steps, minutes=round(minutes, 2), best_epoch=best, weights_sha256=digest, run_hash=run_hash)
    progress.say(f"trained {steps} updates in {minutes:.1f} minutes: {run.path}")
    return TrainResult(run.path, steps, best, standing["best_score"], minutes, run_hash)


def _short(*parts: str) -> str:
    import hashlib

    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def _write_data_record(run: RunFolder, setup: Setup) -> None:
    rows = []
    for side, samples in (("training", setup.cohort.training), ("validation", setup.cohort.validation)):
        for dataset, count in Counter(sample.dataset for sample in samples).items():
            members = [sample for sample in samples if sample.dataset == dataset]
            labelled = {task.name: sum(task.target.labelled(sample) for sample in members) for task in setup.tasks}
            rows.append({"side": side, "dataset": dataset, "samples": count, "labelled": labelled})
    validation = [f"{sample.dataset}/{sample.id}" for sample in setup.cohort.validation]
    record = {"manifests": setup.cohort.manifest_hashes, "counts": rows, "validation_samples": validation}
    write_text(run.path / "data.json", json.dumps(record, indent=2) + "\n")


def _say_start(progress: Progress, setup: Setup, trainer: Trainer) -> None:
    for task in setup.tasks:
        progress.say(_task_line(task, setup.cohort))
    began = f"from step {trainer.standing.step} " if trainer.standing.step else ""
    progress.say(f"training {began}to step {trainer.total} ({setup.config.training.epochs} epochs) on {setup.device}, method {setup.method.info.name}")
