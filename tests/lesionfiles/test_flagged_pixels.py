"""DIARETDB1's image score counts the pixels that candidates flag from a stated threshold on, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lesion_world import BOXES, HEIGHT, IMAGES, WIDTH, LesionWorld, mask
from PIL import Image

import medmtl

yy, xx = np.mgrid[:HEIGHT, :WIDTH]


@pytest.fixture
def world(tmp_path):
    """Sixteen discs in every image, as of peaks without a threshold; in images with lesions some score high."""
    made = LesionWorld.make(tmp_path / "world")
    rng = np.random.default_rng(5)
    made.candidates = []
    for name in IMAGES:
        high = 3 if (name, "ex") in BOXES else int(name == "d")
        for number in range(16):
            score = rng.uniform(1, 2) if number < high else rng.uniform(-3, 0.9)
            place = {"x": rng.integers(0, WIDTH), "y": rng.integers(0, HEIGHT), "score": score, "radius": 3}
            made.candidates.append({"image": name, "class": "ex", **place})
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(made.folder / "fov.png")
    for row in made.manifest:
        row["fov"] = "fov.png"
    made.write()
    return made


def flagged(world, name, threshold):
    canvas = np.zeros((HEIGHT, WIDTH), bool)
    for row in world.candidates:
        if row["image"] == name and row["score"] >= threshold:
            canvas |= (xx - row["x"]) ** 2 + (yy - row["y"]) ** 2 <= row["radius"] ** 2
    return canvas.mean()


def scored(world, flag_from, candidates="candidates.csv", **more):
    options = {"rules": ["peak_in_lesion", "any_overlap"], "sanity": False, "draws": 5, "diaretdb1": True} | more
    return medmtl.lesions(
        world.path(candidates), world.path("manifest.csv"), classes=["ex"], image_threshold=flag_from, **options
    )


def protocol(result):
    (found,) = [one for one in result.result.tasks[0].tables if one.name.startswith("diaretdb1")]
    return found


def rates(shares, ill):
    """EER and WER by looking at every threshold, the ends included."""
    shares, ill = np.asarray(shares), np.asarray(ill)
    points = []
    for threshold in [0.0, *np.unique(shares)]:
        called = shares > threshold
        points.append(((~called & ill).sum() / ill.sum(), (called & ~ill).sum() / (~ill).sum()))
    return {f"wer_{r:g}": min((miss + r * alarm) / (1 + r) for miss, alarm in points) for r in (0.1, 1, 10)}


@pytest.mark.parametrize("threshold", [1.0, 1.5, 0.0, -5.0])
def test_only_candidates_from_the_threshold_on_flag_pixels(world, threshold):
    found = protocol(scored(world, threshold))
    ill = [bool(mask(name, "ex").any()) for name in IMAGES]
    expected = rates([flagged(world, name, threshold) for name in IMAGES], ill)
    assert found.frame.loc[0, list(expected)].to_dict() == pytest.approx(expected)
    assert f"Candidates of a score of at least {threshold:g} flag their pixels (a table of candidates)." in found.note
    assert found.frame["by"].tolist() == ["image"]


def test_it_is_the_protocol_of_the_table_cut_there(world):
    kept = [row for row in world.candidates if row["score"] >= 1.0]
    pd.DataFrame(kept).to_csv(world.folder / "cut.csv", index=False)
    whole, cut, low = (
        protocol(scored(world, *which)).frame for which in ((1.0,), (-5.0, "cut.csv"), (-5.0, "candidates.csv"))
    )
    pd.testing.assert_frame_equal(whole, cut)
    assert whole.loc[0, "wer_1"] < low.loc[0, "wer_1"]  # all discs of all images say nothing


def test_what_all_candidates_cover_stays_what_it_is(world):
    told = {one.name: one.interval.value for one in scored(world, 1.0).result.tasks[1].metrics}
    expected = np.mean([flagged(world, name, -np.inf) for name in IMAGES])
    assert told["covered_field.ex"] == pytest.approx(expected)


def test_components_flag_all_pixels_unless_a_threshold_is_told(world):
    heat = {"a": 5.0, "b": 2.0, "c": 1.0, "d": 1.5}
    for name, score in heat.items():
        values = np.full((HEIGHT, WIDTH), -1.0)
        values[2:6, 2:9], values[20:22, 20:22] = score, 0.5
        np.save(world.folder / "maps" / name / "ex.npy", values)
    options = {"candidates": "maps", "extract": "components", "threshold": 0.0, "rules": ["peak_in_lesion"]}
    every, high = (protocol(scored(world, least, **options)) for least in (None, 1.8))
    assert every.frame.loc[0, "eer"] == 0.5  # the same share everywhere
    assert high.frame.loc[0, "eer"] == 0.0
    assert "All candidates flag their pixels (heat maps: 8-connected regions" in every.note
    pixels = [one.frame.iloc[1].drop("by").to_dict() for one in (every, high)]
    assert pixels[0] == pixels[1]  # every pixel's own value counts there
