"""From what was gathered to the figures of each class under each rule, with all rows on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medmtl.errors import ConfigError
from medmtl.evaluation import Candidates, Findings, HitRule, Matches, Metric, Targets, bootstrap_mean
from medmtl.evaluation.classification import named
from medmtl.evaluation.encounters import AreasNeededError
from medmtl.evaluation.lesions import MatchPool, OtherClass, match_images
from medmtl.lesionfiles.figures import FigureOptions, class_figures
from medmtl.lesionfiles.gathering import GatheredImage
from medmtl.lesionfiles.outcomes import Outcomes
from medmtl.lesionfiles.pairing import Pair
from medmtl.lesionfiles.ruletexts import rule_text
from medmtl.lesionfiles.sanity import AS_DISCS, DISCS, RANDOM_DISCS, as_discs, compares_areas, median_radius

AGAINST = "compared with"
"""What the row of the candidates is called that are compared with in pairs."""
_TRICKS = (DISCS, RANDOM_DISCS)


@dataclass(frozen=True)
class ScoreOptions:
    """How figures are computed.

    Attributes:
        rules: Hit rules; the first is the primary one.
        other_class: What becomes of candidates that hit lesions of another class only.
        figures: What is computed of the matches.
    """

    rules: tuple[HitRule, ...]
    other_class: OtherClass = "false_positive"
    figures: FigureOptions = field(default_factory=FigureOptions)


@dataclass(frozen=True, eq=False)
class Scored(Outcomes):
    """One class under one rule, with the figures, and what became of the candidates of other rows.

    Attributes:
        findings: The figures.
        rows: Matches of each row of comparison.
        left_out: Rows that are not there because they are points and the rule compares areas.
    """

    findings: Findings = field(default_factory=Findings)
    rows: dict[str, tuple[Matches, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def score(images: Sequence[GatheredImage], pairs: Sequence[Pair], options: ScoreOptions) -> tuple[Scored, ...]:
    """Computes the figures of each class under each rule.

    Args:
        images: What was gathered.
        pairs: The classes.
        options: How.

    Raises:
        ConfigError: A rule compares areas and the candidates are points.
    """
    return tuple(one for pair in pairs for one in _score_class(images, pair, pairs, options))


def _score_class(
    images: Sequence[GatheredImage], pair: Pair, pairs: Sequence[Pair], options: ScoreOptions
) -> list[Scored]:
    known = [image for image in images if image.targets[pair.name] is not None]
    pools = {name: _pool(known, pair, pairs, found) for name, found in _rows(known, pair).items()}
    scored = []
    for rule in options.rules:
        shown = {name: pool for name, pool in pools.items() if name not in _TRICKS or compares_areas(rule)}
        matched = {name: _matched(pool, rule, options, name) for name, pool in shown.items()}
        rows = {name: found for name, found in matched.items() if name and found is not None}
        mine = matched[""]
        assert mine is not None, "the candidates themselves are matched, or refused"  # noqa: S101
        findings = class_figures(
            _spread(mine, images, pair),
            pair.name,
            [image.image.patient for image in images],
            [image.image.site for image in images],
            {name: _spread(found, images, pair) for name, found in rows.items()},
            AGAINST if AGAINST in rows else None,
            options.figures,
        )
        findings = replace(findings, metrics=findings.metrics + _covered(known, pair, rule, options.figures))
        left_out = tuple(name for name, found in matched.items() if found is None)
        scored.append(Scored(pair, rule, tuple(known), mine, findings, rows, left_out))
    return scored


def _covered(known: Sequence[GatheredImage], pair: Pair, rule: HitRule, options: FigureOptions) -> tuple[Metric, ...]:
    """How much of the field the candidates cover, where that can pay: who covers everything touches everything."""
    shares = [image.covered[pair.name] for image in known if pair.name in image.covered]
    if not compares_areas(rule) or len(shares) < len(known):
        return ()
    patients = [image.image.patient for image in known]
    found = bootstrap_mean(shares, patients, draws=options.draws, seed=options.seed)
    label, note = "Share of the field of view that all candidates cover", "images, whose mean it is"
    return (named("covered_field", label, pair.name, found, len(shares), note, higher_is_better=False),)


def _spread(matches: Sequence[Matches], images: Sequence[GatheredImage], pair: Pair) -> list[Matches | None]:
    """The matches of all images: None where the lesions are not known."""
    found = iter(matches)
    return [None if image.targets[pair.name] is None else next(found) for image in images]


def _rows(known: Sequence[GatheredImage], pair: Pair) -> dict[str, list[Candidates]]:
    """Candidates of each row, image by image: the evaluated ones under no name, then the others."""
    rows = {"": [image.candidates[pair.name] for image in known]}
    for name in known[0].rows if known else ():
        rows[name] = [image.rows[name][pair.name] for image in known]
    names = list(dict.fromkeys(name for image in known for name in image.sanity))
    complete = [name for name in names if all(name in image.sanity for image in known)]
    rows |= {name: [image.sanity[name] for image in known] for name in complete}
    if all(image.tricks for image in known):
        rows |= {name: [image.tricks[pair.name][name] for image in known] for name in _TRICKS}
    radius = median_radius(rows[""])
    if radius is not None:
        rows |= {name: [as_discs(one, radius) for one in rows[name]] for name in AS_DISCS if name in rows}
    return rows


def _pool(known: Sequence[GatheredImage], pair: Pair, pairs: Sequence[Pair], found: Sequence[Candidates]) -> MatchPool:
    targets = [_known(image, pair) for image in known]
    others = [[_known(image, other) for image in known] for other in pairs if not set(other.truth) & set(pair.truth)]
    return MatchPool.of(found, targets, others)


def _known(image: GatheredImage, pair: Pair) -> Targets:
    """The lesions of a pair; of another class that is not known in an image, none."""
    targets = image.targets[pair.name]
    return Targets.of_regions([], image.shape) if targets is None else targets


def _matched(pool: MatchPool, rule: HitRule, options: ScoreOptions, name: str) -> tuple[Matches, ...] | None:
    """The matches of a row; None for a row of points under a rule that compares areas."""
    try:
        return match_images(pool, rule=rule, other_class=options.other_class)
    except AreasNeededError as error:
        if name:
            return None
        remedy = "give candidates a radius or mask, cut maps by --extract components, or choose a rule of points"
        raise ConfigError(error.what, where=f"--rule {rule_text(rule)}", found=error.found, remedy=remedy) from None
