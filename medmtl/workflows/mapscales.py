"""Which classes of a run have a color scale, which have none, and why."""

from __future__ import annotations

from medmtl.errors import RunError
from medmtl.explanation.scale import ClassScale
from medmtl.workflows.operating import Operating
from medmtl.workflows.trained import TrainedRun


def map_scales(trained: TrainedRun, operating: Operating) -> dict[str, dict[str, ClassScale]]:
    """The scales of all classes that have one, by task and class.

    Raises:
        RunError: The run has no task that gives maps, or no scale at all.
    """
    tasks = [task for task in trained.tasks if task.kind == "localization"]
    if not tasks:
        raise RunError(
            "the run has no task that gives maps", where=trained.folder.path, remedy="train with a localization task"
        )
    scales = {task.name: operating.scales.get(task.name, {}) for task in tasks}
    if not any(scales.values()):
        why = next(
            (reason for classes in operating.missing.values() for reason in classes.values()), "no validation set"
        )
        raise RunError(
            "the run has no color scale",
            where=trained.folder.path,
            found=why,
            remedy="train with validation images of both kinds",
        )
    return scales


def classes_without(trained: TrainedRun, operating: Operating) -> tuple[tuple[str, str], ...]:
    """Classes with maps and no scale, and why; the task stands before the class where several give maps."""
    tasks = [task for task in trained.tasks if task.kind == "localization"]
    return tuple(
        (f"{task.name} {label}" if len(tasks) > 1 else label, operating.why_missing(task.name, label))
        for task in tasks
        for label in task.classes
        if label not in operating.scales.get(task.name, {})
    )
