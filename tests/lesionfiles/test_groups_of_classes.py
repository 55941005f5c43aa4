"""Red and bright lesions as a group each: the truth of a group is the union of its classes, as the page has it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lesion_world import HEIGHT, IMAGES, WIDTH, LesionWorld
from PIL import Image

import medmtl
from medmtl.cli import run
from medmtl.evaluation import Outcome

PAGE = (Path(__file__).parents[2] / "docs" / "lesions.md").read_text(encoding="utf-8")
SHAPES = {
    "haemorrhages": [(4, 4, 7, 7), (20, 10, 24, 12)],
    "red_small_dots": [(8, 8, 9, 9), (30, 2, 30, 2)],
    "hard_exudates": [(10, 20, 12, 22)],
    "soft_exudates": [(11, 21, 15, 25)],
}
"""Boxes in image a, corners included. The first haemorrhage touches the first dot at a corner; the exudates overlap."""
RED, BRIGHT = "red:haemorrhages+red_small_dots=dr", "bright:hard_exudates+soft_exudates=dr"
POINTS = [("a", 5, 5, 0.9), ("a", 9, 9, 0.8), ("a", 22, 11, 0.7), ("a", 14, 24, 0.6), ("b", 5, 5, 0.5)]


@pytest.fixture
def world(tmp_path: Path) -> LesionWorld:
    made = LesionWorld.make(tmp_path / "world")
    for label, boxes in SHAPES.items():
        values = np.zeros((HEIGHT, WIDTH), np.uint8)
        for x0, y0, x1, y1 in boxes:
            values[y0 : y1 + 1, x0 : x1 + 1] = 255
        Image.fromarray(values).save(made.folder / f"{label}.png")
    made.manifest = [
        {"image": f"{name}.png"} | {f"mask:{label}": f"{label}.png" if name == "a" else "absent" for label in SHAPES}
        for name in IMAGES
    ]
    made.candidates = [{"image": n, "class": "dr", "x": x, "y": y, "score": score} for n, x, y, score in POINTS]
    made.write()
    return made


def test_the_truth_of_a_group_is_the_union_of_its_classes(world):
    """By hand: red 3 lesions of 16 + 4, 15 and 1 pixels, of two found, one twice; bright one of 9 + 25 - 4 pixels."""
    options = {"classes": [RED, BRIGHT], "draws": 5, "sanity": False, "overlays": False, "out": world.out}
    result = medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), **options)
    assert [(task.task, task.metrics[0].n) for task in result.result.tasks] == [("red", 3), ("bright", 1)]
    lesions = pd.read_csv(world.out / "lesions.csv")
    areas = lesions.groupby("class")["area_px"].apply(sorted).to_dict()
    assert areas == {"red": [1, 15, 20], "bright": [30]}
    red, bright = (result.matches[name, "peak_in_lesion"][0].outcome.tolist() for name in ("red", "bright"))
    hit, further, false = Outcome.TRUE_POSITIVE, Outcome.DUPLICATE, Outcome.FALSE_POSITIVE
    assert red == [hit, further, hit, false]
    assert bright == [false, false, false, hit]


def test_boxes_of_a_group_stay_a_lesion_each(world):
    rows = [
        dict(zip(("image", "class", "x0", "y0", "x1", "y1"), ("a", label, *box), strict=True))
        for label, boxes in SHAPES.items()
        for box in boxes
    ]
    pd.DataFrame(rows).to_csv(world.folder / "boxes.csv", index=False)
    options = {"classes": [RED, BRIGHT], "images": world.path("images.csv"), "draws": 5, "sanity": False}
    result = medmtl.lesions(world.path("candidates.csv"), world.path("boxes.csv"), **options)
    assert [task.metrics[0].n for task in result.result.tasks] == [4, 2]


def test_the_command_of_the_page_runs(world, monkeypatch):
    (block,) = [text for text in re.findall(r"```\w*\n(.*?)```", PAGE, re.DOTALL) if "--out by-color" in text]
    words = shlex.split(block.replace("\\\n", " "))[1:]
    assert {RED, BRIGHT} <= set(words)
    (world.folder / "manifests").mkdir()
    frame = pd.DataFrame(world.manifest).replace(r"^(.+\.png)$", r"../\1", regex=True)
    frame.to_csv(world.folder / "manifests" / "diaretdb1.csv", index=False)
    monkeypatch.chdir(world.folder)
    assert run([*words, "--quiet", "--draws", "5"]) == 0
    assert set(pd.read_csv("by-color/lesions.csv")["class"]) == {"red", "bright"}
