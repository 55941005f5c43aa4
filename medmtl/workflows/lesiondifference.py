"""From saved evaluations of lesions to their difference: figures, files, lines of text."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medmtl.errors import EvaluationError
from medmtl.evaluation import Counting, EvaluationResult, TaskResult
from medmtl.files import atomic_folder, write_text
from medmtl.lesionfiles.difference import ClassDifference, DifferenceOptions, compare_saved
from medmtl.lesionfiles.provenance import digest
from medmtl.lesionfiles.writing import METRICS_FILE, metrics_text
from medmtl.reporting.tables import csv_text
from medmtl.run import code_version, now

_FILES = ("images.csv", "candidates.csv", "lesions.csv")
_SAME = ("name", "kind", "sha256", "split")


@dataclass(frozen=True, eq=False)
class LesionDifference:
    """What a comparison found.

    Attributes:
        result: All figures, a task for each class.
        folder: Where everything was written; None: nowhere.
    """

    result: EvaluationResult
    folder: Path | None


def lesion_difference(
    evaluations: Sequence[str | Path],
    against: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    options: DifferenceOptions | None = None,
) -> LesionDifference:
    """Compares evaluations that ``medmtl lesions`` wrote, in pairs of images.

    Args:
        evaluations: Folders of one model; several are its seeds, whose mean counts.
        against: Folders of what it is compared with.
        out: Folder to make; None: nothing is written.
        options: Classes, rule, rates, draws.

    Raises:
        MedmtlError: What is wrong with the folders or the options; nothing is written then.
    """
    options = options or DifferenceOptions()
    folders, others = ([Path(one) for one in side] for side in (evaluations, against))
    if not folders or not others:
        remedy = "name evaluations, and others by --against"
        raise EvaluationError("nothing to compare", found=f"{len(folders)} and {len(others)} folders", remedy=remedy)
    told = [_told(folder) for folder in (*folders, *others)]
    counted = [_counted(one) for one in told]
    for folder, counting in zip((*folders, *others), counted, strict=True):
        _same_counting(counted[0], folders[0], counting, folder)
    options = replace(options, counting=Counting(options.counting.lenient, counted[0]["--duplicates"]))
    found = compare_saved(folders, others, options)
    result = _result(found, folders, told[0])
    provenance = _provenance(folders, others, options, told[0])
    if out is not None:
        with atomic_folder(Path(out)) as folder:
            for one, task in zip(found, result.tasks, strict=True):
                name = "difference" if len(found) == 1 else f"difference-{one.name}"
                write_text(folder / f"{name}.csv", csv_text(task.tables[0].frame))
            write_text(folder / METRICS_FILE, metrics_text(provenance, result))
    return LesionDifference(result, None if out is None else Path(out))


def difference_lines(done: LesionDifference) -> list[str]:
    """The figures as lines of text."""
    lines = []
    for task in done.result.tasks:
        for row in task.tables[0].frame.to_dict("records"):
            interval = (
                f"({row['low']:+.3f} to {row['high']:+.3f})" if math.isfinite(row["low"]) else f"({row['method']})"
            )
            rate = f"at {row['false_positives_per_image']:g} false positives per image"
            read = f"{row['sensitivity']:.3f} and {row['of_the_others']:.3f}"
            lines.append(f"{task.task}  {rate}  {read}, difference {row['difference']:+.3f} {interval}")
    return [*lines, *(f"written {done.folder}" for _ in range(done.folder is not None))]


def _told(folder: Path) -> dict[str, Any]:
    """What an evaluation says of itself."""
    path = folder / METRICS_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["provenance"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "name a folder that `medmtl lesions` wrote"
        raise EvaluationError("not a saved evaluation of lesions", where=path, found=error, remedy=remedy) from error


def _counted(told: dict[str, Any]) -> dict[str, Any]:
    """How an evaluation counted, by option: what must be the same on both sides of a difference."""
    options = told["options"]
    others = options["other_class"] == "ignored"
    return {
        "--other-class": options["other_class"],
        "--duplicates": options["duplicates"],
        "--exclude": sorted(options["truth"]["exclude"]),
        "--ignore": sorted(options["truth"]["ignore"]),
        "--outside-field": options["outside_field"],
        # Only where hits on other classes are ignored does it matter which classes these are.
        "--class": sorted({name for one in told["classes"] for name in one["truth"]}) if others else [],
    }


def _same_counting(first: dict[str, Any], mine: Path, other: dict[str, Any], theirs: Path) -> None:
    """Refuses evaluations that counted otherwise: a difference would be one of the rules, not of the models."""
    for name, value in other.items():
        # Where candidates outside the field are refused there are none, to drop or to count.
        alike = value == first[name] or (name == "--outside-field" and "refuse" in (value, first[name]))
        if not alike:
            said = [" ".join(part) or "nothing" if isinstance(part, list) else part for part in (first[name], value)]
            remedy = f"evaluate both with the same {name}"
            raise EvaluationError(
                f"not counted like {mine}", where=theirs, found=f"{name} {said[0]} and {said[1]}", remedy=remedy
            )


def _result(found: Sequence[ClassDifference], folders: Sequence[Path], told: dict[str, Any]) -> EvaluationResult:
    truth = told["truth"]
    dataset = Path(str(truth["name"])).stem
    tasks = tuple(TaskResult.of(f"{one.name}, {one.rule}", "lesions", dataset, one.findings) for one in found)
    samples = max(one.findings.labelled for one in found)
    digests = digest([folder / name for folder in folders for name in _FILES])
    return EvaluationResult(
        folders[0].name, digests, str(truth["name"]), str(truth["sha256"]), str(truth["split"]), now(), samples, tasks
    )


def _provenance(
    folders: Sequence[Path], others: Sequence[Path], options: DifferenceOptions, told: dict[str, Any]
) -> dict[str, Any]:
    sides = {"evaluations": folders, "against": others}
    said: dict[str, Any] = {name: [_identity(folder) for folder in side] for name, side in sides.items()}
    truth = {key: told["truth"][key] for key in _SAME if key in told["truth"]}
    counting = {"lenient": options.counting.lenient, "duplicates": options.counting.duplicates}
    asked = {
        "rates": list(options.rates),
        "draws": options.draws,
        "seed": options.seed,
        "rule": options.rule,
    } | counting
    return {"medmtl": code_version(), "date": now(), "truth": truth, "options": asked} | said


def _identity(folder: Path) -> dict[str, str]:
    told = _told(folder)
    return {"name": folder.name, "candidates": str(told["candidates"]["sha256"])}
