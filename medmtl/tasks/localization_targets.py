"""What a localization reads of a sample: labels of the classes of its maps, further labels, and masks of lesions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medmtl.data.masks import given_field
from medmtl.data.targets import LabelTarget, MaskLayer, MaskTarget
from medmtl.errors import ConfigError, suggestion
from medmtl.evaluation import lesion_targets
from medmtl.tasks.labels import label_classes
from medmtl.tasks.localization_config import LesionConfig, LocalizationConfig
from medmtl.tasks.localization_records import LocalizationTruth, lesion_mask

if TYPE_CHECKING:
    from medmtl.data.samples import Sample


@dataclass(frozen=True)
class LocalizationTargets:
    """What is read, and which map is scored against which lesion.

    Attributes:
        labels: Image-level labels, a class a map.
        readings: More image-level labels, for evaluation only.
        lesions: Masks of each lesion, for evaluation only.
        pairs: Lesions, each with a class whose map is scored against it.
    """

    labels: LabelTarget
    readings: LabelTarget
    lesions: Mapping[str, MaskTarget]
    pairs: tuple[tuple[str, str], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the maps."""
        return tuple(item.name for item in self.labels.classes)

    def others(self, lesion: str) -> tuple[str, ...]:
        """The other lesions, a hit on which is one on another class: those that share no mask column with this one."""
        mine = set(self.lesions[lesion].columns)
        return tuple(name for name, target in self.lesions.items() if not mine & set(target.columns))

    def truth(self, sample: Sample, shape: tuple[int, int]) -> LocalizationTruth:
        """Labels, readings and lesions in original pixels; of lesions what lies in the field of view, where that is given."""
        field = given_field(sample, shape) if self.lesions_known(sample) else None
        masks = {lesion: lesion_mask(sample, target, shape) for lesion, target in self.lesions.items()}
        known = [mask for mask in masks.values() if mask is not None]
        return LocalizationTruth(
            labels=self.labels.encode(sample),
            readings=self.readings.encode(sample),
            lesions={lesion: None if mask is None else lesion_targets(mask, field) for lesion, mask in masks.items()},
            lesion_mask=np.any(known, axis=0) if known else None,
        )

    def lesions_known(self, sample: Sample) -> bool:
        """Whether the masks of any lesion are given."""
        return any(all(column in sample.masks for column in item.columns) for item in self.lesions.values())


def localization_targets(name: str, config: LocalizationConfig) -> LocalizationTargets:
    """What a configuration asks for.

    Args:
        name: The task.
        config: Its keys.

    Raises:
        ConfigError: There is no class, or a map is asked for that there is not.
    """
    if not config.classes:
        raise ConfigError("a localization needs at least one class", where=f"tasks.{name}.classes")
    lesions = config.lesions or {label: LesionConfig() for label in config.classes}
    targets = LocalizationTargets(
        labels=LabelTarget(name, label_classes(name, config.classes, name)),
        readings=LabelTarget(name, tuple(item.label for item in config.readings)),
        lesions={lesion: _lesion(name, lesion, item) for lesion, item in lesions.items()},
        pairs=tuple((lesion, label) for lesion, item in lesions.items() for label in (item.maps or [lesion])),
    )
    named = [label for _, label in targets.pairs] + [item.map for item in config.readings]
    for label in [*named, *(config.masks.columns if config.masks is not None else ())]:
        if label not in targets.classes:
            raise ConfigError(
                "there is no map of this class",
                where=f"tasks.{name}",
                found=f"'{label}'",
                remedy=suggestion(label, targets.classes),
            )
    return targets


def _lesion(task: str, lesion: str, config: LesionConfig) -> MaskTarget:
    columns = config.columns or [f"{task}.{lesion}"]
    return MaskTarget(task, tuple(MaskLayer(lesion, column) for column in columns))
