"""From a run of sub-models and a manifest to a table: how much losses rise where lent features are perturbed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from medmtl.data.checks import check_files
from medmtl.data.loading import Batch, ViewDataset, evaluation_loader
from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError
from medmtl.evaluation import bootstrap_mean
from medmtl.files import atomic_write, refilled_folder, remove_litter
from medmtl.inference.predict import view_tasks
from medmtl.models import CooperativeNetwork
from medmtl.optim import Flatness, rise_of
from medmtl.progress import Progress
from medmtl.reporting.balance.flatness_figure import flatness_figure
from medmtl.training.problem import SplitNetworkProblem
from medmtl.workflows.ledger import Look, read_ledger, recorded_look
from medmtl.workflows.trained import TrainedRun, open_trained

DIRECTIONS = {"noise": "gaussian", "worst": "ascent"}
"""What the perturbation is, and the kind of flatness that makes it."""

RADII = (0.05, 0.1, 0.2)
DRAWS = 8
COLUMNS = ("task", "direction", "radius", "loss", "rise", "low", "high", "images")


@dataclass(frozen=True)
class MeasuredFlatness:
    """What was found.

    Attributes:
        table: A row a task, direction and radius: mean loss, its mean rise with an interval over patients, images.
        folder: Where ``flatness.csv``, ``samples.csv`` and ``flatness.svg`` are.
    """

    table: pd.DataFrame
    folder: Path


def measure_flatness(
    run: str | Path,
    manifest: str | Path,
    *,
    radii: Sequence[float] = RADII,
    split: str | None = "val",
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> MeasuredFlatness:
    """Measures S_i(r) = L_i(z_-i + r u) - L_i of every task: how flat its loss is in what the others lend.

    By image, in evaluation mode. Directions u: Gaussian noise (the mean of 8 draws, the same for every run), and the
    steepest ascent of the loss; r is a share of the norm of each feature (of noise, of its root mean square).

    Args:
        run: Run folder of a network with a sub-model a task.
        manifest: Manifest of labelled images.
        radii: The radii r, above 0.
        split: Split; None = every row.
        out: Folder of the results; default: ``evaluation/MANIFEST-SPLIT-flatness`` in the run folder.
        ledger: CSV that looks are recorded in; default: ``ledger.csv`` beside the results' folder.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        ConfigError: The run has no sub-models that lend anything, a radius is not above 0, or no image has a label.
        MedmtlError: What else is wrong with run, manifest or output.
    """
    if not radii:
        raise ConfigError("no radius is given", where="--radius", remedy="give at least one number above 0")
    for radius in radii:
        if not 0 < radius < float("inf"):
            raise ConfigError("out of range", where="--radius", found=radius, remedy="use a number above 0")
    progress = progress or Progress()
    trained = open_trained(run, device)
    network = _lending(trained)
    table = Manifest.read(Path(manifest))
    samples = table.select(split)
    check_files(samples, [task.target for task in trained.tasks])
    folder = (
        Path(out) if out else trained.folder.path / "evaluation" / f"{Path(manifest).stem}-{split or 'all'}-flatness"
    )
    book = Path(ledger) if ledger else folder.parent / "ledger.csv"
    read_ledger(book)
    look = Look.of_run(trained.folder, Path(manifest).name, table.content_hash, split or "all", len(samples))
    problem = SplitNetworkProblem(network, trained.tasks, precision=trained.folder.config.training.precision)
    remove_litter(folder)
    with refilled_folder(folder) as temporary:
        images = progress.track(_images(trained, samples), "perturbing features", len(samples))
        rows = pd.DataFrame(
            [row for number, item in enumerate(images) for row in _rows(problem, number, *item, sorted(set(radii)))]
        )
        if rows.empty:
            remedy = "give a manifest with labels of the run's tasks, or another --split"
            raise ConfigError("no image has a label", where=manifest, found=f"split {split or 'all'}", remedy=remedy)
        found = _summary(rows, trained)
        with recorded_look(book, look):
            for name, frame in (("samples.csv", rows), ("flatness.csv", found)):
                with atomic_write(temporary / name) as path:
                    frame.to_csv(path, index=False, lineterminator="\n")
            with atomic_write(temporary / "flatness.svg") as path:
                path.write_text(flatness_figure(found), encoding="utf-8")
    return MeasuredFlatness(found, folder)


def flatness_lines(table: pd.DataFrame) -> list[str]:
    """The table as text: a line a task, direction and radius.

    Args:
        table: As :class:`MeasuredFlatness` holds it.
    """
    lines = ["rise of the mean loss where the others' features are perturbed; 95 % intervals over patients"]
    for row in table.to_dict("records"):
        share = 100 * row["rise"] / row["loss"] if row["loss"] else float("nan")
        lines.append(
            f"{row['task']}  {row['direction']}  r={row['radius']:g}  loss {row['loss']:.4f}  rise {row['rise']:+.2g} "
            f"({row['low']:+.2g} to {row['high']:+.2g}; {share:+.2g} %)  n={row['images']}"
        )
    return lines


def _lending(trained: TrainedRun) -> CooperativeNetwork:
    network, model = trained.network, trained.folder.config.model
    if not isinstance(network, CooperativeNetwork) or len(trained.tasks) < 2 or network.lenders == "none":
        found = f"model.architecture: {model.architecture}, {len(trained.tasks)} task(s)"
        if isinstance(network, CooperativeNetwork):
            found += f", model.cooperation.lenders: {network.lenders}"
        raise ConfigError(
            "the run has no sub-models that lend features to each other",
            where=trained.folder.path,
            found=found,
            remedy="train two tasks or more with model.architecture: cooperative",
        )
    return network


def _images(trained: TrainedRun, samples: Sequence[Sample]) -> Iterator[tuple[Sample, list[Batch]]]:
    """Each sample as every view shows it."""
    config = trained.folder.config
    streams = []
    for view, members in view_tasks(trained.tasks).items():
        targets = [task.target for task in members]
        dataset = ViewDataset(samples, config.views[view], targets, training=False)
        streams.append(evaluation_loader(dataset, view, batch_size=1, workers=0))
    for sample, *shown in zip(samples, *streams, strict=True):
        yield sample, [batch.to(trained.device, channels_last=config.training.channels_last) for batch in shown]


def _rows(
    problem: SplitNetworkProblem, number: int, sample: Sample, batch: list[Batch], radii: Sequence[float]
) -> Iterator[dict[str, Any]]:
    for task in problem.tasks:
        for direction, kind in DIRECTIONS.items():
            for radius in radii:
                flatness = Flatness(kind, radius, relative=True, mix=1.0, draws=DRAWS)
                found = rise_of(problem, batch, task, flatness, number)
                if found is None:
                    continue
                yield {
                    "sample": sample.id,
                    "patient": "/".join(sample.person),
                    "task": task,
                    "direction": direction,
                    "radius": radius,
                    "loss": found.loss,
                    "rise": found.rise,
                }


def _summary(rows: pd.DataFrame, trained: TrainedRun) -> pd.DataFrame:
    settings = trained.folder.config.evaluation
    found = []
    for (task, direction, radius), part in rows.groupby(["task", "direction", "radius"], sort=False):
        rise = bootstrap_mean(
            part["rise"].to_numpy(), list(part["patient"]), draws=settings.bootstrap, seed=settings.seed
        )
        row = (task, direction, radius, part["loss"].mean(), rise.value, rise.low, rise.high, len(part))
        found.append(dict(zip(COLUMNS, row, strict=True)))
    return pd.DataFrame(found, columns=list(COLUMNS))
