"""How large things may be: beyond, a number is a mistake, or memory would run out without a word of why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from medmtl.errors import EvaluationError
from medmtl.lesionfiles.images import EvaluatedImage, Shape

FARTHEST = 10**9
"""Largest coordinate, radius, width and height in pixels. A whole slide has some 10**5 pixels a side."""
REGION_PIXELS = 2**28
"""Most pixels of the box around one lesion or one candidate's disc: 16384 x 16384, which takes about a gigabyte."""
WHOLE_PIXELS = 2**31
"""Most pixels of an image that is needed as a whole, as masks are: 46340 x 46340. Points alone need no whole image."""


def check_whole(image: EvaluatedImage, shape: Shape, why: str, remedy: str) -> None:
    """Refuses an image that is too large to be held as a mask.

    Args:
        image: The image.
        shape: Its height and width.
        why: What needs it as a whole.
        remedy: How to do without.

    Raises:
        EvaluationError: With the image's place.
    """
    if shape[0] * shape[1] > WHOLE_PIXELS:
        found = f"{shape[1]}x{shape[0]} pixels; {why} need at most {WHOLE_PIXELS}"
        remedy = f"correct its width and height, or {remedy}"
        raise EvaluationError(
            "the image is too large to be held as a whole", where=image.place, found=found, remedy=remedy
        )


@contextmanager
def told_of_memory(image: EvaluatedImage, shape: Shape | None) -> Iterator[None]:
    """Around work on one image: names it where it does not fit into memory.

    Args:
        image: The image.
        shape: Its height and width, where known.

    Raises:
        EvaluationError: Memory does not suffice.
    """
    try:
        yield
    except MemoryError:
        raise _memory_error(image, shape) from None


def _memory_error(image: EvaluatedImage, shape: Shape | None) -> EvaluationError:
    found = "a size that is not known" if shape is None else f"{shape[1]}x{shape[0]} pixels"
    remedy = "check its width and height, evaluate points only (--no-sanity, --min-area 1), or use a larger machine"
    return EvaluationError("memory does not suffice for this image", where=image.place, found=found, remedy=remedy)
