"""An image is called positive if any of its candidates reaches the preset threshold, wherever the table was cut."""

from __future__ import annotations

import pandas as pd
import pytest

import medmtl

SCORES = {"a": [9.0, 8.5], "b": [8.0], "c": [], "d": [8.25], "e": [], "f": []}
ILL = "abc"
"""Of the ill images one has no candidate, and of the healthy ones only d has one."""


@pytest.fixture
def tables(tmp_path):
    rows = [
        {"image": name, "class": "ex", "x": 5, "y": 5, "score": one} for name, all_ in SCORES.items() for one in all_
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "candidates.csv", index=False)
    pd.DataFrame({"image": list(SCORES), "width": 20, "height": 20}).to_csv(tmp_path / "images.csv", index=False)
    boxes = pd.DataFrame({"image": list(ILL), "class": "ex", "x0": 3, "y0": 3, "x1": 7, "y1": 7})
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("threshold", [-1e6, -1.0, 0.0, 2.0, 6.999, 7.0, 7.5, 8.0, 8.1, 8.25, 8.3, 9.0, 9.1, 1e6])
def test_images_are_called_as_any_of_their_candidates_is(tables, threshold):
    result = medmtl.lesions(
        tables / "candidates.csv",
        tables / "boxes.csv",
        images=tables / "images.csv",
        image_threshold=threshold,
        sanity=False,
        draws=5,
    )
    values = {metric.name: metric.interval.value for metric in result.result.tasks[0].metrics}
    called = {name for name, scores in SCORES.items() if any(score >= threshold for score in scores)}
    healthy = set(SCORES) - set(ILL)
    assert values["sensitivity.ex"] == pytest.approx(len(called & set(ILL)) / len(ILL))
    assert values["specificity.ex"] == pytest.approx(len(healthy - called) / len(healthy))
    # The order of images, and with it the area, is that of their highest candidates, whatever the threshold: of nine
    # pairs a and b beat the two empty images, a beats d, b does not, and c ties with the two empty ones.
    assert values["auc.ex"] == pytest.approx((2 * 2 + 1 + 2 * 0.5) / 9)
