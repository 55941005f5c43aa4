"""What a localization can learn besides its labels: few places with evidence, and lesion masks where some exist.

Both are values per sample, (B,), to be added to the loss of the labels; a class without a label, or without a mask, adds
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from medmtl.config import Block
from medmtl.data.targets import UNKNOWN, MaskLayer, MaskTarget
from medmtl.models import ClassMaps, cells_inside
from medmtl.models.pooling import mean
from medmtl.optim import TaskLoss
from medmtl.tasks.labels import masked_binary_loss

if TYPE_CHECKING:
    from medmtl.tasks.localization_config import LocalizationConfig


_SMOOTH = 1e-5


class SparsityConfig(Block):
    """Elastic net on the evidence of the maps: what they add to the class's bias, which is free."""

    l1: float = Field(0.0, ge=0, le=100, description="Weight of the mean absolute evidence of a cell, in logits.")
    l2: float = Field(0.0, ge=0, le=100, description="Weight of the mean squared evidence of a cell.")

    @property
    def on(self) -> bool:
        """Whether anything is penalized."""
        return self.l1 > 0 or self.l2 > 0


class MaskLossConfig(Block):
    """A loss of the maps themselves, from lesion masks of training samples that have them."""

    weight: float = Field(
        1.0, gt=0, le=100, description="Weight of the masks' loss (half cross-entropy, half Dice) beside the labels'."
    )
    columns: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Mask columns by class, whose union is the lesion; default: every class, from TASK.CLASS.",
    )
    absent: bool = Field(
        False,
        description="Where the image's label says that a class is absent, its mask is known too: nothing anywhere.",
    )


def label_loss(output: ClassMaps, target: Tensor, field: Tensor, config: LocalizationConfig) -> TaskLoss:
    """Masked binary cross-entropy of the image's logits, and the elastic net where it was asked for; in float32.

    Args:
        output: Of the task's head, with the evidence where the net is on.
        target: (B, C) of 0, 1 and NaN.
        field: Field of view (B, 1, H, W), boolean or 0/1.
        config: Of the task.
    """
    with torch.autocast(output.logits.device.type, enabled=False):
        loss = masked_binary_loss(output.logits.float(), target)
        loss = TaskLoss(config.label_weight * loss.sum, loss.count)
        if output.evidence is None:
            return loss
        known, inside = torch.isfinite(target), cells_inside(field, config.stride)
        penalty = sparsity_penalty(output.evidence.float(), known, inside, config.sparsity.l1, config.sparsity.l2)
        return TaskLoss(loss.sum + penalty.sum(), loss.count)


def label_and_mask_loss(
    output: ClassMaps, target: Tensor, masks: Tensor, field: Tensor, config: LocalizationConfig
) -> TaskLoss:
    """The loss of the labels and, for samples with a label, that of the maps against known masks; or of the masks alone.

    Args:
        output: Of the task's head.
        target: (B, C) of 0, 1 and NaN.
        masks: (B, C, H, W) of 0, 1 and 255 for unknown.
        field: Field of view (B, 1, H, W), boolean or 0/1.
        config: Of the task.
    """
    settings = config.masks
    if settings is None:
        return label_loss(output, target, field, config)
    with torch.autocast(output.logits.device.type, enabled=False):
        values = mask_loss(output.maps.float(), masks, field, config.stride)
    if not config.label_weight:
        rows = cells_of(masks, field, config.stride)[1].any(dim=(1, 2, 3))
        return TaskLoss(settings.weight * values.sum(), int(rows.sum()))
    loss = label_loss(output, target, field, config)
    added = torch.where(torch.isfinite(target).any(1), values, 0).sum()
    return TaskLoss(loss.sum + settings.weight * added, loss.count)


def emptied(masks: Tensor, target: Tensor) -> Tensor:
    """Masks (B, C, H, W) that nobody drew, where the label (B, C) says that there is nothing to draw: 0, not unknown."""
    return torch.where((target == 0)[..., None, None] & (masks == UNKNOWN), 0, masks)


