"""Detectors without knowledge on images whose blobs are known, and the tricks that the guard must stop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medmtl.errors import EvaluationError
from medmtl.evaluation.candidates import Candidates, random_candidates
from medmtl.evaluation.froc import pooled_froc
from medmtl.evaluation.lesions import match, match_images
from medmtl.evaluation.regions import Region
from medmtl.evaluation.sanity import (
    blob_candidates,
    center_candidates,
    constant_candidates,
    covered_share,
    field_discs,
    random_discs,
)
from medmtl.evaluation.targets import Targets

SHAPE = (300, 340)
ROWS, COLUMNS = np.indices(SHAPE)
FIELD = (ROWS - 150) ** 2 + (COLUMNS - 160) ** 2 <= 140**2
SPOTS = [(100, 120, 5), (200, 90, 6), (180, 210, 4)]


def picture(value, factor=1):
    rows, columns = np.indices((SHAPE[0] * factor, SHAPE[1] * factor))
    field = (rows - 150 * factor) ** 2 + (columns - 160 * factor) ** 2 <= (140 * factor) ** 2
    image = np.zeros((*rows.shape, 3))
    image[..., 1] = np.where(field, 120, 5)
    for x, y, radius in SPOTS:
        spot = (rows - y * factor) ** 2 + (columns - x * factor) ** 2 <= (radius * max(1, factor * 340 / 1024)) ** 2
        image[spot, 1] = value
    return image, field


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("factor", [1, 5])
def test_blobs_are_found_first_each_of_its_own_sign_also_in_large_images(bright, factor):
    image, field = picture(180 if bright else 60, factor)
    found = blob_candidates(image, field, bright=bright).take([0, 1, 2])
    near = [min(math.hypot(found.x[k] / factor - x, found.y[k] / factor - y) for x, y, _ in SPOTS) for k in range(3)]
    assert max(near) < 1.5
    assert found.radius.min() >= 2 * max(1, factor * 340 / 1024)
    assert (
        len(
            {
                min(SPOTS, key=lambda s: math.hypot(x / factor - s[0], y / factor - s[1]))
                for x, y in zip(found.x, found.y, strict=True)
            }
        )
        == 3
    )
    other = blob_candidates(image, field, bright=not bright)
    on_spots = [
        s
        for s, x, y in zip(other.score, other.x, other.y, strict=True)
        if any(math.hypot(x / factor - a, y / factor - b) < 2 for a, b, _ in SPOTS)
    ]
    assert all(score < 0.5 * found.score.min() for score in on_spots)
    gray = blob_candidates(image[..., 1], field, bright=bright)
    assert gray.score.tolist() == blob_candidates(image, field, bright=bright).score.tolist()


def test_the_edge_of_the_field_is_no_blob():
    image, field = picture(120)
    for bright in (True, False):
        assert blob_candidates(image, field, bright=bright).score.max(initial=0.0) < 1e-6


def test_constant_and_center_are_one_candidate_in_the_middle_of_the_field():
    for found in (constant_candidates(FIELD), center_candidates(FIELD), center_candidates(FIELD, 4)):
        assert (found.x.tolist(), found.y.tolist()) == ([160], [150])
    assert constant_candidates(FIELD).regions[0].area == FIELD.sum()
    ring = FIELD & ((ROWS - 150) ** 2 + (COLUMNS - 160) ** 2 > 60**2)
    found = center_candidates(ring)
    assert ring[int(found.y[0]), int(found.x[0])]


def test_discs_of_a_share_of_the_field_cover_that_share():
    middle = Candidates.points([160], [150], [1.0])
    assert covered_share([field_discs(middle, FIELD, 0.02)], [FIELD]) == pytest.approx(0.02, rel=0.02)
    assert covered_share([constant_candidates(FIELD)], [FIELD]) == 1.0
    assert covered_share([middle, field_discs(middle, FIELD, 0.5)], [FIELD, FIELD]) == pytest.approx(0.25, rel=0.02)
    pair = Candidates.points([160, 162], [150, 150], [1, 2], regions=(Region.circle(160, 150, 5, SHAPE),) * 2)
    assert covered_share([pair], [FIELD]) == pytest.approx(81 / FIELD.sum())
    assert math.isnan(covered_share([], []))


def test_random_discs_follow_the_image_score_and_the_guard_takes_their_gain_away():
    rng, targets, discs, points = np.random.default_rng(0), [], [], []
    for number in range(30):
        ill = number % 2 == 0
        regions = [Region.circle(*rng.uniform(90, 220, 2), 3, SHAPE) for _ in range(5 if ill else 0)]
        targets.append(Targets.of_regions(regions, SHAPE))
        discs.append(random_discs(FIELD, 0.9 if ill else 0.1, 10, rng))
        points.append(random_candidates(FIELD, 10, rng))
    scores = np.array([one.score[[0, -1]] for one in discs])
    assert (scores[::2] > 0.89).all()
    assert (scores[1::2] < 0.11).all()
    free = pooled_froc(match_images(discs, targets, "any_overlap", guard=math.inf))
    guarded = pooled_froc(match_images(discs, targets, "any_overlap"))
    plain = pooled_froc(match_images(points, targets))
    assert free.sensitivity_at(5).sensitivity > 4 * max(plain.sensitivity_at(5).sensitivity, 0.02)
    assert guarded.sensitivity[-1] == 0


def test_models_peaks_as_discs_gain_without_a_guard_only():
    targets = Targets.of_regions([Region.circle(150, 150, 3, SHAPE)], SHAPE)
    missed = Candidates.points([160], [150], [1.0])
    assert match(missed, targets).gains.tolist() == [0]
    assert match(field_discs(missed, FIELD), targets, "any_overlap", guard=math.inf).gains.tolist() == [1]
    assert match(field_discs(missed, FIELD), targets, "any_overlap").gains.tolist() == [0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: constant_candidates(np.zeros((3, 3))),
        lambda: center_candidates(np.ones(3)),
        lambda: blob_candidates(np.zeros((4, 4, 3)), np.ones((4, 5)), bright=True),
        lambda: field_discs(Candidates.none(), FIELD, 0),
        lambda: random_discs(FIELD, 0.5, 3, np.random.default_rng(0), 1.5),
        lambda: covered_share([Candidates.none()], []),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(EvaluationError):
        call()


@pytest.mark.parametrize("score", [1e308, 1.79e308, -1.79e308, np.finfo(np.float64).max, -np.finfo(np.float64).max])
def test_random_discs_of_the_largest_scores_are_finite_and_in_order(score):
    found = random_discs(np.ones((30, 40), bool), score, 50, np.random.default_rng(0))
    assert len(found) == 50
    assert np.isfinite(found.score).all()
    assert (np.diff(found.score) < 0).all()
