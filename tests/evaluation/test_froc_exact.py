"""The curve against re-evaluation at each threshold under every rule and counting, and against MONAI and picai_eval."""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager

import numpy as np
import picai_eval
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lesion_oracle import RULES, outcomes, scene
from sklearn.metrics import average_precision_score

from medmtl.errors import EvaluationError
from medmtl.evaluation import froc_bootstrap, running_sums
from medmtl.evaluation.candidates import Candidates
from medmtl.evaluation.froc import LENIENT, STRICT, Counting, pooled_froc
from medmtl.evaluation.froc_intervals import froc_replicates, lesion_precision_interval, paired_froc_difference
from medmtl.evaluation.intervals import draw_weights, percentile_interval
from medmtl.evaluation.lesions import Matches, Outcome, match, match_images
from medmtl.evaluation.regions import Region
from medmtl.evaluation.strata import by_site, by_size, size_edges
from medmtl.evaluation.targets import Targets, lesion_targets

seeds = st.integers(0, 2**31)
countings = st.sampled_from([STRICT, LENIENT, Counting(duplicates="false_positive"), Counting(True, "false_positive")])


def counts(rows, counting):
    """Found lesions, false positives and further hits of one image's outcomes."""
    found = false = further = 0
    for name, new in rows:
        got = new if counting.lenient else int(name == "TRUE_POSITIVE")
        again = name in ("TRUE_POSITIVE", "DUPLICATE") and not got
        found += got
        further += again
        false += name == "FALSE_POSITIVE" or (again and counting.duplicates == "false_positive")
    return found, false, further


@given(seeds, st.sampled_from(RULES), countings)
def test_the_curve_is_a_new_evaluation_at_each_threshold(seed, rule, counting):
    cases = [scene(seed + k) for k in range(3)]
    found = match_images([case[0] for case in cases], [case[1] for case in cases], rule[0], **rule[1])
    curve = pooled_froc(found, counting)
    scores = sorted({s for case in cases for s in case[0].score.tolist()}, reverse=True)
    assert curve.thresholds.tolist() == [math.inf, *scores]
    free = [k for k, case in enumerate(cases) if not case[3][0] and not case[3][1]]  # nor a finding to be ignored
    for place, threshold in enumerate(curve.thresholds):
        anew = [counts(outcomes(case, *rule, threshold=threshold), counting) for case in cases]
        assert curve.found[place] == sum(one[0] for one in anew)
        assert curve.false[place] == sum(one[1] for one in anew)
        if free:
            assert curve.fppi_free[place] == pytest.approx(sum(anew[k][1] for k in free) / len(free))
    assert np.isnan(curve.fppi_free).all() == (not free)
    assert curve.duplicates == sum(counts(outcomes(case, *rule), counting)[2] for case in cases)


@given(seeds, st.permutations(range(5)), st.sampled_from(RULES))
def test_order_of_images_and_candidates_changes_nothing(seed, order, rule):
    cases = [scene(seed + k) for k in range(5)]
    mixed = []
    for k in order:
        candidates = cases[k][0]
        shuffled = np.random.default_rng(seed).permutation(len(candidates))
        mixed.append((candidates.take(shuffled), cases[k][1]))
    one = pooled_froc(match_images([case[0] for case in cases], [case[1] for case in cases], rule[0], **rule[1]))
    other = pooled_froc(match_images(*zip(*mixed, strict=True), rule[0], **rule[1]))
    assert one.found.tolist() == other.found.tolist()
    assert one.false.tolist() == other.false.tolist()


