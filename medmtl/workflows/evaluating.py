"""From a run and a manifest to figures in original pixels, a report, and a line in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from medmtl.data.checks import check_files
from medmtl.data.counting import class_counts
from medmtl.data.manifest import Manifest
from medmtl.data.reading import read_image
from medmtl.data.samples import Sample
from medmtl.data.targets import MaskTarget
from medmtl.errors import ConfigError, EvaluationError
from medmtl.evaluation import EvaluationResult
from medmtl.files import refilled_folder, remove_litter
from medmtl.inference.predict import Predicted, evaluation_batches, predict, view_tasks
from medmtl.progress import Progress
from medmtl.reporting.report import REPORT_FILE, write_report
from medmtl.tasks import AnyTask, Scene, Settings
from medmtl.workflows.candidatefiles import write_candidates
from medmtl.workflows.ledger import Look, read_ledger, recorded_look
from medmtl.workflows.persample import write_samples
from medmtl.workflows.runfacts import run_summary
from medmtl.workflows.scoring import Chosen, chosen_examples, score, task_settings
from medmtl.workflows.trained import TrainedRun, open_trained, original_field, untrained_network


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left.

    Attributes:
        results: One per data set of the manifest.
        folder: Where report, tables and ``metrics.json`` are.
        report: The HTML page.
    """

    results: tuple[EvaluationResult, ...]
    folder: Path
    report: Path


def result_lines(done: Evaluated) -> list[str]:
    """The figures as lines of text, and where the report is."""
    lines = []
    for task in (task for result in done.results for task in result.tasks):
        for metric in task.metrics:
            value = metric.interval
            said = f"{value.value:.3f}  ({value.low:.3f} to {value.high:.3f})"
            lines.append(f"{task.dataset}  {task.task}  {metric.label}  {said}  n={metric.n}")
    return [*lines, f"report {done.report}"]


