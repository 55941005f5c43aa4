"""From manifests to the samples that a run learns from and those that select."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medmtl.config import DataConfig
from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample
from medmtl.data.splits import split_by_patient
from medmtl.data.targets import IndexTarget, LabelTarget, MaskTarget
from medmtl.errors import ConfigError, ManifestError

AnyTarget = MaskTarget | LabelTarget | IndexTarget


@dataclass(frozen=True)
class Cohort:
    """The samples of a run.

    Attributes:
        training: What it learns from.
        validation: What selects; may be empty.
        manifest_hashes: Content hash by manifest path.
    """

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    manifest_hashes: dict[str, str]


def read_cohort(config: DataConfig) -> Cohort:
    """Reads the manifests of a run and makes its validation set where they name none.

    Raises:
        ConfigError: No manifest, or no sample in the training split.
        ManifestError: A manifest cannot be read, or two manifests put a patient on both sides.
    """
    if not config.manifests:
        raise ConfigError("no manifest is given", where="data.manifests", remedy="--set 'data.manifests=[M.csv]'")
    manifests = [Manifest.read(path) for path in config.manifests]
    samples = [sample for manifest in manifests for sample in manifest.samples]
    check_patients(samples)
    excluded = set(config.exclude_patients)
    kept = [sample for sample in samples if sample.patient not in excluded]
    training = [sample for sample in kept if sample.split in {config.train_split, None}]
    validation = [sample for sample in kept if sample.split == config.validation_split != config.train_split]
    if not training:
        splits = sorted({str(sample.split) for sample in kept})
        raise ConfigError(f"no sample is in the training split '{config.train_split}'", where="data.train_split", found=", ".join(splits))
    if not validation and config.validation_fraction > 0:
        training, validation = hold_out(training, config.validation_fraction, config.validation_seed)
    hashes = {str(path): manifest.content_hash for path, manifest in zip(config.manifests, manifests, strict=True)}
    return Cohort(tuple(training), tuple(validation), hashes)


def hold_out(samples: Sequence[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Takes a share of each data set's patients out for validation, stratified by labels, both eyes together."""
    training: list[Sample] = []
    validation: list[Sample] = []
    for dataset in dict.fromkeys(sample.dataset for sample in samples):
        members = [sample for sample in samples if sample.dataset == dataset]
        keys = sorted({key for sample in members for key in sample.labels})
        for sample in split_by_patient(members, {"train": 1 - fraction, "val": fraction}, seed, stratify_by=keys):
            (validation if sample.split == "val" else training).append(sample)
    return training, validation


def check_patients(samples: Iterable[Sample]) -> None:
    """Refuses a patient, or an image file, that several manifests put on two sides.

    Raises:
        ManifestError: With both places.
    """
    seen: dict[Path, Sample] = {}
    for sample in samples:
        other = seen.setdefault(sample.image, sample)
        if other.split != sample.split:
            found = f"{other.split} in {other.place}, {sample.split} in {sample.place}"
            raise ManifestError("an image is in two splits", where=sample.image, found=found, remedy="keep it on one side")


def check_labels(samples: Sequence[Sample], targets: Iterable[AnyTarget]) -> None:
    """Refuses a task that has nothing to learn from, before training starts.

    Raises:
        ConfigError: A task without a labelled training sample, or a class that is never present or never absent.
        ManifestError: A label outside its classes.
    """
    for target in targets:
        where = f"tasks.{target.name}"
        labelled = [sample for sample in samples if target.labelled(sample)]
        if not labelled:
            raise ConfigError("the task has no labelled training sample", where=where, remedy="name the right `column`, or drop the task")
        if isinstance(target, MaskTarget):
            _check_masks(target, labelled, where)
        else:
            _check_classes(target, labelled, where)


def _check_masks(target: MaskTarget, labelled: Sequence[Sample], where: str) -> None:
    for layer in target.layers:
        references = [sample.masks[layer.column] for sample in labelled if layer.column in sample.masks]
        if all(reference.absent for reference in references):
            remedy = f"fill the column mask:{layer.column}, or drop the class"
            raise ConfigError(f"the class '{layer.name}' is absent from all training samples", where=where, remedy=remedy)


def _check_classes(target: LabelTarget | IndexTarget, labelled: Sequence[Sample], where: str) -> None:
    labels = np.stack([target.encode(sample) for sample in labelled])
    if isinstance(target, IndexTarget):
        missing = [name for index, name in enumerate(target.classes) if not (labels == index).any()]
        problem = "is absent from all training samples"
    else:
        both = [(column == 1).any() and (column == 0).any() for column in labels.T]
        missing = [item.name for item, fine in zip(target.classes, both, strict=True) if not fine]
        problem = "has not both answers, yes and no, among the training samples"
    if missing:
        raise ConfigError(f"the class '{missing[0]}' {problem}", where=where, remedy="drop the class, or add samples of it")
