"""What became of every candidate and every lesion, as tables: from them alone all figures can be computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medmtl.evaluation import Candidates, Counting, HitRule, Matches, Outcome, Targets, pooled_froc
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.ruletexts import rule_text

CANDIDATE_COLUMNS = [
    "image", "class", "rule", "number", "x", "y", "score", "area_px", "outcome", "lesion", "lenient_lesions", "other_class",
]  # fmt: skip
LESION_COLUMNS = ["image", "class", "rule", "lesion", "x", "y", "area_px", "candidate", "score", "first_candidate"]
FROC_COLUMNS = [
    "class", "rule", "threshold", "found", "false", "sensitivity",
    "false_positives_per_image", "false_positives_per_lesion_free_image",
]  # fmt: skip
IMAGE_COLUMNS = [
    "image", "class", "patient", "site", "width", "height", "lesions", "dropped", "ignored",
    "candidates", "excluded", "outside_field",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One class under one rule.

    Attributes:
        pair: The class.
        rule: The rule.
        images: The images whose lesions of the class are known.
        matches: What became of the candidates of each.
    """

    pair: Pair
    rule: HitRule
    images: tuple[GatheredImage, ...]
    matches: tuple[Matches, ...]


def candidate_frame(outcomes: Sequence[Outcomes]) -> pd.DataFrame:
    """A row a candidate, by rule, class, image and falling score.

    ``number`` counts the candidates of an image and class from 1; ``lesion`` is the lesion taken or hit again;
    ``lenient_lesions`` how many lesions the candidate is the first to hit; ``other_class`` 1 where it hits lesions of
    another class only, empty where nobody asked.
    """
    parts = [
        _candidate_rows(one, image, matches)
        for one in outcomes
        for image, matches in zip(one.images, one.matches, strict=True)
        if len(matches.score)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=CANDIDATE_COLUMNS)


def _candidate_rows(one: Outcomes, image: GatheredImage, matches: Matches) -> pd.DataFrame:
    found: Candidates = image.candidates[one.pair.name]
    names = [Outcome(code).name.lower() for code in matches.outcome.tolist()]
    lesion = pd.array([number or None for number in matches.target.tolist()], dtype="Int64")
    other: Any = pd.NA if matches.other is None else matches.other.astype(np.int64)
    columns = {
        "image": image.image.id,
        "class": one.pair.name,
        "rule": rule_text(one.rule),
        "number": np.arange(1, len(found) + 1),
        "x": found.x,
        "y": found.y,
        "score": found.score,
        "area_px": found.area,
        "outcome": names,
        "lesion": lesion,
        "lenient_lesions": matches.gains,
        "other_class": other,
    }
    return pd.DataFrame(columns)


def lesion_frame(outcomes: Sequence[Outcomes]) -> pd.DataFrame:
    """A row a lesion: its center and area, the candidate that takes it and that one's score, and the first to hit it.

    The cells of a lesion that no candidate takes are empty.
    """
    rows = [
        row
        for one in outcomes
        for image, matches in zip(one.images, one.matches, strict=True)
        for row in _lesion_rows(one, image, matches)
    ]
    frame = pd.DataFrame(rows, columns=LESION_COLUMNS)
    return frame.astype({"candidate": "Int64", "first_candidate": "Int64"})


def _lesion_rows(one: Outcomes, image: GatheredImage, matches: Matches) -> list[list[Any]]:
    targets: Targets | None = image.targets[one.pair.name]
    assert targets is not None, "only images with known lesions are scored"  # noqa: S101
    taken = {
        int(target): index
        for index, (outcome, target) in enumerate(zip(matches.outcome.tolist(), matches.target.tolist(), strict=True))
        if outcome == Outcome.TRUE_POSITIVE
    }
    center = targets.lesions.center
    rows = []
    for number in range(1, matches.lesions + 1):
        index = taken.get(number)
        first = -1 if matches.first is None else int(matches.first[number - 1])
        by = [None, None] if index is None else [index + 1, float(matches.score[index])]
        place = [float(value) for value in center[number - 1]]
        key = [image.image.id, one.pair.name, rule_text(one.rule), number]
        rows.append([*key, *place, int(targets.area[number - 1]), *by, None if first < 0 else first + 1])
    return rows


def froc_frame(outcomes: Sequence[Outcomes], counting: Counting) -> pd.DataFrame:
    """The whole curve of each class and rule: (0, 0) at threshold ``inf``, then a row a distinct score, falling.

    ``found`` and ``false`` are lesions and false positives at or above the threshold. Cells of shares of nothing, such as
    false positives per lesion-free image where each image has a lesion, are NaN.

    Args:
        outcomes: Each class under each rule.
        counting: How outcomes are counted.
    """
    parts = []
    for one in outcomes:
        curve = pooled_froc(one.matches, counting)
        key = {"class": one.pair.name, "rule": rule_text(one.rule)}
        columns = (curve.thresholds, curve.found, curve.false, curve.sensitivity, curve.fppi, curve.fppi_free)
        parts.append(pd.DataFrame(key | dict(zip(FROC_COLUMNS[2:], columns, strict=True))))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=FROC_COLUMNS)


def image_frame(images: Sequence[GatheredImage], pairs: Sequence[Pair]) -> pd.DataFrame:
    """A row an image and class, those without lesions or candidates included; ``lesions`` is empty where not known.

    ``dropped`` counts lesions that are too small or outside the field of view, ``ignored`` findings that are to be ignored.
    ``excluded`` and ``outside_field`` count candidates that were left out: on excluded places, and outside the field of view.
    """
    rows = []
    for image in images:
        size = (image.shape[1], image.shape[0]) if image.sized else (None, None)
        for pair in pairs:
            targets = image.targets[pair.name]
            known = (None,) * 3 if targets is None else (targets.count, targets.dropped, targets.ignored)
            who = (image.image.id, pair.name, image.image.patient, image.image.site)
            counts = (len(image.candidates[pair.name]), image.excluded[pair.name], image.outside[pair.name])
            rows.append([*who, *size, *known, *counts])
    whole = dict.fromkeys(IMAGE_COLUMNS[4:], "Int64")
    return pd.DataFrame(rows, columns=IMAGE_COLUMNS).astype(whole)
