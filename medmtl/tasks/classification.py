"""Classification: binary, one of several classes, several at once, or an ordinal grade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from medmtl.data.targets import IndexTarget, LabelClass, LabelTarget, canonical_label
from medmtl.errors import ConfigError
from medmtl.evaluation import Findings, confusion_counts, grading_findings, quadratic_kappa
from medmtl.geometry import Geometry
from medmtl.models import ClassificationHead, Encoder, Head
from medmtl.optim import TaskLoss
from medmtl.tasks.base import Task, tasks
from medmtl.tasks.classification_config import ClassificationConfig
from medmtl.tasks.labels import (
    auc_figures,
    check_distinct,
    label_classes,
    label_findings,
    label_row,
    label_thresholds,
    masked_binary_loss,
    positive_texts,
)
from medmtl.tasks.pictures import caption_picture
from medmtl.tasks.scenes import Origin, Place, Settings

if TYPE_CHECKING:
    from medmtl.data.samples import Sample

Prediction = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClassificationRecord:
    """Probabilities and labels of one image."""

    origin: Origin
    scores: Prediction
    labels: npt.NDArray[np.float32]


@tasks.register("classification")
class Classification(Task[ClassificationConfig, Prediction, ClassificationRecord]):
    """Image-level labels from the deepest features; a class without a label changes nothing."""

    kind = "classification"
    config_type = ClassificationConfig
    example_score_name = "probability of the truth"

    def __init__(self, name: str, config: ClassificationConfig) -> None:
        super().__init__(name, config)
        self._target = self._labels() if config.mode == "labels" else self._index()

    def _labels(self) -> LabelTarget:
        column = self.config.column or self.name
        if not self.config.classes:
            return LabelTarget(self.name, (LabelClass(self.name, column, positive_texts(self.config.positive)),))
        self._refuse_positive("state it in each class")
        return LabelTarget(self.name, label_classes(self.name, self.config.classes, column))

    def _refuse_positive(self, remedy: str) -> None:
        if self.config.positive:
            raise ConfigError(
                "`positive` is for a single yes/no class", where=f"tasks.{self.name}.positive", remedy=remedy
            )

    def _index(self) -> IndexTarget:
        if isinstance(self.config.classes, dict) or len(self.config.classes) < 2:
            what = f"mode '{self.config.mode}' needs a list of at least two classes"
            raise ConfigError(what, where=f"tasks.{self.name}.classes", remedy="list the cell texts in order")
        self._refuse_positive("drop it, or set mode: labels")
        check_distinct(self.name, [canonical_label(text) for text in self.config.classes])
        return IndexTarget(self.name, self.config.column or self.name, tuple(self.config.classes))

    @property
    def target(self) -> LabelTarget | IndexTarget:
        """Image-level labels."""
        return self._target

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, or the grades."""
        if isinstance(self._target, IndexTarget):
            return self._target.classes
        return tuple(item.name for item in self._target.classes)

    def build_head(self, encoder: Encoder) -> Head:
        """Pooled deepest features and one linear layer; a grade has one output per step between grades."""
        outputs = len(self.classes) - int(self.config.mode == "ordinal")
        return ClassificationHead(encoder.channels, outputs, self.config.dropout, strides=encoder.strides)

    def labelled_rows(self, target: Tensor, field: Tensor, side: Tensor | None = None) -> Tensor:
        """Samples with any known class."""
        return torch.isfinite(target).any(1)

    def loss(self, output: Tensor, target: Tensor, field: Tensor) -> TaskLoss:
        """Cross-entropy over known classes; an ordinal grade is the sum of its steps (Frank and Hall's cumulative links)."""
        with torch.autocast(output.device.type, enabled=False):
            logits = output.float()
            if self.config.mode == "labels":
                return masked_binary_loss(logits, target)
            rows = torch.isfinite(target[:, 0])
            grade = torch.where(rows, target[:, 0], 0).long()
            if self.config.mode == "multiclass":
                values = F.cross_entropy(logits, grade, reduction="none")
            else:
                steps = (grade[:, None] > torch.arange(logits.shape[1], device=logits.device)).float()
                values = F.binary_cross_entropy_with_logits(logits, steps, reduction="none").sum(1)
        return TaskLoss(torch.where(rows, values, 0).sum(), int(rows.sum()))

    def predictions(
        self, output: Tensor, field: Tensor, excluded: Sequence[Place | None] | None = None
    ) -> list[Prediction]:
        """Probability of each class; of each grade for an ordinal task."""
        logits = output.float()
        if self.config.mode == "multiclass":
            probabilities = logits.softmax(1)
        elif self.config.mode == "ordinal":
            probabilities = _grade_probabilities(logits.sigmoid())
        else:
            probabilities = logits.sigmoid()
        return list(probabilities.cpu().numpy())

    def restore(self, prediction: Prediction, geometry: Geometry) -> Prediction:
        """Nothing to restore: a label has no place."""
        return prediction

    def truth(self, sample: Sample, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The sample's labels, NaN where unknown."""
        return self.target.encode(sample)

    def batch_truth(self, target: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """A batch's labels."""
        return target

    def record(
        self, prediction: Prediction, truth: npt.NDArray[np.float32], field: npt.NDArray[np.bool_], origin: Origin
    ) -> ClassificationRecord | None:
        """Probabilities and labels; None where no class is known."""
        return ClassificationRecord(origin, prediction, truth) if np.isfinite(truth).any() else None

    def selection(self, records: Sequence[ClassificationRecord]) -> dict[str, float]:
        """Kappa of a grade, accuracy of one class among several, AUC otherwise."""
        scores, labels = self._stack(records)
        if self.config.mode == "labels":
            return auc_figures(scores, labels, self.classes)
        predicted = self._decide(scores)
        if self.config.mode == "multiclass":
            return {"accuracy": float((predicted == labels[:, 0]).mean()) if records else float("nan")}
        return {"kappa": float(quadratic_kappa(confusion_counts(labels[:, 0], predicted, len(self.classes))))}

    def thresholds(self, records: Sequence[ClassificationRecord]) -> dict[str, float]:
        """Youden's threshold per yes/no class; none for a class without both answers."""
        if self.config.mode != "labels":
            return {}
        scores, labels = self._stack(records)
        return label_thresholds(scores, labels, self.classes)

    def findings(self, records: Sequence[ClassificationRecord], settings: Settings) -> Findings:
        """AUC, AP, sensitivity, specificity, calibration; of several classes accuracy, kappa and confusion, too."""
        scores, labels = self._stack(records)
        patients = [record.origin.patient for record in records]
        if self.config.mode == "labels":
            return label_findings(scores, labels, self.classes, patients, settings)
        return grading_findings(
            labels[:, 0],
            self._decide(scores),
            self.classes,
            probabilities=scores,
            groups=patients,
            ordinal=self.config.mode == "ordinal",
            name=self.name,
            draws=settings.bootstrap,
            seed=settings.seed,
        )

    def _decide(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return _grades(scores) if self.config.mode == "ordinal" else scores.argmax(1)

    def _stack(
        self, records: Sequence[ClassificationRecord]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        width = 1 if self.config.mode != "labels" else len(self.classes)
        scores = np.array([record.scores for record in records], dtype=np.float64).reshape(-1, len(self.classes))
        return scores, np.array([record.labels for record in records], dtype=np.float64).reshape(-1, width)

    def example_score(self, record: ClassificationRecord, settings: Settings) -> float:
        """Probability given to the truth, averaged over known classes."""
        if self.config.mode != "labels":
            return float(record.scores[int(record.labels[0])])
        known = np.isfinite(record.labels)
        return float(np.where(record.labels == 1, record.scores, 1 - record.scores)[known].mean())

    def sample_row(self, record: ClassificationRecord, settings: Settings) -> dict[str, float]:
        """Labels and scores of yes/no classes; else class numbers and the probability of each class."""
        scores = dict(zip(self.classes, map(float, record.scores), strict=True))
        if self.config.mode == "labels":
            return label_row(self.classes, record.labels, list(scores.values()))
        predicted = int(self._decide(np.asarray(record.scores, dtype=np.float64)[None])[0])
        probabilities = {f"probability.{name}": score for name, score in scores.items()}
        return {"label": float(record.labels[0]), "predicted": float(predicted), **probabilities}

    def picture(
        self, image: npt.NDArray[np.uint8], prediction: Prediction, truth: Any, settings: Settings
    ) -> npt.NDArray[np.uint8]:
        """The image with probabilities and labels beneath."""
        return caption_picture(image, self._caption(prediction, truth))

    def _caption(self, prediction: Prediction, truth: npt.NDArray[np.float32]) -> str:
        if self.config.mode != "labels":
            text = self.classes[int(truth[0])] if np.isfinite(truth[0]) else "unknown"
            return f"truth {text}, predicted {self.classes[int(prediction.argmax())]} (p {prediction.max():.2f})"
        said = {0.0: "no", 1.0: "yes"}
        parts = [
            f"{name} p {p:.2f} (truth {said.get(float(t), 'unknown')})"
            for name, p, t in zip(self.classes, prediction, truth, strict=True)
        ]
        return ", ".join(parts)


def _grade_probabilities(above: Tensor) -> Tensor:
    """Probabilities of the grades from those of being above each; a crossing of the links counts as zero."""
    above = torch.cummin(above, dim=1).values
    ones, zeros = torch.ones_like(above[:, :1]), torch.zeros_like(above[:, :1])
    return torch.cat([ones, above], 1) - torch.cat([above, zeros], 1)


def _grades(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The median grade: the lowest whose cumulative probability reaches one half (minimizes the expected distance)."""
    return np.asarray((probabilities.cumsum(1) < 0.5 - 1e-9).sum(1).clip(max=probabilities.shape[1] - 1))
