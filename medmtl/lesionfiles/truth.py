"""How a truth is opened, by what it is: masks of a manifest or a folder, a table of shapes, or a COCO file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medmtl.data.manifest import Manifest
from medmtl.data.samples import MaskReference
from medmtl.errors import ConfigError, ManifestError, suggestion
from medmtl.lesionfiles.cocotruth import coco_truth
from medmtl.lesionfiles.columns import Columns, read_columns, read_json
from medmtl.lesionfiles.exclusion import with_discs
from medmtl.lesionfiles.images import ImageIndex, with_pictures
from medmtl.lesionfiles.imagetable import manifest_images, table_images
from medmtl.lesionfiles.lesiontruth import Truth
from medmtl.lesionfiles.masktruth import FolderReading, MissingMasks, folder_truth, manifest_truth, mask_files
from medmtl.lesionfiles.shapetruth import table_truth

WHAT = "truth"


@dataclass(frozen=True)
class TruthOptions:
    """How a truth is read.

    Attributes:
        images: Table or manifest of the evaluated images; None: those that the truth names.
        split: Split of the manifest or table of images; None: all rows.
        pictures: Folder in which pictures are looked for by id where nothing else says where they are.
        missing_masks: What it means that a folder has no mask of a class for an image.
        lesion_values: Which values of a folder's masks mean a lesion: ``any``, ``=N`` or ``>=N``; None: 1 or 255.
        exclude: Masks of places where no candidate counts: mask columns of a manifest, classes of a folder of masks, or
            columns of the table of images.
        ignore: Masks of findings that count neither way, ``[CLASS=]NAME``: mask columns of a manifest, or classes of a
            folder of masks.
        anatomy: Table of eyes that tells the disc, where that is excluded.
    """

    images: Path | None = None
    split: str | None = None
    pictures: Path | None = None
    missing_masks: MissingMasks = "refuse"
    lesion_values: str | None = None
    exclude: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    anatomy: Path | None = None


def open_truth(path: Path, options: TruthOptions) -> Truth:
    """Reads the truth, recognized by what it is: a folder, a COCO file, a manifest with masks, or a table of shapes.

    Raises:
        ManifestError: It cannot be read, or is none of these.
        ConfigError: An option does not go with it.
        ImageError: A folder lacks what it needs.
        EvaluationError: A folder's masks are missing and that is refused.
    """
    truth = _opened(path, options)
    if not truth.index.images:
        remedy = "name the evaluated images, also those without lesions, by --images"
        raise ManifestError("the truth names no image", where=path, remedy=remedy)
    if options.anatomy is not None:
        index = with_discs(truth.index, options.anatomy, options.exclude)
        truth = replace(truth, index=index, files=(*truth.files, options.anatomy))
    _check_excluded(truth, options.exclude)
    told = [mask for image in truth.index.images for mask in image.excluded.values()]
    places = [mask for mask in told if isinstance(mask, MaskReference)]
    truth = replace(truth, files=(*truth.files, *mask_files(places)))
    if options.pictures is not None:
        return replace(truth, index=with_pictures(truth.index, options.pictures))
    return truth


def _opened(path: Path, options: TruthOptions) -> Truth:
    if path.is_dir():
        images = _images(options)
        reading = FolderReading(options.missing_masks, options.lesion_values, options.exclude, options.ignore)
        return folder_truth(path, images, reading)
    _refuse_for_files(options)
    if path.suffix.lower() == ".json":
        _refuse_ignore(options, "write 1 under ignore beside the annotation, or record")
        content = read_json(path, WHAT)
        if isinstance(content, dict) and "annotations" in content:
            return coco_truth(path, content, _images(options), options.pictures or path.parent)
        return table_truth(read_columns(path, WHAT, ("lesions",)), _images(options))
    table = read_columns(path, WHAT)
    if not _is_manifest(table):
        _refuse_ignore(options, "write 1 in a column ignore of the table")
        return table_truth(table, _images(options))
    if options.images is not None:
        remedy = "leave --images, or choose rows by --split"
        raise ConfigError("a manifest names its images itself", where="--images", found=options.images, remedy=remedy)
    return manifest_truth(Manifest.read(path), options.split, options.exclude, options.ignore)


def _refuse_ignore(options: TruthOptions, remedy: str) -> None:
    if options.ignore:
        found = ", ".join(options.ignore)
        raise ConfigError(
            "findings to be ignored as masks need a truth of masks", where="--ignore", found=found, remedy=remedy
        )


def _check_excluded(truth: Truth, exclude: Sequence[str]) -> None:
    """Refuses a place that no image could have a mask of."""
    for name in exclude:
        if name not in truth.index.images[0].excluded:
            near = suggestion(name, truth.classes)
            hint = f"{near} " if near.startswith("did you mean") else ""
            remedy = (
                f"{hint}name a mask column of the manifest, a class of the folder of masks, or a column of --images"
            )
            raise ConfigError("no such mask", where="--exclude", found=f"'{name}'", remedy=remedy)


def _is_manifest(table: Columns) -> bool:
    """A manifest has columns with a colon, or an image column without the class that a table of lesions needs."""
    return any(":" in name for name in table.cells)


def _images(options: TruthOptions) -> ImageIndex | None:
    """The table of images, or None without one."""
    if options.images is None:
        if options.split is not None:
            remedy = "give a manifest as truth, or a table of images with a column split by --images"
            raise ConfigError("there is no split", where="--split", found=options.split, remedy=remedy)
        return None
    table = read_columns(options.images, "table of images", ("images",))
    if _is_manifest(table):
        return manifest_images(Manifest.read(options.images), options.split, options.exclude)[1]
    return table_images(table, options.split, options.exclude)


def _refuse_for_files(options: TruthOptions) -> None:
    """Options that only a folder of masks understands."""
    given: dict[str, Any] = {
        "--missing-masks": options.missing_masks != "refuse",
        "--lesion-values": options.lesion_values,
    }
    for name, value in given.items():
        if value:
            remedy = "leave it; a manifest says it in its cells (absent, empty, PATH#>=N)"
            raise ConfigError("this option is for a folder of masks", where=name, remedy=remedy)
