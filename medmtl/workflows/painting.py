"""From a manifest to a data set of its healthy images with synthetic lesions painted on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from medmtl.config import ViewConfig
from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.reading import read_image
from medmtl.data.samples import Sample
from medmtl.data.splits import split_by_patient
from medmtl.data.synthesis.domain import Domain
from medmtl.data.synthesis.painting import paint
from medmtl.data.synthesis.writing import lesion_labels, write_lesions, write_png
from medmtl.data.transforms import field_view, read_field
from medmtl.errors import ConfigError, ManifestError
from medmtl.files import atomic_folder
from medmtl.progress import Progress

VALIDATION = 0.2
"""Share of the patients whose painted images are for validation."""

GRADES = (0.1, 0.1, 0.3, 0.25, 0.25)
"""Share of the grades that lesions are painted for."""


def paint_manifest(
    manifest: Path,
    out: Path,
    *,
    n: int,
    size: int,
    seed: int,
    split: str | None,
    grade: str,
    domain: Domain | str,
    progress: Progress,
) -> list[str]:
    """Paints lesions on images of grade 0 in which no lesion is known, and writes them with masks and a manifest.

    Image i is the same whatever n: photographs take turns in a seeded order, each time with other lesions.

    Args:
        manifest: Where the photographs stand.
        out: The folder to make.
        n: Number of images.
        size: Side of the square images, pixels.
        seed: Seed of order and lesions; a photograph's split does not depend on it.
        split: Split of the manifest; None: all rows.
        grade: Label column, without its ``label:``, that is 0 for healthy images.
        domain: Sizes and contrasts of lesions.
        progress: Where to say how far it is.

    Raises:
        ManifestError: The manifest cannot be read, or has too few such images.
        ConfigError: Impossible numbers, or an unknown domain.
        ImageError: An image cannot be read.
        OutputError: The folder holds something already, or cannot be written.
    """
    if n < 1:
        raise ConfigError("a data set needs at least one image", found=n, remedy="ask for 1 or more")
    healthy = _healthy(manifest, split, grade)
    order = np.random.default_rng(seed).permutation(len(healthy))
    view = ViewConfig(size=size)
    rows = []
    with atomic_folder(out) as folder, progress.bar("painting", n) as bar:
        for index in range(n):
            rows.append(_one(folder, healthy[order[index % len(order)]], view, (seed, index), domain))
            bar.advance()
        frame = pd.DataFrame(rows, dtype=str)
        write_manifest(frame, folder / "manifest.csv")
    counts = frame["split"].value_counts()
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [f"manifest {out / 'manifest.csv'}: {n} images of {min(n, len(healthy))} photographs ({said})"]


def _healthy(manifest: Path, split: str | None, grade: str) -> tuple[Sample, ...]:
    """Samples of grade 0 without a known lesion, each with a split of the painted set."""
    samples = [
        sample
        for sample in Manifest.read(manifest).select(split)
        if sample.labels.get(grade) == "0"
        and not any(name.startswith("lesions.") and value == "1" for name, value in sample.labels.items())
    ]
    if len({sample.person for sample in samples}) < 2:
        found = f"{len(samples)} with label:{grade} = 0"
        remedy = "name the column of the grade by --grade, or another --split; images of two patients are the least"
        raise ManifestError("too few images without lesions", where=manifest, found=found, remedy=remedy)
    shares = {"train": 1 - VALIDATION, "val": VALIDATION}
    return tuple(split_by_patient(samples, shares, 0, []))


def _one(folder: Path, sample: Sample, view: ViewConfig, seed: tuple[int, int], domain: Domain | str) -> dict[str, str]:
    """Paints and writes one image; its row of the manifest."""
    pixels = read_image(sample.image)[0]
    shown, field = field_view(pixels, read_field(sample, pixels), view)
    grade = int(np.random.default_rng((*seed, len(GRADES))).choice(len(GRADES), p=GRADES))
    painted = paint(np.rint(shown * 255).astype(np.uint8), field, seed, grade=grade, domain=domain)
    name = f"painted_{seed[0]}_{seed[1]:05d}"
    row = {
        "image": write_png(folder, "images", name, cv2.cvtColor(painted.image, cv2.COLOR_RGB2BGR)),
        "id": name,
        "patient": sample.patient,
        "dataset": sample.dataset,
        "split": str(sample.split),
        "fov": write_png(folder, "fov", name, field * np.uint8(255)),
        "label:dr_grade": str(painted.grade),
        "note:photograph": sample.id,
    }
    return row | lesion_labels(painted.lesions) | write_lesions(folder, name, painted.lesions)