def evaluate(
    run: str | Path,
    manifest: str | Path,
    *,
    split: str | None = "test",
    out: str | Path | None = None,
    ledger: str | Path | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Evaluates a run on a split of a manifest, in the pixels of the files as given.

    The results of an earlier evaluation in the same folder are replaced as a whole; an evaluation that fails leaves
    them, and the ledger, as they were.

    Args:
        run: Run folder.
        manifest: Manifest of the samples.
        split: Split to evaluate; None = all rows.
        out: Folder of the results; default: ``evaluation/MANIFEST-SPLIT`` in the run folder.
        ledger: CSV that looks at a test split are recorded in; default: ``ledger.csv`` beside the results' folder.
        device: Where to compute; default: the run's own.
        progress: Where to say how far it is.

    Raises:
        MedmtlError: What is wrong with run, manifest or output.
    """
    progress = progress or Progress()
    trained = open_trained(run, device)
    table = Manifest.read(Path(manifest))
    samples = _samples(table, split, trained)
    said = split or "all"
    folder = Path(out) if out else trained.folder.path / "evaluation" / f"{Path(manifest).stem}-{said}"
    book = Path(ledger) if ledger else folder.parent / "ledger.csv"
    read_ledger(book)  # a damaged one is said now, not after the work
    look = Look.of_run(trained.folder, Path(manifest).name, table.content_hash, said, len(samples))
    remove_litter(folder)  # of an evaluation that was killed
    with refilled_folder(folder) as temporary:
        records = _collect(trained, samples, progress)
        if not records:
            raise _nothing_known(table, said, trained.tasks)
        settings = task_settings(trained)
        results = score(trained, samples, records, settings, table.path, table.content_hash, said)
        pictures = _pictures(trained, samples, chosen_examples(results), settings, progress)
        counts = class_counts(samples, [task.target for task in trained.tasks], f"evaluated ({said})")
        write_samples(temporary, trained.tasks, records, settings)
        write_candidates(temporary, trained.tasks, records)
        with recorded_look(book, look) as row:
            results = [replace(result, ledger_row=row) for result in results]
            write_report(temporary, results, run_summary(trained.folder, row, counts), pictures)
    report = folder / REPORT_FILE
    progress.say(f"report: {report}")
    return Evaluated(tuple(results), folder, report)


def _samples(table: Manifest, split: str | None, trained: TrainedRun) -> tuple[Sample, ...]:
    samples = tuple(table.select(split))
    if not samples:
        splits = ", ".join(sorted({str(sample.split) for sample in table.samples}))
        what, remedy = f"the manifest has no sample in the split '{split}'", "choose --split among them, or `all`"
        raise ConfigError(what, where=table.path, found=splits, remedy=remedy)
    check_files(samples, [target for task in trained.tasks for target in (*task.truth_targets, *task.aids)])
    return samples


def _nothing_known(table: Manifest, split: str, tasks: Sequence[AnyTask]) -> EvaluationError:
    kinds = (
        ("mask" if isinstance(target, MaskTarget) else "label", target)
        for task in tasks
        for target in task.truth_targets
    )
    columns = dict.fromkeys(f"{kind}:{column}" for kind, target in kinds for column in target.columns)
    remedy = f"the run's tasks read the columns {', '.join(columns)}: fill one of them"
    where = f"{table.path}, split {split}"
    return EvaluationError("no sample has a label or a mask of the run's tasks", where=where, remedy=remedy)


Records = dict[tuple[str, str], list[Any]]


def _collect(trained: TrainedRun, samples: Sequence[Sample], progress: Progress) -> Records:
    """What evaluation keeps of each sample, by data set and task."""
    records: Records = {}
    untrained = None
    for view, tasks in view_tasks(trained.tasks).items():
        predicted: Iterable[Predicted] = _predicted(trained, samples, view, tasks)
        before: Iterable[Predicted | None] = repeat(None)
        compared = [task for task in tasks if any(task.wants_rivals(sample) for sample in samples)]
        if compared:
            untrained = untrained or replace(trained, network=untrained_network(trained))
            before = _predicted(untrained, samples, view, compared)
        for item, other in zip(progress.track(predicted, f"evaluating ({view})", len(samples)), before, strict=False):
            for task in tasks:
                record = _original_record(task, item, other)
                if record is not None:
                    records.setdefault((item.sample.dataset, task.name), []).append(record)
    return records


def _predicted(
    trained: TrainedRun, samples: Sequence[Sample], view: str, tasks: Sequence[AnyTask]
) -> Iterator[Predicted]:
    config = trained.folder.config
    # Targets are read again in original pixels, so the loader is asked for images only.
    batches = evaluation_batches(samples, view, tasks, config, targets=False)
    return predict(trained.network, tasks, batches, samples, trained.device, config)


def _original_record(task: AnyTask, item: Predicted, before: Predicted | None) -> Any:
    shape = (item.geometry.height, item.geometry.width)
    truth = task.truth(item.sample, shape)
    restored = task.restore(item.predictions[task.name], item.geometry)
    field = original_field(item)
    record = task.record(restored, truth, field, item.origin)
    if record is None or before is None or not task.wants_rivals(item.sample):
        return record
    untrained = task.restore(before.predictions[task.name], item.geometry)
    return task.beside(record, truth, field, Scene(item.image, item.field, item.geometry), untrained)


def _pictures(
    trained: TrainedRun, samples: Sequence[Sample], chosen: Chosen, settings: Mapping[str, Settings], progress: Progress
) -> dict[tuple[str, str, str], bytes]:
    by_id = {(sample.dataset, sample.id): sample for sample in samples}
    wanted = [by_id[key] for key in dict.fromkeys((dataset, sample_id) for dataset, _, sample_id in chosen)]
    pictures: dict[tuple[str, str, str], bytes] = {}
    for view, tasks in view_tasks(trained.tasks).items():
        for item in progress.track(_predicted(trained, wanted, view, tasks), "drawing examples", len(wanted)):
            for task in tasks:
                key = (item.sample.dataset, task.name, item.sample.id)
                if key in chosen:
                    pictures[key] = _picture(task, item, settings[task.name])
    return pictures


def _picture(task: AnyTask, item: Predicted, settings: Settings) -> bytes:
    image, _ = read_image(item.sample.image)
    truth = task.truth(item.sample, image.shape[:2])
    restored = task.restore(item.predictions[task.name], item.geometry)
    drawn = task.picture(np.rint(image * 255).astype(np.uint8), restored, truth, settings)
    return cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
