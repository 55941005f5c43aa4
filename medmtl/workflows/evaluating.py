"""From a run and a manifest to figures in original pixels, a report, and a line in the ledger."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from medmtl.data.manifest import Manifest
from medmtl.data.reading import read_image
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, OutputError
from medmtl.evaluation import EvaluationResult, Example, TaskResult, pick_examples
from medmtl.files import atomic_write, write_text
from medmtl.inference.predict import Predicted, evaluation_batches, predict, view_tasks
from medmtl.progress import Progress
from medmtl.reporting.report import write_report
from medmtl.reporting.summary import RunSummary
from medmtl.run import RunFolder, dump_config, now
from medmtl.tasks import AnyTask, Settings
from medmtl.workflows.operating import load_operating
from medmtl.workflows.trained import TrainedRun, open_trained, original_field

LEDGER_COLUMNS = ("row", "date", "run", "run_hash", "seed", "manifest", "manifest_hash", "split", "samples", "code")


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
    samples = table.select(split)
    if not samples:
        splits = sorted({str(sample.split) for sample in table.samples})
        raise ConfigError(f"the manifest has no sample in the split '{split}'", where=manifest, found=", ".join(splits))
    name = f"{Path(manifest).stem}-{split or 'all'}"
    folder = Path(out) if out is not None else trained.folder.path / "evaluation" / name
    _check_writable(folder)
    collected = _collect(trained, samples, progress)
    row = record_look(
        Path(ledger) if ledger else folder.parent / "ledger.csv",
        trained.folder,
        manifest,
        table.content_hash,
        split,
        len(samples),
    )
    results, chosen = _results(trained, samples, collected, Path(manifest), table.content_hash, split, row)
    pictures = _pictures(trained, samples, chosen, progress)
    summary = _summary(trained.folder, row)
    report = write_report(folder, results, summary, pictures)
    progress.say(f"report: {report}")
    return Evaluated(tuple(results), folder, report)


Records = dict[str, list[Any]]


def _collect(trained: TrainedRun, samples: Sequence[Sample], progress: Progress) -> Records:
    records: Records = {task.name: [] for task in trained.tasks}
    for view, tasks in view_tasks(trained.tasks).items():
        for item in progress.track(_predicted(trained, samples, view, tasks), f"evaluating ({view})", len(samples)):
            for task in tasks:
                record = _original_record(task, item)
                if record is not None:
                    records[task.name].append(record)
    return records


def _predicted(
    trained: TrainedRun, samples: Sequence[Sample], view: str, tasks: Sequence[AnyTask]
) -> Iterator[Predicted]:
    config = trained.folder.config
    # Targets are read again in original pixels, so the loader is asked for images only.
    batches = evaluation_batches(samples, view, tasks, config, targets=False)
    return predict(trained.network, tasks, batches, samples, trained.device, config)


def _original_record(task: AnyTask, item: Predicted) -> Any:
    shape = (item.geometry.height, item.geometry.width)
    truth = task.truth(item.sample, shape)
    restored = task.restore(item.predictions[task.name], item.geometry)
    return task.record(restored, truth, original_field(item), item.origin)


def _results(
    trained: TrainedRun,
    samples: Sequence[Sample],
    records: Records,
    manifest: Path,
    digest: str,
    split: str | None,
    row: str,
) -> tuple[list[EvaluationResult], dict[tuple[str, str, str], Example]]:
    config = trained.folder.config
    thresholds = load_operating(trained.folder).thresholds if trained.folder.operating.is_file() else {}
    record = trained.folder.record
    chosen: dict[tuple[str, str, str], Example] = {}
    results = []
    for dataset in dict.fromkeys(sample.dataset for sample in samples):
        members = [sample for sample in samples if sample.dataset == dataset]
        found = []
        for task in trained.tasks:
            mine = [item for item in records[task.name] if item.origin.patient.startswith(f"{dataset}/")]
            settings = Settings(config.evaluation.bootstrap, config.evaluation.seed, thresholds.get(task.name))
            scores = {item.origin.sample_id: task.example_score(item) for item in mine}
            examples = pick_examples(task.name, scores, task.example_score_name)
            chosen |= {(dataset, task.name, example.sample_id): example for example in examples}
            findings = task.findings(mine, settings)
            findings = replace(findings, labelled=len(mine), unlabelled=len(members) - len(mine))
            found.append(TaskResult.of(task.name, task.kind, dataset, findings, examples))
        results.append(
            EvaluationResult(
                config.name,
                record.get("run_hash", ""),
                manifest.name,
                digest,
                split or "all",
                now(),
                len(members),
                tuple(found),
                row,
            )
        )
    return results, chosen


def _pictures(
    trained: TrainedRun, samples: Sequence[Sample], chosen: Mapping[tuple[str, str, str], Example], progress: Progress
) -> dict[tuple[str, str, str], bytes]:
    by_id = {(sample.dataset, sample.id): sample for sample in samples}
    wanted = [by_id[key] for key in dict.fromkeys((dataset, sample_id) for dataset, _, sample_id in chosen)]
    pictures: dict[tuple[str, str, str], bytes] = {}
    for view, tasks in view_tasks(trained.tasks).items():
        for item in progress.track(_predicted(trained, wanted, view, tasks), "drawing examples", len(wanted)):
            for task in tasks:
                key = (item.sample.dataset, task.name, item.sample.id)
                if key in chosen:
                    pictures[key] = _picture(task, item)
    return pictures


def _picture(task: AnyTask, item: Predicted) -> bytes:
    image, _ = read_image(item.sample.image)
    truth = task.truth(item.sample, image.shape[:2])
    restored = task.restore(item.predictions[task.name], item.geometry)
    drawn = task.picture(np.rint(image * 255).astype(np.uint8), restored, truth)
    return cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def record_look(
    ledger: Path, run: RunFolder, manifest: str | Path, digest: str, split: str | None, samples: int
) -> str:
    """Adds a line to the ledger of looks at evaluation data, and gives its name.

    Raises:
        OutputError: The ledger cannot be written.
    """
    text = _ledger_text(ledger)
    number = len(text.splitlines())
    record = run.record
    row = [
        f"L{number}",
        now(),
        run.config.name,
        record.get("run_hash", ""),
        run.config.seed,
        Path(manifest).name,
        digest[:12],
        split or "all",
        samples,
        record.get("git") or record.get("code_version", ""),
    ]
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    write_text(ledger, text + line.getvalue())
    return f"{ledger.name}:L{number}"


def _ledger_text(ledger: Path) -> str:
    if not ledger.exists():
        return ",".join(LEDGER_COLUMNS) + "\n"
    try:
        return ledger.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "choose another --ledger, or mend the file: it is CSV in UTF-8"
        raise OutputError("the ledger cannot be read", where=ledger, found=error, remedy=remedy) from None


def _check_writable(folder: Path) -> None:
    """Fails before hours of work, not after."""
    probe = folder / ".writable"
    with atomic_write(probe) as temporary:
        temporary.write_text("")
    try:
        probe.unlink()
    except OSError as error:
        raise OutputError("the results' folder cannot be changed", where=folder, found=error.strerror) from None


def _summary(run: RunFolder, row: str) -> RunSummary:
    record = run.record
    return RunSummary(
        title=run.config.name,
        run_folder=run.path.name,
        run_hash=record.get("run_hash", ""),
        code_version=record.get("code_version", ""),
        git=record.get("git", ""),
        seed=run.config.seed,
        minutes=float(record.get("minutes", float("nan"))),
        config=dump_config(run.config),
        environment=record.get("environment", {}),
        log=pd.read_csv(run.log) if run.log.exists() else pd.DataFrame(),
        data_counts=_data_counts(run),
        ledger_row=row,
        best_epoch=record.get("best_epoch") or None,
    )


def _data_counts(run: RunFolder) -> pd.DataFrame:
    import json

    path = run.path / "data.json"
    if not path.exists():
        return pd.DataFrame()
    rows = json.loads(path.read_text(encoding="utf-8"))["counts"]
    return pd.DataFrame(
        [
            {
                **{key: row[key] for key in ("side", "dataset", "samples")},
                **{f"labelled: {task}": count for task, count in row["labelled"].items()},
            }
            for row in rows
        ]
    )
