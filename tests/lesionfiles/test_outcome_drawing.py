"""Overlays: what is found, missed and false is where it should be, and everything else keeps its bytes."""

from __future__ import annotations

import numpy as np
import pytest

from medmtl.evaluation import Candidates, Region, Targets, match
from medmtl.lesionfiles.drawing import DARK, FALSE, FOUND, MISSED, Shown, draw_outcomes

SHAPE = (600, 800)
GREY = 90


def shown(
    threshold: float = 0.0, rule: str = "peak_in_lesion", radius: float | None = None, outlined: bool = False
) -> Shown:
    """Lesions at (100, 100) found by .9, at (400, 300) found by .2 only, and a false candidate of .5 at (600, 450)."""
    targets = Targets.of_regions([Region.circle(100, 100, 15, SHAPE), Region.circle(400, 300, 15, SHAPE)], SHAPE)
    found = Candidates.points([100, 400, 600], [100, 300, 450], [0.9, 0.2, 0.5], radius=radius)
    return Shown(found, match(found, targets, rule), targets, threshold, outlined)


def drawn(one: Shown) -> np.ndarray:
    return draw_outcomes(np.full((*SHAPE, 3), GREY, np.uint8), one, "title")


def near(picture: np.ndarray, x: int, y: int, color: tuple[int, int, int], reach: int = 30) -> int:
    part = picture[y - reach : y + reach, x - reach : x + reach].astype(int)
    return int((np.abs(part - color).sum(axis=2) < 30).sum())


def test_found_missed_and_false():
    picture = drawn(shown(threshold=0.4))
    assert picture.shape[1] == SHAPE[1]
    assert near(picture, 100, 100, FOUND) > 50
    assert near(picture, 100, 100, MISSED) == 0
    assert near(picture, 400, 300, MISSED) > 50
    assert near(picture, 400, 300, FOUND) == 0
    assert near(picture, 600, 450, FALSE) > 5


def test_a_lower_threshold_finds_the_other():
    picture = drawn(shown(threshold=0.1))
    assert near(picture, 400, 300, FOUND) > 50
    assert near(picture, 400, 300, MISSED) == 0
    assert shown(0.1).said == "2 of 2 lesions found, 1 false positive"
    assert shown(0.4).said == "1 of 2 lesions found, 1 false positive"
    assert shown(0.95).said == "0 of 2 lesions found, 0 false positives"


def test_lenient_counting_marks_every_lesion_that_a_candidate_is_the_first_to_hit():
    targets = Targets.of_regions([Region.circle(100, 100, 15, SHAPE), Region.circle(140, 100, 15, SHAPE)], SHAPE)
    found = Candidates.points([120, 121], [100, 100], [0.9, 0.5], radius=30)
    matches = match(found, targets, "any_overlap", guard=float("inf"))
    strict, lenient = (Shown(found, matches, targets, 0.0, lenient=way) for way in (False, True))
    assert (strict.found, lenient.found) == ({1, 2}, {1, 2})
    assert strict.said == "2 of 2 lesions found, 0 false positives"
    assert lenient.said == "2 of 2 lesions found, 0 false positives, 1 further hit"
    first, alone = (Shown(found, matches, targets, 0.7, lenient=way) for way in (False, True))
    assert (len(first.found), len(alone.found)) == (1, 2)


def test_inside_of_lesions_and_the_rest_keep_their_bytes():
    picture = drawn(shown(threshold=0.4))[: SHAPE[0]]
    changed = (picture != GREY).any(axis=2)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    apart = np.ones(SHAPE, bool)
    for x, y in ((100, 100), (400, 300), (600, 450)):
        apart &= np.hypot(xx - x, yy - y) > 32
    assert not changed[apart].any()
    assert not changed[np.hypot(xx - 400, yy - 300) <= 13].any()  # a missed lesion is outlined from outside


@pytest.mark.parametrize("outlined", [True, False])
def test_regions_of_false_positives(outlined):
    picture = drawn(shown(0.4, "any_overlap", radius=40, outlined=outlined))
    ring = picture[450, 600 + 36 : 600 + 48].astype(int)
    assert bool((np.abs(ring - FALSE).sum(axis=1) < 60).any()) == outlined


@pytest.mark.parametrize(
    ("size", "width"), [((40, 50), 700), ((2000, 3000), 1400), ((30, 2000), 1400), ((900, 3), 384), ((1300, 300), 384)]
)
def test_any_size_of_picture(size, width):
    targets = Targets.of_regions([Region.point(1, 1, size)], size)
    found = Candidates.points([1], [1], [1.0])
    picture = draw_outcomes(
        np.full((*size, 3), GREY, np.uint8), Shown(found, match(found, targets), targets, 0.0), "t " * 60
    )
    assert picture.shape[1] == width
    assert picture.dtype == np.uint8
    assert (np.abs(picture.astype(int) - DARK).sum(axis=2) < 10).any()
