"""Which images are evaluated: the rows of a manifest, or of a table of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample, local_path
from medmtl.errors import ManifestError, suggestion
from medmtl.lesionfiles.columns import Columns
from medmtl.lesionfiles.images import EvaluatedImage, ImageIndex, Shape, stem
from medmtl.lesionfiles.limits import FARTHEST

_PLAIN = ("image", "id", "patient", "site", "fov", "width", "height", "split")


def sample_image(sample: Sample) -> EvaluatedImage:
    """The evaluated image of a row of a manifest; patients of different data sets are different persons."""
    return EvaluatedImage(
        id=sample.id,
        place=sample.place,
        patient=f"{sample.dataset}/{sample.patient}",
        site=sample.site,
        picture=sample.image,
        fov=sample.fov,
    )


def mask_names(manifest: Manifest) -> dict[str, str]:
    """What each mask column is called: ``lesions.hard_exudates`` is ``hard_exudates`` where no other column ends so."""
    keys = tuple(dict.fromkeys(column.key for column in manifest.columns if column.kind == "mask"))
    members = [key.rpartition(".")[2] for key in keys]
    return {key: member if members.count(member) == 1 else key for key, member in zip(keys, members, strict=True)}


def excluded_columns(manifest: Manifest, exclude: Sequence[str]) -> dict[str, str]:
    """The mask column of each name that is there; ``anatomy.disc`` is also named by ``disc``, as :func:`mask_names` has it."""
    return {said: key for key, name in mask_names(manifest).items() for said in exclude if said in (key, name)}


def manifest_images(
    manifest: Manifest, split: str | None, exclude: Sequence[str] = ()
) -> tuple[list[Sample], ImageIndex]:
    """The samples of a split and the index of their images; those of the other splits are known and not evaluated.

    Args:
        manifest: The manifest.
        split: The split; None: all rows.
        exclude: Names of mask columns of places without candidates; those that are not there are passed over.

    Raises:
        ManifestError: The split is empty, or two data sets share an id.
        ConfigError: There is no such split.
    """
    samples = list(manifest.select(split))
    if not samples:
        found = ", ".join(sorted({str(sample.split) for sample in manifest.samples}))
        remedy = "choose --split among them, or leave it out for all rows"
        raise ManifestError(f"no image is in the split '{split}'", where=manifest.path, found=found, remedy=remedy)
    others = [sample_image(sample) for sample in manifest.samples if split is not None and sample.split != split]
    keys = excluded_columns(manifest, exclude)
    images = [
        replace(sample_image(sample), excluded={name: sample.masks.get(key) for name, key in keys.items()})
        for sample in samples
    ]
    return samples, ImageIndex.of(images, others)


def table_images(table: Columns, split: str | None, exclude: Sequence[str] = ()) -> ImageIndex:
    """Images of a table with the columns image and optionally id, patient, site, fov, width, height, split.

    Columns of a manifest that say nothing of the image itself (labels, masks, notes) are passed over.

    Args:
        table: As read.
        split: The split; None: all rows.
        exclude: Columns of masks of places without candidates; those that are not there are passed over.

    Raises:
        ManifestError: A column or cell is wrong, or an image is named twice.
    """
    table.require(["image"], "evaluated images")
    strange = [name for name in table.cells if name not in (*_PLAIN, *_PASSED, *exclude) and ":" not in name]
    if strange:
        known = suggestion(strange[0], _PLAIN)
        raise ManifestError("unknown column", where=table.path, found=f"'{strange[0]}'", remedy=known)
    table.filled("image", "name the image in every row")
    places = [name for name in exclude if name in table.cells]
    images = [
        replace(_table_image(table, row, size), excluded={name: table.mask(name, row) for name in places})
        for row, size in enumerate(_sizes(table))
    ]
    if not images:
        raise ManifestError("there is no image", where=table.path, remedy="add a row for each evaluated image")
    splits = [(image, part) for image, part in zip(images, table.column("split"), strict=True)]
    chosen = [image for image, part in splits if split in (None, part)]
    if not chosen:
        found = ", ".join(sorted({part for _, part in splits} - {""})) or "no split"
        remedy = "choose --split among them, or leave it out for all rows"
        raise ManifestError(f"no image is in the split '{split}'", where=table.path, found=found, remedy=remedy)
    return ImageIndex.of(chosen, [image for image, part in splits if split not in (None, part)])


_PASSED = ("dataset", "laterality")


def _sizes(table: Columns) -> list[Shape | None]:
    sides = [table.numbers(name, least=1, far=FARTHEST, optional=True) for name in ("height", "width")]
    half = [row for row, pair in enumerate(zip(*sides, strict=True)) if np.isfinite(pair).sum() == 1]
    table.refuse(half, "width", "and 'height' need each other", "fill both or none")
    return [None if np.isnan(height) else (int(height), int(width)) for height, width in zip(*sides, strict=True)]


def _table_image(table: Columns, row: int, size: Shape | None) -> EvaluatedImage:
    name = table.column("image")[row]
    identity = table.column("id")[row] or stem(name.replace("\\", "/").rsplit("/", 1)[-1])
    fov, folder = table.column("fov")[row], table.path.parent
    return EvaluatedImage(
        id=identity,
        place=table.place(row),
        patient=table.column("patient")[row] or identity,
        site=table.column("site")[row] or None,
        picture=local_path(name, folder),
        fov=local_path(fov, folder) if fov else None,
        size=size,
    )
