"""What classification and localization share: image-level classes and their masked loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from medmtl.config import Block
from medmtl.data.targets import LabelClass
from medmtl.errors import ConfigError
from medmtl.evaluation import Findings, auc, binary_findings, youden_threshold
from medmtl.optim import TaskLoss
from medmtl.tasks.scenes import Settings

Array = npt.NDArray[np.floating]


_NEGATIVE = "Cell texts that mean absent; then a text in neither list says nothing. Empty: any other text is absent."


class _TextConfig(Block):
    """What the texts of a label column mean."""

    positive: list[str | int] = Field(
        default_factory=list,
        description="Cell texts that mean present (any other text: absent); default 1, and then only 0 and 1 are allowed.",
    )
    negative: list[str | int] = Field(default_factory=list, description=_NEGATIVE)

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        both = sorted({str(text) for text in self.positive} & {str(text) for text in self.negative})
        if both:
            raise ValueError(f"'{both[0]}' stands under positive and under negative; leave it in one of them")
        return self


class OtherLabelConfig(_TextConfig):
    """Where one image-level class is read from in samples whose first column says nothing."""

    column: str = Field(description="Label column without `label:`.")


class LabelConfig(_TextConfig):
    """Where one image-level class is read from."""

    column: str | None = Field(None, description="Label column without `label:`; default: TASK.CLASS.")
    otherwise: OtherLabelConfig | None = Field(
        None,
        description="Read where that column is empty, such as the label of another data set; empty = unknown there.",
    )


def positive_texts(texts: Iterable[str | int]) -> tuple[str, ...]:
    """Cell texts that mean present (or absent), as text; none stands for 1, with 0 for absent and nothing else allowed."""
    return tuple(str(text) for text in texts)


def label_classes(task: str, classes: Sequence[str] | Mapping[str, LabelConfig], prefix: str) -> tuple[LabelClass, ...]:
    """The classes of a task with their columns."""
    check_distinct(task, list(classes))
    configs = classes if isinstance(classes, Mapping) else {name: LabelConfig() for name in classes}
    return tuple(
        LabelClass(
            name,
            config.column or f"{prefix}.{name}",
            positive_texts(config.positive),
            None if config.otherwise is None else _other_class(name, config.otherwise),
            positive_texts(config.negative),
        )
        for name, config in configs.items()
    )


def _other_class(name: str, config: OtherLabelConfig) -> LabelClass:
    texts = positive_texts(config.positive), positive_texts(config.negative)
    return LabelClass(name, config.column, texts[0], negative=texts[1])


def check_distinct(task: str, classes: Sequence[str]) -> None:
    """Refuses a class that is listed twice, or has no name.

    Raises:
        ConfigError: With the class.
    """
    for place, name in enumerate(classes):
        if name in classes[:place] or not name.strip():
            what = f"the class '{name}' stands twice" if name.strip() else "a class has no name"
            raise ConfigError(what, where=f"tasks.{task}.classes", remedy="give each class its own name")


def masked_binary_loss(logits: Tensor, target: Tensor) -> TaskLoss:
    """Binary cross-entropy, a mean over a sample's known classes, then a sum over samples.

    Args:
        logits: (B, C).
        target: (B, C) of 0, 1 and NaN.
    """
    known = torch.isfinite(target)
    values = F.binary_cross_entropy_with_logits(logits, torch.where(known, target, 0), reduction="none")
    per_sample = torch.where(known, values, 0).sum(1) / known.sum(1).clamp(min=1)
    return TaskLoss(per_sample.sum(), int(known.any(1).sum()))


def auc_figures(scores: Array, labels: Array, classes: Sequence[str]) -> dict[str, float]:
    """The mean AUC over classes that have one, and each class's.

    Args:
        scores: (n, C).
        labels: (n, C) of 0, 1 and NaN.
        classes: C names.
    """
    values = {f"auc.{name}": auc(labels[:, index], scores[:, index]) for index, name in enumerate(classes)}
    defined = [value for value in values.values() if np.isfinite(value)]
    return {"auc": float(np.mean(defined)) if defined else float("nan"), **values}


def label_thresholds(scores: Array, labels: Array, classes: Sequence[str]) -> dict[str, float]:
    """Youden's threshold of each class that has both answers."""
    values = {name: youden_threshold(labels[:, index], scores[:, index]) for index, name in enumerate(classes)}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def label_findings(
    scores: Array,
    labels: Array,
    classes: Sequence[str],
    patients: Sequence[str],
    settings: Settings,
    *,
    probabilities: bool = True,
) -> Findings:
    """Figures of each yes/no class, side by side."""
    thresholds = settings.thresholds or {}
    found = [
        binary_findings(
            labels[:, index],
            scores[:, index],
            threshold=thresholds.get(name),
            groups=patients,
            name=name,
            probabilities=probabilities,
            draws=settings.bootstrap,
            seed=settings.seed,
        )
        for index, name in enumerate(classes)
    ]
    return joined(found, labelled=int(np.isfinite(labels).any(1).sum()))


def label_row(classes: Sequence[str], labels: Array, scores: Sequence[float] | Array) -> dict[str, float]:
    """Label (NaN = unknown) and score of each yes/no class of one sample, by column."""
    row = {f"label.{name}": float(value) for name, value in zip(classes, labels, strict=True)}
    return row | {f"score.{name}": float(value) for name, value in zip(classes, scores, strict=True)}


def joined(parts: Iterable[Findings], *, labelled: int) -> Findings:
    """Several findings of one task as one."""
    found = list(parts)
    return Findings(
        metrics=tuple(item for part in found for item in part.metrics),
        curves=tuple(item for part in found for item in part.curves),
        confusions=tuple(item for part in found for item in part.confusions),
        tables=tuple(item for part in found for item in part.tables),
        labelled=labelled,
        notes=tuple(dict.fromkeys(note for part in found for note in part.notes)),
    )
