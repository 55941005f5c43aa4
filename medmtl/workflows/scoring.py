"""From what evaluation kept of each sample to the figures of each data set, and the examples that a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medmtl.data.samples import Sample
from medmtl.evaluation import EvaluationResult, Example, TaskResult, pick_examples
from medmtl.run import now
from medmtl.tasks import AnyTask, Settings
from medmtl.workflows.operating import Operating, load_operating
from medmtl.workflows.trained import TrainedRun

Records = Mapping[tuple[str, str], Sequence[Any]]
"""What is kept of the samples, by data set and task."""

Chosen = dict[tuple[str, str, str], Example]
"""Examples by data set, task and sample."""


def score(
    trained: TrainedRun,
    samples: Sequence[Sample],
    records: Records,
    settings: Mapping[str, Settings],
    manifest: Path,
    digest: str,
    split: str,
) -> list[EvaluationResult]:
    """Figures of every data set, each on its own.

    Args:
        trained: The run.
        samples: All samples that were evaluated.
        records: What was kept of those that say something about a task.
        settings: How figures are computed, by task.
        manifest: Where the samples come from.
        digest: The manifest's content hash.
        split: The split; ``all`` = every row.
    """
    name, run_hash = trained.folder.config.name, trained.folder.record.get("run_hash", "")
    results = []
    for dataset in dict.fromkeys(sample.dataset for sample in samples):
        total = sum(sample.dataset == dataset for sample in samples)
        found = tuple(
            _task_result(task, dataset, records.get((dataset, task.name), ()), total, settings[task.name])
            for task in trained.tasks
        )
        results.append(EvaluationResult(name, run_hash, manifest.name, digest, split, now(), total, found))
    return results


def chosen_examples(results: Sequence[EvaluationResult]) -> Chosen:
    """The examples of all results, by data set, task and sample."""
    return {
        (task.dataset, task.task, example.sample_id): example
        for result in results
        for task in result.tasks
        for example in task.examples
    }


def task_settings(trained: TrainedRun) -> dict[str, Settings]:
    """How figures of each task are computed: as the run asks for, at the operating points that validation chose."""
    chosen = load_operating(trained.folder) if trained.folder.operating.is_file() else Operating({}, {}, {})
    asked = trained.folder.config.evaluation
    return {
        task.name: Settings(
            asked.bootstrap,
            asked.seed,
            chosen.thresholds.get(task.name),
            {label: scale.threshold for label, scale in chosen.scales.get(task.name, {}).items()},
        )
        for task in trained.tasks
    }


def _task_result(task: AnyTask, dataset: str, records: Sequence[Any], total: int, settings: Settings) -> TaskResult:
    scores = {record.origin.sample_id: task.example_score(record, settings) for record in records}
    examples = pick_examples(task.name, scores, task.example_score_name)
    findings = replace(task.findings(records, settings), labelled=len(records), unlabelled=total - len(records))
    return TaskResult.of(task.name, task.kind, dataset, findings, examples)
