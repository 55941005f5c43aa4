"""Everything of a run that its configuration decides, checked before anything is written."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from medmtl.config import RunConfig
from medmtl.data.checks import check_files, check_labels, check_view
from medmtl.data.cohort import Cohort, read_cohort
from medmtl.data.loading import ViewDataset
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError
from medmtl.inference.network import Network, build_network, build_tasks, choose_device
from medmtl.inference.predict import fine_side, view_tasks
from medmtl.models import load_parts
from medmtl.optim import Method, make_method
from medmtl.progress import Progress
from medmtl.randomness import derive_seed, seed_torch
from medmtl.tasks import AnyTask
from medmtl.training.problem import NetworkProblem, build_problem
from medmtl.training.processes import ALONE, Processes, own_device
from medmtl.training.schedule import adamw_factory


class Setup:
    """Device, method, tasks and samples of a run.

    Args:
        config: The configuration.
        processes: This process among those that train the run.

    Raises:
        MedmtlError: What cannot be run.
    """

    def __init__(self, config: RunConfig, processes: Processes = ALONE) -> None:
        self.config = config
        self.processes = processes
        self.device = own_device(choose_device(config.training.device))
        if config.training.compile and self.device.type == "cpu":
            check_compiler()
        self.method: Method = make_method(config.method.name, **config.method.arguments)
        self.tasks = build_tasks(config)
        self.cohort: Cohort = read_cohort(config.data)
        self._check_combinations()
        targets = [task.target for task in self.tasks]
        check_labels(self.cohort.training, [task.learned_from for task in self.tasks], self.cohort.validation)
        check_files([*self.cohort.training, *self.cohort.validation], targets)
        sides = [task.side_target for task in self.tasks if task.side_target is not None]
        check_files(self.cohort.training, sides)
        check_files(self.cohort.validation, [target for task in self.tasks for target in task.aids])

    def _check_lenders(self) -> None:
        lenders = self.config.model.cooperation.lenders
        wanted = self.config.method.arguments.get("target", "others")
        remedy = "--set method.target=own, or --set model.cooperation.lenders=trained"
        if wanted == "weights" and lenders in ("untrained", "random"):
            what = f"{lenders} copies lend, so that other weights of the encoders would change nothing"
            raise ConfigError(what, where="method.target", found=wanted, remedy=remedy)
        flat = getattr(self.method, "flatness", None)  # of methods that flatten anything
        if lenders == "none" and flat is not None and flat.on and flat.target != "own":
            what = "nothing is lent, so that there is nothing of the others to be flat in"
            raise ConfigError(what, where="method.target", found=wanted, remedy=remedy)

    def _check_combinations(self) -> None:
        self._check_lenders()
        if self.config.training.patience is not None and not self.cohort.validation:
            remedy = "set data.validation_fraction, or drop patience"
            raise ConfigError("early stopping needs a validation set", where="training.patience", remedy=remedy)
        if self.method.info.needs_split and self.config.model.architecture != "cooperative":
            what = f"method '{self.method.info.name}' needs one sub-model per task"
            remedy = "--set model.architecture=cooperative"
            raise ConfigError(what, where="model.architecture", found="shared", remedy=remedy)
        if self.method.info.needs_features and self.config.model.architecture != "shared":
            what = f"method '{self.method.info.name}' needs one shared encoder"
            raise ConfigError(
                what, where="model.architecture", found="cooperative", remedy="--set model.architecture=shared"
            )
        for name, tasks in view_tasks(self.tasks).items():
            quota = max(task.config.min_per_batch for task in tasks)
            self.processes.check_batch(name, self.config.views[name].batch_size)
            whole = [task.name for task in tasks if not task.sees_patches]
            check_view(name, self.config.views[name], whole, quota)

    def network(self) -> Network:
        """A freshly initialized network on the run's device."""
        if self.config.training.threads is not None:
            torch.set_num_threads(self.config.training.threads)
        seed_torch(derive_seed(self.config.seed, "weights"))
        memory = torch.channels_last if self.config.training.channels_last else torch.contiguous_format
        network = build_network(self.config, self.tasks)
        if self.processes.world > 1 and self.device.type == "cuda":  # there is no synchronized batch norm on the CPU
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return network.to(self.device, memory_format=memory)  # type: ignore[call-overload,no-any-return]

    def start(self, network: Network) -> str:
        """Puts what another run learned into a network; in words which parts, empty where nothing was asked for.

        Raises:
            CheckpointError: The file of ``model.start`` cannot be read, or holds no part of this network.
        """
        if self.config.model.start is None:
            return ""
        taken, left = load_parts(network, Path(self.config.model.start))
        new = f"; new: {', '.join(left)}" if left else ""
        return f"starts from {self.config.model.start}: {', '.join(taken)}{new}"

    def problem(self, network: Network) -> NetworkProblem:
        """The network as a problem, with the method built on it."""
        training = self.config.training
        problem = build_problem(network, self.tasks, precision=training.precision, compiled=training.compile)
        self.method.build(problem, adamw_factory(training))
        return problem

    def task_line(self, task: AnyTask) -> str:
        """A task's classes and labels, for people."""
        learned = sum(says(task, sample, training=True) for sample in self.cohort.training)
        held = sum(says(task, sample, training=False) for sample in self.cohort.validation)
        what = f"task {task.name} ({task.kind}; {', '.join(task.classes)})"
        return f"{what}: {learned} labelled training samples, {held} labelled validation samples"


