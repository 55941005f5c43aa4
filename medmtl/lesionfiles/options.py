"""All choices of a lesion-level evaluation, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from medmtl.errors import ConfigError
from medmtl.evaluation import Counting, HitRule
from medmtl.evaluation.froc import Duplicates
from medmtl.evaluation.lesions import OtherClass
from medmtl.lesionfiles.candidatetable import OutsideField
from medmtl.lesionfiles.extraction import Extraction
from medmtl.lesionfiles.figures import FigureOptions
from medmtl.lesionfiles.ruletexts import parse_rule, rule_text
from medmtl.lesionfiles.scoring import ScoreOptions
from medmtl.lesionfiles.truth import TruthOptions


@dataclass(frozen=True)
class LesionOptions:
    """All choices of a lesion-level evaluation.

    Attributes:
        rules: Hit rules as texts (``peak_in_lesion:tolerance=10``) or objects; the first is the primary one.
        classes: ``[NAME:]TRUTH[+TRUTH ...][=CANDIDATES]``; none: every class with its namesake.
        truth: How the truth is read.
        extraction: How heat maps are cut into candidates.
        outside_field: What becomes of candidates of a table outside the field of view.
        min_area: Least pixels of a lesion.
        other_class: What becomes of candidates that hit lesions of another class only.
        duplicates: Whether a further hit on a found lesion is ``neither`` or a ``false_positive``.
        lenient: A candidate finds every lesion it hits, not one; tables give both in any case.
        rates: False positives per image to read curves at.
        sizes: Edges of lesion areas in pixels for a table by size; True: thirds; False: none.
        image_threshold: Score from which an image is called positive, chosen elsewhere; None: none was chosen.
        draws: Bootstrap draws.
        seed: Seed of the bootstrap and of random points.
        sanity: Also score detectors that know nothing.
        diaretdb1: Also DIARETDB1's own protocol.
        show_rate: The overlays show candidates at or above the threshold of this rate.
        overlays: Draw overlays and a page for each image whose picture is there.
    """

    rules: tuple[str | HitRule, ...] = ("peak_in_lesion",)
    classes: tuple[str, ...] = ()
    truth: TruthOptions = field(default_factory=TruthOptions)
    extraction: Extraction = field(default_factory=Extraction)
    outside_field: OutsideField = "refuse"
    min_area: int = 1
    other_class: OtherClass = "false_positive"
    duplicates: Duplicates = "neither"
    lenient: bool = False
    rates: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0)
    sizes: tuple[float, ...] | bool = False
    image_threshold: float | None = None
    draws: int = 2000
    seed: int = 0
    sanity: bool = True
    diaretdb1: bool = False
    show_rate: float = 2.0
    overlays: bool = True


def checked_rules(options: LesionOptions) -> tuple[HitRule, ...]:
    """The hit rules, after all numbers were looked at.

    Raises:
        ConfigError: A choice is impossible, or a rule is named twice.
    """
    _check_numbers(options)
    rules = tuple(parse_rule(rule) if isinstance(rule, str) else rule for rule in options.rules)
    texts = [rule_text(rule) for rule in rules]
    if not rules or len(set(texts)) < len(texts):
        found = ", ".join(texts) or "none"
        raise ConfigError("rules must be different", where="--rule", found=found, remedy="name each rule once")
    return rules


def _check_numbers(options: LesionOptions) -> None:
    checks: list[tuple[str, Sequence[float], float]] = [
        ("--rate", options.rates, 0.0),
        ("--show-rate", [options.show_rate], 0.0),
        ("--min-area", [options.min_area], 1),
        ("--draws", [options.draws], 1),
        ("--seed", [options.seed], 0),
    ]
    for name, values, least in checks:
        for value in values:
            if not (math.isfinite(value) and value >= least and (value > 0 or name not in {"--rate", "--show-rate"})):
                bound = "above 0" if name in {"--rate", "--show-rate"} else f"of at least {least:g}"
                raise ConfigError("not a usable number", where=name, found=value, remedy=f"give a number {bound}")
    _check_sizes(options)
    if not options.rates or len(set(options.rates)) < len(options.rates):
        raise ConfigError("rates must be different", where="--rate", found=options.rates, remedy="name each rate once")


def _check_sizes(options: LesionOptions) -> None:
    edges = [] if isinstance(options.sizes, bool) else list(options.sizes)
    rising = all(low < high for low, high in pairwise(edges))
    if not isinstance(options.sizes, bool) and (len(edges) < 2 or not rising or edges[0] < 0):
        remedy = "give at least two rising numbers of pixels, such as 0 50 500 inf"
        raise ConfigError("not edges of areas", where="--size-edge", found=edges, remedy=remedy)
    threshold = options.image_threshold
    if threshold is not None and not math.isfinite(threshold):
        remedy = "give a finite score"
        raise ConfigError("not a usable number", where="--image-threshold", found=threshold, remedy=remedy)


def score_options(rules: tuple[HitRule, ...], options: LesionOptions) -> ScoreOptions:
    """What scoring has to know of the choices."""
    figures = FigureOptions(
        tuple(sorted(options.rates)),
        Counting(options.lenient, options.duplicates),
        options.sizes,
        options.image_threshold,
        options.draws,
        options.seed,
    )
    return ScoreOptions(rules, options.other_class, figures)
