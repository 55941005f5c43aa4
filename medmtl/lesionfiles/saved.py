"""A saved evaluation, read back: enough to compute every FROC figure again, also on a part of the images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from medmtl.errors import EvaluationError
from medmtl.evaluation import Matches, Outcome

_FILES = ("images.csv", "candidates.csv", "lesions.csv")


@dataclass(frozen=True, eq=False)
class SavedMatches:
    """What became of the candidates of one class under one rule.

    Attributes:
        images: Ids of the images whose lesions are known, in order.
        patients: The patient of each.
        matches: The matches of each.
    """

    images: tuple[str, ...]
    patients: tuple[str, ...]
    matches: tuple[Matches, ...]


def read_matches(folder: str | Path, class_name: str, rule: str) -> SavedMatches:
    """Reads the matches that ``medmtl lesions`` wrote.

    Args:
        folder: Its output folder.
        class_name: The class.
        rule: The rule as the tables write it, such as ``peak_in_lesion:tolerance=10``.

    Raises:
        EvaluationError: The folder is none of these, or has no such class or rule.
    """
    images, candidates, lesions = (_table(Path(folder) / name) for name in _FILES)
    mine = images[(images["class"] == class_name) & images["lesions"].notna()]
    told = candidates[["class", "rule"]].drop_duplicates(), lesions[["class", "rule"]].drop_duplicates()
    known = {tuple(row) for table in told for row in table.itertuples(index=False)}
    if (class_name, rule) not in known:
        found = ", ".join(f"{name} {text}" for name, text in sorted(known)) or "nothing"
        raise EvaluationError("no such class and rule", where=folder, found=found, remedy="name one of these")
    groups = [
        dict(list(table[(table["class"] == class_name) & (table["rule"] == rule)].groupby("image", sort=False)))
        for table in (candidates, lesions)
    ]
    # Folders of earlier versions do not tell of findings that were to be ignored.
    counts = [name for name in ("dropped", "ignored") if name in mine]
    uncounted = mine[counts].astype(np.int64).sum(axis=1)
    matches = tuple(
        replace(_matches(groups[0].get(name), groups[1].get(name), int(count)), uncounted=int(apart))
        for name, count, apart in zip(mine["image"], mine["lesions"], uncounted, strict=True)
    )
    return SavedMatches(tuple(mine["image"]), tuple(mine["patient"]), matches)


def saved_pairs(folder: str | Path) -> list[tuple[str, str]]:
    """Classes and rules of what ``medmtl lesions`` wrote, the primary rule of each class first.

    Args:
        folder: Its output folder.

    Raises:
        EvaluationError: The folder is none of these.
    """
    tables = [_table(Path(folder) / name)[["class", "rule"]] for name in ("candidates.csv", "lesions.csv")]
    return [(str(name), str(rule)) for name, rule in pd.concat(tables).drop_duplicates().itertuples(index=False)]


def _table(path: Path) -> pd.DataFrame:
    text = {"image": str, "class": str, "rule": str, "patient": str, "site": str}
    try:
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values={name: [""] for name in _NUMBERS})
    except (OSError, ValueError) as error:
        remedy = "name a folder that `medmtl lesions` wrote"
        raise EvaluationError("not a saved evaluation", where=path, found=error, remedy=remedy) from error


_NUMBERS = (
    "lesions",
    "dropped",
    "ignored",
    "score",
    "lesion",
    "first_candidate",
    "candidate",
    "other_class",
    "area_px",
)


def _matches(candidates: pd.DataFrame | None, lesions: pd.DataFrame | None, count: int) -> Matches:
    none = np.empty(0)
    if candidates is None:
        score, outcome, target, other = none, none, none, none
    else:
        score = candidates["score"].to_numpy(np.float64)
        outcome = np.array([Outcome[name.upper()] for name in candidates["outcome"]])
        target = candidates["lesion"].fillna(0).to_numpy()
        other = candidates["other_class"].fillna(0).to_numpy()
    first = np.full(count, -1) if lesions is None else lesions["first_candidate"].fillna(0).to_numpy() - 1
    area = None if lesions is None else lesions["area_px"].to_numpy(np.int64)
    return Matches(
        score,
        outcome.astype(np.int64),
        target.astype(np.int64),
        count,
        first=first.astype(np.int64),
        area=area,
        other=other.astype(bool),
    )
