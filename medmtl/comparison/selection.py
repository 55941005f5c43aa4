"""Which candidate of each series is taken: by the validation score on one seed, recorded, and fixed before any test."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medmtl.comparison.planning import Plan, Series
from medmtl.errors import RunError
from medmtl.files import write_text


@dataclass(frozen=True)
class Choice:
    """What was chosen of a series, and from what.

    Attributes:
        series: The series.
        chosen: The candidate; None where none could be trained.
        scores: Validation score by candidate, NaN where there is none.
        reasons: Why a candidate has no score.
    """

    series: str
    chosen: str | None
    scores: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """All choices; once test data were looked at they are fixed.

    Attributes:
        choices: By series.
        fixed: Whether test data may have been looked at.
    """

    choices: Mapping[str, Choice]
    fixed: bool = False

    @property
    def chosen(self) -> dict[str, str]:
        """The candidate of every series that has one."""
        return {name: item.chosen for name, item in self.choices.items() if item.chosen is not None}


def choose(series: Series, scores: Mapping[str, float], reasons: Mapping[str, str]) -> Choice:
    """Takes the candidate with the highest score; of equal ones the first.

    Args:
        series: The series.
        scores: Validation score by candidate; those that failed are missing or NaN.
        reasons: Why a candidate has none.
    """
    if len(series.configs) == 1:
        return Choice(series.name, next(iter(series.configs)))
    known = {name: scores.get(name, math.nan) for name in series.configs}
    finite = {name: score for name, score in known.items() if math.isfinite(score)}
    chosen = max(finite, key=lambda name: finite[name]) if finite else None
    told = {name: reasons.get(name, "no validation score") for name in known if name not in finite}
    return Choice(series.name, chosen, known, told)


def read_selection(path: Path, plan: Plan) -> Selection | None:
    """Reads the choices of an earlier call.

    Args:
        path: The JSON file.
        plan: What is asked for now.

    Returns:
        The choices, where they were fixed by a look at the test data; None where they can still be made anew.

    Raises:
        RunError: The file is damaged, or the candidates are others than those that were chosen from before the look.
    """
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        choices = {name: _choice(name, item) for name, item in data["series"].items()}
        fixed = bool(data["fixed"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "restore it, or choose another --out"
        raise RunError("the record of the selection cannot be read", where=path, found=error, remedy=remedy) from None
    if not fixed:
        return None
    # A row that was added since, or that had nothing to evaluate, is tuned on validation like the others.
    settled = [(series, item) for series in plan.series if (item := choices.get(series.name)) and item.chosen]
    for series, item in settled:
        _check_same_candidates(series, item, path)
    return Selection({series.name: item for series, item in settled}, fixed)


def _check_same_candidates(series: Series, before: Choice, path: Path) -> None:
    known = set(before.scores) or {str(before.chosen)}
    if known != set(series.configs):
        raise RunError(
            "the candidates changed after the test data were looked at",
            where=f"{path}: {series.name}",
            found=", ".join(sorted(set(series.configs) ^ known)),
            remedy="restore the comparison's file, or choose another --out",
        )


def _choice(name: str, item: Mapping[str, Any]) -> Choice:
    scores = {key: math.nan if value is None else float(value) for key, value in item["scores"].items()}
    return Choice(name, item["chosen"], scores, {key: str(value) for key, value in item["reasons"].items()})


def write_selection(path: Path, selection: Selection) -> None:
    """Records the choices with all scores.

    Raises:
        OutputError: It cannot be written.
    """
    series = {
        name: {
            "chosen": item.chosen,
            "scores": {key: value if math.isfinite(value) else None for key, value in item.scores.items()},
            "reasons": dict(item.reasons),
        }
        for name, item in selection.choices.items()
    }
    data = {"format": 1, "fixed": selection.fixed, "series": series}
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def fix(path: Path, selection: Selection) -> Selection:
    """Records that test data are looked at from now on: no choice is made anew."""
    fixed = replace(selection, fixed=True)
    if not selection.fixed:
        write_selection(path, fixed)
    return fixed