def check_compiler() -> None:
    """Refuses to compile a network for a CPU where there is no C++ compiler, which torch.compile would find out late.

    Raises:
        ConfigError: There is none.
    """
    words = shlex.split(os.environ.get("CXX", "")) or ["clang++" if sys.platform == "darwin" else "g++"]
    if shutil.which(words[0]) is None:
        remedy = "install g++, name another compiler in the environment variable CXX, or --set training.compile=false"
        what = "torch.compile needs a C++ compiler on a CPU"
        raise ConfigError(what, where="training.compile", found=f"no program '{words[0]}'", remedy=remedy)


def says(task: AnyTask, sample: Sample, *, training: bool) -> bool:
    """Whether a sample says anything about a task.

    Args:
        task: The task.
        sample: The sample.
        training: To learn from; otherwise, to hold predictions against.
    """
    return task.teaches(sample) if training else task.target.labelled(sample)


@dataclass(frozen=True)
class ViewData:
    """The samples of one view that say something about any of its tasks."""

    tasks: list[AnyTask]
    dataset: ViewDataset


Cache = tuple[str, Path | None]
"""Kind and folder of the cache."""


def view_data(
    setup: Setup, samples: Sequence[Sample], cache: Cache, progress: Progress, *, training: bool
) -> dict[str, ViewData]:
    """The samples as each view shows them; with a memory cache they are read here.

    Args:
        setup: The run.
        samples: The samples of one side.
        cache: Kind and folder.
        progress: Where to say how far it is.
        training: Whether random transforms apply.

    Raises:
        MedmtlError: A sample that cannot be read (memory cache; the others find it when it is shown).
    """
    kind, folder = cache
    found = {}
    for view, tasks in view_tasks(setup.tasks).items():
        # A sample that says nothing about a view's tasks would only cost time.
        mine = [sample for sample in samples if any(says(task, sample, training=training) for task in tasks)]
        targets = [task.target for task in tasks]
        if training:
            targets += [task.side_target for task in tasks if task.side_target is not None]
        dataset = ViewDataset(
            mine,
            setup.config.views[view],
            targets,
            training=training,
            cache=kind,
            cache_dir=folder,
            progress=progress,
            fine=None if training else fine_side(tasks, setup.config.views[view].size),
        )
        found[view] = ViewData(tasks, dataset)
    return found
