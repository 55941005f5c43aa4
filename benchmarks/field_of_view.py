"""How often the field of view is found on real images: failures counted, and agreement with masks where they are given.

    python benchmarks/field_of_view.py MANIFEST... [--limit N] [--out READINGS.csv]

A reading fails where no field was found (the whole image stands in), where its outline is ragged (a field is convex: a
disc, cut by straight edges at most, so that it fills its convex hull), or where it overlaps the mask of the manifest's
column `fov` by less than 0.95 (intersection over union). Prints counts a data set and names every failure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from medmtl.data.field import find_field
from medmtl.data.manifest import Manifest
from medmtl.data.masks import read_mask_for
from medmtl.data.reading import read_image
from medmtl.data.samples import MaskReference, Sample
from medmtl.errors import ImageError
from medmtl.progress import Progress

LEAST_FILLED = 0.97
LEAST_OVERLAP = 0.95

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reading:
    """What was found in one image.

    Attributes:
        dataset: Its data set.
        image: Its file's name.
        why: Why it is a failure; empty where it is none.
        share: Share of the image inside the field.
        filled: Share of the field's convex hull inside the field.
        overlap: Intersection over union with the given mask; NaN without one.
    """

    dataset: str
    image: str
    why: str
    share: float = float("nan")
    filled: float = float("nan")
    overlap: float = float("nan")


def convexity(mask: Mask) -> float:
    """Share of a mask's convex hull that is inside the mask, pixels counted as squares."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = np.concatenate(outlines)
    hull = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(corners), 1)
    return float(mask.sum() / hull.sum())


def overlap(one: Mask, other: Mask) -> float:
    """Intersection over union; 1 for two empty masks."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def read(sample: Sample) -> Reading:
    """Looks for the field of one image; a file that cannot be read is a failure, too."""
    try:
        image, _ = read_image(sample.image)
        field = find_field(image)
        given = None
        if sample.fov is not None:
            given = read_mask_for(MaskReference(sample.fov), image.shape[:2], binary=True) > 0
    except ImageError as error:
        return Reading(sample.dataset, sample.image.name, str(error))
    filled = convexity(field.mask)
    agreed = float("nan") if given is None else overlap(field.mask, given)
    return Reading(
        sample.dataset,
        sample.image.name,
        verdict(field.found, filled, agreed),
        float(field.mask.mean()),
        filled,
        agreed,
    )


def verdict(found: bool, filled: float, agreed: float) -> str:
    """Why a reading fails; empty where it does not."""
    if not found:
        return "no field found"
    if agreed < LEAST_OVERLAP:
        return f"overlap {agreed:.3f} with the given mask"
    return f"ragged: {filled:.3f} of its convex hull" if filled < LEAST_FILLED else ""


def summary(readings: Iterable[Reading]) -> Iterator[str]:
    """Lines a data set: images, failures, shares, overlaps, and every failure by name."""
    table = pd.DataFrame([asdict(reading) for reading in readings])
    for dataset, rows in table.groupby("dataset", sort=False):
        failed = rows[rows["why"] != ""]
        yield f"{dataset}: {len(failed)} failures in {len(rows)} images ({len(failed) / len(rows):.4f})"
        yield f"  share of the image inside: {spread(rows['share'])}"
        yield f"  share of the convex hull filled: {spread(rows['filled'])}"
        masks = rows["overlap"].dropna()
        yield f"  overlap with {len(masks)} given masks: {spread(masks)}" if len(masks) else "  no masks are given"
        for row in failed.itertuples():
            yield f"  FAILED {row.image}: {row.why}"


def spread(values: pd.Series) -> str:
    """Least, median and largest."""
    return f"{values.min():.3f} to {values.max():.3f}, median {values.median():.3f}"


def main() -> None:
    """Reads every image of the manifests once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--limit", type=int, help="images of each manifest, evenly taken; default: all")
    parser.add_argument("--out", type=Path, help="CSV file of all readings")
    given = parser.parse_args()
    readings = []
    for path in given.manifests:
        samples = Manifest.read(path).samples
        step = max(1, len(samples) // given.limit) if given.limit else 1
        chosen = samples[::step][: given.limit]
        readings += [read(sample) for sample in Progress().track(chosen, path.stem, len(chosen))]
    for line in summary(readings):
        print(line)
    if given.out is not None:
        pd.DataFrame([asdict(reading) for reading in readings]).to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
