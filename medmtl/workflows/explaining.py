"""From a run and images to heat maps in original pixels, on the run's fixed scale, with one page to look through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from medmtl.data.reading import is_image_name, read_image, read_image_info
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, ImageError
from medmtl.explanation.candidates import candidate_table
from medmtl.explanation.page import PageFacts, write_page
from medmtl.explanation.scale import ClassScale
from medmtl.explanation.writing import WrittenImage, safe_names, write_candidates, write_image
from medmtl.files import atomic_folder
from medmtl.geometry import restore_view
from medmtl.inference.predict import Predicted, evaluation_batches, predict, view_tasks
from medmtl.models import TaskView
from medmtl.progress import Progress
from medmtl.run import code_version, now
from medmtl.tasks import AnyTask
from medmtl.tasks.localization_candidates import map_candidates, without_rim
from medmtl.workflows.mapscales import classes_without, map_scales
from medmtl.workflows.operating import load_operating
from medmtl.workflows.trained import TrainedRun, open_trained, original_field

FLAT = 1.0
"""Standard deviation, in grey levels of 255, under which an image shows nothing and therefore has no evidence."""

Maps = dict[str, npt.NDArray[np.float32]]


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
    device: str | None = None,
    progress: Progress | None = None,
) -> Explained:
    """Makes heat maps.

    Args:
        run: Run folder, with the scales that validation chose.
        paths: Images, or folders of images (searched with their subfolders).
        out: Folder to make.
        npy: Also write the maps as float32 NPY.
        method: A method of pytorch-grad-cam instead of the head's own maps.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        ConfigError: The method is not known.
        RunError: The run has no scale, or no task that gives maps.
        ImageError: An image is missing or cannot be read.
        OutputError: The folder exists already, or cannot be written.
    """
    progress = progress or Progress()
    if method is not None:
        _method_words(method)  # a name that is not known is said now, not after the work
    images = find_images([Path(path) for path in paths])
    trained = open_trained(run, device)
    operating = load_operating(trained.folder)
    scales = map_scales(trained, operating)
    missing = classes_without(trained, operating)
    for label, why in missing:
        progress.say(f"no heat map for {label}: {why}")
    with atomic_folder(Path(out)) as temporary:
        written, tables = _write_all(trained, images, scales, temporary, npy, method, progress)
        table = write_candidates(temporary, tables)
        write_page(temporary, written, _facts(trained, method, missing))
    return Explained(len(written), len(table), Path(out) / "index.html", Path(out) / "candidates.csv")


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Images among files and folders, in order; each header is read, so that a broken file is found before work starts.

    Raises:
        ImageError: A path does not exist, or is no image.
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
    for path in found:
        read_image_info(path)
    return found


def _write_all(
    trained: TrainedRun,
    images: Sequence[Path],
    scales: Mapping[str, Mapping[str, ClassScale]],
    out: Path,
    npy: bool,
    method: str | None,
    progress: Progress,
) -> tuple[list[WrittenImage], list[pd.DataFrame]]:
    names = safe_names([path.stem for path in images])
    samples = [
        Sample(id=name, image=path, row=number, manifest=path.parent, dataset="images", patient=name)
        for number, (name, path) in enumerate(zip(names, images, strict=True), start=1)
    ]
    several = len(scales) > 1
    written: list[WrittenImage] = []
    tables: list[pd.DataFrame] = []
    for items in progress.track(_predicted(trained, samples, list(scales)), "explaining", len(samples)):
        maps: Maps = {}
        shown: dict[str, ClassScale] = {}
        found: dict[str, pd.DataFrame] = {}
        for task, item in items:
            for label, scale in scales[task.name].items():
                name = f"{task.name} {label}" if several else label
                evidence = _evidence(trained, task, item, label, method)
                shown[name] = ClassScale(name, scale.threshold, scale.top, scale.origin)
                maps[name] = _restored(evidence, item)
                found[name] = _candidates(item, evidence, shown[name], task)
        image, _ = read_image(items[0][1].sample.image)
        pixels = np.rint(image * 255).astype(np.uint8)
        sample = items[0][1].sample
        written.append(write_image(out, sample.id, pixels, maps, shown, found, source=sample.image.name, npy=npy))
        tables += list(found.values())
    return written, tables


def _predicted(
    trained: TrainedRun, samples: Sequence[Sample], names: Sequence[str]
) -> Iterator[list[tuple[AnyTask, Predicted]]]:
    """For each sample its tasks with maps, whatever views they are trained on."""
    tasks = [task for task in trained.tasks if task.name in names]
    streams = []
    for view, members in view_tasks(tasks).items():
        batches = evaluation_batches(samples, view, members, trained.folder.config, targets=False, blank=True)
        predicted = predict(trained.network, members, batches, samples, trained.device, trained.folder.config)
        streams.append(([*members], predicted))
    for row in zip(*(stream for _, stream in streams), strict=True):
        yield [(task, item) for (members, _), item in zip(streams, row, strict=True) for task in members]


def _evidence(
    trained: TrainedRun, task: AnyTask, item: Predicted, label: str, method: str | None
) -> npt.NDArray[np.float32]:
    """(s, s) logits in the pixels of the view, NaN outside the field and where the image shows nothing."""
    channel = task.classes.index(label)
    if method is None:
        evidence = item.predictions[task.name].maps[channel]
    else:
        evidence = _cam(trained, task, item, channel, method)
    inside = item.field & (item.image[item.field].std() >= FLAT if item.field.any() else False)
    return np.where(inside, evidence, np.nan).astype(np.float32)


def _cam(trained: TrainedRun, task: AnyTask, item: Predicted, channel: int, method: str) -> npt.NDArray[np.float32]:
    from medmtl.explanation.cam import cam_map  # imported where it is used: most heat maps need no library

    view = TaskView(trained.network, task.name)
    image = torch.from_numpy(item.image.transpose(2, 0, 1).copy()).float().div(255).to(trained.device)
    return cam_map(view, image, method, view.target_layers(), channel=channel)


def _restored(evidence: npt.NDArray[np.float32], item: Predicted) -> npt.NDArray[np.float32]:
    # NaN would spread in the interpolation: the field's own edge in original pixels decides instead.
    known = np.isfinite(evidence)
    lowest = float(evidence[known].min()) if known.any() else 0.0
    restored = restore_view(np.where(known, evidence, lowest), item.geometry, fill=np.nan)
    return np.where(original_field(item) & known.any(), restored, np.nan).astype(np.float32)


def _candidates(item: Predicted, evidence: npt.NDArray[np.float32], scale: ClassScale, task: Any) -> pd.DataFrame:
    inside = np.isfinite(evidence)
    settings = task.config.candidates
    valid = inside & without_rim(item.field, settings.rim) & ~item.excluded.get(task.name, np.zeros_like(inside))
    found = map_candidates(np.where(inside, evidence, 0), settings, valid, scale.threshold)
    points = item.geometry.to_original(np.stack([found.x, found.y], axis=1))
    return candidate_table(
        item.sample.id,
        scale,
        x=points[:, 0],
        y=points[:, 1],
        score=found.score,
        area_px=found.area / item.geometry.scale**2,
    )


def _facts(trained: TrainedRun, method: str | None, missing: tuple[tuple[str, str], ...]) -> PageFacts:
    record = trained.folder.record
    how = "class maps of the localization head" if method is None else _method_words(method)
    run, digest = trained.folder.config.name, record.get("weights_sha256", "")
    return PageFacts(run, digest, code_version(), now(), how, missing=missing)


def _method_words(name: str) -> str:
    """What the page says of a method: its unit, what it normalizes, and that the scale was not chosen for it."""
    from medmtl.explanation.cam import cam_method

    method = cam_method(name)
    words = [f"{method.title} (pytorch-grad-cam; {method.source}), not stretched to the image"]
    if method.normalized:
        words.append(f"by its definition, {method.normalized}")
    if not method.by_class:
        words.append("it knows no class: every class has the same map")
    if method.unit == "logit":
        words.append("the scale is that of the head's own maps and was not chosen for this method")
    else:
        kind = "random" if method.unit == "none" else f"in units of {method.unit}"
        words.append(
            f"its values are {kind}, not logits: threshold and colors, those of the head's own maps, say little"
        )
    return "; ".join(words)
