"""The calls of the command line in Python: :func:`train`, :func:`evaluate`, :func:`explain`, :func:`compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmtl.comparison.telling import Compared
from medmtl.comparison.telling import compare as _compare
from medmtl.config import RunConfig, resolved_config
from medmtl.progress import Progress
from medmtl.workflows.evaluating import Evaluated
from medmtl.workflows.evaluating import evaluate as _evaluate
from medmtl.workflows.explaining import Explained
from medmtl.workflows.explaining import explain as _explain
from medmtl.workflows.recalibrating import Recalibrated
from medmtl.workflows.recalibrating import recalibrate as _recalibrate
from medmtl.workflows.training import TrainResult
from medmtl.workflows.training import train as _train

__all__ = [
    "Compared",
    "Evaluated",
    "Explained",
    "Recalibrated",
    "TrainResult",
    "compare",
    "evaluate",
    "explain",
    "recalibrate",
    "train",
]


def train(
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[str | Path],
    out: str | Path = "run",
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    quiet: bool = False,
) -> TrainResult:
    """Trains a run.

    Args:
        config: A configuration, a mapping, or one or more YAML files, later ones over earlier ones.
        out: The run folder to make, or, with ``resume``, to go on with.
        overrides: ``key.path=value`` on top of the configuration, in whatever form that is given.
        resume: Go on from the last checkpoint.
        quiet: Say nothing.

    Returns:
        Where the run is, and how it went.

    Raises:
        MedmtlError: What is wrong with configuration, data or run folder.
    """
    with resolved_config(config, overrides) as settings:
        return _train(settings, out, resume=resume, progress=Progress(quiet=quiet))


def evaluate(
    run: str | Path,
    manifest: str | Path,
    *,
    split: str | None = "test",
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> Evaluated:
    """Evaluates a run on a split of a manifest, in the pixels of the files as given.

    Args:
        run: Run folder.
        manifest: Manifest of the samples.
        split: Split to evaluate; None = all rows.
        out: Folder of the results; default: ``evaluation/MANIFEST-SPLIT`` in the run folder.
        ledger: CSV that every look is recorded in; default: ``ledger.csv`` beside the results' folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; default: the run's own.
        quiet: Say nothing.

    Returns:
        Typed results per data set, and the report.

    Raises:
        MedmtlError: What is wrong with run, manifest or output.
    """
    progress = Progress(quiet=quiet)
    return _evaluate(run, manifest, split=split, out=out, ledger=ledger, device=device, progress=progress)


def recalibrate(
    run: str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    manifest: str | Path | None = None,
    split: str | None = "train",
    device: str | None = None,
    quiet: bool = False,
) -> Recalibrated:
    """Makes a run with the weights of another that looks at images, picks candidates or counts otherwise.

    Thresholds and color scales are chosen anew.

    Args:
        run: A trained run folder.
        out: The run folder to make.
        overrides: ``key.path=value``, for keys that no weight depends on: ``tasks.NAME.inference``, ``candidates``,
            ``tolerances``, ``lesions`` and ``readings``, ``evaluation`` and ``name``.
        manifest: Manifest of other samples to choose on; None: the run's validation samples.
        split: Their split, never ``test``; None: all rows.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; default: the run's own.
        quiet: Say nothing.

    Returns:
        Where the run is, and the thresholds.

    Raises:
        MedmtlError: What is wrong with run, keys or output.
    """
    progress = Progress(quiet=quiet)
    return _recalibrate(run, out, overrides=overrides, manifest=manifest, split=split, device=device, progress=progress)


def explain(
    run: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path = "heatmaps",
    npy: bool = False,
    method: str | None = None,
    export: str | Sequence[str] = (),
    anatomy: str | Path | None = None,
    evaluations: Sequence[str | Path] = (),
    device: str | None = None,
    quiet: bool = False,
) -> Explained:
    """Makes heat maps on the run's fixed scale, in the pixels of the images.

    Args:
        run: Run folder, with the scales that validation chose.
        images: An image, a folder of images (searched with its subfolders), or several of them.
        out: Folder to make.
        npy: Also write the raw maps as float32 NPY.
        method: A method of pytorch-grad-cam instead of the head's own maps: ``gradcam``, ``layercam``, ...
        export: Formats for other programs: ``geojson``, ``coco``, ``csv``, ``png16``, ``nifti``, ``mha``.
        anatomy: A CSV of eyes (image, laterality, disc_x, disc_y, disc_diameter, fovea_x, fovea_y; original pixels):
            candidates are then placed by quadrant and disc diameters.
        evaluations: Evaluation folders of the run that lie outside of it, for the figures beside each class.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; default: the run's own.
        quiet: Say nothing.

    Returns:
        The index page and a table of candidates.

    Raises:
        MedmtlError: The run has no scale or no task with maps, an image cannot be read, or the folder exists already or
            cannot be written.
    """
    paths = [images] if isinstance(images, str | Path) else list(images)
    return _explain(
        run,
        paths,
        out=out,
        npy=npy,
        method=method,
        export=export,
        anatomy=anatomy,
        evaluations=evaluations,
        device=device,
        progress=Progress(quiet=quiet),
    )


def compare(
    spec: str | Path,
    out: str | Path,
    *,
    executor: str = "local",
    workers: int = 1,
    quiet: bool = False,
) -> Compared:
    """Compares methods, weights and networks over seeds and learning rates, each cell a run of its own.

    Cells that are done are kept, interrupted ones go on, failed ones are tried again and are not fatal. Test data are
    looked at once, after everything was chosen on validation.

    Args:
        spec: YAML file of the comparison.
        out: Folder to make, or to go on with.
        executor: ``local``, or ``ray`` for the machines of a Ray cluster.
        workers: Cells at a time.
        quiet: Say nothing.

    Returns:
        The table, the page, what was chosen, and the cells that have no result.

    Raises:
        MedmtlError: What is wrong with the file, a configuration, the data or the folder.
        InterruptedComparison: SIGINT or SIGTERM; the cells saved themselves, and a second call goes on.
    """
    return _compare(spec, out, executor=executor, workers=workers, progress=Progress(quiet=quiet))
