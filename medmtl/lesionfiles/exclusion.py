"""Places without candidates (``--exclude``): masks that are told with the images, or the disc as a table of eyes tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medmtl.data.samples import MaskReference
from medmtl.errors import ConfigError, EvaluationError
from medmtl.evaluation import Candidates, Region
from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.anatomy_table import read_anatomy
from medmtl.lesionfiles.encoding import read_lesion_mask
from medmtl.lesionfiles.images import Disc, EvaluatedImage, ImageIndex, Shape
from medmtl.lesionfiles.limits import check_whole

Field = npt.NDArray[np.bool_]
DISC = "disc"
"""What is excluded by a table of eyes."""
_REMEDY = "say in the cell what means the place: PATH#any, PATH#=N or PATH#>=N"


def excluded_places(image: EvaluatedImage, shape: Shape | None) -> Field | None:
    """Where no candidate of an image counts, shape (H, W): all of its masks together; None where none is known.

    Args:
        image: The image.
        shape: Its height and width; None: not known.

    Raises:
        EvaluationError: There are masks, and the size of the image is not known, or too large.
        ImageError: A mask cannot be read, has another size, or holds values of unknown meaning.
    """
    references = [reference for reference in image.excluded.values() if reference is not None]
    if not references:
        return None
    if shape is None:
        remedy = "give its picture, or columns width and height in --images"
        what = f"the size of the image '{image.id}' is not known, so no mask can be laid over it"
        raise EvaluationError(what, where="--exclude", found=", ".join(image.excluded), remedy=remedy)
    check_whole(image, shape, "masks of places", "leave --exclude")
    return np.asarray(np.any([_place(reference, shape) for reference in references], axis=0))


def _place(told: MaskReference | Disc, shape: Shape) -> Field:
    if isinstance(told, MaskReference):
        return read_lesion_mask(told, shape, _REMEDY) > 0
    region = Region.circle(told.x, told.y, told.diameter / 2, shape)
    mask = np.zeros(shape, dtype=bool)
    height, width = region.mask.shape
    mask[region.top : region.top + height, region.left : region.left + width] = region.mask
    return mask


def with_discs(index: ImageIndex, path: Path, exclude: Sequence[str]) -> ImageIndex:
    """Gives images that have no mask of the disc the one that a table of eyes tells, by center and diameter.

    Args:
        index: The evaluated images.
        path: The table, as ``medmtl explain --anatomy`` takes it.
        exclude: What is excluded; the disc must be.

    Raises:
        ConfigError: The disc is not excluded, the table is wrong, or it tells of no image's disc.
        ManifestError: It is no table.
    """
    if DISC not in exclude:
        remedy = f"add --exclude {DISC}, or leave the table"
        raise ConfigError("nothing of these eyes is excluded", where="--anatomy", found=path.name, remedy=remedy)
    eyes = read_anatomy(path)
    discs = [_disc(image, eyes) for image in index.images]
    if not any(discs):
        remedy = "give disc_x, disc_y and disc_diameter of the evaluated images"
        raise ConfigError("the table tells of no disc of these images", where=path, remedy=remedy)
    images = [
        replace(image, excluded={**image.excluded, DISC: image.excluded.get(DISC) or disc})
        for image, disc in zip(index.images, discs, strict=True)
    ]
    return replace(index, images=tuple(images))


def _disc(image: EvaluatedImage, eyes: Mapping[str, Anatomy]) -> Disc | None:
    names = (image.id, *([] if image.picture is None else [image.picture.stem]))
    eye = next((eyes[name] for name in names if name in eyes), None)
    if eye is None or eye.disc is None or eye.disc_diameter is None:
        return None
    return Disc(*eye.disc, eye.disc_diameter)


def outside(candidates: Candidates, places: Field | None) -> Candidates:
    """The candidates whose points lie outside of some places.

    Args:
        candidates: Of an image, all inside it.
        places: Shape (H, W); None: all candidates are kept.
    """
    if places is None:
        return candidates
    row, column = (np.floor(part + 0.5).astype(np.int64) for part in (candidates.y, candidates.x))
    return candidates.take(~places[row, column])
