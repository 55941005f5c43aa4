"""Regions, tables of regions and targets against full masks and scipy's labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lesion_oracle import full, random_region
from scipy import ndimage

from medmtl.errors import EvaluationError
from medmtl.evaluation.pooling import disc_runs
from medmtl.evaluation.region_table import RegionTable
from medmtl.evaluation.regions import Region
from medmtl.evaluation.targets import Targets, lesion_targets
from medmtl.evaluation.unions import group_targets, union_targets

SHAPE = (14, 11)
seeds = st.integers(0, 2**31)
masks = st.tuples(seeds, st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])).map(
    lambda c: np.random.default_rng(c[0]).random((c[1], c[2])) < c[3]
)
numbers = st.floats(-4, 16).map(lambda v: round(v * 8) / 8)


@given(numbers, numbers, st.floats(0, 9).map(lambda v: round(v * 8) / 8))
def test_a_circle_is_the_pixels_within_its_radius_and_the_one_under_its_center(x, y, radius):
    rows, columns = np.indices(SHAPE)
    expected = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    expected |= (rows == math.floor(y + 0.5)) & (columns == math.floor(x + 0.5))
    found = Region.circle(x, y, radius, SHAPE)
    np.testing.assert_array_equal(full(found, SHAPE), expected)
    assert (found.centroid, found.equivalent_radius) == ((x, y), radius)
    table = disc_runs(np.array([x]), np.array([y]), np.array([radius]), np.array([SHAPE]))
    np.testing.assert_array_equal(table.paint(SHAPE) > 0, expected)


@pytest.mark.parametrize("block", [1, 20, 33, 10**6])
def test_a_circle_is_the_same_however_few_pixels_are_measured_at_a_time(block, monkeypatch):
    whole = full(Region.circle(4.5, 6.25, 5.1, SHAPE), SHAPE)
    monkeypatch.setattr("medmtl.evaluation.regions._BLOCK", block)
    np.testing.assert_array_equal(full(Region.circle(4.5, 6.25, 5.1, SHAPE), SHAPE), whole)


@given(numbers, numbers, st.floats(0, 6), st.floats(0, 6))
def test_a_box_is_the_pixels_with_their_centers_in_it(x, y, width, height):
    found = full(Region.box(x, y, x + width, y + height, SHAPE), SHAPE)
    rows, columns = np.indices(SHAPE)
    inside = (rows >= y) & (rows <= y + height) & (columns >= x) & (columns <= x + width)
    assert (found & inside).sum() == inside.sum()
    thin = math.floor(x + width) < math.ceil(x) or math.floor(y + height) < math.ceil(y)
    assert thin or found.sum() == inside.sum()
    assert found.any(axis=0).sum() <= width + 1 + 1e-9  # x + width is rounded
    assert found.any(axis=1).sum() <= height + 1 + 1e-9


def test_boxes_by_corners_by_edges_and_thinner_than_a_pixel():
    assert Region.box(2, 2, 4, 4, SHAPE).area == 9
    assert Region.box(1.5, 1.5, 4.5, 4.5, SHAPE).area == 9
    assert np.argwhere(full(Region.box(2.3, 5.2, 2.4, 5.3, SHAPE), SHAPE)).tolist() == [[5, 2]]
    assert Region.box(-3, -3, 0, 0, SHAPE).area == 1
    assert Region.box(20, 20, 30, 30, SHAPE).area == 0


def test_points_and_masks():
    point = Region.point(2.4, 3.6, SHAPE)
    assert np.argwhere(full(point, SHAPE)).tolist() == [[4, 2]]
    assert (point.centroid, point.equivalent_radius) == ((2.4, 3.6), math.sqrt(1 / math.pi))
    assert Region.point(-0.6, 3, SHAPE).area == 0
    empty = Region.of_mask(np.zeros((3, 4)))
    assert empty.area == 0
    assert math.isnan(empty.centroid[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Region.box(3, 3, 2, 4, SHAPE),
        lambda: Region.box(math.nan, 3, 2, 4, SHAPE),
        lambda: Region.circle(1, 1, -1, SHAPE),
        lambda: Region.circle(1, math.inf, 1, SHAPE),
        lambda: Region.point(math.nan, 1, SHAPE),
        lambda: Region.of_mask(np.zeros(3)),
        lambda: Region(0, 0, np.zeros((2, 2, 2), bool)),
        lambda: Region(-1, 0, np.zeros((2, 2), bool)),
        lambda: Targets.of_regions([Region.box(0, 0, 9, 9, (20, 20))], (5, 5)),
        lambda: Targets.of_regions([], (5, 5), valid=np.ones((5, 6))),
        lambda: Targets.of_regions([], (5, 5), unknown=np.ones((5, 6))),
        lambda: Targets.of_labels(np.zeros((3, 3))),
        lambda: Targets.of_labels(np.full((3, 3), -1)),
        lambda: Targets.of_labels(np.zeros(3, int)),
        lambda: union_targets([]),
        lambda: union_targets([lesion_targets(np.zeros((2, 2))), lesion_targets(np.zeros((2, 3)))]),
    ],
)
def test_bad_regions_are_refused_in_one_line(make):
    with pytest.raises(EvaluationError) as caught:
        make()
    assert "\n" not in str(caught.value)


@given(masks, seeds)
def test_components_labels_and_cuts_equal_scipy_and_numpy(mask, seed):
    rng = np.random.default_rng(seed)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    table = RegionTable.of_components(mask)
    np.testing.assert_array_equal(table.paint(mask.shape), labels)
    assert table.area.tolist() == np.bincount(labels.ravel(), minlength=count + 1)[1:].tolist()
    np.testing.assert_array_equal(RegionTable.of_labels(labels).paint(mask.shape), labels)
    np.testing.assert_array_equal(RegionTable.of_regions(table.regions()).paint(mask.shape), labels)
    valid = rng.random(mask.shape) < 0.6
    np.testing.assert_array_equal(table.cut(valid).paint(mask.shape), labels * valid)
    for number, region in enumerate(table.regions()):
        assert region.centroid == pytest.approx(tuple(table.center[number]))
        assert region.equivalent_radius == pytest.approx(table.radius[number])
    order = rng.permutation(count)
    assert table.take(order).area.tolist() == table.area[order].tolist()


@given(masks, seeds, st.integers(1, 4))
def test_targets_of_a_mask_equal_scipy_labels(mask, seed, min_area):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(mask.shape) < 0.1, 255, mask).astype(np.uint8)
    valid = rng.random(mask.shape) < 0.9
    labels, count = ndimage.label((values == 1) & valid, np.ones((3, 3)))
    sizes = [int((labels == k).sum()) for k in range(1, count + 1)]
    found = lesion_targets(values, valid, min_area)
    kept = [k for k, size in enumerate(sizes, 1) if size >= min_area]
    assert found.area.tolist() == [sizes[k - 1] for k in kept]
    whole, total = ndimage.label(values == 1, np.ones((3, 3)))
    outside = sum(not valid[whole == k].any() for k in range(1, total + 1))
    assert found.dropped == count - len(kept) + outside
    np.testing.assert_array_equal(found.labels, sum(((labels == k) * n for n, k in enumerate(kept, 1)), 0 * labels))
    np.testing.assert_array_equal(found.unknown, (values == 255) | ((labels > 0) & ~np.isin(labels, kept)))


@given(seeds)
def test_regions_stay_as_many_as_they_are_also_where_they_overlap(seed):
    rng = np.random.default_rng(seed)
    regions = [random_region(rng, SHAPE) for _ in range(5)]
    found = Targets.of_regions(regions, SHAPE)
    assert found.area.tolist() == [one.area for one in regions]
    cover = sum(full(one, SHAPE).astype(int) for one in regions)
    np.testing.assert_array_equal(found.mask, cover > 0)
    for mine, theirs in zip(found.regions, regions, strict=True):
        np.testing.assert_array_equal(full(mine, SHAPE), full(theirs, SHAPE))
        assert mine.centroid == pytest.approx(theirs.centroid)
    if cover.max() > 1:
        with pytest.raises(EvaluationError, match="overlap"):
            _ = found.labels
    else:
        assert found.labels.max() == 5


def test_regions_outside_the_field_or_the_image_are_dropped_and_counted():
    valid = np.ones(SHAPE, bool)
    valid[:, :5] = False
    regions = [Region.box(0, 0, 3, 3, SHAPE), Region.box(3, 5, 6, 6, SHAPE), Region.circle(50, 50, 3, SHAPE)]
    found = Targets.of_regions(regions, SHAPE, valid=valid, irrelevant=[regions[0]])
    assert (found.count, found.dropped, found.area.tolist(), len(found.irrelevant)) == (1, 2, [4], 0)


@pytest.mark.parametrize("made", ["mask", "numbers", "regions"])
def test_lesions_and_findings_outside_the_field_are_counted_whatever_tells_of_them(made):
    """The field is the left half: a lesion in it, one across its edge, two beyond; findings in it and beyond."""
    numbers, findings, valid = np.zeros((3, *SHAPE), np.uint8)
    numbers[1, 1], numbers[3, 3:6], numbers[1, 7], numbers[6:8, 6:8] = 1, 2, 3, 4
    findings[6, 1] = findings[4, 7] = 1
    valid[:, :5] = 1
    each = [Region.of_mask(numbers == number) for number in (1, 2, 3, 4)]
    two = [Region.of_mask(findings * (np.arange(SHAPE[1]) // 5 == half) > 0) for half in (0, 1)]
    found = {
        "mask": lambda: lesion_targets(numbers > 0, valid, irrelevant=findings),
        "numbers": lambda: Targets.of_labels(numbers, valid),
        "regions": lambda: Targets.of_regions(each, SHAPE, valid=valid, irrelevant=two),
    }[made]()
    assert (found.count, found.area.tolist(), found.dropped) == (2, [1, 2], 2)
    assert (len(found.irrelevant), found.ignored) == ((0, 0) if made == "numbers" else (1, 2))
    both = union_targets([found, lesion_targets(np.zeros(SHAPE))])
    assert (both.count, both.dropped, both.ignored) == (found.count, found.dropped, found.ignored)


def test_unions_are_components_of_the_union_of_pixels():
    a, b = np.zeros((2, 6, 9), np.uint8)
    a[1:3, 1:3] = b[3, 3] = b[5, 7] = 1
    a[0, 8] = b[1, 1] = 255
    found = group_targets({"haemorrhages": lesion_targets(a), "red_small_dots": lesion_targets(b)})
    assert set(found) == {"any", "red"}
    assert sorted(found["any"].area.tolist()) == [1, 5]
    assert np.argwhere(found["any"].unknown).tolist() == [[0, 8]]
