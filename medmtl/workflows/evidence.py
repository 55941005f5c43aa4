"""From a trained run and one image to the maps of its classes, in original pixels, with candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from medmtl.data.samples import Sample
from medmtl.evaluation import EvaluationResult
from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.cam import cam_classes, cam_method
from medmtl.explanation.candidates import candidate_table
from medmtl.explanation.measured import measured_lines, measured_of
from medmtl.explanation.scale import LOGIT, ClassScale
from medmtl.explanation.shown import ShownClass
from medmtl.geometry import restore_view
from medmtl.inference.predict import Predicted, evaluation_batches, predict, view_tasks
from medmtl.models import TaskView
from medmtl.tasks import AnyTask
from medmtl.tasks.localization_candidates import barred_places, map_candidates
from medmtl.workflows.trained import TrainedRun, original_field

FLAT = 1.0
"""Standard deviation, in grey levels of 255, under which an image shows nothing and therefore has no evidence."""


def predicted_images(
    trained: TrainedRun, samples: Sequence[Sample], names: Sequence[str]
) -> Iterator[list[tuple[AnyTask, Predicted]]]:
    """For each sample some of a run's tasks with their predictions, whatever views they are trained on.

    Args:
        trained: The run.
        samples: The samples.
        names: Names of the tasks.
    """
    tasks = [task for task in trained.tasks if task.name in names]
    streams = []
    for view, members in view_tasks(tasks).items():
        batches = evaluation_batches(samples, view, members, trained.folder.config, targets=False, blank=True)
        predicted = predict(trained.network, members, batches, samples, trained.device, trained.folder.config)
        streams.append(([*members], predicted))
    for row in zip(*(stream for _, stream in streams), strict=True):
        yield [(task, item) for (members, _), item in zip(streams, row, strict=True) for task in members]


def shown_classes(
    trained: TrainedRun,
    items: Sequence[tuple[AnyTask, Predicted]],
    scales: Mapping[str, Mapping[str, ClassScale]],
    method: str | None,
    eye: Anatomy,
    results: Sequence[EvaluationResult],
) -> list[ShownClass]:
    """The maps of one image, in original pixels, with their candidates and what was measured.

    Args:
        trained: The run.
        items: The image as :func:`predicted_images` gives it.
        scales: By task and class.
        method: A method of pytorch-grad-cam; None for the head's own maps.
        eye: What is known of the eye.
        results: Evaluations of the run.
    """
    found = []
    for task, item in items:
        wanted = scales.get(task.name, {})
        if not wanted:
            continue
        made_by, unit = ("", LOGIT) if method is None else _said(method)
        maps = _evidence(trained, task, item, list(wanted), method)
        for (label, scale), evidence in zip(wanted.items(), maps, strict=True):
            name = f"{task.name} {label}" if len(scales) > 1 else label
            shown = replace(scale, name=name, method=made_by, unit=unit)
            candidates = _candidates(item, evidence, shown, task, eye)
            measured = measured_lines(measured_of(results, task.name, label))
            found.append(ShownClass(shown, _restored(evidence, item), candidates, measured))
    return found


def _said(method: str) -> tuple[str, str]:
    """What files say of the method: its title and source, and the unit of its values."""
    used = cam_method(method, where="--method")
    return f"{used.title} ({used.source})", used.unit


def _evidence(
    trained: TrainedRun, task: AnyTask, item: Predicted, labels: Sequence[str], method: str | None
) -> npt.NDArray[np.float32]:
    """(classes, s, s) logits in the pixels of the view, NaN outside the field and where the image shows nothing."""
    channels = [task.classes.index(label) for label in labels]
    if method is None:
        evidence = item.predictions[task.name].maps[channels]
    else:
        evidence = _cams(trained, task, item, channels, method)
    inside = item.field & (item.image[item.field].std() >= FLAT if item.field.any() else False)
    return np.where(inside, evidence, np.nan).astype(np.float32)


def _cams(
    trained: TrainedRun, task: AnyTask, item: Predicted, channels: Sequence[int], method: str
) -> npt.NDArray[np.float32]:
    windows = cam_method(method, where="--method").windows
    view = TaskView(trained.network, task.name, field=None if windows else field_tensor(item))
    image = torch.from_numpy(item.image.transpose(2, 0, 1).copy()).float().div(255).to(trained.device)
    return np.asarray(cam_classes(view, image[None], method, view.target_layers(), channels)[:, 0])


def field_tensor(item: Predicted) -> torch.Tensor:
    """The field of view of an image's view, (1, 1, s, s)."""
    return torch.from_numpy(item.field)[None, None]


def _restored(evidence: npt.NDArray[np.float32], item: Predicted) -> npt.NDArray[np.float32]:
    # NaN would spread in the interpolation: the field's own edge in original pixels decides instead.
    known = np.isfinite(evidence)
    lowest = float(evidence[known].min()) if known.any() else 0.0
    restored = restore_view(np.where(known, evidence, lowest), item.geometry, fill=np.nan)
    return np.where(original_field(item) & known.any(), restored, np.nan).astype(np.float32)


def _candidates(
    item: Predicted, evidence: npt.NDArray[np.float32], scale: ClassScale, task: Any, eye: Anatomy
) -> pd.DataFrame:
    inside = np.isfinite(evidence)
    settings = task.config.candidates
    barred = barred_places(inside, settings, item.excluded.get(task.name))
    found = map_candidates(np.where(inside, evidence, 0), settings, inside, scale.threshold, barred)
    points = item.geometry.to_original(np.stack([found.x, found.y], axis=1))
    return candidate_table(
        item.sample.id,
        scale,
        x=points[:, 0],
        y=points[:, 1],
        score=found.score,
        area_px=found.area / item.geometry.scale**2,
        anatomy=eye,
    )
