"""Segmentation: classes that exclude each other (softmax) or not (sigmoid), with unknown pixels left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from medmtl.data.targets import UNKNOWN, MaskTarget
from medmtl.data.transforms import sample_masks
from medmtl.evaluation import (
    HALF,
    Findings,
    PixelCounts,
    PixelLevels,
    dice_thresholds,
    image_scores,
    pixel_levels,
    segmentation_findings,
)
from medmtl.geometry import Geometry, restore_view
from medmtl.models import Encoder, Head, SegmentationHead
from medmtl.optim import TaskLoss
from medmtl.tasks.base import Task, tasks
from medmtl.tasks.inference_config import InferenceConfig
from medmtl.tasks.pictures import mask_picture
from medmtl.tasks.scenes import Origin, Place, Settings
from medmtl.tasks.segmentation_config import SegmentationConfig, mask_target

if TYPE_CHECKING:
    from medmtl.data.samples import Sample

Prediction = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SegmentationRecord:
    """Pixels of one image by class, truth and probability."""

    origin: Origin
    levels: PixelLevels


@tasks.register("segmentation")
class Segmentation(Task[SegmentationConfig, Prediction, SegmentationRecord]):
    """A mask per class; a pixel, a class or a sample without a label changes nothing."""

    kind = "segmentation"
    config_type = SegmentationConfig
    example_score_name = "mean Dice"

    def __init__(self, name: str, config: SegmentationConfig) -> None:
        super().__init__(name, config)
        self._target = mask_target(name, config)
        self._dice = DiceLoss(reduction="none", smooth_nr=1e-5, smooth_dr=1e-5)

    @property
    def target(self) -> MaskTarget:
        """Mask layers."""
        return self._target

    @property
    def classes(self) -> tuple[str, ...]:
        """The foreground classes."""
        return tuple(self.config.classes)

    def build_head(self, encoder: Encoder) -> Head:
        """A U-Net decoder on the encoder's features."""
        outputs = len(self.classes) + int(self.config.exclusive)
        channels = tuple(self.config.decoder_channels)
        # A softmax sees differences of logits only: one bias for all would say nothing.
        prior = None if self.config.exclusive else self.config.prior
        stride, strides = self.config.output_stride, encoder.strides
        return SegmentationHead(encoder.channels, outputs, channels, output_stride=stride, prior=prior, strides=strides)

    def labelled_rows(self, target: Tensor, field: Tensor, side: Tensor | None = None) -> Tensor:
        """Samples with a labelled pixel inside the field of view."""
        return ((target != UNKNOWN) & (field > 0)).flatten(1).any(1)

    def loss(self, output: Tensor, target: Tensor, field: Tensor) -> TaskLoss:
        """Dice and cross-entropy over known pixels of the field, a mean over classes, then a sum over samples."""
        with torch.autocast(output.device.type, enabled=False):
            logits = output.float()
            known = (target != UNKNOWN) & (field > 0)
            truth = torch.where(known, target, 0).float()
            values = torch.zeros(len(logits), device=logits.device)
            if self.config.loss != "ce":
                values = values + self._dice_loss(logits, truth, known)
            if self.config.loss != "dice":
                values = values + self._cross_entropy(logits, truth, known)
            if self.config.loss == "dice_ce":
                values = values / 2
        rows = known.flatten(1).any(1)
        return TaskLoss(torch.where(rows, values, 0).sum(), int(rows.sum()))

    def _dice_loss(self, logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        per_class = self._dice(self._probabilities(logits) * known, truth).flatten(1)
        present = known.flatten(2).any(2)
        return torch.where(present, per_class, 0).sum(1) / present.sum(1).clamp(min=1)

    def _cross_entropy(self, logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
        if self.config.exclusive:
            certain = known.all(1)
            pixels = F.cross_entropy(logits, _class_index(truth), reduction="none")
            return _masked_mean(pixels[:, None], certain[:, None])
        return _masked_mean(F.binary_cross_entropy_with_logits(logits, truth, reduction="none"), known)

    def _probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)[:, 1:] if self.config.exclusive else logits.sigmoid()

    def predictions(
        self, output: Tensor, field: Tensor, excluded: Sequence[Place | None] | None = None
    ) -> list[Prediction]:
        """Foreground probabilities (C, h, w), zero outside the field."""
        probabilities = self._probabilities(output.float()) * (field > 0)
        return list(probabilities.cpu().numpy())

    def restore(self, prediction: Prediction, geometry: Geometry) -> Prediction:
        """Probabilities at the original pixels, by linear interpolation."""
        return np.stack([restore_view(layer, geometry) for layer in prediction]).astype(np.float32)

    @property
    def inference(self) -> InferenceConfig | None:
        """Scales, tiles and mirror images, where they were asked for."""
        return None if self.config.inference.plain else self.config.inference

    def decide(self, prediction: Prediction, thresholds: Mapping[str, float] | None = None) -> npt.NDArray[np.bool_]:
        """Masks (C, H, W) from probabilities: from a threshold on, or the most likely of exclusive classes.

        Args:
            prediction: Probabilities (C, H, W).
            thresholds: As validation chose them, by class; one half for a class without.
        """
        if not self.config.exclusive:
            return prediction >= np.array(self._thresholds(thresholds), np.float32)[:, None, None]
        background = 1 - prediction.sum(0)
        best = prediction.argmax(0)
        return np.stack([(best == index) & (layer > background) for index, layer in enumerate(prediction)])

    def truth(self, sample: Sample, shape: tuple[int, int]) -> npt.NDArray[np.uint8] | None:
        """Mask layers in original pixels, None where none is labelled."""
        if not self.target.labelled(sample):
            return None
        return self.target.encode(sample_masks(sample, self.target, shape), shape)

    def batch_truth(self, target: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
        """A batch's layers."""
        return None if (target == UNKNOWN).all() else target

    def record(
        self, prediction: Prediction, truth: npt.NDArray[np.uint8] | None, field: npt.NDArray[np.bool_], origin: Origin
    ) -> SegmentationRecord | None:
        """Known pixels of the field by probability, per class; of exclusive classes, 1 is the most likely one."""
        if truth is None:
            return None
        said = self.decide(prediction).astype(np.float32) if self.config.exclusive else prediction
        levels = pixel_levels(truth, said, field)
        return SegmentationRecord(origin, levels) if (levels.counts().known > 0).any() else None

    def selection(self, records: Sequence[SegmentationRecord]) -> dict[str, float]:
        """Mean Dice over classes, and each class's, at one half: no threshold is chosen by the figure that it makes."""
        table = np.array([image_scores(record.levels.counts())["dice"] for record in records]).reshape(
            -1, len(self.classes)
        )
        per_class = [float(np.nanmean(column)) if np.isfinite(column).any() else float("nan") for column in table.T]
        finite = [value for value in per_class if np.isfinite(value)]
        mean = float(np.mean(finite)) if finite else float("nan")
        return {"dice": mean, **{f"dice.{name}": value for name, value in zip(self.classes, per_class, strict=True)}}

    def thresholds(self, records: Sequence[SegmentationRecord]) -> dict[str, float]:
        """The threshold of the largest Dice for each class; none where a pixel belongs to its most likely class."""
        return {} if self.config.exclusive else dice_thresholds([record.levels for record in records], self.classes)

    def findings(self, records: Sequence[SegmentationRecord], settings: Settings) -> Findings:
        """Dice, IoU, sensitivity and precision per class, per image, intervals over patients."""
        return segmentation_findings(
            [self._counts(record, settings) for record in records],
            self.classes,
            groups=[record.origin.patient for record in records],
            name=self.name,
            skip=(),
            thresholds=None if self.config.exclusive else self._thresholds(settings.thresholds),
            draws=settings.bootstrap,
            seed=settings.seed,
        )

    def _counts(self, record: SegmentationRecord, settings: Settings) -> PixelCounts:
        return record.levels.counts(None if self.config.exclusive else self._thresholds(settings.thresholds))

    def _thresholds(self, chosen: Mapping[str, float] | None) -> list[float]:
        return [(chosen or {}).get(label, HALF) for label in self.classes]

    def example_score(self, record: SegmentationRecord, settings: Settings) -> float:
        """Mean Dice over the labelled classes."""
        values = image_scores(self._counts(record, settings))["dice"]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def sample_row(self, record: SegmentationRecord, settings: Settings) -> dict[str, float]:
        """Each class's Dice, IoU, sensitivity and precision."""
        scores = image_scores(self._counts(record, settings))
        return {
            f"{measure}.{label}": float(values[index])
            for measure, values in scores.items()
            for index, label in enumerate(self.classes)
        }

    def picture(
        self, image: npt.NDArray[np.uint8], prediction: Prediction, truth: Any, settings: Settings
    ) -> npt.NDArray[np.uint8]:
        """Image, truth and prediction side by side."""
        return mask_picture(image, self.decide(prediction, settings.thresholds), truth)


def _class_index(truth: Tensor) -> Tensor:
    background = (truth.sum(1, keepdim=True) == 0).float()
    return torch.cat([background, truth], dim=1).argmax(1)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Per sample, the mean over the pixels and classes of the mask; 0 where it is empty."""
    kept = torch.where(mask, values, 0).flatten(1).sum(1)
    return kept / mask.flatten(1).sum(1).clamp(min=1)
