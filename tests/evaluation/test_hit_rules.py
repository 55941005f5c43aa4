"""Every rule and the assignment against loops over full masks; parameters; the rule of LUNA16; maps that must not win."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesion_oracle import RULES, full, outcomes, scene

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidates import Candidates, components
from medmtl.evaluation.froc import LENIENT, pooled_froc
from medmtl.evaluation.lesions import Matches, MatchPool, Outcome, match, match_images
from medmtl.evaluation.regions import Region
from medmtl.evaluation.rules import HIT_RULES, AnyOverlap, IntersectionOverUnion, hit_rule
from medmtl.evaluation.targets import Targets, lesion_targets

seeds = st.integers(0, 2**31)


@given(seeds, st.sampled_from(RULES), st.sampled_from(["false_positive", "ignored"]))
def test_matching_many_images_equals_loops_over_pixels(seed, rule, other_class):
    cases = [scene(seed + k) for k in range(3)]
    found = match_images(
        [case[0] for case in cases],
        [case[1] for case in cases],
        rule[0],
        others=[[case[2] for case in cases]],
        other_class=other_class,
        **rule[1],
    )
    for case, one in zip(cases, found, strict=True):
        expected = outcomes(case, *rule, other_class)
        assert [Outcome(code).name for code in one.outcome] == [name for name, _ in expected]
        assert one.gains.tolist() == [gain for _, gain in expected]
        assert one.lesions == len(case[3][0])
        alone = match(case[0], case[1], rule[0], other=[case[2]], other_class=other_class, **rule[1])
        assert alone.target.tolist() == one.target.tolist()


@given(seeds, st.sampled_from(RULES[:4]))
def test_points_need_no_regions(seed, rule):
    case = scene(seed, with_regions=False)
    found = match(case[0], case[1], rule[0], **rule[1])
    assert [Outcome(code).name for code in found.outcome] == [name for name, _ in outcomes(case, *rule)]


@given(seeds, st.sampled_from(RULES))
def test_discs_count_as_their_regions(seed, rule):
    candidates, targets, *_ = scene(seed, with_regions=False)
    radius = np.random.default_rng(seed).uniform(0, 4, len(candidates))
    points = candidates.x, candidates.y, candidates.score
    discs = tuple(Region.circle(*row, targets.shape) for row in zip(candidates.x, candidates.y, radius, strict=True))
    one = match(Candidates.points(*points, radius=radius), targets, rule[0], **rule[1])
    other = match(Candidates.points(*points, regions=discs), targets, rule[0], **rule[1])
    assert one.outcome.tolist() == other.outcome.tolist()
    assert one.target.tolist() == other.target.tolist()


def test_a_pool_serves_every_rule():
    cases = [scene(seed) for seed in range(20)]
    pool = MatchPool.of([case[0] for case in cases], [case[1] for case in cases])
    for rule, parameters in RULES:
        direct = match_images([case[0] for case in cases], [case[1] for case in cases], rule, **parameters)
        pooled = match_images(pool, rule=rule, **parameters)
        assert [one.outcome.tolist() for one in pooled] == [one.outcome.tolist() for one in direct]


@pytest.mark.parametrize(
    ("rule", "parameters", "words"),
    [
        ("iou", {}, "lacks a parameter.*threshold"),
        ("dice", {}, "threshold=0.1"),
        ("iou", {"treshold": 0.5}, "did you mean 'threshold'"),
        ("peak_in_lesion", {"threshold": 0.5}, "no such parameter"),
        ("peak_in_lesion", {"tolerance": -1}, "0 or more"),
        ("peak_in_lesion", {"tolerance": math.nan}, "0 or more"),
        ("peak_in_lesion", {"tolerance": math.inf}, "0 or more"),
        ("peak_in_lesion", {"tolerance": "3"}, "is a number"),
        ("peak_in_lesion", {"tolerance": True}, "is a number"),
        ("center_distance", {"factor": -1}, "factor"),
        ("center_distance", {"r_min": math.inf}, "r_min"),
        ("any_overlap", {"guard": 0}, "guard"),
        ("any_overlap", {"guard": math.nan}, "guard"),
        ("iou", {"threshold": 0}, "above 0"),
        ("dice", {"threshold": 1.01}, "at most 1"),
        ("overlap", {}, "any_overlap"),
        (IntersectionOverUnion(0.5), {"threshold": 0.5}, "already"),
    ],
)
def test_bad_rules_are_refused_in_one_line(rule, parameters, words):
    with pytest.raises(EvaluationError, match=words) as caught:
        hit_rule(rule, **parameters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reach", [1e3, 1e9, 1e18, 1e19, 1e20, 1e300])
def test_an_endless_reach_hits_all_that_is_there(reach):
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:5] = 1
    targets, points = lesion_targets(mask), Candidates.points([15, 0], [15, 19], [1.0, 0.5])
    for rule, parameters in (
        ("peak_in_lesion", {"tolerance": reach}),
        ("center_distance", {"factor": reach}),
        ("center_distance", {"r_min": reach}),
    ):
        assert match(points, targets, rule, **parameters).outcome.tolist() == [1, 2]


def test_bad_matches_are_refused():
    points, targets = Candidates.points([1], [1], [1]), lesion_targets(np.ones((3, 3)))
    with pytest.raises(EvaluationError, match="the candidates are points"):
        match(points, targets, "iou", threshold=0.1)
    with pytest.raises(EvaluationError, match="numbers of images"):
        match_images([points], [], "peak_in_lesion")
    with pytest.raises(EvaluationError, match="differ in shape"):
        match(points, targets, other=[lesion_targets(np.ones((3, 4)))])
    with pytest.raises(EvaluationError, match="did you mean 'ignored'"):
        match(points, targets, other_class="ignore")
    with pytest.raises(EvaluationError, match="radius is 0 or more"):
        Candidates.points([1], [1], [1], radius=-1)
    with pytest.raises(EvaluationError, match="one length"):
        Candidates.points([1], [1], [1], regions=())


def test_every_rule_says_itself_in_words_with_its_numbers():
    captions = [hit_rule(rule, **parameters).caption for rule, parameters in RULES]
    assert len(set(captions)) == len(captions)
    for (_, parameters), caption in zip(RULES, captions, strict=True):
        assert caption.startswith("Hit: ")
        assert all(f"{value:g}" in caption for value in parameters.values() if math.isfinite(value))
    assert "no size guard" in AnyOverlap(math.inf).caption
    assert set(HIT_RULES) == {rule for rule, _ in RULES}


def test_an_oversize_candidate_is_a_false_positive_whatever_it_touches():
    shape = (100, 100)
    targets = Targets.of_regions([Region.circle(30, 30, 4, shape), Region.circle(70, 70, 4, shape)], shape)
    wide = Candidates.points([30], [30], [1.0], radius=[9])
    snug = Candidates.points([30], [30], [1.0], radius=[7])
    assert match(wide, targets, "any_overlap").outcome.tolist() == [Outcome.FALSE_POSITIVE]
    assert match(snug, targets, "any_overlap").outcome.tolist() == [Outcome.TRUE_POSITIVE]
    assert match(wide, targets, "any_overlap", guard=math.inf).outcome.tolist() == [Outcome.TRUE_POSITIVE]


def test_an_oversize_candidate_is_a_false_positive_whatever_else_it_touches():
    """A disc around (30, 30), which touches a lesion of its class 8 pixels away: only its size decides."""
    shape = (100, 100)
    lesion, hidden = Region.circle(38, 30, 2, shape), Region.circle(30, 30, 3, shape)
    alone = Targets.of_regions([lesion], shape)
    unknown = Targets.of_regions([lesion], shape, unknown=full(hidden, shape))
    irrelevant = Targets.of_regions([lesion], shape, irrelevant=[Region.circle(26, 30, 5, shape)])
    mask = (full(lesion, shape) | full(Region.point(30, 30, shape), shape)).astype(np.uint8)
    dropped = lesion_targets(mask, min_area=2)
    other = Targets.of_regions([Region.circle(26, 30, 5, shape)], shape)
    wide, small = (Candidates.points([30], [30], [1.0], radius=[radius]) for radius in (9, 5))
    for targets in (alone, unknown, irrelevant, dropped):
        assert match(wide, targets, "any_overlap").outcome.tolist() == [Outcome.FALSE_POSITIVE]
        open_to = match(wide, targets, "any_overlap", guard=math.inf)  # without a guard nothing is oversize
        assert open_to.outcome.tolist() == [Outcome.TRUE_POSITIVE]
    both = {"other": [other], "other_class": "ignored"}
    assert match(wide, alone, "any_overlap", **both).outcome.tolist() == [Outcome.FALSE_POSITIVE]
    # Of the same place, but touching no lesion of its class: these count neither way, as before.
    for targets, more in ((unknown, {}), (irrelevant, {}), (dropped, {}), (alone, both)):
        assert match(small, targets, "any_overlap", **more).outcome.tolist() == [Outcome.IGNORED]
    far = Targets.of_regions([Region.circle(80, 80, 2, shape)], shape, unknown=full(hidden, shape))
    assert match(wide, far, "any_overlap").outcome.tolist() == [Outcome.IGNORED]


@pytest.mark.parametrize(("rule", "parameters"), [item for item in RULES if item[1].get("guard") != math.inf])
def test_a_map_over_the_whole_field_does_not_win(rule, parameters):
    shape, rng = (120, 120), np.random.default_rng(0)
    regions = [Region.circle(*rng.uniform(8, 112, 2), 3, shape) for _ in range(12)]
    everywhere = components(np.ones(shape), 0.5)
    found = match(everywhere, Targets.of_regions(regions, shape), rule, **parameters)
    assert int(found.gains.sum()) <= 1
    curve = pooled_froc([found], LENIENT)
    assert curve.sensitivity[-1] <= 1 / 12
    if rule in ("any_overlap", "iou", "dice"):
        assert curve.fppi[-1] == 1.0


def luna16(images):
    """The loop of LUNA16's evaluation: squared distance below the squared radius, excluded findings take marks away."""
    rows = []
    for candidates, nodules in images:
        left = dict(enumerate(candidates))
        for x, y, diameter, included in nodules:
            hits = [k for k, (a, b, _) in enumerate(candidates) if (a - x) ** 2 + (b - y) ** 2 < (diameter / 2) ** 2]
            for k in hits:
                left.pop(k, None)
            if included:
                rows.append((1, max((candidates[k][2] for k in hits), default=-math.inf)))
        rows += [(0, score) for _, _, score in left.values()]
    return rows


