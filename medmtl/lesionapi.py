"""The call :func:`medmtl.lesions`: lesion-level evaluation in Python, without a network and without importing torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmtl.errors import ConfigError
from medmtl.evaluation import Counting, HitRule
from medmtl.evaluation.froc import Duplicates
from medmtl.evaluation.lesions import OtherClass
from medmtl.lesionfiles.candidatetable import OutsideField
from medmtl.lesionfiles.difference import DifferenceOptions
from medmtl.lesionfiles.extraction import Extraction, Method, Position, Score
from medmtl.lesionfiles.kinds import check_texts, file_path, items
from medmtl.lesionfiles.masktruth import MissingMasks
from medmtl.lesionfiles.options import LesionOptions
from medmtl.lesionfiles.truth import TruthOptions
from medmtl.progress import Progress
from medmtl.workflows.lesiondifference import LesionDifference
from medmtl.workflows.lesiondifference import lesion_difference as _difference
from medmtl.workflows.lesions import LesionResult, evaluate_lesions

__all__ = ["LesionDifference", "LesionResult", "lesion_difference", "lesions"]


def lesions(
    candidates: str | Path,
    truth: str | Path,
    *,
    out: str | Path | None = None,
    against: str | Path | None = None,
    beside: Mapping[str, str | Path] | None = None,
    rules: str | HitRule | Sequence[str | HitRule] = ("peak_in_lesion",),
    classes: Sequence[str] = (),
    images: str | Path | None = None,
    split: str | None = None,
    pictures: str | Path | None = None,
    missing_masks: MissingMasks = "refuse",
    lesion_values: str | None = None,
    exclude: Sequence[str] = (),
    ignore: Sequence[str] = (),
    anatomy: str | Path | None = None,
    min_area: int = 1,
    extract: Method | None = None,
    threshold: float | None = None,
    min_distance: float | None = None,
    limit: int | None = None,
    score: Score | None = None,
    position: Position | None = None,
    missing_values: bool = False,
    outside_field: OutsideField = "refuse",
    other_class: OtherClass = "false_positive",
    duplicates: Duplicates = "neither",
    lenient: bool = False,
    rates: float | Sequence[float] = (1.0, 2.0, 5.0, 10.0),
    sizes: Sequence[float] | bool = False,
    image_threshold: float | None = None,
    draws: int = 2000,
    seed: int = 0,
    sanity: bool = True,
    diaretdb1: bool = False,
    show_rate: float = 2.0,
    overlays: bool = True,
    ledger: str | Path | None = None,
    quiet: bool = True,
) -> LesionResult:
    """Scores candidates, or heat maps, against lesions.

    Coordinates are original pixels, 0-based pixel centers: the center of the first pixel is (0, 0). Where a list is asked
    for, one text, number or rule stands for a list of one.

    Args:
        candidates: A table (CSV, Parquet, JSON) with the columns image, class, x, y, score and optionally radius or mask;
            or a folder of heat maps (NPY, float TIFF, NIfTI, MHA, or what ``medmtl explain`` writes).
        truth: A manifest with mask columns; a table of boxes (image, class, x0, y0, x1, y1), circles (x, y, radius) or
            points (x, y), with ignore=1 for findings that count neither way; a COCO file; or a folder of masks.
        out: Folder to make; None: nothing is written.
        against: Other candidates for the same images, to compare with in pairs.
        beside: Further candidates for the same images by name, such as those of the network before training: a row each in
            all tables.
        rules: Hit rules as ``NAME`` or ``NAME:PARAMETER=NUMBER,...``, or objects; the first is the primary one.
        classes: ``[NAME:]TRUTH[+TRUTH ...][=CANDIDATES]``; none: every class with its namesake.
        images: Table or manifest of the evaluated images, those without lesions included; None: those the truth names.
        split: Split of the manifest or of the table of images; None: all rows.
        pictures: Folder of pictures by image name, where nothing else says where they are.
        missing_masks: What it means that a folder of masks has none for an image: ``refuse``, ``absent``, ``unknown``.
        lesion_values: Which values of a folder's masks mean a lesion: ``any``, ``=N`` or ``>=N``; None: 1 or 255.
        exclude: Masks of places where no candidate counts, such as the optic disc: mask columns of the manifest, classes
            of the folder of masks, or columns of ``images``.
        ignore: Masks of findings that need not be found and are not held against who finds them, ``[CLASS=]NAME``: mask
            columns of the manifest, or classes of the folder of masks. Tables and COCO files say so by ``ignore``.
        anatomy: Table of eyes (image, disc_x, disc_y, disc_diameter) that tells the disc where ``exclude`` names it.
        min_area: Least pixels of a lesion; smaller ones count neither way.
        extract: How heat maps are cut: ``peaks`` or ``components``.
        threshold: Least score of a candidate from a map.
        min_distance: Least distance of two peaks in pixels.
        limit: Most peaks an image and class.
        score: A component's score: its highest value, ``max`` (None means this), or the ``mean`` of its pixels.
        position: A component's point: its highest pixel, ``peak`` (None means this), or its ``centroid`` weighted by the
            excess over the threshold.
        missing_values: NaN in a map means that nothing is known there.
        outside_field: Candidates of a table outside the field of view: ``refuse``, ``drop``, ``count``.
        other_class: Candidates that hit another class only: ``false_positive`` or ``ignored``.
        duplicates: Further hits on a found lesion: ``neither`` or ``false_positive``.
        lenient: A candidate finds every lesion it hits, not one; tables give both in any case.
        rates: False positives per image to read curves at.
        sizes: Edges of lesion areas in pixels for a table by size; True: thirds of the lesions.
        image_threshold: Score from which an image is called positive, chosen on other images.
        draws: Bootstrap draws.
        seed: Seed of the bootstrap and of random points.
        sanity: Also score detectors that know nothing.
        diaretdb1: Also DIARETDB1's own protocol, by image and (from heat maps) by pixel; needs regions, and of a table
            ``image_threshold``: candidates at or above it flag pixels.
        show_rate: Overlays show candidates at the threshold of this many false positives per image.
        overlays: Draw a page for each image whose picture is there.
        ledger: CSV that this look at test data is recorded in, as by ``medmtl evaluate``; None: nowhere.
        quiet: Say nothing.

    Returns:
        Typed figures, what became of every candidate, and where everything was written.

    Raises:
        MedmtlError: What is wrong with the files or the options; nothing is written then.
    """
    options = LesionOptions(
        rules=items(rules),
        classes=items(classes),
        truth=TruthOptions(
            _path("--images", images),
            split,
            _path("--pictures", pictures),
            missing_masks,
            lesion_values,
            items(exclude),
            items(ignore),
            _path("--anatomy", anatomy),
        ),
        extraction=Extraction(extract, threshold, min_distance, limit, missing_values, score, position),
        outside_field=outside_field,
        min_area=min_area,
        other_class=other_class,
        duplicates=duplicates,
        lenient=lenient,
        rates=items(rates),
        sizes=sizes if isinstance(sizes, bool) else items(sizes),
        image_threshold=image_threshold,
        draws=draws,
        seed=seed,
        sanity=sanity,
        diaretdb1=diaretdb1,
        show_rate=show_rate,
        overlays=overlays,
    )
    progress = Progress(quiet=quiet)
    return evaluate_lesions(
        file_path("candidates", candidates),
        file_path("--truth", truth),
        out=_path("--out", out),
        against=_path("--against", against),
        beside=_named(beside),
        ledger=_path("--ledger", ledger),
        options=options,
        progress=progress,
    )


def lesion_difference(
    evaluations: str | Path | Sequence[str | Path],
    against: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    classes: Sequence[str] = (),
    rule: str | None = None,
    rates: float | Sequence[float] = (1.0, 2.0, 5.0, 10.0),
    lenient: bool = False,
    draws: int = 2000,
    seed: int = 0,
) -> LesionDifference:
    """Compares evaluations of lesions in pairs: every bootstrap draw takes one set of patients for both sides.

    Args:
        evaluations: A folder that :func:`lesions` wrote, or several of one model's seeds, whose mean counts.
        against: What it is compared with, on the same images and lesions.
        out: Folder to make; None: nothing is written.
        classes: Classes by their names in the evaluations; none: all that both sides have.
        rule: The hit rule as tables write it; None: the first of the first evaluation.
        rates: False positives per image.
        lenient: A candidate finds every lesion it hits.
        draws: Bootstrap draws.
        seed: Seed of the bootstrap.

    Returns:
        Sensitivities of both sides and their difference at each rate, with intervals.

    Raises:
        MedmtlError: What is wrong with the folders or the options; nothing is written then.
    """
    options = DifferenceOptions(items(classes), rule, items(rates), Counting(lenient), draws, seed)
    sides = [[part] if isinstance(part, str | Path) else list(part) for part in (evaluations, against)]
    return _difference(*sides, out=out, options=options)


def _path(option: str, value: Any) -> Path | None:
    return None if value is None else file_path(option, value)


def _named(beside: Any) -> dict[str, Path]:
    if not isinstance(beside, Mapping | None):
        found, remedy = f"a {type(beside).__name__}", "give candidates by the name of their row, as {NAME: FILE}"
        raise ConfigError("rows need names", where="--beside", found=found, remedy=remedy)
    check_texts("--beside", beside or {})
    return {name: file_path("--beside", path) for name, path in (beside or {}).items()}
