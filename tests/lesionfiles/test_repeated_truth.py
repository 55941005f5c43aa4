"""A box, circle or point that the truth tells twice is one lesion, and a note says so."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from lesion_world import WIDTH, LesionWorld

import medmtl
from medmtl.evaluation import Outcome


@pytest.fixture
def world(tmp_path: Path) -> LesionWorld:
    made = LesionWorld.make(tmp_path / "world")
    made.write()
    return made


SAID = "are told again, with equal image, class and coordinates: each is counted once"
CORNERS = ["x0", "y0", "x1", "y1"]


def truth_as(form: str, world: LesionWorld) -> str:
    """The boxes of the world in some form, those of image a and class ex twice, one of them three times."""
    again = [world.boxes[0] | {"image": "a.png"}, world.boxes[1], world.boxes[0]]
    world.boxes = [*world.boxes[:1], *again[:1], *world.boxes[1:], *again[1:]]
    if form == "COCO":
        world.boxes[1]["image"] = "a"
        (world.folder / "coco.json").write_text(json.dumps(world.coco()))
        return "coco.json"
    frame = pd.DataFrame(world.boxes)
    if form != "boxes":
        frame["x"], frame["y"] = (frame["x0"] + frame["x1"]) / 2, (frame["y0"] + frame["y1"]) / 2
        frame = frame.drop(columns=CORNERS)
    if form == "circles":
        frame["radius"] = 1.6
    frame.to_csv(world.folder / f"{form}.csv", index=False)
    return f"{form}.csv"


def score(world: LesionWorld, truth: str, **more):
    options = {} if truth.endswith("json") else {"images": world.path("images.csv")}
    return medmtl.lesions(world.path("candidates.csv"), world.path(truth), draws=20, sanity=False, **options, **more)


@pytest.mark.parametrize("form", ["boxes", "circles", "points", "COCO"])
def test_a_lesion_that_is_told_again_counts_once(form, world):
    """By hand: of class ex .9 and .6 hit in image a, .8 is a further hit there; four lesions would make it a hit."""
    result = score(world, truth_as(form, world), rules=["peak_in_lesion:tolerance=2"], out=world.out)
    assert result.result.tasks[0].metrics[0].n == 3
    first = result.matches["ex", "peak_in_lesion:tolerance=2"][0]
    assert first.outcome.tolist() == [
        Outcome.TRUE_POSITIVE,
        Outcome.DUPLICATE,
        Outcome.FALSE_POSITIVE,
        Outcome.TRUE_POSITIVE,
    ]
    assert f"3 lesions {SAID}" in result.notes
    assert f"3 lesions {SAID}" in (world.out / "metrics.json").read_text()
    assert f"3 lesions {SAID}" in (world.out / "index.html").read_text()
    assert len(pd.read_csv(world.out / "lesions.csv").query("`class` == 'ex'")) == 3


def test_what_differs_in_anything_is_another_lesion(world):
    """Another image, class, corner, or a finding to be ignored at the place of a lesion."""
    box = world.boxes[0]
    others = [box | {"image": "d"}, box | {"class": "he"}, box | {"x1": box["x1"] + 1}, box | {"ignore": 1}]
    frame = pd.DataFrame([*world.boxes, *others, others[-1]])
    frame.to_csv(world.folder / "boxes.csv", index=False)
    result = score(world, "boxes.csv")
    assert [task.metrics[0].n for task in result.result.tasks] == [5, 3]
    assert f"1 lesions {SAID}" in result.notes  # the finding to be ignored, whose row stands twice
    assert any(note.startswith("1 findings are to be ignored") for note in result.notes)


def test_nothing_is_said_where_nothing_is_told_twice(world):
    world.images.append({"image": "e.png", "width": WIDTH, "height": 30, "patient": "p9"})
    world.write()
    assert not any(SAID in note for note in score(world, "boxes.csv").notes)
