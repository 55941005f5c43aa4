"""Raw maps as 16-bit PNG files with a linear mapping written beside them, the same mapping for every usual map."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from medmtl.errors import ImageError
from medmtl.explanation.candidates import COORDINATES
from medmtl.explanation.scale import ClassScale
from medmtl.files import atomic_write, write_text

NO_VALUE = 0
ZERO = 32768
USUAL_STEP = 2.0**-10  # covers -32 to 32 logits, all that a network says in earnest

Codes = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Mapping16:
    """What a code means: ``value = offset + step * code``; code 0 means that nothing is known there.

    Attributes:
        offset: The value that code 0 would have.
        step: Difference between neighboring codes; a power of two, so that zero and the values of codes are exact.
    """

    offset: float
    step: float


def encode_map(values: Floats, *, step: float = USUAL_STEP) -> tuple[Codes, Mapping16]:
    """Turns a map into 16-bit codes, at most half a step from the truth.

    The step is the same for all maps between -32 and 32, so that one code means one value in every file; it is doubled
    until a map with larger values fits.

    Args:
        values: (H, W); what is not finite becomes the code 0, "no value".
        step: The smallest step, a power of two; choose a smaller one for maps that are not in logits.

    Returns:
        (H, W) codes and their meaning.
    """
    known = np.isfinite(values)
    exact = np.where(known, values, 0).astype(np.float64)
    largest = float(np.abs(exact).max(initial=0.0))
    while largest > (ZERO - 1) * step:
        step *= 2
    codes = np.where(known, np.round(exact / step) + ZERO, NO_VALUE).astype(np.uint16)
    return codes, Mapping16(offset=-ZERO * step, step=step)


def decode_map(codes: Codes, mapping: Mapping16) -> npt.NDArray[np.float64]:
    """Turns codes back into values; NaN where nothing is known.

    Args:
        codes: (H, W), as :func:`encode_map` gives.
        mapping: What they mean.
    """
    return np.where(codes == NO_VALUE, np.nan, mapping.offset + mapping.step * codes.astype(np.float64))


def write_map(path: Path, values: Floats, scale: ClassScale, *, step: float = USUAL_STEP) -> None:
    """Writes a map as 16-bit PNG, and what its codes mean beside it, with the suffix ``.json``.

    Raises:
        OutputError: A file cannot be written.
    """
    codes, mapping = encode_map(values, step=step)
    sidecar = {
        "file": path.name,
        "class": scale.name,
        "unit": scale.unit,
        "method": scale.made_by,
        "meaning": "value = offset + step * code; code = (value - offset) / step; no value where code = no_value_code",
        **asdict(mapping),
        "no_value_code": NO_VALUE,
        "width": codes.shape[1],
        "height": codes.shape[0],
        "coordinates": COORDINATES,
        "scale": asdict(scale),
    }
    write_text(path.with_suffix(".json"), json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n")
    with atomic_write(path) as temporary:
        Image.fromarray(codes).save(temporary, compress_level=2)


def read_map(path: Path) -> npt.NDArray[np.float64]:
    """Reads a map that :func:`write_map` wrote; NaN where nothing is known.

    Raises:
        ImageError: A file is missing or is not what it should be.
    """
    try:
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        mapping = Mapping16(float(sidecar["offset"]), float(sidecar["step"]))
        with Image.open(path) as picture:
            codes = np.asarray(picture).astype(np.uint16)
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "keep the PNG and its JSON together"
        raise ImageError("not a raw map with its mapping", where=path, found=str(error), remedy=remedy) from error
    return decode_map(codes, mapping)
