"""The figures of a localization: image by image for classes and readings, lesion by lesion for maps and tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from medmtl.evaluation import Findings, Matches, lesion_findings
from medmtl.evaluation.lesionpoint import lesion_point
from medmtl.evaluation.sanity import RANDOM
from medmtl.tasks.labels import joined, label_findings, label_row
from medmtl.tasks.localization_config import LocalizationConfig, ReadingConfig
from medmtl.tasks.localization_records import LocalizationRecord, stack_labels, stack_scores
from medmtl.tasks.scenes import Settings


def localization_findings(
    records: Sequence[LocalizationRecord],
    classes: Sequence[str],
    config: LocalizationConfig,
    pairs: Sequence[tuple[str, str]],
    settings: Settings,
) -> Findings:
    """All figures of a data set.

    Args:
        records: The samples of which something is known.
        classes: Classes of the maps.
        config: Says the further labels, the tolerances, and how maps are pooled.
        pairs: Lesions and the classes whose maps are scored against them.
        settings: How figures are computed.
    """
    patients = [record.origin.patient for record in records]
    scores, labels = stack_scores(records, len(classes)), stack_labels(records, len(classes))
    parts = [label_findings(scores, labels, classes, patients, settings)]
    parts.append(_reading_findings(records, classes, config.readings, settings))
    parts += [_lesion_findings(records, *pair, reach, settings) for pair, reach in product(pairs, config.tolerances)]
    parts.append(Findings(notes=tuple(filter(None, (config.pooling_caption, config.candidates.caption)))))
    return joined(parts, labelled=len(records))


def localization_row(
    record: LocalizationRecord, classes: Sequence[str], readings: Sequence[ReadingConfig]
) -> dict[str, float]:
    """Label and probability of each class and reading of one sample, by column.

    Args:
        record: The sample.
        classes: Classes of the maps.
        readings: Further labels that a class's score is held against.
    """
    scores = dict(zip(classes, stack_scores([record], len(classes))[0], strict=True))
    names = [f"{item.map}~{item.column}" for item in readings]
    row = label_row(classes, record.labels, list(scores.values()))
    return row | label_row(names, record.readings, [scores[item.map] for item in readings])


def _reading_findings(
    records: Sequence[LocalizationRecord],
    classes: Sequence[str],
    readings: Sequence[ReadingConfig],
    settings: Settings,
) -> Findings:
    labels = np.array([record.readings for record in records]).reshape(len(records), len(readings))
    kept = [index for index in range(labels.shape[1]) if np.isfinite(labels[:, index]).any()]
    columns = [list(classes).index(readings[index].map) for index in kept]
    names = [f"{readings[index].map}~{readings[index].column}" for index in kept]
    chosen = settings.thresholds or {}
    # A reading has no labels in training: what validation chose for the class whose score is read holds for it too.
    thresholds = {
        name: chosen[readings[index].map]
        for name, index in zip(names, kept, strict=True)
        if readings[index].map in chosen
    }
    return label_findings(
        stack_scores(records, len(classes))[:, columns],
        labels[:, kept],
        names,
        [record.origin.patient for record in records],
        replace(settings, thresholds=thresholds),
        probabilities=False,
    )


def _lesion_findings(
    records: Sequence[LocalizationRecord], lesion: str, label: str, tolerance: float, settings: Settings
) -> Findings:
    images = [record.matches[lesion, label, tolerance] for record in records]
    if all(image is None for image in images):
        return Findings()
    name = (lesion if lesion == label else f"{lesion}~{label}") + (f"+{tolerance:g}px" if tolerance else "")
    patients = [record.origin.patient for record in records]
    found = lesion_findings(
        images,
        groups=patients,
        name=name,
        comparisons=_comparisons(records, lesion, label, tolerance),
        draws=settings.bootstrap,
        seed=settings.seed,
    )
    visible = (settings.evidence or {}).get(label)
    if visible is None:
        return found
    options = {"draws": settings.bootstrap, "seed": settings.seed}
    point = lesion_point(images, visible, name=name, groups=patients, **options)
    return replace(found, metrics=(*found.metrics, *point))


def _comparisons(
    records: Sequence[LocalizationRecord], lesion: str, label: str, tolerance: float
) -> dict[str, list[Matches | None]]:
    """Rows beside the model's: random points, and whatever else the records hold of all images with known lesions."""
    rows = {RANDOM: [record.random.get((lesion, tolerance)) for record in records]}
    names = dict.fromkeys(name for record in records for name, *_ in record.rivals)
    return rows | {name: [record.rivals.get((name, lesion, label, tolerance)) for record in records] for name in names}
