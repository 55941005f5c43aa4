"""DIARETDB1's own protocol beside the lesion-level figures: image-based, and pixel-based where heat maps were given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from medmtl.errors import ConfigError
from medmtl.evaluation import OfficialRoc, Table, image_roc, pixel_roc
from medmtl.evaluation.diaretdb1 import WEIGHTS
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.sources import CandidateSource, MapSource

_NOTE = (
    "DIARETDB1's own protocol. By image: the score is the share of the field of view that candidates cover; the image is ill if "
    "it has a lesion. WER_R = ((1 - sensitivity) + R (1 - specificity)) / (1 + R), the least over thresholds; EER: equal error rate. "
    "By pixel: every pixel of every field of view is a case; how the original treats pixels was not checked."
)


def official_table(source: CandidateSource, images: Sequence[GatheredImage], pair: Pair) -> Table:
    """Error rates of one class by the protocol.

    Args:
        source: The candidates; heat maps are read again for the pixels, which takes about 30 bytes a pixel of all fields.
        images: What was gathered, with the flagged shares.
        pair: The class.

    Raises:
        ConfigError: The candidates are points, which flag no pixel.
        ImageError: A map cannot be read.
    """
    known = [image for image in images if image.targets[pair.name] is not None]
    if not all(pair.name in image.flagged for image in known):
        remedy = "cut maps by --extract components, or give candidates a radius or mask, and images whose size is known"
        raise ConfigError("points flag no pixels", where="--diaretdb1", found=source.kind, remedy=remedy)
    ill = [targets.count > 0 for image in known if (targets := image.targets[pair.name]) is not None]
    rows = [{"by": "image"} | _cells(image_roc(ill, [image.flagged[pair.name] for image in known]))]
    if isinstance(source, MapSource) and pair.candidates is not None:
        rows.append({"by": "pixel"} | _cells(_pixels(source, images, pair)))
    return Table(f"diaretdb1.{pair.name}", f"DIARETDB1's protocol: {pair.name}", pd.DataFrame(rows), _NOTE)


def _cells(curve: OfficialRoc) -> dict[str, Any]:
    errors = {f"wer_{ratio:g}": curve.weighted_error(ratio) for ratio in WEIGHTS}
    return {"eer": curve.equal_error_rate, **errors, "ill": curve.positives, "healthy": curve.negatives}


def _pixels(source: MapSource, images: Sequence[GatheredImage], pair: Pair) -> OfficialRoc:
    masks, maps, fields = [], [], []
    for number, image in enumerate(images):
        targets = image.targets[pair.name]
        if targets is None:
            continue
        inside = image.image.field(image.shape)
        where = np.ones(image.shape, dtype=bool) if inside is None else inside
        values = source.maps.read(number, pair.candidates or "", image.image, image.shape, inside)
        lowest = float(np.nanmin(values)) if np.isfinite(values).any() else 0.0
        # Only the field is kept, as a row: whole maps of all images would not fit into memory.
        masks.append(targets.mask[where][None])
        maps.append(np.where(np.isfinite(values), values, lowest)[where].astype(np.float32)[None])
        fields.append(np.ones((1, int(where.sum())), dtype=bool))
    return pixel_roc(masks, maps, fields)
