"""Saved evaluations against others on the same images and lesions: differences of sensitivities in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medmtl.errors import ConfigError, EvaluationError, suggestion
from medmtl.evaluation import Counting, Findings, Interval, Matches, Metric, Table, mean_froc_difference, pooled_froc
from medmtl.evaluation.froc import STRICT
from medmtl.evaluation.intervals import FloatArray
from medmtl.lesionfiles.saved import SavedMatches, read_matches, saved_pairs


@dataclass(frozen=True)
class DifferenceOptions:
    """How evaluations are compared.

    Attributes:
        classes: Those to compare; none: all that both sides have.
        rule: The hit rule as tables write it; None: the first of the first evaluation.
        rates: False positives per image.
        counting: How outcomes are counted.
        draws: Bootstrap draws.
        seed: Bootstrap seed.
    """

    classes: tuple[str, ...] = ()
    rule: str | None = None
    rates: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    counting: Counting = STRICT
    draws: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class ClassDifference:
    """One class under one rule.

    Attributes:
        name: The class.
        rule: The rule.
        findings: The figures.
    """

    name: str
    rule: str
    findings: Findings


def compare_saved(
    folders: Sequence[Path], others: Sequence[Path], options: DifferenceOptions
) -> tuple[ClassDifference, ...]:
    """Compares what ``medmtl lesions`` wrote, in pairs: several folders on a side are seeds, whose mean counts.

    Args:
        folders: Evaluations of one model.
        others: Evaluations of what it is compared with.
        options: How.

    Raises:
        EvaluationError: A folder is no saved evaluation, lacks the class or rule, or is of other images or lesions.
        ConfigError: A choice is impossible.
    """
    _check(options)
    classes, rule = _chosen([*folders, *others], options)
    return tuple(_one(folders, others, name, rule, options) for name in classes)


def _check(options: DifferenceOptions) -> None:
    for name, values, least in (("--rate", options.rates, 0.0), ("--draws", (options.draws,), 1.0)):
        for value in values:
            if not (math.isfinite(value) and value >= least and value > 0):
                raise ConfigError("not a usable number", where=name, found=value, remedy="give a number above 0")
    if not options.rates or len(set(options.rates)) < len(options.rates):
        raise ConfigError("rates must be different", where="--rate", found=options.rates, remedy="name each rate once")


def _chosen(folders: Sequence[Path], options: DifferenceOptions) -> tuple[list[str], str]:
    """The classes that all have, or that were asked for, and the rule."""
    known = [saved_pairs(folder) for folder in folders]
    if not known[0]:
        raise EvaluationError("the evaluation holds no class", where=folders[0])
    rule = options.rule or known[0][0][1]
    rules = list(dict.fromkeys(text for _, text in known[0]))
    if rule not in rules:
        remedy = f"{suggestion(rule, rules)}"
        raise EvaluationError("no such rule in the evaluation", where=folders[0], found=f"'{rule}'", remedy=remedy)
    mine = list(dict.fromkeys(name for name, _ in known[0]))
    shared = [name for name in mine if all((name, rule) in pairs for pairs in known)]
    classes = list(dict.fromkeys(options.classes)) or shared
    if not classes:
        remedy = f"evaluate both with --rule {rule} and the same names of classes (--class NAME:TRUTH=CANDIDATES)"
        found = "; ".join(", ".join(dict.fromkeys(name for name, _ in pairs)) for pairs in known)
        raise EvaluationError("the evaluations share no class under this rule", found=found, remedy=remedy)
    return classes, rule


def _one(
    folders: Sequence[Path], others: Sequence[Path], name: str, rule: str, options: DifferenceOptions
) -> ClassDifference:
    saved = {folder: read_matches(folder, name, rule) for folder in dict.fromkeys([*folders, *others])}
    first = saved[folders[0]]
    for folder, one in saved.items():
        _same(first, folders[0], one, folder)
    mine, theirs = ([saved[folder].matches for folder in side] for side in (folders, others))
    found = mean_froc_difference(
        mine,
        theirs,
        options.rates,
        first.patients,
        draws=options.draws,
        seed=options.seed,
        counting=options.counting,
    )
    read = [_mean_sensitivities(side, options) for side in (mine, theirs)]
    lesions = sum(image.lesions for image in first.matches)
    metrics = tuple(_metric(name, rate, one, lesions, rule) for rate, one in zip(options.rates, found, strict=True))
    frame = pd.DataFrame(
        {
            "false_positives_per_image": options.rates,
            "sensitivity": read[0],
            "of_the_others": read[1],
            "difference": [one.value for one in found],
            "low": [one.low for one in found],
            "high": [one.high for one in found],
            "method": [one.method for one in found],
        }
    )
    table = Table(
        f"difference.{name}", f"Difference to the others: {name}", frame, _note((mine, theirs), first, lesions)
    )
    return ClassDifference(name, rule, Findings(metrics, tables=(table,), labelled=len(first.images)))


def _mean_sensitivities(side: Sequence[Sequence[Matches]], options: DifferenceOptions) -> FloatArray:
    curves = [pooled_froc(one, options.counting) for one in side]
    each = [[curve.sensitivity_at(rate).sensitivity for rate in options.rates] for curve in curves]
    return np.asarray(np.mean(each, axis=0))


def _metric(name: str, rate: float, found: Interval, lesions: int, rule: str) -> Metric:
    label = f"Lesion sensitivity at {rate:g} false positives per image, minus the others': {name}"
    return Metric(f"difference_at_{rate:g}.{name}", label, found, lesions, f"lesions; {rule}")


def _note(sides: Sequence[Sequence[object]], saved: SavedMatches, lesions: int) -> str:
    seeds = f"Means of {len(sides[0])} evaluations and {len(sides[1])} others. " if max(map(len, sides)) > 1 else ""
    return (
        f"{seeds}{lesions} lesions in {sum(image.lesions > 0 for image in saved.matches)} of {len(saved.images)} images. Each model is "
        "read at its own threshold for the rate; every draw of the bootstrap takes one set of patients for all of them. An "
        "interval without 0 is a difference at the 5 % level."
    )


def _same(first: SavedMatches, mine: Path, other: SavedMatches, theirs: Path) -> None:
    """Refuses evaluations of other images or lesions: a difference would not be one of the models."""
    remedy = "evaluate both with the same --truth, --split, --images and --min-area"
    if first.images != other.images or first.patients != other.patients:
        apart = sorted(set(first.images) ^ set(other.images))
        said = f"{len(first.images)} images and {len(other.images)}" + (f"; only one has {apart[0]}" if apart else "")
        raise EvaluationError(f"not the images of {mine}", where=theirs, found=said, remedy=remedy)
    for image, one, two in zip(first.images, first.matches, other.matches, strict=True):
        areas = [[] if part.area is None else part.area.tolist() for part in (one, two)]
        if one.lesions != two.lesions or areas[0] != areas[1]:
            said = (
                f"image {image}: {one.lesions} lesions of {sum(areas[0])} pixels and {two.lesions} of {sum(areas[1])}"
            )
            raise EvaluationError(f"not the lesions of {mine}", where=theirs, found=said, remedy=remedy)