def sparsity_penalty(evidence: Tensor, known: Tensor, inside: Tensor, l1: float, l2: float) -> Tensor:
    """l1 · mean |e| + l2 · mean e² over the cells inside the field, a mean over known classes: (B,).

    L1 on the evidence maps of a network with small receptive field (Djoumessi et al., sparse BagNet: "Sparse activations
    for interpretable disease grading", MIDL 2023, and PLOS Digital Health 2025, pdig.0000831) and ElasticNet on the
    class maps of any network (SoftCAM, arXiv 2505.17748): that they penalize so was read in their abstracts; weights and
    normalization here are ours, and so is leaving the bias free.

    Args:
        evidence: (B, C, h, w), logits less the class's bias.
        known: (B, C), boolean: classes with a label.
        inside: (B, 1, h, w), boolean: cells of the field.
        l1: Weight of the absolute evidence.
        l2: Weight of the squared evidence.
    """
    values = mean(l1 * evidence.abs() + l2 * evidence.square(), inside)
    return torch.where(known, values, 0).sum(1) / known.sum(1).clamp(min=1)


def mask_loss(maps: Tensor, masks: Tensor, field: Tensor, stride: int) -> Tensor:
    """Half binary cross-entropy and half Dice loss of the cells, a mean over the classes with a mask; 0 without one: (B,).

    Where a class has no lesion, cross-entropy alone says so: a Dice loss of empty masks pulls the bias that all images share
    to "nothing anywhere", and lesions of a few cells do not pull it back.

    Args:
        maps: Logits (B, C, h, w).
        masks: (B, C, H, W) of 0, 1 and 255 for unknown.
        field: Field of view (B, 1, H, W), boolean or 0/1.
        stride: Pixels a cell.
    """
    lesion, certain = cells_of(masks, field, stride)
    truth, seen = (lesion & certain).float(), certain.float()
    count = seen.sum((2, 3))
    entropy = (F.binary_cross_entropy_with_logits(maps, truth, reduction="none") * seen).sum((2, 3)) / count.clamp(
        min=1
    )
    probability = maps.sigmoid() * seen
    both = (probability * truth).sum((2, 3))
    dice = 1 - (2 * both + _SMOOTH) / (probability.sum((2, 3)) + truth.sum((2, 3)) + _SMOOTH)
    dice = torch.where(truth.any(3).any(2), dice, 0)
    known = count > 0
    return torch.where(known, (entropy + dice) / 2, 0).sum(1) / known.sum(1).clamp(min=1)


def cells_of(masks: Tensor, field: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Which cells are a lesion's, and of which it is known whether they are, inside the field: (B, C, h, w), boolean.

    A cell is a lesion's where any of its pixels is, and unknown where none is and any is unknown.

    Args:
        masks: (B, C, H, W) of 0, 1 and 255 for unknown.
        field: Field of view (B, 1, H, W), boolean or 0/1.
        stride: Pixels a cell.
    """
    lesion, unknown = (_any_pixel(part, stride) for part in (masks == 1, masks == UNKNOWN))
    return lesion, cells_inside(field, stride) & (lesion | ~unknown)


def training_masks(task: str, classes: Sequence[str], config: MaskLossConfig) -> MaskTarget:
    """The masks that training reads besides the labels, a layer per class.

    Args:
        task: Name of the task.
        classes: Its classes; one without columns of its own reads ``TASK.CLASS``, or nothing where others are named.
        config: The columns.
    """
    columns = config.columns or {label: [f"{task}.{label}"] for label in classes}
    layers = tuple(MaskLayer(label, column) for label in classes for column in columns.get(label, ()))
    return MaskTarget(f"{task}.masks", layers)


def class_masks(layers: Tensor, names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """From layers (B, L, H, W) to classes (B, C, H, W): the union of a class's layers, unknown where one of them is.

    Args:
        layers: 0, 1 or 255.
        names: The class of each layer.
        classes: The classes.
    """
    made = torch.full(
        (layers.shape[0], len(classes), *layers.shape[2:]), UNKNOWN, dtype=torch.uint8, device=layers.device
    )
    for index, label in enumerate(classes):
        own = [place for place, name in enumerate(names) if name == label]
        if own:
            parts = layers[:, own]
            unknown = torch.where((parts == UNKNOWN).any(1), UNKNOWN, 0).to(torch.uint8)
            made[:, index] = torch.where((parts == 1).any(1), 1, unknown).to(torch.uint8)
    return made


def _any_pixel(mask: Tensor, stride: int) -> Tensor:
    return F.max_pool2d(mask.float(), stride, stride, ceil_mode=True) > 0
