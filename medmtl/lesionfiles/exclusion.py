"""Places without candidates, such as the optic disc: masks that are told with the images (``--exclude``)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medmtl.errors import EvaluationError
from medmtl.evaluation import Candidates
from medmtl.lesionfiles.encoding import read_lesion_mask
from medmtl.lesionfiles.images import EvaluatedImage, Shape

Field = npt.NDArray[np.bool_]
_REMEDY = "say in the cell what means the place: PATH#any, PATH#=N or PATH#>=N"


def excluded_places(image: EvaluatedImage, shape: Shape | None) -> Field | None:
    """Where no candidate of an image counts, shape (H, W): all of its masks together; None where none is known.

    Args:
        image: The image.
        shape: Its height and width; None: not known.

    Raises:
        EvaluationError: There are masks, and the size of the image is not known.
        ImageError: A mask cannot be read, has another size, or holds values of unknown meaning.
    """
    references = [reference for reference in image.excluded.values() if reference is not None]
    if not references:
        return None
    if shape is None:
        remedy = "give its picture, or columns width and height in --images"
        what = f"the size of the image '{image.id}' is not known, so no mask can be laid over it"
        raise EvaluationError(what, where="--exclude", found=", ".join(image.excluded), remedy=remedy)
    masks = [read_lesion_mask(reference, shape, _REMEDY) for reference in references]
    return np.asarray(np.maximum.reduce(masks) > 0)


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
