"""What is measured of a trained run besides its figures, in Python: :func:`map_quality`, :func:`flatness`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medmtl.progress import Progress
from medmtl.workflows.flatness import RADII, MeasuredFlatness, measure_flatness
from medmtl.workflows.mapquality import MapQuality
from medmtl.workflows.mapquality import map_quality as _map_quality

__all__ = ["MapQuality", "MeasuredFlatness", "flatness", "map_quality"]


def map_quality(
    run: str | Path,
    manifest: str | Path,
    *,
    methods: str | Sequence[str] = ("head",),
    split: str | None = "val",
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> MapQuality:
    """Measures maps: do they point at lesions, does the network use what they show, does training change them.

    Args:
        run: Run folder.
        manifest: Manifest of images with lesion masks.
        methods: ``head`` for the head's own maps, and methods of class activation mapping: ``gradcam``, ...
        split: Split; None = all rows. Choose a method on validation images.
        out: Folder of the tables; default: ``evaluation/MANIFEST-SPLIT-maps`` in the run folder.
        ledger: CSV that every look is recorded in; default: ``ledger.csv`` beside the results' folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; default: the run's own.
        quiet: Say nothing.

    Returns:
        A table of method, lesion and measure, with intervals over patients.

    Raises:
        MedmtlError: What is wrong with run, manifest, methods or output.
    """
    progress = Progress(quiet=quiet)
    return _map_quality(
        run, manifest, methods=methods, split=split, out=out, ledger=ledger, device=device, progress=progress
    )


def flatness(
    run: str | Path,
    manifest: str | Path,
    *,
    radii: float | Sequence[float] = RADII,
    split: str | None = "val",
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> MeasuredFlatness:
    """Measures cooperating sub-models: how much each loss rises where the others' features are perturbed.

    Args:
        run: Run folder of a network with a sub-model a task.
        manifest: Manifest of labelled images.
        radii: The radii, above 0, as shares of the features' size.
        split: Split; None = all rows.
        out: Folder of the tables; default: ``evaluation/MANIFEST-SPLIT-flatness`` in the run folder.
        ledger: CSV that every look is recorded in; default: ``ledger.csv`` beside the results' folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; default: the run's own.
        quiet: Say nothing.

    Returns:
        A table of task, direction and radius with the loss's rise and its interval over patients.

    Raises:
        MedmtlError: What is wrong with run, manifest, radii or output.
    """
    chosen = [radii] if isinstance(radii, int | float) else list(radii)
    progress = Progress(quiet=quiet)
    return measure_flatness(
        run, manifest, radii=chosen, split=split, out=out, ledger=ledger, device=device, progress=progress
    )
