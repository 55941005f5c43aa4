"""Where tasks look for no candidates: the optic disc, as another task of the network sees it or the manifest has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medmtl.config import RunConfig
from medmtl.data.loading import Batch
from medmtl.data.masks import read_mask_for
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, suggestion
from medmtl.geometry import Geometry, take_view
from medmtl.tasks import AnyTask, build_task
from medmtl.tasks.localization_candidates import DiscConfig, field_width, grown

Mask = npt.NDArray[np.bool_]
_DISC = "disc"


def helpers(tasks: Sequence[AnyTask], config: RunConfig) -> list[AnyTask]:
    """Tasks whose predictions others exclude places by, and that are not among these."""
    names = {task.name for task in tasks}
    wanted = dict.fromkeys(task.exclusion.task for task in tasks if task.exclusion is not None and task.exclusion.task)
    return [build_task(name, config.tasks[name], seed=config.evaluation.seed) for name in wanted if name not in names]


def check_exclusions(tasks: Sequence[AnyTask]) -> None:
    """Refuses a disc that no task of the same view can find.

    Raises:
        ConfigError: With the key.
    """
    known = {task.name: task for task in tasks}
    for task in tasks:
        disc = task.exclusion
        if disc is None or disc.task is None:
            continue
        where = f"tasks.{task.name}.candidates.disc"
        other = known.get(disc.task)
        if other is None or other.kind != "segmentation":
            segmentations = [name for name, item in known.items() if item.kind == "segmentation"]
            remedy = suggestion(disc.task, segmentations) if segmentations else "use `column`, or add such a task"
            raise ConfigError(
                "there is no segmentation task of this name", where=where, found=f"'{disc.task}'", remedy=remedy
            )
        if _label(disc) not in other.classes:
            found, remedy = f"'{_label(disc)}'", suggestion(_label(disc), other.classes)
            raise ConfigError(
                f"the task '{disc.task}' has no such class", where=f"{where}.label", found=found, remedy=remedy
            )
        if other.config.view != task.config.view:
            found = f"'{other.config.view}' instead of '{task.config.view}'"
            remedy = "train both on one view"
            raise ConfigError(f"the task '{disc.task}' sees another view", where=where, found=found, remedy=remedy)


def excluded_places(
    task: AnyTask,
    tasks: Sequence[AnyTask],
    predictions: Mapping[str, Sequence[Any]],
    batch: Batch,
    samples: Sequence[Sample],
) -> list[Mask | None]:
    """Where a task looks for no candidates in each view of a batch, (s, s); None where there is no such place.

    Args:
        task: A task that excludes the optic disc.
        tasks: All tasks of the batch.
        predictions: Of those among them that exclude nothing, by name.
        batch: Whole views.
        samples: Its samples, whose masks are read where the manifest has the disc.

    Raises:
        ImageError: A mask cannot be read.
    """
    disc = task.exclusion
    if disc is None:
        return [None] * len(samples)
    if disc.task is None:
        geometries = [Geometry(*map(int, row)) for row in batch.geometry]
        masks = [_listed(disc, *pair) for pair in zip(samples, geometries, strict=True)]
    else:
        other = next(item for item in tasks if item.name == disc.task)
        masks = [_seen(disc, other, prediction) for prediction in predictions[disc.task]]
    widths = [field_width(field) for field in batch.field[:, 0].cpu().numpy() > 0]
    return [
        None if mask is None else grown(mask, disc.margin * width) for mask, width in zip(masks, widths, strict=True)
    ]


def _seen(disc: DiscConfig, task: AnyTask, prediction: Any) -> Mask:
    mask: Mask = task.decide(prediction)[task.classes.index(_label(disc))]  # type: ignore[attr-defined]  # checked before
    return mask


def _listed(disc: DiscConfig, sample: Sample, geometry: Geometry) -> Mask | None:
    reference = sample.masks.get(disc.column or "")
    if reference is None:
        return None
    mask = read_mask_for(reference, (geometry.height, geometry.width), binary=True) > 0
    return take_view(mask.astype(np.uint8), geometry, nearest=True) > 0


def _label(disc: DiscConfig) -> str:
    return disc.label or _DISC
