"""FROC pictures and overlays count as the tables do, whichever counting was chosen."""

from __future__ import annotations

import numpy as np
import pytest
from lesion_world import LesionWorld

import medmtl
from medmtl.lesionfiles import writing
from medmtl.reporting.figures import froc_png


@pytest.fixture
def drawn(monkeypatch):
    """What the pictures are made of: curves by the file's order, and (title, threshold) of overlays."""
    seen = {"curves": [], "overlays": []}

    def curves(group):
        seen["curves"].append(list(group))
        return froc_png(group)

    def overlay(picture, shown, title):
        seen["overlays"].append((title, shown.threshold))
        return picture

    monkeypatch.setattr(writing, "froc_png", curves)
    monkeypatch.setattr(writing, "draw_outcomes", overlay)
    return seen


def evaluate(world, **more):
    world.write()
    options = {"classes": ["ex"], "sanity": False, "draws": 5, "out": world.out} | more
    same = {"again": world.path("candidates.csv")}
    return medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), beside=same, **options)


def steps(curve):
    """Sensitivity as drawn, at rates in between."""
    return [max(y for x, y in zip(curve.x, curve.y, strict=True) if x <= rate) for rate in np.arange(0, 4, 0.1)]


# By hand, class ex of four images: .9 hit, .8 a further hit, .7 false, .6 hit, .5 false, .4 hit, .3 false. At most one
# false positive in four images lets .6 in, and, where the further hit is one, nothing below .8.
@pytest.mark.parametrize(("duplicates", "threshold"), [("neither", 0.6), ("false_positive", 0.8)])
@pytest.mark.parametrize("lenient", [False, True])
def test_rows_and_thresholds_follow_the_counting(tmp_path, drawn, duplicates, lenient, threshold):
    world = LesionWorld.make(tmp_path / "world")
    evaluate(world, duplicates=duplicates, lenient=lenient, show_rate=0.25)
    ((model, again),) = drawn["curves"]
    assert again.title == "again"
    assert steps(again) == pytest.approx(steps(model))  # the same candidates: the same line
    assert steps(model)[3] == pytest.approx(2 / 3 if duplicates == "neither" else 1 / 3)
    assert {shown for _, shown in drawn["overlays"]} == {threshold}
    assert all(title.endswith(f"score ≥ {threshold:.3f}") for title, _ in drawn["overlays"])


# By hand, without lesions: every candidate is a false positive, .9 to .6 in image a, .5 and .4 in b, .3 in d.
@pytest.mark.parametrize(
    ("rate", "threshold", "shown"), [(2, 0.3, "abd"), (1, 0.6, "a"), (1.25, 0.5, "ab"), (0.1, np.inf, "")]
)
def test_false_positives_are_shown_of_a_class_without_lesions(tmp_path, drawn, rate, threshold, shown):
    world = LesionWorld.make(tmp_path / "world")
    for row in world.manifest:
        row["mask:ex"] = "absent"
    evaluate(world, classes=["ex", "he"], show_rate=rate)
    assert [limit for title, limit in drawn["overlays"] if title.startswith("ex")] == [threshold] * len(shown)
    for name in "abcd":
        assert (world.out / "images" / f"{name}.ex.jpg").exists() == (name in shown)
        page = (world.out / "images" / f"{name}.html").read_text().partition("<h2>he")[0]
        assert ("no lesion, nothing above threshold" in page) == (name not in shown)


def test_a_candidate_of_two_lesions_is_two_in_every_line(tmp_path, drawn):
    world = LesionWorld.make(tmp_path / "world")
    for row in world.manifest:
        row["mask:ex"] = "masks/ex/a.png" if row["image"] == "a.png" else "absent"
    world.candidates = [{"image": "a", "class": "ex", "x": 14, "y": 8, "score": 1}]
    for lenient, most in ((False, 0.5), (True, 1.0)):
        evaluate(world, rules=["peak_in_lesion:tolerance=15"], lenient=lenient, out=world.folder / f"out-{lenient}")
        assert [curve.y[-1] for curve in drawn["curves"][-1]] == [most, most]
