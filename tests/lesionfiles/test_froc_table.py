"""froc.csv: the whole curve, every threshold of it, against counting candidates one threshold after the other."""

from __future__ import annotations

import csv
import math

import numpy as np
import pandas as pd
import pytest
from lesion_world import LesionWorld

import medmtl

COLUMNS = [
    "class", "rule", "threshold", "found", "false", "sensitivity",
    "false_positives_per_image", "false_positives_per_lesion_free_image",
]  # fmt: skip


def read(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_rows_by_hand(tmp_path):
    """.9 hit, .8 a further hit, .7 false (image a), .6 hit, .5 false (b), .4 hit, .3 false (d, without a lesion as c)."""
    world = LesionWorld.make(tmp_path / "world")
    world.write()
    options = {"sanity": False, "draws": 5, "overlays": False, "rules": ["peak_in_lesion", "center_distance"]}
    medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), out=world.out, **options)
    rows = read(world.out / "froc.csv")
    assert list(rows[0]) == COLUMNS
    assert list(dict.fromkeys((row["class"], row["rule"]) for row in rows)) == [
        (label, rule) for label in ("ex", "he") for rule in ("peak_in_lesion", "center_distance")
    ]
    mine = [[float(row[name]) for name in COLUMNS[2:]] for row in rows if row["class"] == "ex"][:8]
    assert mine == pytest.approx(
        np.array(
            [
                [math.inf, 0, 0, 0, 0, 0],
                [0.9, 1, 0, 1 / 3, 0, 0],
                [0.8, 1, 0, 1 / 3, 0, 0],
                [0.7, 1, 1, 1 / 3, 1 / 4, 0],
                [0.6, 2, 1, 2 / 3, 1 / 4, 0],
                [0.5, 2, 2, 2 / 3, 2 / 4, 0],
                [0.4, 3, 2, 1, 2 / 4, 0],
                [0.3, 3, 3, 1, 3 / 4, 1 / 2],
            ]
        )
    )


@pytest.mark.parametrize("duplicates", ["neither", "false_positive"])
@pytest.mark.parametrize("lenient", [False, True])
def test_every_threshold_is_there_though_the_picture_is_thinned(tmp_path, lenient, duplicates):
    """Three thousand candidates with few ties: each row against the candidates at or above it, counted anew."""
    rng, images = np.random.default_rng(1), [f"i{k}" for k in range(30)]
    lesions = pd.DataFrame({"image": rng.choice(images[:20], 400), "class": "ex"})
    lesions = lesions.assign(x=rng.uniform(0, 499, 400), y=rng.uniform(0, 399, 400), radius=6.0)
    marks = pd.DataFrame({"image": rng.choice(images, 3000), "class": "ex", "score": rng.integers(0, 5000, 3000) / 64})
    marks = marks.assign(x=rng.uniform(0, 499, 3000), y=rng.uniform(0, 399, 3000))
    near = rng.integers(0, 400, 1500)  # half of them beside a lesion
    marks.loc[:1499, "image"] = lesions["image"].to_numpy()[near]
    for axis, size in (("x", 499), ("y", 399)):
        marks.loc[:1499, axis] = np.clip(lesions[axis].to_numpy()[near] + rng.normal(0, 4, 1500), 0, size)
    for name, frame in (("marks", marks), ("lesions", lesions)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    pd.DataFrame({"image": images, "width": 500, "height": 400}).to_csv(tmp_path / "images.csv", index=False)
    medmtl.lesions(
        tmp_path / "marks.csv",
        tmp_path / "lesions.csv",
        images=tmp_path / "images.csv",
        rules=["center_distance"],
        duplicates=duplicates,
        lenient=lenient,
        sanity=False,
        draws=5,
        out=tmp_path / "out",
    )
    frame = pd.read_csv(tmp_path / "out" / "froc.csv")
    assert frame["threshold"].tolist() == [math.inf, *sorted(marks["score"].unique(), reverse=True)]
    thinned = list((tmp_path / "out" / "curves").glob("*froc*.csv"))
    assert max(len(pd.read_csv(path)) for path in thinned) <= 200 < len(frame)
    free = set(images) - set(lesions["image"])
    expected = counted(marks, lesions, lenient, duplicates)
    for row in frame.iloc[1:].itertuples():
        found, wrong = expected[row.threshold]
        assert (row.found, row.false) == (found, len(wrong))
        assert row.sensitivity == pytest.approx(found / 400)
        assert row.false_positives_per_image == pytest.approx(len(wrong) / 30)
        calm = sum(image in free for image in wrong)
        assert row.false_positives_per_lesion_free_image == pytest.approx(calm / len(free))


def counted(marks, lesions, lenient, duplicates):
    """Found lesions and the images of false positives at each threshold, mark after mark by falling score."""
    taken, hit, wrong, result = set(), set(), [], {}
    for mark in marks.sort_values(["score", "y", "x"], ascending=[False, True, True]).itertuples():
        away = np.hypot(lesions["x"] - mark.x, lesions["y"] - mark.y)[lesions["image"] == mark.image]
        near = away[away <= 6.0].sort_values().index
        free = [k for k in near if k not in taken]
        new = set(near) - hit
        hit |= set(near)
        taken |= set(free[:1])
        further = bool(len(near)) and not (new if lenient else free)
        if not len(near) or (further and duplicates == "false_positive"):
            wrong = [*wrong, mark.image]
        result[mark.score] = (len(hit if lenient else taken), wrong)
    return result


def test_a_class_without_lesions_and_one_without_free_images(tmp_path):
    world = LesionWorld.make(tmp_path / "world")
    for row in world.manifest:
        row["mask:ex"], row["mask:he"] = "absent", "masks/he/a.png"
    world.write()
    options = {"sanity": False, "draws": 5, "overlays": False}
    medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), out=world.out, **options)
    rows = read(world.out / "froc.csv")
    ex, he = ([row for row in rows if row["class"] == label] for label in ("ex", "he"))
    assert {row["sensitivity"] for row in ex} == {""}
    assert [float(row["false_positives_per_lesion_free_image"]) for row in ex] == [k / 4 for k in range(8)]
    assert {row["false_positives_per_lesion_free_image"] for row in he} == {""}
