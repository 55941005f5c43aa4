"""From a run and images to heat maps in original pixels, on the run's fixed scale, with one page to look through."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medmtl.data.reading import is_image_name, read_image, read_image_info
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, ImageError
from medmtl.evaluation import EvaluationResult
from medmtl.explanation.cam.words import method_words
from medmtl.explanation.exports import Exporter, open_exports
from medmtl.explanation.page import PageFacts, write_page
from medmtl.explanation.scale import ClassScale
from medmtl.explanation.shown import ShownImage, safe_names
from medmtl.explanation.writing import WrittenImage, finish_exports, write_candidates, write_image
from medmtl.files import atomic_folder
from medmtl.progress import Progress
from medmtl.run import code_version, now
from medmtl.workflows.evidence import predicted_images, shown_classes
from medmtl.workflows.eyes import Eyes, open_eyes
from medmtl.workflows.mapscales import classes_without, map_scales
from medmtl.workflows.measured import evaluations_of
from medmtl.workflows.operating import load_operating
from medmtl.workflows.trained import TrainedRun, open_trained


@dataclass(frozen=True)
class Explained:
    """What was written.

    Attributes:
        images: Number of images.
        candidates: Number of candidates above threshold.
        index: The page.
        table: Candidates as CSV.
    """

    images: int
    candidates: int
    index: Path
    table: Path


def explain(
    run: str | Path,
    paths: Sequence[str | Path],
    *,
    out: str | Path,
    npy: bool = False,
    method: str | None = None,
    export: str | Sequence[str] = (),
    anatomy: str | Path | None = None,
    evaluations: Sequence[str | Path] = (),
    device: str | None = None,
    progress: Progress | None = None,
) -> Explained:
    """Makes heat maps.

    Args:
        run: Run folder, with the scales that validation chose.
        paths: Images, or folders of images (searched with their subfolders).
        out: Folder to make.
        npy: Also write the maps as float32 NPY.
        method: A method of class activation mapping instead of the head's own maps.
        export: Formats of other programs, by their names in ``EXPORTS``.
        anatomy: A table of eyes: side, disc, fovea; see ``read_anatomy``.
        evaluations: Evaluation folders of the run that lie outside of it, for the figures beside each class.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        ConfigError: A method or an export is not known, or the table of anatomy is wrong.
        RunError: The run has no scale, or no task that gives maps.
        ImageError: An image is missing or cannot be read.
        EvaluationError: An evaluation of the run cannot be read.
        OutputError: The folder exists already, or cannot be written.
    """
    progress = progress or Progress()
    how = method_words(method)  # names that are not known are said now, not after the work
    formats = [export] if isinstance(export, str) else export
    open_exports(formats, Path(out))
    images = find_images([Path(path) for path in paths])
    trained = open_trained(run, device)
    eyes = open_eyes(trained.tasks, None if anatomy is None else Path(anatomy), images)
    operating = load_operating(trained.folder)
    scales = map_scales(trained, operating)
    # What was measured was measured on the head's own maps.
    results = evaluations_of(trained.folder, [Path(place) for place in evaluations]) if method is None else []
    missing = classes_without(trained, operating)
    for label, why in missing:
        progress.say(f"no heat map for {label}: {why}")
    asked = _Asked(trained, scales, method, eyes, results, npy)
    with atomic_folder(Path(out)) as temporary:
        exporters = open_exports(formats, temporary)
        written, tables = _write_all(asked, images, temporary, exporters, progress)
        shown = next((entry.scale for image in written for entry in image.classes), None)
        table = write_candidates(temporary, tables, shown)
        write_page(temporary, written, _facts(trained, how, missing, eyes, finish_exports(temporary, exporters)))
    return Explained(len(written), len(table), Path(out) / "index.html", Path(out) / "candidates.csv")


@dataclass(frozen=True)
class _Asked:
    """What is to be shown of every image."""

    trained: TrainedRun
    scales: Mapping[str, Mapping[str, ClassScale]]
    method: str | None
    eyes: Eyes
    results: Sequence[EvaluationResult]
    npy: bool


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Images among files and folders, in order, each once; headers are read, so that a broken one is found at the start.

    Raises:
        ImageError: A path does not exist, is no image, or has a name that is not UTF-8.
        ConfigError: There is no image.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(item for item in path.rglob("*") if item.is_file() and is_image_name(item))
        elif path.exists():
            found.append(path)
        else:
            raise ImageError("there is no such image or folder", where=path, remedy="check the path")
    if not found:
        raise ConfigError(
            "no image was found", where=", ".join(map(str, paths)), remedy="give images or folders of images"
        )
    found = list({path.absolute(): path for path in found}.values())
    for path in found:
        _check_name(path)
        read_image_info(path)
    return found


def _check_name(path: Path) -> None:
    """The page and the tables name each image, in UTF-8."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        found = repr(os.fsencode(path.name))[1:]
        raise ImageError("the file's name is not UTF-8", where=path.parent, found=found, remedy="rename it") from None


def _write_all(
    asked: _Asked, images: Sequence[Path], out: Path, exporters: Sequence[Exporter], progress: Progress
) -> tuple[list[WrittenImage], list[pd.DataFrame]]:
    names = safe_names([path.stem for path in images])
    samples = [
        Sample(id=name, image=path, row=number, manifest=path.parent, dataset="images", patient=name)
        for number, (name, path) in enumerate(zip(names, images, strict=True), start=1)
    ]
    eyes = asked.eyes
    wanted = [*asked.scales, *([] if eyes.task is None else [eyes.task.name])]
    written: list[WrittenImage] = []
    tables: list[pd.DataFrame] = []
    for items in progress.track(predicted_images(asked.trained, samples, wanted), "explaining", len(samples)):
        sample = items[0][1].sample
        eye = eyes.of(sample.image, {task.name: item for task, item in items})
        classes = shown_classes(asked.trained, items, asked.scales, asked.method, eye, asked.results)
        pixels = np.rint(read_image(sample.image)[0] * 255).astype(np.uint8)
        shown = ShownImage(sample.id, pixels, classes, sample.image.name, eye)
        written.append(write_image(out, shown, npy=asked.npy, exporters=exporters))
        tables += [entry.candidates for entry in classes]
    return written, tables


def _facts(
    trained: TrainedRun, how: str, missing: tuple[tuple[str, str], ...], eyes: Eyes, exports: Sequence[str]
) -> PageFacts:
    record = trained.folder.record
    run, digest = trained.folder.config.name, record.get("weights_sha256", "")
    return PageFacts(
        run, digest, code_version(), now(), how, missing=missing, anatomy=eyes.words, exports=tuple(exports)
    )
