"""What can be known to be wrong before training starts: files that are missing, tasks with nothing to learn from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from medmtl.config import ViewConfig
from medmtl.data.samples import MaskReference, Sample
from medmtl.data.targets import AnyTarget, IndexTarget, LabelTarget, MaskTarget
from medmtl.errors import ConfigError, ImageError, suggestion


def check_files(samples: Iterable[Sample], targets: Iterable[AnyTarget]) -> None:
    """Refuses samples whose image, field of view or mask is not there; nothing is opened.

    Args:
        samples: The samples.
        targets: Whose mask columns are looked at.

    Raises:
        ImageError: With the manifest's line, and how many files are missing in all.
    """
    columns = {column for target in targets if isinstance(target, MaskTarget) for column in target.columns}
    missing = [
        (sample, what, path)
        for sample in samples
        for what, path in _files(sample, columns)
        if not os.path.isfile(path)  # noqa: PTH113
    ]
    if not missing:
        return
    sample, what, path = missing[0]
    folder = _instead(path)
    more = f" (and {len(missing) - 1} more are missing)" if len(missing) > 1 else ""
    remedy = "check the path: it is relative to the manifest; `medmtl data inspect` lists all that is wrong"
    raise ImageError(f"the {what} does not exist", where=sample.place, found=f"{folder}: {path}{more}", remedy=remedy)


def _files(sample: Sample, columns: Iterable[str]) -> Iterator[tuple[str, Path]]:
    yield "image", sample.image
    if sample.fov is not None:
        yield "field-of-view mask", sample.fov
    for column in columns:
        reference = sample.masks.get(column)
        if reference is not None and reference.path is not None:
            yield f"mask '{column}'", _one_file(reference)


def _instead(path: Path) -> str:
    # os.path says no where pathlib raises: a name may be too long for any file.
    if os.path.isdir(path):  # noqa: PTH112
        return "the path is a folder"
    return "a device or a pipe, not a file" if os.path.exists(path) else "no such file"  # noqa: PTH110


def _one_file(reference: MaskReference) -> Path:
    path = reference.path or Path()
    return next(path.parent.glob(path.name), path) if "*" in path.name else path


def check_view(name: str, view: ViewConfig, whole: Sequence[str], quota: int) -> None:
    """Refuses a view that cannot serve its tasks.

    Args:
        name: The view.
        view: Its settings.
        whole: Its tasks that learn from labels of whole images.
        quota: Most labelled samples that one of its tasks wants in each batch.

    Raises:
        ConfigError: Patches for image-level labels, or more labelled samples wanted than a batch holds.
    """
    if view.patch is not None and whole:
        what = f"the task '{whole[0]}' learns from labels of whole images, and a patch may not show what they say"
        remedy = "give the task a view without `patch` (a localization with `masks` may have `label_weight: 0` instead)"
        raise ConfigError(what, where=f"views.{name}.patch", found=view.patch, remedy=remedy)
    if quota > view.batch_size:
        what = "a task wants more labelled samples in a batch than it holds"
        remedy = f"set batch_size to {quota} or more, or lower the task's min_per_batch"
        raise ConfigError(what, where=f"views.{name}.batch_size", found=f"{quota} in {view.batch_size}", remedy=remedy)


def check_labels(samples: Sequence[Sample], targets: Iterable[AnyTarget], others: Iterable[Sample] = ()) -> None:
    """Refuses a task that has nothing to learn from, before training starts.

    Args:
        samples: What is learned from.
        targets: What the tasks ask for.
        others: Further samples (validation) whose labels must only be valid.

    Raises:
        ConfigError: A task without a labelled training sample, or a class that is never present or never absent.
        ManifestError: A label outside its classes.
    """
    others = list(others)
    for target in targets:
        labelled = [sample for sample in samples if target.labelled(sample)]
        if not labelled:
            raise _unlabelled(samples, target)
        if isinstance(target, MaskTarget):
            _check_masks(target, labelled)
        else:
            _check_classes(target, labelled)
            for sample in others:
                target.encode(sample)


def _unlabelled(samples: Sequence[Sample], target: AnyTarget) -> ConfigError:
    masks = isinstance(target, MaskTarget)
    kind = "mask" if masks else "label"
    known = {key for sample in samples for key in (sample.masks if masks else sample.labels)}
    column = target.columns[0]
    remedy = f"fill the column {kind}:{column}, name the right `column` ({suggestion(column, known)}), or drop the task"
    return ConfigError("the task has no labelled training sample", where=f"tasks.{target.name}", remedy=remedy)


def _check_masks(target: MaskTarget, labelled: Sequence[Sample]) -> None:
    for layer in target.layers:
        references = [sample.masks[layer.column] for sample in labelled if layer.column in sample.masks]
        if all(reference.absent for reference in references):
            raise _absent(
                target, layer.name, "is absent from all training samples", f"fill the column mask:{layer.column}"
            )


def _check_classes(target: LabelTarget | IndexTarget, labelled: Sequence[Sample]) -> None:
    labels = np.stack([target.encode(sample) for sample in labelled])
    if isinstance(target, IndexTarget):
        missing = [name for index, name in enumerate(target.classes) if not (labels == index).any()]
        problem = "is absent from all training samples"
    else:
        both = [(column == 1).any() and (column == 0).any() for column in labels.T]
        missing = [item.name for item, fine in zip(target.classes, both, strict=True) if not fine]
        problem = "has not both answers, yes and no, among the training samples"
    if missing:
        raise _absent(target, missing[0], problem, "add samples of it")


def _absent(target: AnyTarget, name: str, problem: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"the class '{name}' {problem}", where=f"tasks.{target.name}", remedy=f"{remedy}, or drop the class"
    )
