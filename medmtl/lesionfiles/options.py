"""All choices of a lesion-level evaluation, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Real
from typing import get_args

from medmtl.errors import ConfigError
from medmtl.evaluation import Counting, HitRule
from medmtl.evaluation.froc import Duplicates
from medmtl.evaluation.lesions import OtherClass
from medmtl.lesionfiles.candidatetable import OutsideField
from medmtl.lesionfiles.extraction import Extraction, Method, Position, Score
from medmtl.lesionfiles.figures import FigureOptions
from medmtl.lesionfiles.kinds import check_choice, check_flag, check_number, check_rule, check_texts
from medmtl.lesionfiles.masktruth import MissingMasks
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
    """The hit rules, after all choices and numbers were looked at: a call from Python may hold anything.

    Raises:
        ConfigError: A choice is unknown or of a wrong kind, a number impossible, or a rule is named twice.
    """
    _check_choices(options)
    _check_numbers(options)
    for rule in options.rules:
        check_rule(rule)
    rules = tuple(parse_rule(rule) if isinstance(rule, str) else rule for rule in options.rules)
    texts = [rule_text(rule) for rule in rules]
    if not rules or len(set(texts)) < len(texts):
        found = ", ".join(texts) or "none"
        raise ConfigError("rules must be different", where="--rule", found=found, remedy="name each rule once")
    return rules


def _check_choices(options: LesionOptions) -> None:
    """Values that mean one of a few things, texts, and yes or no."""
    truth, extraction = options.truth, options.extraction
    check_choice("--outside-field", options.outside_field, get_args(OutsideField))
    check_choice("--other-class", options.other_class, get_args(OtherClass))
    check_choice("--duplicates", options.duplicates, get_args(Duplicates))
    check_choice("--missing-masks", truth.missing_masks, get_args(MissingMasks))
    if extraction.method is not None:
        check_choice("--extract", extraction.method, get_args(Method))
    if extraction.score is not None:
        check_choice("--score", extraction.score, get_args(Score))
    if extraction.position is not None:
        check_choice("--position", extraction.position, get_args(Position))
    check_texts("--class", options.classes)
    check_texts("--exclude", truth.exclude)
    check_texts("--ignore", truth.ignore)
    check_texts("--split", [] if truth.split is None else [truth.split])
    check_texts("--lesion-values", [] if truth.lesion_values is None else [truth.lesion_values])
    check_flag("--lenient", options.lenient)
    check_flag("--sanity", options.sanity)
    check_flag("--diaretdb1", options.diaretdb1)
    check_flag("--overlays", options.overlays)
    check_flag("--missing-values", extraction.missing_values)


def _check_numbers(options: LesionOptions) -> None:
    for rate in options.rates:
        check_number("--rate", rate, above=0)
    check_number("--show-rate", options.show_rate, above=0)
    check_number("--min-area", options.min_area, least=1, whole=True)
    check_number("--draws", options.draws, least=1, whole=True)
    check_number("--seed", options.seed, least=0, whole=True)
    if options.image_threshold is not None:
        check_number("--image-threshold", options.image_threshold)
    _check_sizes(options)
    if not options.rates or len(set(options.rates)) < len(options.rates):
        raise ConfigError("rates must be different", where="--rate", found=options.rates, remedy="name each rate once")


def _check_sizes(options: LesionOptions) -> None:
    if isinstance(options.sizes, bool):
        return
    edges = list(options.sizes)
    numbers = all(isinstance(edge, Real) and not isinstance(edge, bool) for edge in edges)
    if not numbers or len(edges) < 2 or edges[0] < 0 or not all(low < high for low, high in pairwise(edges)):
        remedy = "give at least two rising numbers of pixels, such as 0 50 500 inf"
        raise ConfigError("not edges of areas", where="--size-edge", found=edges, remedy=remedy)


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
