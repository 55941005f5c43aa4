"""What a task asks of a sample: mask layers with 255 for unknown, label vectors with NaN for unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from medmtl.errors import ImageError, ManifestError, suggestion

if TYPE_CHECKING:
    from medmtl.data.samples import Sample

UNKNOWN = 255
"""Value of a mask pixel that nobody labelled."""


class Target(Protocol):
    """What the loader needs to know of a task."""

    @property
    def name(self) -> str:
        """The task's name, under which its target is found in a batch."""
        ...

    def labelled(self, sample: Sample) -> bool:
        """Whether the sample says anything about the task."""
        ...


@dataclass(frozen=True)
class MaskLayer:
    """One class of a segmentation.

    Attributes:
        name: The class.
        column: Mask column of the manifest, without its ``mask:``.
        values: Pixel values that belong to the class; empty = any value above zero.
    """

    name: str
    column: str
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class MaskTarget:
    """Mask layers of a task, each 0, 1 or :data:`UNKNOWN`.

    Attributes:
        name: The task.
        layers: Its classes.
        known: Every value that a mask of the task may hold; empty = no check.
        ignore: Pixel values that say nothing (uncertain, crossing): unknown in every layer of their column.
    """

    name: str
    layers: tuple[MaskLayer, ...]
    known: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The mask columns that the layers are read from, each once."""
        return tuple(dict.fromkeys(layer.column for layer in self.layers))

    def binary(self, column: str) -> bool:
        """Whether any value above zero counts, in whatever channel."""
        return not any(layer.values for layer in self.layers if layer.column == column)

    def labelled(self, sample: Sample) -> bool:
        """Whether any of the columns is filled for the sample."""
        return any(column in sample.masks for column in self.columns)

    def encode(self, masks: Mapping[str, npt.NDArray[np.uint8]], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """Turns mask columns into layers.

        Args:
            masks: (H, W) per labelled column.
            shape: (H, W).

        Returns:
            (layers, H, W) of 0, 1 and :data:`UNKNOWN`; a layer whose column is not labelled is unknown everywhere.
        """
        layers = np.full((len(self.layers), *shape), UNKNOWN, dtype=np.uint8)
        for index, layer in enumerate(self.layers):
            mask = masks.get(layer.column)
            if mask is None:
                continue
            inside = np.isin(mask, layer.values) if layer.values else mask > 0
            layers[index] = inside
            if self.ignore:
                layers[index][np.isin(mask, self.ignore)] = UNKNOWN
        return layers

    def check(self, mask: npt.NDArray[np.uint8], where: str) -> None:
        """Refuses a mask that holds values the task does not know.

        Raises:
            ImageError: With the values found and those expected.
        """
        if not self.known:
            return
        strange = np.setdiff1d(np.unique(mask), self.known)
        if strange.size:
            found = ", ".join(map(str, strange[:6]))
            remedy = (
                f"expected only {', '.join(map(str, self.known))}; list the value under the task's classes or `ignore`"
            )
            raise ImageError(
                f"the mask holds values unknown to task '{self.name}'", where=where, found=found, remedy=remedy
            )


@dataclass(frozen=True)
class LabelClass:
    """One class of an image-level label.

    Attributes:
        name: The class.
        column: Label column of the manifest, without its ``label:``.
        positive: Cell texts that mean present, any other text means absent; empty = 1 is present, 0 absent, and
            nothing else is allowed.
        negative: Cell texts that mean absent, and then any text in neither list says nothing; empty = any other text.
        otherwise: What is read where this column says nothing, such as in another data set.
    """

    name: str
    column: str
    positive: tuple[str, ...] = ()
    otherwise: LabelClass | None = None
    negative: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the order in which they are asked."""
        return (self.column, *(self.otherwise.columns if self.otherwise is not None else ()))


@dataclass(frozen=True)
class LabelTarget:
    """Image-level classes of a task, each 0, 1 or NaN (unknown)."""

    name: str
    classes: tuple[LabelClass, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The label columns that the classes are read from, each once."""
        return tuple(dict.fromkeys(column for item in self.classes for column in item.columns))

    def labelled(self, sample: Sample) -> bool:
        """Whether the sample says anything about any class."""
        return any(self._says(sample, item) for item in self.classes)

    def _says(self, sample: Sample, item: LabelClass) -> bool:
        text = sample.labels.get(item.column)
        if text is None:
            return item.otherwise is not None and self._says(sample, item.otherwise)
        return not item.negative or canonical_label(text) in map(canonical_label, (*item.positive, *item.negative))

    def encode(self, sample: Sample) -> npt.NDArray[np.float32]:
        """(classes,) of 0, 1 and NaN."""
        return np.array([self._value(sample, item) for item in self.classes], dtype=np.float32)

    def _value(self, sample: Sample, item: LabelClass) -> float:
        text = sample.labels.get(item.column)
        if text is None:
            return float("nan") if item.otherwise is None else self._value(sample, item.otherwise)
        text = canonical_label(text)
        if item.negative:
            sides = [text in map(canonical_label, side) for side in (item.negative, item.positive)]
            return float(sides[1]) if any(sides) else float("nan")
        if item.positive:
            return float(text in map(canonical_label, item.positive))
        if text not in {"0", "1"}:
            raise _bad_label(sample, item.column, text, ("0", "1"))
        return float(text == "1")


@dataclass(frozen=True)
class IndexTarget:
    """One label out of several classes: its index, or NaN where unknown."""

    name: str
    column: str
    classes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The label column."""
        return (self.column,)

    def labelled(self, sample: Sample) -> bool:
        """Whether the column is filled for the sample."""
        return self.column in sample.labels

    def encode(self, sample: Sample) -> npt.NDArray[np.float32]:
        """(1,) with the class index or NaN."""
        text = sample.labels.get(self.column)
        if text is None:
            return np.array([np.nan], dtype=np.float32)
        text, known = canonical_label(text), [canonical_label(name) for name in self.classes]
        if text not in known:
            raise _bad_label(sample, self.column, text, self.classes)
        return np.array([known.index(text)], dtype=np.float32)


AnyTarget = MaskTarget | LabelTarget | IndexTarget


def canonical_label(text: str) -> str:
    """A label as text: ``2.0``, as spreadsheets write it, is ``2``."""
    stripped = text.strip()
    try:
        number = float(stripped)
    except ValueError:
        return stripped
    return str(int(number)) if number.is_integer() else stripped


def _bad_label(sample: Sample, column: str, text: str, known: tuple[str, ...]) -> ManifestError:
    where = f"{sample.place}, column label:{column}"
    return ManifestError("a label outside its classes", where=where, found=f"'{text}'", remedy=suggestion(text, known))
