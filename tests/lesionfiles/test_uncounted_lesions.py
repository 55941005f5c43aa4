"""An image whose lesions all count neither way is neither ill nor healthy: too small, outside the field, or to be ignored."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from lesion_world import HEIGHT, WIDTH, LesionWorld
from PIL import Image

import medmtl
from medmtl.evaluation import Candidates, Region, Targets, match, pooled_froc
from medmtl.lesionfiles.drawing import Shown
from medmtl.lesionfiles.saved import read_matches


def world_of(folder, why):
    """Class ex: a has lesions of 16 and 15 pixels, and the only one of b, of 9, counts neither way; c and d have none."""
    world = LesionWorld.make(folder)
    if why == "outside the field":
        field = np.ones((HEIGHT, WIDTH), np.uint8)
        field[18:, :14] = 0
        Image.fromarray(field).save(folder / "half.png")
        world.manifest[1]["fov"] = world.images[1]["fov"] = "half.png"
    if why == "ignored":
        for row in world.manifest:
            row["mask:doubt"] = "masks/ex/b.png" if row["image"] == "b.png" else "absent"
        world.manifest[1]["mask:ex"] = "absent"
        for row in world.boxes:
            row["ignore"] = int(row["image"] == "b")
    world.write()
    return world


def score(world, why, truth, **more):
    options = {"min_area": 10} if why == "too small" else {}
    if truth == "boxes.csv":
        options["images"] = world.path("images.csv")
    elif why == "ignored":
        options["ignore"] = ["doubt"]
    options |= {"classes": ["ex"], "outside_field": "drop", "image_threshold": 0.25, "sanity": False, "draws": 5}
    return medmtl.lesions(world.path("candidates.csv"), world.path(truth), **options, **more)


WAYS = list(itertools.product(["too small", "outside the field", "ignored"], ["manifest.csv", "boxes.csv"]))


@pytest.mark.parametrize(("why", "truth"), WAYS)
def test_such_an_image_is_no_case_at_image_level(why, truth, tmp_path):
    """By hand: a (.9) is ill, c (nothing) and d (.3) are healthy; b (.5 on nothing, .4 on what does not count) is neither."""
    result = score(world_of(tmp_path, why), why, truth, against=tmp_path / "candidates.csv")
    (task,) = result.result.tasks
    metrics = {metric.name: metric for metric in task.metrics}
    values = {name: metrics[f"{name}.ex"].interval.value for name in ("auc", "sensitivity", "specificity")}
    assert values == {"auc": 1.0, "sensitivity": 1.0, "specificity": 0.5}
    assert [metrics[f"{name}.ex"].n for name in ("auc", "sensitivity", "specificity")] == [3, 1, 2]
    assert metrics["sensitivity_at_1.ex"].n == 2  # lesions of a
    paired = next(table for table in task.tables if table.name == "auc_difference.ex")
    assert paired.frame.loc[0, ["auc", "of_the_others"]].tolist() == [1.0, 1.0]
    assert any("all such lesions of 1 of 4 images count neither way" in note for note in result.notes)


@pytest.mark.parametrize(("why", "truth"), WAYS)
def test_such_an_image_is_not_lesion_free(why, truth, tmp_path):
    """False positives: .7 in a, .5 in b, .3 in d. Four images, of which c and d are lesion-free."""
    world = world_of(tmp_path, why)
    result = score(world, why, truth, out=world.out)
    (curve,) = [pooled_froc(found) for found in result.matches.values()]
    assert (curve.images, curve.positive_images) == (4, 1)
    assert curve.fppi[-1] == 3 / 4
    assert curve.fppi_free[-1] == 1 / 2
    row = next(one for one in result.result.tasks[0].tables if one.name == "lesions.ex").frame.iloc[0]
    assert row["fppi_lesion_free"] == 1 / 2
    images = pd.read_csv(world.out / "images.csv").set_index("image")
    counts = images.loc["b", ["lesions", "dropped", "ignored"]].tolist()
    assert counts == [0, *((0, 1) if why == "ignored" else (1, 0))]
    again = pooled_froc(read_matches(world.out, "ex", "peak_in_lesion").matches)
    np.testing.assert_array_equal(again.fppi_free, curve.fppi_free)
    images.drop(columns="ignored").reset_index().to_csv(world.out / "images.csv", index=False)  # as written before
    assert len(read_matches(world.out, "ex", "peak_in_lesion").matches) == 4


def test_without_free_images_a_note_says_so(tmp_path):
    world = world_of(tmp_path, "ignored")
    world.boxes += [{**world.boxes[2], "image": name} for name in "cd"]
    world.write()
    result = score(world, "ignored", "boxes.csv")
    said = "every image has such a lesion (3 only such as count neither way), so nothing is known of lesion-free images"
    assert f"ex: {said}" in result.notes
    values = {metric.name: metric.interval.value for metric in result.result.tasks[0].metrics}
    assert np.isnan(values["auc.ex"])


def test_ignored_candidates_are_no_evidence_of_an_image(tmp_path):
    """Ill: a (.95 on an ignored finding, .4 on the lesion) and b (.9 ignored, no other). Healthy: c (.6) and d (none)."""
    columns = ("image", "class", "x0", "y0", "x1", "y1", "ignore")
    rows = [(name, "ex", *box, mark) for name in "ab" for box, mark in (((2, 2, 5, 5), 0), ((12, 12, 15, 15), 1))]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "boxes.csv", index=False)
    marks = [("a", 13, 13, 0.95), ("a", 3, 3, 0.4), ("b", 13, 13, 0.9), ("c", 13, 13, 0.6)]
    frame = pd.DataFrame(marks, columns=["image", "x", "y", "score"])
    frame.assign(**{"class": "ex"}).to_csv(tmp_path / "candidates.csv", index=False)
    pd.DataFrame({"image": list("abcd"), "width": 20, "height": 20}).to_csv(tmp_path / "images.csv", index=False)
    options = {"images": tmp_path / "images.csv", "image_threshold": 0.5, "sanity": False, "draws": 5}
    result = medmtl.lesions(tmp_path / "candidates.csv", tmp_path / "boxes.csv", **options)
    values = {metric.name: metric.interval.value for metric in result.result.tasks[0].metrics}
    assert (values["sensitivity.ex"], values["specificity.ex"]) == (0.0, 0.5)
    # Of four pairs a loses to c and beats d; b loses to c and ties with d.
    assert values["auc.ex"] == pytest.approx((1 + 0.5) / 4)


@pytest.mark.parametrize(("why", "truth"), WAYS)
def test_diaretdb1_calls_marked_images_ill_and_those_with_ignored_findings_nothing(why, truth, tmp_path):
    """a is ill, c and d are healthy; b is ill where its truth marks a lesion, and no case where it marks a finding to be ignored."""
    world = world_of(tmp_path, why)
    for row in world.candidates:
        row["radius"] = 1.5
    world.write()
    found = score(world, why, truth, diaretdb1=True)
    (protocol,) = [table for table in found.result.tasks[0].tables if table.name == "diaretdb1.ex"]
    assert protocol.frame.loc[0, ["ill", "healthy"]].tolist() == ([1, 2] if why == "ignored" else [2, 2])


@pytest.mark.parametrize(("finding", "said"), [(True, "no lesion that counts"), (False, "no lesion")])
def test_a_picture_says_that_no_lesion_counts_rather_than_that_there_is_none(finding, said):
    shape = (HEIGHT, WIDTH)
    targets = Targets.of_regions([], shape, irrelevant=[Region.circle(10, 10, 3, shape)] if finding else [])
    nothing = Candidates.points([], [], [])
    shown = Shown(nothing, match(nothing, targets, "peak_in_lesion"), targets, 0.0)
    assert shown.said == f"{said}, 0 false positives"
