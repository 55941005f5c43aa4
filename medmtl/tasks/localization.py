"""Localization: a map of evidence per class, learned from image-level labels alone, scored against lesion masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from medmtl.data.targets import LabelTarget, MaskLayer, MaskTarget
from medmtl.data.transforms import AnyTarget
from medmtl.evaluation import Candidates, Findings
from medmtl.geometry import Geometry
from medmtl.models import ClassMapHead, ClassMaps, Encoder, Head
from medmtl.optim import TaskLoss
from medmtl.tasks.base import Task, tasks
from medmtl.tasks.inference_config import InferenceConfig
from medmtl.tasks.labels import auc_figures, label_thresholds
from medmtl.tasks.localization_candidates import DiscConfig, image_candidates
from medmtl.tasks.localization_config import LocalizationConfig
from medmtl.tasks.localization_figures import localization_findings, localization_row
from medmtl.tasks.localization_losses import (
    cells_of,
    class_masks,
    emptied,
    label_and_mask_loss,
    label_loss,
    training_masks,
)
from medmtl.tasks.localization_matching import known_lesions, matched_record
from medmtl.tasks.localization_records import (
    LocalizationPrediction,
    LocalizationRecord,
    LocalizationTruth,
    class_evidence,
    evidence_picture,
    probability_of_truth,
    restored,
    stack_labels,
    stack_scores,
)
from medmtl.tasks.localization_rivals import UNTRAINED, rival_candidates, with_rivals
from medmtl.tasks.localization_targets import localization_targets
from medmtl.tasks.scenes import ClassEvidence, Origin, Place, Scene, Settings

if TYPE_CHECKING:
    from medmtl.data.samples import Sample


@tasks.register("localization")
class Localization(Task[LocalizationConfig, LocalizationPrediction, LocalizationRecord]):
    """Maps from labels: what makes the image positive is where the lesion is."""

    kind = "localization"
    config_type = LocalizationConfig
    example_score_name = "probability of the truth"

    def __init__(self, name: str, config: LocalizationConfig) -> None:
        super().__init__(name, config)
        self._targets = localization_targets(name, config)

    @property
    def target(self) -> LabelTarget:
        """Image-level labels: the places of lesions are not asked for in training, unless ``masks`` says so."""
        return self._targets.labels

    @property
    def truth_targets(self) -> tuple[AnyTarget, ...]:
        """The labels, and the masks of lesions."""
        return (self._targets.labels, *self._targets.lesions.values())

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the maps."""
        return self._targets.classes

    @property
    def inference(self) -> InferenceConfig | None:
        """Scales, tiles, mirror images and removal, where they were asked for."""
        return None if self.config.inference.plain else self.config.inference

    @property
    def side_target(self) -> MaskTarget | None:
        """Lesion masks of training samples, where they were asked for."""
        return None if self.config.masks is None else training_masks(self.name, self.classes, self.config.masks)

    def teaches(self, sample: Sample) -> bool:
        """Where labels have no weight, samples with a mask, or with labels that stand for empty ones."""
        masks, settings = self.side_target, self.config.masks
        if masks is None or settings is None or self.config.label_weight:
            return self.target.labelled(sample)
        return masks.labelled(sample) or (settings.absent and bool((self._targets.labels.encode(sample) == 0).any()))

    @property
    def learned_from(self) -> AnyTarget:
        """The labels; the masks, where labels have no weight."""
        masks = self.side_target
        return self.target if masks is None or self.config.label_weight else masks

    @property
    def sees_patches(self) -> bool:
        """Where only masks are learned from: a patch may not show what the image's label says."""
        return not self.config.label_weight

    @property
    def exclusion(self) -> DiscConfig | None:
        """Where the optic disc comes from, where it was asked for."""
        return self.config.candidates.disc

    @property
    def aids(self) -> tuple[AnyTarget, ...]:
        """The manifest's masks of the optic disc, where they are asked for."""
        column = self.exclusion.column if self.exclusion is not None else None
        return () if column is None else (MaskTarget(self.name, (MaskLayer("disc", column),)),)

    def build_head(self, encoder: Encoder) -> Head:
        """A 1x1 convolution to one map per class, pooled to the image's logits."""
        config = self.config
        return ClassMapHead(
            encoder.channels,
            len(self.classes),
            stride=config.stride,
            pooling=config.pooling,
            sharpness=config.sharpness,
            top_cells=config.top_cells,
            top_share=config.top_share,
            fuse=config.fuse,
            prior=config.prior,
            dropout=config.dropout,
            keep_evidence=config.sparsity.on,
            level=config.level,
            strides=encoder.strides,
        )

    def labelled_rows(self, target: Tensor, field: Tensor, side: Tensor | None = None) -> Tensor:
        """Samples with any known class; where masks alone are learned from, those with any known cell."""
        if self.config.label_weight or side is None:
            return torch.isfinite(target).any(1)
        return cells_of(self._masks(target, side), field, self.config.stride)[1].any(dim=(1, 2, 3))

    def loss(self, output: ClassMaps, target: Tensor, field: Tensor) -> TaskLoss:
        """Masked binary cross-entropy of the pooled logits, and the elastic net where it was asked for."""
        return label_loss(output, target, field, self.config)

    def side_loss(self, output: ClassMaps, target: Tensor, side: Tensor, field: Tensor) -> TaskLoss:
        """The same and, for samples with a label, the loss of the maps against the masks that are known."""
        return label_and_mask_loss(output, target, self._masks(target, side), field, self.config)

    def _masks(self, target: Tensor, side: Tensor) -> Tensor:
        layers = self.side_target.layers if self.side_target is not None else ()
        masks = class_masks(side, [layer.name for layer in layers], self.classes)
        return emptied(masks, target) if self.config.masks is not None and self.config.masks.absent else masks

    def predictions(
        self, output: ClassMaps, field: Tensor, excluded: Sequence[Place | None] | None = None
    ) -> list[LocalizationPrediction]:
        """Maps at the view's resolution, and the candidates in them: none outside ``field``, on its rim or ``excluded``."""
        maps = F.interpolate(output.maps.float(), size=field.shape[-2:], mode="bilinear").cpu().numpy()
        logits = output.logits.float().cpu().numpy()
        fields = field[:, 0].cpu().numpy() > 0
        places = excluded or [None] * len(fields)
        return [self._prediction(*row) for row in zip(maps, logits, fields, places, strict=True)]

    def _prediction(
        self, maps: npt.NDArray[np.float32], logits: npt.NDArray[np.float32], field: Place, excluded: Place | None
    ) -> LocalizationPrediction:
        found, scores = image_candidates(maps, self.config.candidates, self.config.stride, field, excluded)
        return LocalizationPrediction(maps, logits, found, scores)

    def restore(self, prediction: LocalizationPrediction, geometry: Geometry) -> LocalizationPrediction:
        """Candidates in original pixels; the maps stay in the view's, for whoever wants to draw them."""
        return replace(prediction, candidates=tuple(restored(item, geometry) for item in prediction.candidates))

    def truth(self, sample: Sample, shape: tuple[int, int]) -> LocalizationTruth:
        """Labels, readings and lesions in original pixels."""
        return self._targets.truth(sample, shape)

    def batch_truth(self, target: npt.NDArray[Any]) -> LocalizationTruth:
        """A batch's labels."""
        nothing = np.full(len(self.config.readings), np.nan, dtype=np.float32)
        return LocalizationTruth(target, nothing, dict.fromkeys(self._targets.lesions), kept=True)

    def record(
        self, prediction: LocalizationPrediction, truth: LocalizationTruth, field: npt.NDArray[np.bool_], origin: Origin
    ) -> LocalizationRecord | None:
        """Scores, labels and matches; None where nothing is known of the sample."""
        return matched_record(prediction, truth, field, origin, self._targets, self.config, self.seed)

    def candidates(self, record: LocalizationRecord) -> dict[str, Mapping[str, Candidates]]:
        """The network's own, and those of the network before training where it was asked."""
        return {"": record.candidates} | ({UNTRAINED: record.untrained} if record.untrained else {})

    def wants_rivals(self, sample: Sample) -> bool:
        """Where the lesions of an image are known."""
        return self._targets.lesions_known(sample)

    def beside(
        self,
        record: LocalizationRecord,
        truth: LocalizationTruth,
        field: npt.NDArray[np.bool_],
        scene: Scene,
        untrained: LocalizationPrediction,
    ) -> LocalizationRecord:
        """The record with blobs, a constant map and the network before training beside it."""
        rivals = rival_candidates(field, scene, untrained, self.classes, self.config.candidates.limit)
        return with_rivals(record, rivals, known_lesions(truth), self._targets, self.config.tolerances)

    def selection(self, records: Sequence[LocalizationRecord]) -> dict[str, float]:
        """AUC of the pooled logits."""
        return auc_figures(*self._stacked(records), self.classes)

    def thresholds(self, records: Sequence[LocalizationRecord]) -> dict[str, float]:
        """Youden's threshold of each class's probability."""
        return label_thresholds(*self._stacked(records), self.classes)

    def _stacked(
        self, records: Sequence[LocalizationRecord]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return stack_scores(records, len(self.classes)), stack_labels(records, len(self.classes))

    def evidence(self, records: Sequence[LocalizationRecord]) -> dict[str, ClassEvidence]:
        """Candidate scores by class."""
        return {label: class_evidence(records, index) for index, label in enumerate(self.classes)}

    def findings(self, records: Sequence[LocalizationRecord], settings: Settings) -> Findings:
        """Image-level figures of every class and reading, lesion-level figures of every (lesion, map) and tolerance."""
        return localization_findings(records, self.classes, self.config, self._targets.pairs, settings)

    def sample_row(self, record: LocalizationRecord, settings: Settings) -> dict[str, float]:
        """Label and probability of each class and reading; lesions have no figure of a single image."""
        return localization_row(record, self.classes, self.config.readings)

    def example_score(self, record: LocalizationRecord, settings: Settings) -> float:
        """Probability given to the truth, averaged over known classes."""
        return probability_of_truth(record)

    def picture(
        self, image: npt.NDArray[np.uint8], prediction: LocalizationPrediction, truth: Any, settings: Settings
    ) -> npt.NDArray[np.uint8]:
        """Candidates more likely than not as rings, true lesions as outlines, scores beneath."""
        return evidence_picture(image, prediction, truth.lesion_mask, self.classes)
