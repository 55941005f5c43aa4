"""Images that show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from medmtl.errors import ImageError

_DARKEST = 1.5 / 255


def refuse_black(image: npt.NDArray[np.floating], path: Path) -> None:
    """Refuses an image (values in [0, 1]) that shows nothing.

    Raises:
        ImageError: Nothing is brighter than one of 255 grey levels, so that no field of view can be found.
    """
    if image.max() < _DARKEST:
        remedy = "export it again, over the full range of its bits, or remove the row"
        raise ImageError("the image is all black: it has no field of view", where=path, remedy=remedy)
