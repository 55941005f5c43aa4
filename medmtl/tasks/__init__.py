"""Tasks by type: each says its head, its masked loss, its predictions and its figures."""

from medmtl.tasks.base import AnyTask, Task, TaskConfig, build_task, tasks
from medmtl.tasks.classification import Classification
from medmtl.tasks.localization import Localization
from medmtl.tasks.scenes import ClassEvidence, Origin, Scene, Settings
from medmtl.tasks.segmentation import Segmentation

__all__ = [
    "AnyTask",
    "ClassEvidence",
    "Classification",
    "Localization",
    "Origin",
    "Scene",
    "Segmentation",
    "Settings",
    "Task",
    "TaskConfig",
    "build_task",
    "tasks",
]
