"""What is known of an eye's anatomy: from a table, and from the run's own segmentation of the optic disc."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medmtl.errors import ConfigError
from medmtl.explanation.anatomy import Anatomy, disc_of_mask
from medmtl.explanation.anatomy_table import read_anatomy
from medmtl.inference.predict import Predicted
from medmtl.tasks import AnyTask
from medmtl.tasks.segmentation import Segmentation

DISC_NAMES = {"disc", "optic_disc", "opticdisc", "od", "onh", "optic_nerve_head"}
"""What a class of a segmentation is called that is the optic disc."""

_CUP_NAMES = {"cup", "optic_cup", "opticcup"}


@dataclass(frozen=True)
class Eyes:
    """Where the anatomy of an image comes from.

    Attributes:
        table: By name of the image without suffix.
        task: A segmentation with the optic disc among its classes; None for none.
    """

    table: Mapping[str, Anatomy]
    task: Segmentation | None

    @property
    def words(self) -> str:
        """The sources, for the page."""
        said = []
        if self.table:
            said.append(f"table {next(iter(self.table.values())).origin}")
        if self.task is not None:
            said.append(f"the disc as this model's own task '{self.task.name}' segments it, where the table has none")
        return "; ".join(said) or "none given: no place in the eye is named"

    def of(self, image: Path, seen: Mapping[str, Predicted]) -> Anatomy:
        """What is known of one image's eye, in original pixels; what the table says comes first.

        Args:
            image: The file.
            seen: Predictions of the image by task.
        """
        told = self.table.get(image.stem, Anatomy())
        if self.task is None or (told.disc is not None and told.disc_diameter is not None):
            return told
        found = _segmented(self.task, seen[self.task.name])
        if found is None:
            return told
        disc, diameter = found
        return replace(told, disc=told.disc or disc, disc_diameter=told.disc_diameter or diameter)


def open_eyes(tasks: Sequence[AnyTask], table: Path | None, images: Sequence[Path]) -> Eyes:
    """The sources of anatomy of a run.

    Args:
        tasks: The run's tasks.
        table: A table of anatomy; None for none.
        images: The images that are explained.

    Raises:
        ConfigError: The table is wrong, or is of none of the images.
        ManifestError: It is no table.
    """
    rows = {} if table is None else read_anatomy(table)
    if table is not None and not any(image.stem in rows for image in images):
        found = ", ".join(list(rows)[:3]) or "no row"
        remedy = f"name them as the images are, such as {images[0].stem}"
        raise ConfigError("the table of anatomy is of none of the images", where=table, found=found, remedy=remedy)
    segmenting = [task for task in tasks if isinstance(task, Segmentation) and _named(task, DISC_NAMES)]
    return Eyes(rows, segmenting[0] if segmenting else None)


def _named(task: Segmentation, names: set[str]) -> list[int]:
    return [index for index, label in enumerate(task.classes) if label.lower().replace(" ", "_") in names]


def _segmented(task: Segmentation, item: Predicted) -> tuple[tuple[float, float], float] | None:
    """Center and diameter of the disc in original pixels."""
    masks = task.decide(item.predictions[task.name])
    parts = _named(task, DISC_NAMES)
    if task.config.exclusive:  # then the cup is cut out of the disc
        parts += _named(task, _CUP_NAMES)
    found = disc_of_mask(np.any(masks[parts], axis=0) & item.field)
    if found is None:
        return None
    center, diameter = found
    x, y = item.geometry.to_original(np.array([center]))[0]
    return (float(x), float(y)), diameter / item.geometry.scale
