"""From manifests to the samples that a run learns from and those that select."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medmtl.config import DataConfig
from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample
from medmtl.data.splits import split_by_patient
from medmtl.errors import ConfigError, ManifestError, suggestion


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

    A row without a split is a training row.

    Raises:
        ConfigError: No manifest, one given twice, no sample in the training split, or an excluded patient that is not
            there.
        ManifestError: A manifest cannot be read, or a patient or an image is on two sides.
    """
    manifests, further = _read_manifests(config)
    samples = [_placed(sample, config) for manifest in manifests for sample in manifest.samples]
    kept = _without(samples, config.exclude_patients)
    check_sides(kept)
    training = [sample for sample in kept if sample.split == config.train_split]
    validation = [sample for sample in kept if sample.split == config.validation_split != config.train_split]
    if not training:
        found = ", ".join(sorted({str(sample.split) for sample in kept})) or "no sample at all"
        remedy = "fill the column split, or name another data.train_split"
        raise ConfigError(
            f"no sample is in the training split '{config.train_split}'",
            where="data.train_split",
            found=found,
            remedy=remedy,
        )
    if not validation and config.validation_fraction > 0:
        training, validation = hold_out(training, config.validation_fraction, config.validation_seed)
    training += _only_learned_from(further, [*kept, *validation], validation, config)
    check_sides([*training, *(replace(sample, split="val") for sample in validation)])
    paths = [*config.manifests, *config.training_manifests]
    hashes = {str(path): manifest.content_hash for path, manifest in zip(paths, [*manifests, *further], strict=True)}
    return Cohort(tuple(training), tuple(validation), hashes)


def _only_learned_from(
    manifests: Sequence[Manifest], others: Sequence[Sample], validation: Sequence[Sample], config: DataConfig
) -> list[Sample]:
    """The training rows of further manifests, without people and images that the others do not learn from."""
    apart = [*validation, *(sample for sample in others if sample.split != config.train_split)]
    people, images = ({sample.person for sample in apart}, {os.path.normpath(sample.image) for sample in apart})
    placed = [_placed(sample, config) for manifest in manifests for sample in manifest.samples]
    return [
        sample
        for sample in placed
        if sample.split == config.train_split
        and sample.patient not in config.exclude_patients
        and sample.person not in people
        and os.path.normpath(sample.image) not in images
    ]


def _read_manifests(config: DataConfig) -> tuple[list[Manifest], list[Manifest]]:
    """Those that train and validate, and those that are only learned from."""
    if not config.manifests:
        raise ConfigError("no manifest is given", where="data.manifests", remedy="--set 'data.manifests=[M.csv]'")
    seen: set[Path] = set()
    for path in [*config.manifests, *config.training_manifests]:
        if path.resolve() in seen:
            raise ConfigError("a manifest is given twice", where="data.manifests", found=path, remedy="name it once")
        seen.add(path.resolve())
    return [Manifest.read(path) for path in config.manifests], [
        Manifest.read(path) for path in config.training_manifests
    ]


def _placed(sample: Sample, config: DataConfig) -> Sample:
    return sample if sample.split is not None else replace(sample, split=config.train_split)


def _without(samples: Sequence[Sample], patients: Sequence[str]) -> list[Sample]:
    known = {sample.patient for sample in samples}
    for patient in patients:
        if patient not in known:  # a typing error here would leave somebody in
            remedy = suggestion(patient, sorted(known)[:20])
            raise ConfigError("no such patient", where="data.exclude_patients", found=f"'{patient}'", remedy=remedy)
    return [sample for sample in samples if sample.patient not in patients]


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


def check_sides(samples: Iterable[Sample]) -> None:
    """Refuses a patient, or an image file, that stands in two splits, also across manifests.

    Raises:
        ManifestError: With both places.
    """
    places: dict[tuple[str, object], Sample] = {}
    for sample in samples:
        for kind, key in (("image", os.path.normpath(sample.image)), ("patient", sample.person)):
            other = places.setdefault((kind, key), sample)
            if other.split != sample.split:
                found = f"{other.split} in {other.place}, {sample.split} in {sample.place}"
                name = sample.image.name if kind == "image" else sample.patient
                remedy = "keep all images of a person on one side; a row without a split is a training row"
                raise ManifestError(
                    f"the {kind} '{name}' is in two splits", where=sample.place, found=found, remedy=remedy
                )
