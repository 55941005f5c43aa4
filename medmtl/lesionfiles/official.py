"""DIARETDB1's own protocol beside the lesion-level figures: image-based, and pixel-based where heat maps were given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.errors import ConfigError
from medmtl.evaluation import OfficialRoc, Table, Targets, image_roc, pixel_roc
from medmtl.evaluation.diaretdb1 import WEIGHTS
from medmtl.evaluation.intervals import FloatArray
from medmtl.lesionfiles.fields import EffectiveField, origins_text
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.sources import CandidateSource, MapSource, TableSource

Field = npt.NDArray[np.bool_]
_NOTE = (
    "DIARETDB1's own protocol. By image: the score is the share of the field of view that candidates flag; the image is ill if "
    "its truth marks any pixel, also of lesions that count neither way because they are too small or outside the field; with nothing but findings to be ignored it is no case. WER_R = ((1 - sensitivity) + R (1 - specificity)) / (1 + R), the least over thresholds; EER: equal error rate. "
    "By pixel: every pixel of every field of view is a case, lesions that count neither way apart; no score is rounded. How the "
    "original treats pixels was not checked."
)


def flag_threshold(source: CandidateSource, image_threshold: float | None) -> float | None:
    """The score from which candidates flag their pixels; None: all of them do, being cut from maps at a threshold.

    A table may hold candidates of any score, as those of ``medmtl evaluate`` do: all of them together flag much the same
    share of every image, which says nothing.

    Args:
        source: The candidates.
        image_threshold: The score from which an image is called positive, which is when a candidate reaches it.

    Raises:
        ConfigError: The candidates are regions of a table, and no threshold was told.
    """
    regions = isinstance(source, TableSource) and (source.table.discs or source.table.masks is not None)
    if image_threshold is None and regions:
        raise ConfigError(
            "a table does not say from which score on its candidates flag pixels",
            where="--diaretdb1",
            found=source.kind,
            remedy="add --image-threshold SCORE, chosen on other images; if the table was cut at a score, it is that one",
        )
    return image_threshold


def official_table(
    source: CandidateSource, images: Sequence[GatheredImage], pair: Pair, flag_from: float | None
) -> Table:
    """Error rates of one class by the protocol.

    Args:
        source: The candidates; heat maps are read again for the pixels, one at a time, two or three times, and with them
            the pictures in which the field of view has to be found.
        images: What was gathered, with the flagged shares.
        pair: The class.
        flag_from: The score from which candidates were taken to flag their pixels; None: all were.

    Raises:
        ConfigError: The candidates are points, which flag no pixel.
        ImageError: A map, mask or picture cannot be read.
    """
    known = [image for image in images if image.targets[pair.name] is not None]
    if not all(pair.name in image.flagged for image in known):
        remedy = "cut maps by --extract components, or give candidates a radius or mask, and images whose size is known"
        raise ConfigError("points flag no pixels", where="--diaretdb1", found=source.kind, remedy=remedy)
    cases = [(ill, image.flagged[pair.name]) for image in known if (ill := _ill(image.targets[pair.name])) is not None]
    rows = [{"by": "image"} | _cells(image_roc([ill for ill, _ in cases], [share for _, share in cases]))]
    if isinstance(source, MapSource) and pair.candidates is not None:
        rows.append({"by": "pixel"} | _cells(pixel_roc(_Pixels(source, images, pair))))
    fields = origins_text(image.origin for image in known if image.origin is not None)
    who = "All candidates" if flag_from is None else f"Candidates of a score of at least {flag_from:g}"
    note = f"{_NOTE} {who} flag their pixels ({source.kind}). Fields of view of {len(known)} images: {fields}."
    return Table(f"diaretdb1.{pair.name}", f"DIARETDB1's protocol: {pair.name}", pd.DataFrame(rows), note)


def _ill(targets: Targets | None) -> bool | None:
    """Whether the truth marks any pixel, whatever the least area and the field of view leave of it.

    None where it marks nothing but findings to be ignored: who was told to ignore them may not call the image healthy.
    """
    if targets is None or not targets.count + targets.dropped + targets.ignored:
        return False
    return True if targets.count + targets.dropped else None


def _cells(curve: OfficialRoc) -> dict[str, Any]:
    errors = {f"wer_{ratio:g}": curve.weighted_error(ratio) for ratio in WEIGHTS}
    return {"eer": curve.equal_error_rate, **errors, "ill": curve.positives, "healthy": curve.negatives}


@dataclass(frozen=True)
class _Pixels:
    """Lesions, map and field of each image whose lesions are known, read anew whenever they are gone through.

    Lesions and findings that count neither way are left out of the field; pixels of lesions that count are cases also where
    a field that was found in the picture leaves them out. Where a map knows nothing, its lowest value stands.
    """

    source: MapSource
    images: Sequence[GatheredImage]
    pair: Pair

    def __iter__(self) -> Iterator[tuple[Field, FloatArray, Field]]:
        for number, image in enumerate(self.images):
            targets = image.targets[self.pair.name]
            if targets is None:
                continue
            inside = image.image.field(image.shape)
            values = self.source.maps.read(number, self.pair.candidates or "", image.image, image.shape, inside)
            known = np.isfinite(values)
            lowest = float(values[known].min()) if known.any() else 0.0
            # Painted here: the targets would keep the mask that they are asked for.
            lesion, *apart = (
                part.paint(image.shape) > 0 for part in (targets.lesions, targets.hidden, targets.irrelevant)
            )
            field = EffectiveField.read(image.image, image.shape)
            where = field.mask | lesion if field.origin == "found" else field.mask
            yield lesion, np.where(known, values, lowest), where & (lesion | ~np.logical_or.reduce(apart))
