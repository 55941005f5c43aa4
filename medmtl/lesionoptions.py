"""Choices and repeated options of the command ``medmtl lesions``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class Extract(Enum):
    """How heat maps are cut."""

    peaks = "peaks"
    components = "components"


class Score(Enum):
    """What a component is scored by."""

    max = "max"
    mean = "mean"


class Position(Enum):
    """Where a component's point lies."""

    peak = "peak"
    centroid = "centroid"


class OutsideField(Enum):
    """What becomes of candidates outside the field of view."""

    refuse = "refuse"
    drop = "drop"
    count = "count"


class MissingMasks(Enum):
    """What a mask that is not there means."""

    refuse = "refuse"
    absent = "absent"
    unknown = "unknown"


class OtherClass(Enum):
    """What becomes of hits on other classes."""

    false_positive = "false_positive"
    ignored = "ignored"


class Duplicates(Enum):
    """What becomes of further hits."""

    neither = "neither"
    false_positive = "false_positive"


Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="NAME[:KEY=NUMBER,...]",
        help="When a candidate has found a lesion; the first is the primary rule; may be repeated. peak_in_lesion[:tolerance=PIXELS], "
        "center_distance[:factor=RADII,r_min=PIXELS], any_overlap[:guard=AREAS], iou:threshold=SHARE, dice:threshold=SHARE. "
        "Default: peak_in_lesion.",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="[NAME:]TRUTH[+TRUTH][=CANDIDATES]",
        help="Which candidates are held against which lesions; may be repeated. Default: every class with its namesake.",
    ),
]
Rates = Annotated[
    list[float] | None,
    typer.Option("--rate", help="False positives per image to read the curve at; may be repeated. Default: 1 2 5 10."),
]
