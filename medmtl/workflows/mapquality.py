"""From a run, a manifest with lesion masks and some methods to a table: which map points at the lesions, and is true."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from medmtl.data.checks import check_files
from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample
from medmtl.data.targets import MaskTarget
from medmtl.data.transforms import sample_masks
from medmtl.errors import ConfigError
from medmtl.evaluation import bootstrap_mean
from medmtl.evaluation.mapquality import marked_share, mass_inside, pointing, rank_correlation
from medmtl.explanation.cam import cam_classes, cam_method
from medmtl.explanation.cam.faithfulness import forgotten, road
from medmtl.files import atomic_write, refilled_folder, remove_litter
from medmtl.geometry import restore_view
from medmtl.inference.predict import Predicted
from medmtl.models import TaskView
from medmtl.progress import Progress
from medmtl.tasks.localization import Localization
from medmtl.workflows.evidence import field_tensor, predicted_images
from medmtl.workflows.ledger import Look, read_ledger, recorded_look
from medmtl.workflows.trained import TrainedRun, open_trained, original_field

OWN = "head"  # the name of the head's own maps among methods

MEASURES = {
    "pointing": "share of images whose highest pixel lies in a lesion of the class",
    "mass_inside": "share of the map's positive part that lies in lesions of the class",
    "chance": "share of the field that is lesion: what a constant map gets in both",
    "road": "half of how much more the logit falls without the highest pixels than without the lowest (logits)",
    "randomized": "rank correlation with the map of the same network with weights drawn anew: near 0 is good",
}

COLUMNS = ("method", "task", "lesion", "measure", "value", "low", "high", "images")


@dataclass(frozen=True)
class MapQuality:
    """What was found.

    Attributes:
        table: A row a method, task, lesion and measure: value, low, high, number of images.
        folder: Where ``quality.csv`` and ``samples.csv`` are.
    """

    table: pd.DataFrame
    folder: Path


def map_quality(
    run: str | Path,
    manifest: str | Path,
    *,
    methods: str | Sequence[str] = (OWN,),
    split: str | None = "val",
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> MapQuality:
    """Measures maps against lesion masks, in original pixels, and against the network.

    Only images with a lesion of a class count for it. Look at validation images to choose a method; the look is written
    to the ledger.

    Args:
        run: Run folder.
        manifest: Manifest with masks of lesions.
        methods: ``head`` for the head's own maps, and methods of class activation mapping.
        split: Split; None = every row.
        out: Folder of the results; default: ``evaluation/MANIFEST-SPLIT-maps`` in the run folder.
        ledger: CSV that looks are recorded in; default: ``ledger.csv`` beside the results' folder.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        MedmtlError: What is wrong with run, manifest, methods or output.
    """
    names = list(dict.fromkeys([methods] if isinstance(methods, str) else methods))
    for name in names:
        if name != OWN:
            cam_method(name, where="--method")
    progress = progress or Progress()
    trained = open_trained(run, device)
    table = Manifest.read(Path(manifest))
    samples = _samples(table, split, trained)
    folder = Path(out) if out else trained.folder.path / "evaluation" / f"{Path(manifest).stem}-{split or 'all'}-maps"
    book = Path(ledger) if ledger else folder.parent / "ledger.csv"
    read_ledger(book)
    look = Look.of_run(trained.folder, Path(manifest).name, table.content_hash, split or "all", len(samples))
    remove_litter(folder)
    with refilled_folder(folder) as temporary:
        rows = pd.DataFrame(_rows(trained, samples, names, progress))
        found = _summary(rows, trained)
        with recorded_look(book, look):
            for name, frame in (("samples.csv", rows), ("quality.csv", found)):
                with atomic_write(temporary / name) as path:
                    frame.to_csv(path, index=False, lineterminator="\n")
    return MapQuality(found, folder)


def quality_lines(table: pd.DataFrame) -> list[str]:
    """The table as text: what is measured, then a line a method and lesion.

    Args:
        table: As :class:`MapQuality` holds it.
    """
    lines = [f"{name}: {text}" for name, text in MEASURES.items()]
    for (method, task, lesion), rows in table.groupby(["method", "task", "lesion"], sort=False):
        cells = zip(rows["measure"], rows["value"], rows["low"], rows["high"], strict=True)
        said = [f"{measure} {_text(float(value), float(low), float(high))}" for measure, value, low, high in cells]
        lines.append(f"{method}  {task} {lesion}  n={rows['images'].max()}  " + "  ".join(said))
    return lines


def _text(value: float, low: float, high: float) -> str:
    return (
        "undefined"
        if math.isnan(value)
        else f"{value:.3f}" + ("" if math.isnan(low) else f" ({low:.3f} to {high:.3f})")
    )


def _samples(table: Manifest, split: str | None, trained: TrainedRun) -> tuple[Sample, ...]:
    tasks = _tasks(trained)
    columns = {column for task in tasks for _, _, target in _lesions(task) for column in target.columns}
    samples = tuple(sample for sample in table.select(split) if columns & set(sample.masks))
    if not samples:
        what = f"no image of the split '{split or 'all'}' has a lesion mask that the run knows"
        raise ConfigError(
            what, where=table.path, found=", ".join(sorted(columns)), remedy="give mask:COLUMN of lesions"
        )
    check_files(samples, [target for task in tasks for _, _, target in _lesions(task)])
    return samples


def _tasks(trained: TrainedRun) -> list[Localization]:
    tasks = [task for task in trained.tasks if isinstance(task, Localization)]
    if not tasks:
        remedy = "train with a localization task"
        raise ConfigError("the run has no task that gives maps", where=trained.folder.path, remedy=remedy)
    return tasks


def _lesions(task: Localization) -> Iterator[tuple[str, str, MaskTarget]]:
    """Each lesion, the class whose map is held against it, and its masks."""
    masks = [target for target in task.truth_targets if isinstance(target, MaskTarget)]
    named = {target.layers[0].name: target for target in masks}
    for lesion, target in named.items():
        config = task.config.lesions.get(lesion)
        for label in (config.maps if config else []) or [lesion]:
            yield lesion, label, target


def _rows(
    trained: TrainedRun, samples: Sequence[Sample], names: Sequence[str], progress: Progress
) -> list[dict[str, Any]]:
    fresh = forgotten(trained.network, trained.folder.config.seed)
    tasks = _tasks(trained)
    rows: list[dict[str, Any]] = []
    images = predicted_images(trained, samples, [task.name for task in tasks])
    for items in progress.track(images, "measuring maps", len(samples)):
        for task, item in items:
            rows += _image_rows(trained, fresh, task, item, names)
    return rows


def _marked(task: Any, item: Predicted) -> Iterator[tuple[tuple[str, str], Any]]:
    """Masks of the lesions that the image has, in original pixels."""
    shape = (item.geometry.height, item.geometry.width)
    for lesion, label, target in _lesions(task):
        found = list(sample_masks(item.sample, target, shape).values())
        if found and np.any(found):
            yield (lesion, label), np.any(found, axis=0)


def _image_rows(
    trained: TrainedRun, fresh: nn.Module, task: Any, item: Predicted, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    masks = dict(_marked(task, item))
    if not masks:
        return
    channels = list(dict.fromkeys(task.classes.index(label) for _, label in masks))
    view, other = (TaskView(one, task.name, field=field_tensor(item)) for one in (trained.network, fresh))
    image = torch.from_numpy(item.image.transpose(2, 0, 1).copy()).float().div(255).to(trained.device)
    # The head's own maps as they are shown, of several looks at the image where the task takes them.
    shown = {OWN: {channel: item.predictions[task.name].maps[channel] for channel in channels}}
    shown |= {name: _maps(view, image, name, channels, item.field) for name in names if name != OWN}
    redrawn = {name: _maps(other, image, name, channels, item.field) for name in names}
    for (lesion, label), mask in masks.items():
        channel = task.classes.index(label)
        for name in names:
            evidence = shown[name][channel]
            yield {
                "sample": item.sample.id,
                "patient": "/".join(item.sample.person),
                "method": name,
                "task": task.name,
                "lesion": lesion if lesion == label else f"{lesion}~{label}",
                **_pointed(item, evidence, mask),
                "road": road(view, image, evidence, item.field, channel=channel),
                "randomized": rank_correlation(evidence, redrawn[name][channel], item.field),
            }


def _pointed(item: Predicted, evidence: Any, mask: Any) -> dict[str, float]:
    restored, field = restore_view(evidence, item.geometry), original_field(item)
    return {
        "pointing": pointing(restored, mask, field),
        "mass_inside": mass_inside(restored, mask, field),
        "chance": marked_share(mask, field),
    }


@torch.no_grad()
def _maps(view: TaskView, image: torch.Tensor, name: str, channels: Sequence[int], field: Any) -> dict[int, Any]:
    """By class, (s, s) in the pixels of the view."""
    if name != OWN:
        seen = TaskView(view.network, view.task) if cam_method(name, where="--method").windows else view
        found = cam_classes(seen, image[None], name, view.target_layers(), channels)
        return dict(zip(channels, found[:, 0], strict=True))
    valid = torch.from_numpy(field)[None, None].to(image.device)
    maps = view.network.eval()(image[None], [view.task], valid=valid)[view.task].maps
    own = nn.functional.interpolate(maps.float(), size=tuple(image.shape[-2:]), mode="bilinear")[0].cpu().numpy()
    return {channel: own[channel] for channel in channels}


def _summary(rows: pd.DataFrame, trained: TrainedRun) -> pd.DataFrame:
    settings = trained.folder.config.evaluation
    found: list[dict[str, Any]] = []
    for (method, task, lesion), part in rows.groupby(["method", "task", "lesion"], sort=False):
        for measure in MEASURES:
            value = bootstrap_mean(
                part[measure].to_numpy(), list(part["patient"]), draws=settings.bootstrap, seed=settings.seed
            )
            row = (method, task, lesion, measure, value.value, value.low, value.high, int(part[measure].count()))
            found.append(dict(zip(COLUMNS, row, strict=True)))
    return pd.DataFrame(found, columns=list(COLUMNS))
