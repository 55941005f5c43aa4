"""What validation decides for later: operating points, and the fixed scales of heat maps; kept in the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from medmtl.errors import EvaluationError, RunError
from medmtl.explanation.scale import ClassScale, calibrate_scale
from medmtl.files import write_text
from medmtl.run import RunFolder
from medmtl.tasks import AnyTask, ClassEvidence


@dataclass(frozen=True)
class Operating:
    """Choices made on validation.

    Attributes:
        thresholds: By task and class.
        scales: By task and class, for tasks that give maps.
        missing: By task and class, why there is no scale.
    """

    thresholds: dict[str, dict[str, float]]
    scales: dict[str, dict[str, ClassScale]]
    missing: dict[str, dict[str, str]]

    def why_missing(self, task: str, label: str) -> str:
        """Why a class has no scale."""
        return self.missing.get(task, {}).get(label, "the run has no color scale for it")


def choose_operating(tasks: Sequence[AnyTask], records: dict[str, list[Any]], place: str = "validation") -> Operating:
    """Chooses thresholds and scales on validation records.

    Args:
        tasks: The tasks.
        records: What is known of the samples, by task.
        place: What the samples are called.
    """
    scales: dict[str, dict[str, ClassScale]] = {}
    missing: dict[str, dict[str, str]] = {}
    for task in tasks:
        for label, found in task.evidence(records[task.name]).items():
            scale = _scale(label, found, place)
            if isinstance(scale, str):
                missing.setdefault(task.name, {})[label] = scale
            else:
                scales.setdefault(task.name, {})[label] = scale
    thresholds = {task.name: task.thresholds(records[task.name]) for task in tasks}
    return Operating(thresholds, scales, missing)


def _scale(label: str, found: ClassEvidence, place: str) -> ClassScale | str:
    """The scale of one class, or why there is none.

    Where no image is known to have the class, those of which nothing is known say where the colors end: their highest
    evidence is that of the ones that have it. Where it becomes visible is a matter of lesion-free images alone.
    """
    if not found.absent:
        return "no validation image is known to be without the class"
    if not (found.present or found.unknown):
        return "no validation image is known to be with the class"
    rest = f"{len(found.present)} with the lesion" if found.present else f"{len(found.unknown)} that may have it"
    origin = f"{place}: {len(found.absent)} lesion-free images, {rest}"
    return calibrate_scale(label, found.absent, found.present or found.unknown, origin=origin)


def save_operating(run: RunFolder, operating: Operating) -> None:
    """Writes ``operating.json``."""
    data = {
        "thresholds": operating.thresholds,
        "scales": {
            task: {label: asdict(scale) for label, scale in scales.items()} for task, scales in operating.scales.items()
        },
        "missing": operating.missing,
        "unit": "thresholds: probability; scales: logit",
    }
    write_text(run.operating, json.dumps(data, indent=2) + "\n")


def load_operating(run: RunFolder) -> Operating:
    """Reads ``operating.json``.

    Raises:
        RunError: The run has none, or it is damaged.
    """
    if not run.operating.is_file():
        remedy = "train it with a validation set: the color scale and the thresholds come from there"
        raise RunError("the run has no thresholds and no color scale", where=run.path, remedy=remedy)
    try:
        data = json.loads(run.operating.read_text(encoding="utf-8"))
        scales = {
            task: {label: ClassScale(**scale) for label, scale in items.items()}
            for task, items in data["scales"].items()
        }
        thresholds = {
            task: {label: float(value) for label, value in items.items()} for task, items in data["thresholds"].items()
        }
        return Operating(thresholds, scales, dict(data["missing"]))
    except (ValueError, KeyError, TypeError, AttributeError, EvaluationError) as error:
        what = "the run's thresholds and color scale cannot be read"
        remedy = "restore the file, or make it anew with `medmtl recalibrate`"
        raise RunError(what, where=run.operating, found=error, remedy=remedy) from None