@given(seeds, st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_saved_matches_of_a_part_equal_evaluating_that_part(seed, part):
    cases = [scene(seed + k) for k in range(6)]
    every = match_images([case[0] for case in cases], [case[1] for case in cases])
    saved, direct = pooled_froc([every[k] for k in part]), pooled_froc([match(*cases[k][:2]) for k in part])
    for name in ("thresholds", "sensitivity", "fppi", "fppi_free", "found", "false"):
        np.testing.assert_array_equal(getattr(saved, name), getattr(direct, name))


@given(seeds, countings)
def test_average_precision_equals_scikit_learn_scaled_by_the_share_found(seed, counting):
    cases = [scene(seed + k) for k in range(4)]
    found = match_images([case[0] for case in cases], [case[1] for case in cases])
    curve, labels, scores = pooled_froc(found, counting), [], []
    gains = np.diff(curve.found), np.diff(curve.false)
    for hits, misses, threshold in zip(*gains, curve.thresholds[1:], strict=True):
        labels += [1] * hits + [0] * misses
        scores += [threshold] * (hits + misses)
    if not curve.lesions:
        assert math.isnan(curve.average_precision)
    elif not sum(labels):
        assert curve.average_precision == 0
    else:
        expected = average_precision_score(labels, scores) * sum(labels) / curve.lesions
        assert curve.average_precision == pytest.approx(expected)


@contextmanager
def cut(stretch: int, side_by_side: int):
    """Running sums cut otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running_sums, "_STRETCH", stretch)
        patch.setattr(froc_bootstrap, "SIDE_BY_SIDE", side_by_side)
        yield


@given(seeds, st.sampled_from([(1, 1), (3, 5), (16, 16)]), countings)
def test_bootstrap_readings_equal_curves_of_the_drawn_images(seed, cuts, counting):
    cases = [scene(seed + k) for k in range(6)]
    matches = match_images([case[0] for case in cases], [case[1] for case in cases], tolerance=1)
    patients, rates = [0, 0, 1, 2, 2, 3], (0.0, 0.5, 2.0, 1.0, 0.5, 90.0)
    with cut(*cuts):
        found = froc_replicates(matches, rates, patients, draws=12, seed=3, counting=counting)
    for row, weights in zip(found, np.concatenate(list(draw_weights(4, draws=12, seed=3))), strict=True):
        drawn = [one for one, patient in zip(matches, patients, strict=True) for _ in range(weights[patient])]
        curve = pooled_froc(drawn, counting)
        np.testing.assert_array_equal(row, [curve.sensitivity_at(rate).sensitivity for rate in rates])


def test_weights_that_are_not_kept_are_the_same(monkeypatch):
    cases = [scene(k) for k in range(12)]
    matches = match_images([case[0] for case in cases], [case[1] for case in cases])
    kept = froc_replicates(matches, (0.5, 2.0), draws=50)
    monkeypatch.setattr(froc_bootstrap, "_KEPT", 0)
    np.testing.assert_array_equal(froc_replicates(matches, (0.5, 2.0), draws=50), kept)


@given(seeds, st.sampled_from([(1, 1), (3, 5), (16, 16)]), countings)
def test_average_precision_in_draws_equals_the_drawn_curves(seed, cuts, counting):
    cases = [scene(seed + k) for k in range(7)]
    matches = match_images([case[0] for case in cases], [case[1] for case in cases])
    with cut(*cuts):
        found = lesion_precision_interval(matches, draws=20, seed=1, counting=counting)
    drawn = [
        pooled_froc(
            [one for one, n in zip(matches, weights, strict=True) for _ in range(n)], counting
        ).average_precision
        for weights in np.concatenate(list(draw_weights(7, draws=20, seed=1)))
    ]
    expected = percentile_interval(pooled_froc(matches, counting).average_precision, np.array(drawn))
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-12, nan_ok=True
    )
    assert math.isnan(lesion_precision_interval(matches[:1], draws=5).low)


def test_paired_difference_of_a_model_and_itself_is_zero_and_of_two_is_that_of_the_draws():
    cases = [scene(k) for k in range(30)]
    lesions = [case[1] for case in cases]
    one = match_images([case[0] for case in cases], lesions, tolerance=2)
    other = match_images([case[0] for case in cases], lesions)
    patients = np.arange(30) // 2
    for same in paired_froc_difference(one, one, (1.0, 4.0), patients, draws=100):
        assert (same.value, same.low, same.high) == (0, 0, 0)
    (found,) = paired_froc_difference(one, other, (2.0,), patients, draws=300, seed=5)
    drawn = []
    for weights in np.concatenate(list(draw_weights(15, draws=300, seed=5))):
        parts = [[m for k, m in enumerate(which) for _ in range(weights[k // 2])] for which in (one, other)]
        drawn.append(np.subtract(*(pooled_froc(part).sensitivity_at(2.0).sensitivity for part in parts)))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert (
        found.value == pooled_froc(one).sensitivity_at(2).sensitivity - pooled_froc(other).sensitivity_at(2).sensitivity
    )
    with pytest.raises(EvaluationError, match="same images"):
        paired_froc_difference(one, other[:-1], (2.0,))
    assert math.isnan(paired_froc_difference(one, other, (2.0,), [0] * 30)[0].low)


@given(seeds, countings)
@example(5925, Counting(lenient=True, duplicates="false_positive"))  # a second hit on one size, the first on another
def test_strata_of_size_add_up_and_keep_false_positives(seed, counting):
    cases = [scene(seed + k) for k in range(5)]
    found = match_images([case[0] for case in cases], [case[1] for case in cases])
    edges = size_edges(found)
    whole = pooled_froc(found, counting)
    parts = [pooled_froc(by_size(found, low, high), counting) for low, high in itertools.pairwise(edges)]
    assert sum(part.lesions for part in parts) == whole.lesions
    np.testing.assert_array_equal(sum(part.found for part in parts), whole.found)
    for part in parts:
        np.testing.assert_array_equal(part.false, whole.false)
        np.testing.assert_array_equal(part.fppi, whole.fppi)
        np.testing.assert_array_equal(part.fppi_free, whole.fppi_free)
        assert part.duplicates == whole.duplicates


@pytest.mark.parametrize("lenient", [False, True])
def test_a_further_hit_on_another_size_stays_a_false_positive(lenient):
    """.9 and .8 on the large lesion, .7 on the small one: a false positive comes before the small lesion is found."""
    lesions = [Region.box(1, 1, 4, 4, (12, 12)), Region.point(9, 9, (12, 12))]
    found = match(Candidates.points([2, 3, 9], [2, 3, 9], [0.9, 0.8, 0.7]), Targets.of_regions(lesions, (12, 12)))
    small, large = (
        pooled_froc(by_size([found], *edges), Counting(lenient, "false_positive")) for edges in ((0, 2), (2, 99))
    )
    assert (small.false.tolist(), small.found.tolist()) == ([0, 0, 1, 1], [0, 0, 0, 1])
    assert (large.false.tolist(), large.found.tolist()) == ([0, 0, 1, 1], [0, 1, 1, 1])
    assert [small.sensitivity_at(rate).sensitivity for rate in (0.5, 1.0)] == [0.0, 1.0]


def test_a_hit_that_lenient_counting_calls_a_further_one_is_so_in_every_size():
    """.9 covers both lesions, .5 the small one only: strictly a hit of the small lesion, leniently a further one."""
    lesions = [Region.box(1, 1, 4, 4, (12, 12)), Region.point(6, 2, (12, 12))]
    over = Region.box(1, 1, 6, 4, (12, 12)), lesions[1]
    candidates = Candidates.points([2, 6], [2, 2], [0.9, 0.5], regions=over)
    found = [match(candidates, Targets.of_regions(lesions, (12, 12)), "any_overlap", guard=math.inf)]
    for counting, false in ((Counting(True, "false_positive"), 1), (Counting(False, "false_positive"), 0)):
        for edges in ((0, 2), (2, 99)):
            part = by_size(found, *edges)
            assert pooled_froc(part, counting).false[-1] == false
            assert pooled_froc(by_size(part, 0, 99), counting).false[-1] == false  # a part of a part


def test_matches_that_know_takers_only_are_cut_by_size_too():
    """.9 takes the large lesion, .5 the small one: no further hit, whichever is left out."""
    outcome = np.full(2, Outcome.TRUE_POSITIVE)
    matches = Matches(np.array([0.9, 0.5]), outcome, np.array([1, 2]), 2, area=np.array([16, 1]))
    for edges in ((0, 2), (2, 99)):
        curve = pooled_froc(by_size([matches], *edges), Counting(True, "false_positive"))
        assert (curve.found[-1], curve.false[-1], curve.duplicates) == (1, 0, 0)


def test_sites_and_sizes_need_what_they_count():
    assert by_site([1, 2, 3], ["b", "a", "b"]) == {"a": [1], "b": [0, 2]}
    with pytest.raises(EvaluationError, match="differ in number"):
        by_site([1], [])
    with pytest.raises(EvaluationError, match="areas"):
        by_size([Matches(np.ones(1), np.ones(1, int), np.ones(1, int), 1)], 0, 9)
    assert size_edges([]) == (0.0, math.inf)


def test_rates_over_lesion_free_images_and_none_of_them():
    mask = np.zeros((9, 9), np.uint8)
    mask[4, 4] = 1
    ill = match(Candidates.points([4, 0, 1], [4, 0, 0], [0.5, 0.9, 0.8]), lesion_targets(mask))
    well = match(Candidates.points([4], [4], [0.6]), lesion_targets(np.zeros((9, 9))))
    curve = pooled_froc([ill, well, well])
    assert curve.sensitivity_at(0.5).sensitivity == 0.0
    assert curve.sensitivity_at(1.0, "lesion_free").sensitivity == 1.0
    assert curve.sensitivity_at(0.5, "lesion_free").sensitivity == 0.0
    alone = pooled_froc([ill]).sensitivity_at(1.0, "lesion_free")
    assert math.isnan(alone.sensitivity)
    assert not alone.reached


def test_options_of_counting_are_checked_and_said():
    with pytest.raises(EvaluationError, match="false_positive"):
        Counting(duplicates="fp")
    assert len({one.caption for one in (STRICT, LENIENT, Counting(duplicates="false_positive"))}) == 3


def image(lesions, *found):
    """Matches from (score, true or false positive) pairs."""
    found = sorted(found, reverse=True)
    score, outcome = (np.array([pair[i] for pair in found]) for i in (0, 1))
    return Matches(score.astype(float), outcome.astype(int), np.zeros(len(found), int), lesions)


HIT, MISS = Outcome.TRUE_POSITIVE, Outcome.FALSE_POSITIVE
LOST = [
    # case, false positives per image, the truth, what a function that loses the last point says
    (image(2, (0.9, HIT), (0.8, HIT)), 1.0, 1.0, 0.5),
    (image(2, (0.9, HIT), (0.9, HIT)), 1.0, 1.0, 0.0),
    (image(2, (0.9, HIT), (0.3, HIT), (0.5, MISS)), 1.0, 1.0, 0.5),
]


@pytest.mark.parametrize(("case", "rate", "truth", "lost"), LOST)
def test_monai_loses_the_last_point_where_every_lesion_is_hit_and_we_do_not(case, rate, truth, lost):
    froc = pytest.importorskip("monai.metrics.froc")
    hits, misses = (case.score[case.outcome == kind] for kind in (HIT, MISS))
    fppi, sensitivity = froc.compute_froc_curve_data(misses, hits, case.lesions, 1)
    assert froc.compute_froc_score(fppi, sensitivity, eval_thresholds=(rate,)) == lost
    assert pooled_froc([case]).sensitivity_at(rate).sensitivity == truth


@given(seeds)
def test_we_agree_with_monai_where_a_lesion_is_missed(seed):
    froc = pytest.importorskip("monai.metrics.froc")
    rng, parts, images = np.random.default_rng(seed), [], []
    for _ in range(3):
        mask = np.zeros((16, 16), np.uint8)
        mask[::4, ::4] = rng.random((4, 4)) < 0.4
        mask[15, 15] = 1  # no candidate is there: MONAI's curve is whole where its lowest score is a miss
        targets = lesion_targets(mask)
        points, score = (
            rng.integers(0, 14, (12, 2)),
            (rng.permutation(1000)[:12] + 1) / 1024,
        )  # exact in MONAI's float32
        images.append(match(Candidates.points(points[:, 1], points[:, 0], score), targets))
        parts.append(froc.compute_fp_tp_probs_nd(score, points, targets.labels))
    misses, hits = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    fppi, sensitivity = froc.compute_froc_curve_data(misses, hits, sum(part[2] for part in parts), 3)
    curve = pooled_froc(images)
    assert sum(part[2] for part in parts) == curve.lesions
    ours = dict(zip(curve.false.tolist(), curve.sensitivity.tolist(), strict=True))
    theirs = {}
    for rate, value in zip(fppi, sensitivity, strict=True):
        theirs[round(rate * 3)] = max(value, theirs.get(round(rate * 3), 0.0))
    assert {k: pytest.approx(ours[k]) for k in theirs} == theirs
    assert max(theirs) == curve.false[-1]


def picai_case(truth, found, shape=(24, 24)):
    """A map and a mask of squares of 3 x 3 pixels: (row, column, score) and (row, column)."""
    evidence, mask = np.zeros((1, *shape), np.float32), np.zeros((1, *shape), np.int32)
    for row, column in truth:
        mask[0, row : row + 3, column : column + 3] = 1
    for row, column, score in found:
        evidence[0, row : row + 3, column : column + 3] = score
    return evidence, mask


def square_matches(truth, found, shape=(24, 24)):
    def square(row, column):
        mask = np.zeros(shape, bool)
        mask[row : row + 3, column : column + 3] = True
        return mask

    regions = tuple(Region.of_mask(square(row, column)) for row, column, _ in found)
    x, y, score = ([f(one) for one in found] for f in (lambda o: o[1] + 1, lambda o: o[0] + 1, lambda o: o[2]))
    candidates = Candidates.points(x, y, score, regions=regions)
    targets = Targets.of_regions([Region.of_mask(square(*one)) for one in truth], shape)
    return match(candidates, targets, "iou", threshold=0.1)


@pytest.mark.parametrize(
    ("scores", "missed", "lost"), [((0.9, 0.8), False, 0.5), ((0.9, 0.9), False, 0.0), ((0.9, 0.8), True, 2 / 3)]
)
def test_picai_eval_loses_the_last_point_too_and_agrees_with_one_more_lesion_missed(scores, missed, lost):
    truth = [(2, 2), (12, 12)] + ([(18, 2)] if missed else [])
    found = [(2, 2, scores[0]), (12, 12, scores[1])]
    evidence, mask = picai_case(truth, found)
    theirs = picai_eval.evaluate(y_det=[evidence], y_true=[mask], num_parallel_calls=1)
    ours = pooled_froc([square_matches(truth, found)])
    assert theirs.lesion_TPR_at_FPR(1.0) == pytest.approx(lost)
    assert ours.sensitivity_at(1.0).sensitivity == pytest.approx(2 / 3 if missed else 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_we_agree_with_picai_eval_on_random_squares_where_a_lesion_is_missed(seed):
    rng, images = np.random.default_rng(seed), []
    scores = iter((rng.permutation(16) + 1).tolist() * 3)  # few distinct values: it takes many for a softmax map
    for _ in range(3):
        cells = [(row, column) for row in (2, 9, 16) for column in (2, 9, 16)]
        lesions = [cell for cell in cells if rng.random() < 0.5]
        found = [(r + int(rng.integers(2)), c, next(scores) / 16) for r, c in cells[:-1] if rng.random() < 0.7]
        images.append(([*dict.fromkeys([*lesions, cells[-1]])], found))
    pairs = [picai_case(*one) for one in images]
    theirs = picai_eval.evaluate(y_det=[p[0] for p in pairs], y_true=[p[1] for p in pairs], num_parallel_calls=1)
    curve = pooled_froc([square_matches(*one) for one in images])
    assert theirs.num_lesions == curve.lesions
    for rate in (0.5, 1.0, 2.0):
        assert theirs.lesion_TPR_at_FPR(rate) == pytest.approx(curve.sensitivity_at(rate).sensitivity)
