"""What a run would do, without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from medmtl.config import RunConfig
from medmtl.errors import MedmtlError
from medmtl.progress import Progress
from medmtl.training.stepping import idle_limits
from medmtl.training.windows import ViewFeed, make_feed
from medmtl.workflows.setup import Setup, view_data


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


def dry_run(config: RunConfig) -> DryRun:
    """Says what a run would do: samples, labels, shapes, memory, updates; trains nothing and writes nothing.

    Raises:
        MedmtlError: What cannot be run; also where the first sample of a view cannot be read.
    """
    setup = Setup(config)
    network = setup.network()
    begun = setup.start(network)
    problem = setup.problem(network)
    data = view_data(setup, setup.cohort.training, ("none", None), Progress(quiet=True), training=True)
    feeds = {view: make_feed(item.dataset, view, config, item.tasks) for view, item in data.items()}
    batches = max(feed.stream.batches_per_epoch for feed in feeds.values())
    steps = -(-batches // config.training.accumulation) * config.training.epochs
    parameters = sum(parameter.numel() for _, parameter in problem.named_parameters() if parameter.requires_grad)
    info = setup.method.info
    lines = [
        f"run '{config.name}', seed {config.seed}, on {setup.device}, method {info.name}",
        f"training samples {len(setup.cohort.training)}, validation samples {len(setup.cohort.validation)}",
        *([begun] if begun else []),
        *(setup.task_line(task) for task in setup.tasks),
        *(_view_line(view, feed, config) for view, feed in feeds.items()),
        f"{parameters / 1e6:.2f} M trainable parameters, {steps} updates in {config.training.epochs} epochs",
        f"cost of the method: {info.backward_passes} backward passes per micro-batch; {info.extra_memory}",
        *idle_limits(info, config.training),
    ]
    return DryRun(tuple(lines), steps, parameters)


def _view_line(view: str, feed: ViewFeed, config: RunConfig) -> str:
    settings = config.views[view]
    first = feed.dataset[0]
    if isinstance(error := first.get("error"), MedmtlError):
        raise error
    height, width = first["image"].shape[1:]
    fixed = [feed.dataset.fixed[0][key] for key in first if key != "index"]
    megabytes = len(feed.dataset) * sum(value.nbytes for value in fixed) / 1e6
    return f"view {view}: input {settings.batch_size}x3x{height}x{width}, cache of the training samples about {megabytes:.0f} MB"
