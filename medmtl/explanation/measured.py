"""What was measured of a class at the threshold of its heat map: on which images, how many lesions, which intervals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medmtl.evaluation import EvaluationResult, Interval
from medmtl.evaluation.lesionpoint import FALSE_POSITIVES, SENSITIVITY

NOT_MEASURED = "not measured"
_NAME = re.compile(
    rf"(?:{SENSITIVITY}|{FALSE_POSITIVES})\.(?P<lesion>.+?)(?:~(?P<map>.+?))?(?:\+(?P<reach>[\d.e+]+px))?$"
)


@dataclass(frozen=True)
class Measured:
    """One evaluation's figures at the map's threshold.

    Attributes:
        where: The images: data set and split.
        lesion: The lesion class that the map was held against.
        tolerance: By how much a candidate may miss, as text; empty for nothing.
        sensitivity: Share of lesions found.
        lesions: Number of lesions.
        false_positives: Per image.
        images: Number of images with known lesions.
    """

    where: str
    lesion: str
    tolerance: str
    sensitivity: Interval
    lesions: int
    false_positives: Interval
    images: int

    def __str__(self) -> str:
        of = f"{self.lesion}{f', {self.tolerance} tolerance' if self.tolerance else ''}"
        found = f"{of}: sensitivity {_text(self.sensitivity)}, {self.lesions} lesions"
        return f"{self.where}: {found}; {_text(self.false_positives)} false positives per image, {self.images} images"


def measured_of(results: Iterable[EvaluationResult], task: str, label: str) -> tuple[Measured, ...]:
    """The figures of one class's map at its threshold, of all evaluations that have them.

    Args:
        results: Evaluations of the run.
        task: The task.
        label: The class of the map.
    """
    found = []
    for result in results:
        for part in result.tasks:
            metrics = {metric.name: metric for metric in part.metrics} if part.task == task else {}
            for name, metric in metrics.items():
                match = _NAME.match(name)
                if match is None or not name.startswith(SENSITIVITY) or (match["map"] or match["lesion"]) != label:
                    continue
                other = metrics[FALSE_POSITIVES + name.removeprefix(SENSITIVITY)]
                where, reach = f"{part.dataset}, {_split(result.split)}", match["reach"] or ""
                found.append(
                    Measured(where, match["lesion"], reach, metric.interval, metric.n, other.interval, other.n)
                )
    return tuple(found)


def measured_lines(measured: Sequence[Measured]) -> tuple[str, ...]:
    """Each as text; one line that says so where there is none."""
    return tuple(map(str, measured)) or (NOT_MEASURED,)


def _split(name: str) -> str:
    return "all images" if name == "all" else f"{name} images"


def _text(value: Interval) -> str:
    if value.value != value.value:
        return value.method
    known = value.low == value.low and value.high == value.high
    return f"{value.value:.2f}" + (f" (95 % {value.low:.2f} to {value.high:.2f})" if known else "")
