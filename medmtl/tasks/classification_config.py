"""The keys of a classification task: what its labels are, and where they stand."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from medmtl.tasks.base import TaskConfig
from medmtl.tasks.labels import LabelConfig

Mode = Literal["labels", "multiclass", "ordinal"]


class ClassificationConfig(TaskConfig):
    """Keys of a classification task."""

    mode: Mode = Field(
        "labels",
        description="`labels`: independent yes/no classes (one = binary); `multiclass`: one of several; `ordinal`: a grade.",
    )
    column: str | None = Field(None, description="Label column without `label:`; default: the task's name.")
    classes: list[str] | dict[str, LabelConfig] = Field(
        default_factory=list,
        description="`multiclass`, `ordinal`: the cell texts in order. `labels`: class → column and positive texts; empty = one class, the task's name.",
    )
    positive: list[str | int] = Field(
        default_factory=list, description="`labels` with one class: cell texts that mean yes; default 1."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before the last layer.")

    @field_validator("classes", mode="before")
    @classmethod
    def _numbers_as_text(cls, value: Any) -> Any:
        """A grade is written 0, 1, 2 by most: cell texts all the same."""
        if not isinstance(value, list):
            return value
        return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value]
