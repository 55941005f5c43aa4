"""Truth as masks: the mask columns of a manifest, or a folder with a mask for each image and class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from medmtl.data.manifest import Manifest
from medmtl.data.reading import IMAGE_SUFFIXES, read_image_info
from medmtl.data.samples import MaskReference
from medmtl.errors import ConfigError, EvaluationError, ImageError, ManifestError
from medmtl.evaluation import Targets, lesion_targets
from medmtl.lesionfiles.encoding import Mask, read_lesion_mask
from medmtl.lesionfiles.ignoring import ignored_findings, unknown_ignored
from medmtl.lesionfiles.images import EvaluatedImage, ImageIndex, Shape, stem
from medmtl.lesionfiles.imagetable import excluded_columns, manifest_images, mask_names
from medmtl.lesionfiles.lesiontruth import Field, Truth
from medmtl.lesionfiles.naming import listed, name_of, unplaced

MissingMasks = Literal["refuse", "absent", "unknown"]
_SAY_MANIFEST = "say in the manifest what means a lesion: PATH#any, PATH#=N or PATH#>=N"
_SAY_FOLDER = "say what means a lesion: --lesion-values any, =N or >=N"


@dataclass(frozen=True)
class MaskTruth(Truth):
    """Lesions as masks.

    Attributes:
        masks: The mask of each image number and class; none = not known.
        remedy: How the user says what a mask's values mean.
        ignored: Findings that count neither way: the class that they are ignored for (none: every class), and the name of
            their masks.
    """

    masks: Mapping[tuple[int, str], MaskReference]
    remedy: str
    ignored: tuple[tuple[str, str], ...] = ()

    def shape(self, number: int) -> Shape | None:
        """Height and width of an image, by its picture, its field of view, or one of its masks; None: not known.

        Raises:
            ImageError: A file is broken.
        """
        shape = super().shape(number)
        if shape is not None:
            return shape
        paths = [self.masks[key].path for key in ((number, label) for label in self.classes) if key in self.masks]
        path = next((path for path in paths if path is not None and path.suffix.lower() in IMAGE_SUFFIXES), None)
        if path is None:
            return None
        info = read_image_info(path)
        return info.height, info.width

    def targets(
        self, number: int, classes: Sequence[str], shape: Shape, field: Field | None, min_area: int
    ) -> Targets | None:
        """Lesions of an image: the components of the mask, or of the union of several; None where one is not known.

        Raises:
            ImageError: A mask cannot be read, has another size, or holds values of unknown meaning.
        """
        references = [self.masks.get((number, label)) for label in classes]
        if any(reference is None for reference in references):
            return None
        masks = [read_lesion_mask(reference, shape, self.remedy) for reference in references if reference is not None]
        return lesion_targets(np.maximum.reduce(masks), field, min_area, self._irrelevant(number, classes, shape))

    def _irrelevant(self, number: int, classes: Sequence[str], shape: Shape) -> Mask | None:
        """Findings of an image that are ignored for any of the classes; None where none is known."""
        names = [name for label, name in self.ignored if not label or label in classes]
        found = [self.masks[number, name] for name in names if (number, name) in self.masks]
        return np.maximum.reduce([read_lesion_mask(one, shape, self.remedy) for one in found]) if found else None


def manifest_truth(
    manifest: Manifest, split: str | None, exclude: Sequence[str] = (), ignore: Sequence[str] = ()
) -> MaskTruth:
    """The mask columns of a manifest; an empty cell is not known, ``absent`` is an image without the lesion.

    Args:
        manifest: The manifest; a class is called as :func:`mask_names` calls its column.
        split: The split; None: all rows.
        exclude: Mask columns of places without candidates; they are no classes of lesions.
        ignore: Mask columns of findings that count neither way, ``[CLASS=]NAME``; they are no classes either.

    Raises:
        ConfigError: There is no such mask, or no such class.
        ManifestError: There is no mask column or no image of the split, or two data sets share an id.
    """
    samples, index = manifest_images(manifest, split, exclude)
    apart = set(excluded_columns(manifest, exclude).values())
    names = {key: name for key, name in mask_names(manifest).items() if key not in apart}
    ignored, classes = ignored_findings(ignore, tuple(names.values()), names)
    if not classes:
        found = ", ".join(column.header for column in manifest.columns)
        remedy = "add a column mask:CLASS for each class of lesions, or give a table of boxes, circles or points"
        raise ManifestError("a manifest without masks is no truth", where=manifest.path, found=found, remedy=remedy)
    masks = {
        (number, names[key]): reference
        for number, sample in enumerate(samples)
        for key, reference in sample.masks.items()
        if key in names
    }
    return MaskTruth(
        kind="masks of a manifest",
        index=index,
        classes=classes,
        files=(manifest.path, *mask_files(masks.values())),
        notes=unknown_ignored(ignored, masks, len(samples)),
        masks=masks,
        remedy=_SAY_MANIFEST,
        ignored=ignored,
    )


@dataclass(frozen=True)
class FolderReading:
    """How a folder of masks is read.

    Attributes:
        missing: What it means that an image has no mask of a class: refused, the lesion is absent, or not known.
        values: Which values mean a lesion: ``any``, ``=N`` or ``>=N``; None: 1 or 255.
        exclude: Classes of masks that are places without candidates, and no lesions.
        ignore: Classes of masks that are findings which count neither way, ``[CLASS=]NAME``.
    """

    missing: MissingMasks = "refuse"
    values: str | None = None
    exclude: Sequence[str] = ()
    ignore: Sequence[str] = ()


def folder_truth(folder: Path, images: ImageIndex | None, reading: FolderReading) -> MaskTruth:
    """A folder with a mask for each image and class.

    Args:
        folder: Files named IMAGE/CLASS, CLASS/IMAGE or IMAGE_CLASS; without ``images`` only CLASS/IMAGE.
        images: The evaluated images; None: those that have a mask of any class.
        reading: How.

    Raises:
        ConfigError: There is no such finding to be ignored.
        ImageError: There is no mask, a name without an image, two masks for one image and class.
        EvaluationError: A mask is missing and that is refused.
    """
    paths = listed(folder, (*IMAGE_SUFFIXES, ".nii.gz"), "masks")
    index = images or ImageIndex.of(_named_images(folder, paths))
    fragment = None if reading.values is None else _fragment(reading.values)
    masks: dict[tuple[int, str], MaskReference] = {}
    skipped = 0
    for path in paths:
        named = name_of(path, folder, index)
        if named is None:
            raise unplaced(path, folder, index)
        number = index.find(named[0])
        if number is None:
            skipped += 1
            continue
        key = (number, named[1])
        if key in masks:
            what = f"two masks of class '{key[1]}' for the image '{index.images[number].id}'"
            raise ImageError(what, where=path, found=f"the other is {masks[key].path}", remedy="keep one of them")
        masks[key] = MaskReference(path, fragment)
    index = _without(index, masks, reading.exclude)
    ignored, classes = ignored_findings(reading.ignore, tuple(dict.fromkeys(label for _, label in masks)))
    notes = _fill(masks, index, classes, folder, reading.missing)
    notes += unknown_ignored(ignored, masks, len(index.images))
    notes += (f"{skipped} masks are of images that are not evaluated",) if skipped else ()
    files = mask_files(masks.values())
    return MaskTruth("a folder of masks", index, classes, files, notes, masks, _SAY_FOLDER, ignored)


def _fragment(values: str) -> str | None:
    try:
        return MaskReference.parse(f"mask.png#{values}", Path()).fragment
    except ValueError:
        remedy = "write any, =N or >=N, such as >=128"
        raise ConfigError(
            "not a choice of values", where="--lesion-values", found=f"'{values}'", remedy=remedy
        ) from None


def mask_files(references: Iterable[MaskReference]) -> tuple[Path, ...]:
    """The files behind references; a pattern of markings stands for several."""
    paths = dict.fromkeys(reference.path for reference in references if reference.path is not None)
    return tuple(
        file
        for path in paths
        for file in (sorted(path.parent.glob(path.name)) if "*" in path.name else [path])
        if file.is_file()
    )


def _named_images(folder: Path, paths: Sequence[Path]) -> list[EvaluatedImage]:
    names = dict.fromkeys(stem(path.name) for path in paths)
    return [EvaluatedImage(id=name, place=str(folder), patient=name) for name in names]


def _without(index: ImageIndex, masks: dict[tuple[int, str], MaskReference], exclude: Sequence[str]) -> ImageIndex:
    """Takes the masks of places without candidates from those of lesions, and gives them to images that have no own."""
    places = [name for name in exclude if any(label == name for _, label in masks)]
    images = []
    for number, image in enumerate(index.images):
        mine = {name: masks.pop((number, name), None) for name in places}
        told = {name: mask for name, mask in image.excluded.items() if mask is not None or name not in mine}
        images.append(replace(image, excluded=mine | told))
    return replace(index, images=tuple(images))


def _fill(
    masks: dict[tuple[int, str], MaskReference],
    index: ImageIndex,
    classes: Sequence[str],
    folder: Path,
    missing: MissingMasks,
) -> tuple[str, ...]:
    """Gives masks that are not there the meaning that the user chose; says how many."""
    gaps = [(number, label) for number in range(len(index.images)) for label in classes if (number, label) not in masks]
    if not gaps:
        return ()
    if missing == "refuse":
        number, label = gaps[0]
        more = f" (and {len(gaps) - 1} more masks)" if len(gaps) > 1 else ""
        raise EvaluationError(
            f"there is no mask of class '{label}' for the image '{index.images[number].id}'{more}",
            where=folder,
            remedy="say what that means: --missing-masks absent (no lesion) or unknown (the image is left out)",
        )
    if missing == "absent":
        masks |= {gap: MaskReference(None, absent=True) for gap in gaps}
    meaning = (
        "the image has no such lesion" if missing == "absent" else "not known; the image is left out of that class"
    )
    return (f"{len(gaps)} masks that are not there were taken to mean: {meaning}",)
