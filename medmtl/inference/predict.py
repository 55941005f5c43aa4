"""A network's predictions on samples: one at a time, in the pixels of the view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medmtl.config import RunConfig
from medmtl.data.loading import Batch, ViewDataset, evaluation_loader
from medmtl.data.samples import Sample
from medmtl.geometry import Geometry
from medmtl.inference.exclusions import excluded_places, helpers
from medmtl.inference.looks import task_outputs
from medmtl.inference.network import Network
from medmtl.tasks import AnyTask, Origin


@dataclass(frozen=True)
class Predicted:
    """One sample as one view's tasks see it.

    Attributes:
        sample: The sample.
        geometry: Where the view lies in the original image.
        field: (s, s) field of view.
        image: (s, s, 3) uint8, as the network saw it.
        predictions: By task.
        targets: By task, as the batch holds them.
        excluded: (s, s) by task, where it was told to look for no candidates.
    """

    sample: Sample
    geometry: Geometry
    field: npt.NDArray[np.bool_]
    image: npt.NDArray[np.uint8]
    predictions: Mapping[str, Any]
    targets: Mapping[str, npt.NDArray[Any]]
    excluded: Mapping[str, npt.NDArray[np.bool_]] = dataclass_field(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """Name and patient."""
        return Origin(self.sample.id, "/".join(self.sample.person))


def view_tasks(tasks: Sequence[AnyTask]) -> dict[str, list[AnyTask]]:
    """The tasks of each view."""
    views: dict[str, list[AnyTask]] = {}
    for task in tasks:
        views.setdefault(task.config.view, []).append(task)
    return views


def fine_side(tasks: Sequence[AnyTask], size: int) -> int | None:
    """Side of the finer image that tasks of a view of this size look at besides, None where none does."""
    sides = [task.inference.fine_side(size) for task in tasks if task.inference is not None]
    return max((side for side in sides if side is not None), default=None)


def evaluation_batches(
    samples: Sequence[Sample],
    view: str,
    tasks: Sequence[AnyTask],
    config: RunConfig,
    *,
    targets: bool = True,
    blank: bool = False,
) -> Iterable[Batch]:
    """Every sample once, in order, as a view shows it, without random changes.

    Args:
        samples: The samples.
        view: Name of the view.
        tasks: Tasks of the view.
        config: The run's configuration.
        targets: Whether the tasks' targets are read.
        blank: Accept images that are all black.
    """
    asked = [task.target for task in tasks] if targets else []
    settings = config.views[view]
    dataset = ViewDataset(samples, settings, asked, training=False, blank=blank, fine=fine_side(tasks, settings.size))
    return dataset_batches(dataset, view, config, workers=config.data.workers)


def dataset_batches(dataset: ViewDataset, view: str, config: RunConfig, *, workers: int) -> Iterable[Batch]:
    """Every sample of an evaluation data set once, in order; whole views are larger than the patches of training."""
    settings = config.views[view]
    size = max(1, settings.batch_size // (4 if settings.patch is not None else 1))
    needed = -(-len(dataset) // size)
    return evaluation_loader(dataset, view, batch_size=size, workers=min(workers, needed))


def predict(
    network: Network,
    tasks: Sequence[AnyTask],
    batches: Iterable[Batch],
    samples: Sequence[Sample],
    device: torch.device,
    config: RunConfig,
    *,
    flips: bool = True,
) -> Iterator[Predicted]:
    """Predictions of one view's tasks, sample by sample.

    Args:
        network: The network; put into evaluation mode while the iterator runs.
        tasks: Tasks of the view.
        batches: As :func:`evaluation_batches` gives them.
        samples: The samples that the batches index.
        device: Where the network is.
        config: The run's configuration.
        flips: Whether mirror images are looked at where tasks ask for them.
    """
    was_training = network.training
    network.eval()
    aiding = helpers(tasks, config)
    try:
        for batch in batches:
            placed = batch.to(device, channels_last=config.training.channels_last)
            yield from _predict_batch(network, tasks, aiding, placed, samples, config, flips)
    finally:
        network.train(was_training)


@torch.no_grad()
def _predict_batch(
    network: Network,
    tasks: Sequence[AnyTask],
    aiding: Sequence[AnyTask],
    batch: Batch,
    samples: Sequence[Sample],
    config: RunConfig,
    flips: bool,
) -> list[Predicted]:
    bf16 = config.training.precision == "bf16"
    with torch.autocast(batch.image.device.type, torch.bfloat16) if bf16 else nullcontext():
        outputs = task_outputs(network, [*tasks, *aiding], batch, flips=flips)
    rows = [samples[int(index)] for index in batch.index]
    predictions, places = _predictions([*tasks, *aiding], outputs, batch, rows)
    targets = {name: value.cpu().numpy() for name, value in batch.targets.items()}
    images = (batch.image.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
    fields = batch.field[:, 0].cpu().numpy() > 0
    return [
        Predicted(
            sample=sample,
            geometry=Geometry(*map(int, batch.geometry[row])),
            field=fields[row],
            image=images[row],
            predictions={task.name: predictions[task.name][row] for task in tasks},
            targets={name: values[row] for name, values in targets.items()},
            excluded=places[row],
        )
        for row, sample in enumerate(rows)
    ]


def _predictions(
    tasks: Sequence[AnyTask], outputs: Mapping[str, Any], batch: Batch, samples: Sequence[Sample]
) -> tuple[dict[str, list[Any]], list[dict[str, npt.NDArray[np.bool_]]]]:
    """Predictions by task, those first that others exclude places by; and by sample, the places of each such task."""
    predictions: dict[str, list[Any]] = {}
    places: list[dict[str, npt.NDArray[np.bool_]]] = [{} for _ in samples]
    for task in sorted(tasks, key=lambda task: task.exclusion is not None):
        masks = None
        if task.exclusion is not None:
            masks = excluded_places(task, tasks, predictions, batch, samples)
            for place, mask in zip(places, masks, strict=True):
                place |= {} if mask is None else {task.name: mask}
        predictions[task.name] = task.predictions(outputs[task.name], batch.field, masks)
    return predictions, places


def view_records(predicted: Iterable[Predicted], tasks: Sequence[AnyTask]) -> dict[str, list[Any]]:
    """Records in the pixels of the view, by task: what validation and calibration look at."""
    records: dict[str, list[Any]] = {task.name: [] for task in tasks}
    for item in predicted:
        for task in tasks:
            truth = task.batch_truth(item.targets[task.name])
            record = task.record(item.predictions[task.name], truth, item.field, item.origin)
            if record is not None:
                records[task.name].append(record)
    return records
