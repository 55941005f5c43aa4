"""How many samples say what: per data set, task and class, with unknown apart from absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medmtl.data.samples import Sample
from medmtl.data.targets import AnyTarget, IndexTarget, LabelTarget, MaskLayer


def class_counts(samples: Sequence[Sample], targets: Sequence[AnyTarget], side: str) -> list[dict[str, Any]]:
    """Counts samples by data set, task and class.

    Args:
        samples: The samples.
        targets: What the tasks ask of a sample.
        side: What the samples are for, as it is to stand in the rows.

    Returns:
        Rows of ``side``, ``dataset``, ``samples``, ``task``, ``class``, ``positive``, ``negative`` and ``unknown``; the
        last three add up to ``samples``. A class of a segmentation is positive where a mask is given (it may be empty)
        and negative where the manifest says ``absent``. Of classes that exclude each other, one is positive.

    Raises:
        ManifestError: A label is outside its classes.
    """
    rows = []
    for dataset in dict.fromkeys(sample.dataset for sample in samples):
        members = [sample for sample in samples if sample.dataset == dataset]
        head = {"side": side, "dataset": dataset, "samples": len(members)}
        for target in targets:
            for name, positive, negative in _classes(target, members):
                counts = {"positive": positive, "negative": negative, "unknown": len(members) - positive - negative}
                rows.append({**head, "task": target.name, "class": name, **counts})
    return rows


def _classes(target: AnyTarget, samples: Sequence[Sample]) -> Iterator[tuple[str, int, int]]:
    if isinstance(target, LabelTarget):
        values = np.array([target.encode(sample) for sample in samples])
        for index, item in enumerate(target.classes):
            yield item.name, int((values[:, index] == 1).sum()), int((values[:, index] == 0).sum())
    elif isinstance(target, IndexTarget):
        found = np.array([target.encode(sample)[0] for sample in samples])
        for index, name in enumerate(target.classes):
            yield name, int((found == index).sum()), int((np.isfinite(found) & (found != index)).sum())
    else:
        for layer in target.layers:
            yield layer.name, *_masks(layer, samples)


def _masks(layer: MaskLayer, samples: Sequence[Sample]) -> tuple[int, int]:
    references = [sample.masks[layer.column] for sample in samples if layer.column in sample.masks]
    absent = sum(reference.absent for reference in references)
    return len(references) - absent, absent
