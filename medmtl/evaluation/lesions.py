"""Who gets which lesion: candidates are assigned to lesions by falling score, each lesion once.

Each candidate takes the best unclaimed lesion it hits (the nearest, or the one it overlaps most): a true positive. If
all it hits are claimed it is a duplicate, neither true nor false positive, and counted; if it hits none it is a false
positive, also where a lesion of another class lies there. One candidate is at most one true positive (strict). Beside
it stands the lenient count, by which a candidate finds every lesion it hits. A candidate that hits nothing is ignored on
pixels of unknown truth and on irrelevant findings, unless it is too large for the lesions it touches. Because of the order of scores, the
outcome at a threshold is the outcome of the candidates at or above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from medmtl.evaluation.candidate_table import Candidates
from medmtl.evaluation.encounters import Pairs
from medmtl.evaluation.intervals import BoolArray, IntArray
from medmtl.evaluation.matches import Matches, Outcome
from medmtl.evaluation.pooling import MatchPool
from medmtl.evaluation.rules import HIT_RULES, AnyOverlap, HitRule, PeakInLesion, hit_rule
from medmtl.evaluation.targets import UNKNOWN, Targets, lesion_targets

__all__ = [
    "HIT_RULES",
    "UNKNOWN",
    "HitRule",
    "MatchPool",
    "Matches",
    "Outcome",
    "PeakInLesion",
    "Targets",
    "hit_rule",
    "lesion_targets",
    "match",
    "match_images",
]

OtherClass: TypeAlias = Literal["false_positive", "ignored"]
"""What becomes of a candidate that hits lesions of another class only."""


def match(
    candidates: Candidates,
    targets: Targets,
    rule: str | HitRule = PeakInLesion.name,
    *,
    other: Sequence[Targets] = (),
    other_class: OtherClass = "false_positive",
    **parameters: float,
) -> Matches:
    """Assigns candidates to lesions, each lesion once, by falling score.

    Args:
        candidates: Of one image and class.
        targets: The lesions of the same image and class.
        rule: A hit rule, or its name.
        other: The lesions of other classes in the image.
        other_class: What becomes of candidates that hit only those.
        parameters: Of a rule by name, such as ``tolerance=10``.

    Raises:
        EvaluationError: As ``hit_rule``, or the rule compares areas and the candidates are points.
    """
    others = [[one] for one in other]
    return match_images([candidates], [targets], rule, others=others, other_class=other_class, **parameters)[0]


def match_images(
    candidates: Sequence[Candidates] | MatchPool,
    targets: Sequence[Targets] = (),
    rule: str | HitRule = PeakInLesion.name,
    *,
    others: Sequence[Sequence[Targets]] | Mapping[Any, Sequence[Targets]] = (),
    other_class: OtherClass = "false_positive",
    **parameters: float,
) -> tuple[Matches, ...]:
    """Assigns the candidates of many images at once, which is much faster than image by image.

    Args:
        candidates: Of one class, image by image; or a pool made of them, which several rules can share.
        targets: The lesions of that class, image by image; for a pool nothing.
        rule: A hit rule, or its name.
        others: The lesions of every other class, image by image; for a pool nothing.
        other_class: What becomes of candidates that hit only those.
        parameters: Of a rule by name, such as ``tolerance=10``.

    Returns:
        The matches of each image.

    Raises:
        EvaluationError: As ``hit_rule`` and ``MatchPool.of``, the option does not exist, or the rule compares areas and
            the candidates are points.
    """
    pool = candidates if isinstance(candidates, MatchPool) else MatchPool.of(candidates, targets, others)
    pool.check_option(other_class)
    chosen = hit_rule(rule, **parameters)
    pairs = chosen.hits(pool.lesions).ordered()
    size, lesions = len(pool.score), len(pool.lesions.table)
    taken = _assigned(pairs, size, lesions)
    outcome, target = np.zeros((2, size), dtype=np.int64)
    target[pairs.candidate[::-1]] = pairs.region[::-1] + 1
    outcome[pairs.candidate] = Outcome.DUPLICATE
    outcome[taken >= 0] = Outcome.TRUE_POSITIVE
    target[taken >= 0] = taken[taken >= 0] + 1
    none = target == 0
    other = none & _marked([chosen.hits(one) for one in pool.others], size)
    apart = _marked([pool.hidden.near(), chosen.hits(pool.irrelevant)], size)
    if isinstance(chosen, AnyOverlap):
        none[chosen.oversize(pool.lesions)] = False  # false positives whatever else they touch
    outcome[none & (apart | other if other_class == "ignored" else apart)] = Outcome.IGNORED
    first = np.full(lesions, size)
    np.minimum.at(first, pairs.region, pairs.candidate)
    return _split(pool, chosen.caption, outcome, target, first, other)


def _assigned(pairs: Pairs, size: int, lesions: int) -> IntArray:
    """Gives each candidate the best lesion that no earlier candidate took, -1 for none.

    All candidates ask for their best lesion at once; a lesion keeps the earliest; the others ask for their next (Gale
    and Shapley 1962). As all lesions prefer the earlier candidate, that ends where taking turns does.
    """
    count = np.bincount(pairs.candidate, minlength=size)
    end = np.cumsum(count)
    place = end - count
    holder = np.full(lesions + 1, size, dtype=np.int64)
    asking = np.flatnonzero(count)
    while len(asking):
        wanted = pairs.region[place[asking]]
        touched = np.unique(wanted)
        before = holder[touched]
        np.minimum.at(holder, wanted, asking)
        ousted = before[(before < size) & (before != holder[touched])]
        refused = np.concatenate([asking[holder[wanted] != asking], ousted])
        place[refused] += 1
        asking = refused[place[refused] < end[refused]]
    taken = np.full(size + 1, -1, dtype=np.int64)
    taken[holder[:-1]] = np.arange(lesions)
    return taken[:size]


def _marked(found: Sequence[Pairs], size: int) -> BoolArray:
    """Whether each candidate is in any of the pairs."""
    mark = np.zeros(size, dtype=bool)
    for pairs in found:
        mark[pairs.candidate] = True
    return mark


def _split(
    pool: MatchPool, caption: str, outcome: IntArray, target: IntArray, first: IntArray, other: BoolArray
) -> tuple[Matches, ...]:
    """Cuts what was found for all images into what was found for each, with numbers of that image."""
    ends, lesion_ends = pool.ends.tolist(), pool.lesion_ends.tolist()
    target = np.where(target > 0, target - pool.lesion_ends[pool.image], 0)
    before = pool.ends[:-1][pool.lesions.image]
    first = np.where(first < len(outcome), first - before, -1)
    area, asked = pool.lesions.table.area, bool(pool.others)
    result = []
    bounds = zip(ends[:-1], ends[1:], lesion_ends[:-1], lesion_ends[1:], pool.uncounted.tolist(), strict=True)
    for start, stop, low, high, uncounted in bounds:
        mine, theirs = slice(start, stop), slice(low, high)
        parts = outcome[mine], target[mine], high - low, caption, first[theirs], area[theirs]
        result.append(Matches(pool.score[mine], *parts, other[mine] if asked else None, uncounted=uncounted))
    return tuple(result)
