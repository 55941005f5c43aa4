"""The command ``medmtl lesions``: lesion-level evaluation of anybody's heat maps or candidate tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medmtl.lesionoptions import (
    Classes,
    Duplicates,
    Extract,
    MissingMasks,
    OtherClass,
    OutsideField,
    Position,
    Rates,
    Rules,
    Score,
)
from medmtl.options import Quiet


def lesions(
    candidates: Annotated[
        Path,
        typer.Argument(
            help="Table of candidates (CSV, Parquet, JSON; columns image, class, x, y, score, optionally radius or mask), "
            "or a folder of heat maps (NPY, float TIFF, NIfTI, MHA, or what `medmtl explain` writes)."
        ),
    ],
    truth: Annotated[
        Path,
        typer.Option(
            help="Manifest with mask columns; table of boxes (image, class, x0, y0, x1, y1), circles (x, y, radius) or "
            "points (x, y), with ignore=1 for findings that count neither way; COCO file; or folder of masks (CLASS/IMAGE.png)."
        ),
    ],
    rule: Rules = None,
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("lesions"),
    classes: Classes = None,
    against: Annotated[
        Path | None, typer.Option(help="Other candidates for the same images, compared in pairs by bootstrap.")
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=CANDIDATES",
            help="Further candidates for the same images, such as those of the network before training: a row of this name "
            "in all tables; may be repeated.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Evaluated images, those without lesions included: a manifest, or a table with the columns image and "
            "optionally id, patient, site, fov, width, height, split. Default: those that the truth names."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the manifest or of --images; default: all rows.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of pictures by image name, for sizes, overlays and blob detectors.")
    ] = None,
    missing_masks: Annotated[
        MissingMasks, typer.Option(help="What it means that a folder of masks has none for an image and class.")
    ] = MissingMasks.refuse,
    lesion_values: Annotated[
        str | None,
        typer.Option(metavar="any|=N|>=N", help="Values of a folder's masks that mean a lesion; default: 1 or 255."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Mask of a place where no candidate counts, such as the optic disc: a mask column of the manifest, a class of the "
            "folder of masks, or a column of --images; may be repeated.",
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS=]NAME",
            help="Mask of findings that count neither way, for one class or for all: a mask column of the manifest, or a class of "
            "the folder of masks; may be repeated.",
        ),
    ] = None,
    anatomy: Annotated[
        Path | None,
        typer.Option(
            help="Table of eyes (image, disc_x, disc_y, disc_diameter) that tells the disc of --exclude disc."
        ),
    ] = None,
    min_area: Annotated[int, typer.Option(help="Least pixels of a lesion; smaller ones count neither way.")] = 1,
    extract: Annotated[
        Extract | None, typer.Option(help="How heat maps are cut: peaks (--min-distance) or components (--threshold).")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Least score of a candidate from a heat map.")] = None,
    min_distance: Annotated[float | None, typer.Option(help="Least distance of two peaks, in original pixels.")] = None,
    limit: Annotated[int | None, typer.Option(help="Most peaks an image and class, the highest first.")] = None,
    score: Annotated[
        Score | None, typer.Option(help="Score of a component: its highest value (default), or its mean.")
    ] = None,
    position: Annotated[
        Position | None,
        typer.Option(
            help="Point of a component: its highest pixel (default), or its centroid weighted by the excess over --threshold."
        ),
    ] = None,
    missing_values: Annotated[
        bool, typer.Option("--missing-values", help="NaN in a heat map means: nothing is known there.")
    ] = False,
    outside_field: Annotated[
        OutsideField, typer.Option(help="Candidates of a table outside the field of view: an error, left out, or kept.")
    ] = OutsideField.refuse,
    other_class: Annotated[
        OtherClass, typer.Option(help="Candidates that hit lesions of another class only.")
    ] = OtherClass.false_positive,
    duplicates: Annotated[
        Duplicates, typer.Option(help="Further hits on a lesion that is found already.")
    ] = Duplicates.neither,
    lenient: Annotated[
        bool,
        typer.Option("--lenient", help="A candidate finds every lesion it hits; tables give both counts in any case."),
    ] = False,
    rate: Rates = None,
    by_size: Annotated[
        bool, typer.Option("--by-size", help="Also a table by lesion area, in thirds; --size-edge sets the areas.")
    ] = False,
    size_edge: Annotated[
        list[float] | None, typer.Option(help="Rising edge of lesion areas in pixels (inf is one); to be repeated.")
    ] = None,
    image_threshold: Annotated[
        float | None, typer.Option(help="Score from which an image is called positive, chosen on other images.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Bootstrap draws over patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the bootstrap and of random points.")] = 0,
    sanity: Annotated[
        bool, typer.Option(help="Also score random points, a constant map, the field's center and blob detectors.")
    ] = True,
    diaretdb1: Annotated[
        bool,
        typer.Option(
            "--diaretdb1",
            help="Also DIARETDB1's own protocol: error rates by image (pixels flagged by candidates at or above "
            "--image-threshold, which a table needs), from maps by pixel.",
        ),
    ] = False,
    show_rate: Annotated[
        float, typer.Option(help="Overlays show candidates at the threshold of this many false positives per image.")
    ] = 2.0,
    overlays: Annotated[bool, typer.Option(help="Draw a page for each image whose picture is there.")] = True,
    ledger: Annotated[
        Path | None, typer.Option(help="CSV that this look at test data is recorded in; default: nowhere.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate heat maps or candidates lesion by lesion: FROC with intervals, every rule said, pages to leaf through.

    Needs no network and no run. Coordinates are original pixels, 0-based pixel centers: the center of the first pixel is
    (0, 0). Every evaluated image counts, with lesions or without.
    """
    from medmtl.lesionapi import lesions as evaluate
    from medmtl.lesionfiles.naming import named_paths
    from medmtl.workflows.lesions import result_lines

    result = evaluate(
        candidates,
        truth,
        out=out,
        against=against,
        beside=named_paths(beside or [], "--beside"),
        rules=rule or ["peak_in_lesion"],
        classes=classes or [],
        images=images,
        split=split,
        pictures=pictures,
        missing_masks=missing_masks.value,
        lesion_values=lesion_values,
        exclude=exclude or [],
        ignore=ignore or [],
        anatomy=anatomy,
        min_area=min_area,
        extract=None if extract is None else extract.value,
        threshold=threshold,
        min_distance=min_distance,
        limit=limit,
        score=None if score is None else score.value,
        position=None if position is None else position.value,
        missing_values=missing_values,
        outside_field=outside_field.value,
        other_class=other_class.value,
        duplicates=duplicates.value,
        lenient=lenient,
        rates=rate or [1.0, 2.0, 5.0, 10.0],
        sizes=by_size if size_edge is None else size_edge,
        image_threshold=image_threshold,
        draws=draws,
        seed=seed,
        sanity=sanity,
        diaretdb1=diaretdb1,
        show_rate=show_rate,
        overlays=overlays,
        ledger=ledger,
        quiet=quiet,
    )
    for line in result_lines(result):
        typer.echo(line)
