"""Random points and the center of the field have a size under rules that compare areas: the candidates' median one."""

from __future__ import annotations

import statistics

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import medmtl
from medmtl.evaluation import Candidates, Targets, match, pooled_froc
from medmtl.evaluation.regions import Region
from medmtl.lesionfiles.sanity import median_radius, sanity_rows

WIDTH, HEIGHT = 41, 31
SHAPE = HEIGHT, WIDTH
BOXES = {"a": [(24, 12, 30, 18)], "b": [(3, 3, 6, 6), (30, 20, 33, 25)]}
"""Of image a the lesion begins four pixels from its middle, (20, 15)."""
yy, xx = np.mgrid[:HEIGHT, :WIDTH]


def write(folder, rows):
    pd.DataFrame(rows).to_csv(folder / "candidates.csv", index=False)
    pd.DataFrame({"image": ["a", "b"], "width": WIDTH, "height": HEIGHT}).to_csv(folder / "images.csv", index=False)
    boxes = [
        {"image": name, "class": "ex", **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))}
        for name, every in BOXES.items()
        for box in every
    ]
    pd.DataFrame(boxes).to_csv(folder / "boxes.csv", index=False)


def scored(folder, **more):
    options = {
        "rules": ["peak_in_lesion", "any_overlap", "iou:threshold=0.05", "dice:threshold=0.1"],
        "draws": 5,
    } | more
    return medmtl.lesions(folder / "candidates.csv", folder / "boxes.csv", images=folder / "images.csv", **options)


def rows_of(result, task):
    return result.result.tasks[task].tables[0].frame.set_index("candidates")


def row(x, y, score, radius, image="a"):
    return {"image": image, "class": "ex", "x": x, "y": y, "score": score, "radius": radius}


@pytest.mark.parametrize(("radii", "hit"), [([1, 4, 9], 1), ([1, 3.9, 40], 0), ([3.5, 4.5], 1), ([3.5, 4.4], 0)])
def test_the_center_is_a_disc_of_the_median_radius(tmp_path, radii, hit):
    """By hand: it reaches the lesion's first column, four pixels to the right, with a radius of four and no less."""
    write(tmp_path, [row(5, 20, number, radius) for number, radius in enumerate(radii)])
    center = rows_of(scored(tmp_path), 1).loc["center of the field"]
    assert center["all_candidates"] == pytest.approx(hit / 3)
    assert center["fppi_of_all"] == pytest.approx((2 - hit) / 2)
    points = rows_of(scored(tmp_path), 0).loc["center of the field"]
    assert (points["all_candidates"], points["fppi_of_all"]) == (0, 1)  # a rule of points knows no radius


def test_random_points_are_matched_as_such_discs(tmp_path):
    radii = [2.0, 5.0, 3.0, 4.0]
    write(tmp_path, [row(5, 20, number, radius, "ab"[number % 2]) for number, radius in enumerate(radii)])
    result = scored(tmp_path, seed=3)
    field = np.ones(SHAPE, bool)
    discs, targets = [], []
    for name, every in BOXES.items():
        points = sanity_rows(field, None, 3, name)["random points"]
        away = np.hypot(xx - points.x[:, None, None], yy - points.y[:, None, None])
        masks = tuple(Region.of_mask(mask) for mask in away <= statistics.median(radii))
        discs.append(Candidates.points(points.x, points.y, points.score, regions=masks))
        targets.append(Targets.of_regions([Region.box(*box, SHAPE) for box in every], SHAPE))
    for task, rule in enumerate([("any_overlap", {}), ("iou", {"threshold": 0.05}), ("dice", {"threshold": 0.1})], 1):
        both = zip(discs, targets, strict=True)
        curve = pooled_froc([match(one, target, rule[0], **rule[1]) for one, target in both])
        found = rows_of(result, task).loc["random points"]
        assert found["all_candidates"] == curve.sensitivity[-1] > 0
        assert found["fppi_of_all"] == curve.fppi[-1]
        assert found["duplicates"] == curve.duplicates
    assert result.notes[-1] == (
        "ex: random points and center of the field are discs of 3.5 pixels under rules that compare areas, "
        "the median radius of the candidates"
    )


def test_a_mask_s_radius_is_that_of_a_disc_of_its_area(tmp_path):
    rows = []
    for number, size in enumerate([4, 9, 6]):  # squares of 16, 81 and 36 pixels
        values = np.zeros(SHAPE, np.uint8)
        values[:size, :size] = 1
        Image.fromarray(values).save(tmp_path / f"{number}.png")
        rows.append({"image": "b", "class": "ex", "x": 1, "y": 1, "score": number, "mask": f"{number}.png"})
    write(tmp_path, rows)
    assert f"discs of {np.sqrt(36 / np.pi):.3g} pixels" in scored(tmp_path).notes[-1]


def test_rows_of_points_are_named_where_they_are_left_out(tmp_path):
    write(tmp_path, [row(5, 20, 1, 2), row(25, 15, 2, 2)])
    points = [{key: value for key, value in row(5, 20, 1, 2).items() if key != "radius"}]
    pd.DataFrame(points).to_csv(tmp_path / "points.csv", index=False)
    result = scored(tmp_path, rules=["any_overlap", "peak_in_lesion"], beside={"bare": tmp_path / "points.csv"})
    assert "bare" not in rows_of(result, 0).index
    assert "bare" in rows_of(result, 1).index
    assert "ex, any_overlap: no row of bare: these are points without an area" in result.notes
    none = scored(tmp_path, rules=["any_overlap"], classes=["ex="])
    said = "ex, any_overlap: no row of random points, center of the field: these are points without an area"
    assert said in none.notes
    assert "discs of" not in " ".join(none.notes)


def test_the_median_of_nothing_and_of_points_is_none():
    assert median_radius([]) is None
    assert median_radius([Candidates.none()]) is None
    assert median_radius([Candidates.points([1], [1], [1], radius=2), Candidates.points([1], [1], [1])]) is None
    mixed = [Candidates.none(), Candidates.points([1, 2], [1, 1], [1, 1], radius=[2, 8])]
    assert median_radius(mixed) == 5.0