@given(seeds)
def test_luna16s_rule_is_center_distance_with_irrelevant_findings_and_lenient_counting(seed):
    rng, shape = np.random.default_rng(seed), (60, 60)
    images = []
    for _ in range(3):
        candidates = [(*rng.uniform(0, 59, 2), float(rng.integers(1, 6))) for _ in range(rng.integers(0, 12))]
        nodules = [
            (*rng.uniform(0, 59, 2), rng.uniform(3, 30), bool(rng.integers(2))) for _ in range(rng.integers(0, 5))
        ]
        images.append((candidates, nodules))
    expected = luna16(images)
    circle = lambda x, y, diameter: Region.circle(x, y, diameter / 2, shape)  # noqa: E731
    targets = [
        Targets.of_regions(
            [circle(*one[:3]) for one in nodules if one[3]],
            shape,
            irrelevant=[circle(*one[:3]) for one in nodules if not one[3]],
        )
        for _, nodules in images
    ]
    found = [Candidates.points(*np.array(rows).reshape(-1, 3).T) for rows, _ in images]
    curve = pooled_froc(match_images(found, targets, "center_distance"), LENIENT)
    total = sum(label for label, _ in expected)
    assert curve.lesions == total
    for threshold, hit, false in zip(curve.thresholds, curve.found, curve.false, strict=True):
        assert hit == sum(label == 1 and score >= threshold for label, score in expected)
        assert false == sum(label == 0 and score >= threshold for label, score in expected)


def test_matches_made_by_hand_count_leniently_as_strictly():
    matches = Matches(np.array([0.9, 0.5]), np.array([1, 0]), np.array([1, 0]), 2)
    assert matches.gains.tolist() == [1, 0]
    assert matches.other_hits == 0
