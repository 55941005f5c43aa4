"""The mask of a candidate's region is checked as masks of the truth are: a blurred border would change its area silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lesion_world import HEIGHT, WIDTH, LesionWorld
from PIL import Image

import medmtl
from medmtl.cli import run
from medmtl.errors import ImageError


@pytest.fixture
def world(tmp_path: Path) -> LesionWorld:
    """One candidate, whose mask has a core of 3 x 3 pixels of 255 in a border of 8 x 8 pixels of 3."""
    made = LesionWorld.make(tmp_path / "world")
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[2:10, 2:10], values[5:8, 5:8] = 3, 255
    Image.fromarray(values).save(made.folder / "region.png")
    made.candidates = [made.candidates[0] | {"mask": "region.png"}]
    made.write()
    return made


def area(world: LesionWorld, said: str) -> float:
    world.candidates[0]["mask"] = said
    world.write()
    options = {"rules": ["any_overlap"], "classes": ["ex"], "sanity": False, "draws": 5, "overlays": False}
    medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), out=world.out, **options)
    return pd.read_csv(world.out / "candidates.csv")["area_px"].iloc[0]


def test_levels_of_grey_are_refused_in_one_line(world, capsys):
    assert run(world.command("--rule", "any_overlap", "--class", "ex")) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "region.png: a mask with values of unknown meaning; found 0, 3, 255; expected 0 and 1, or 0 and 255" in line
    assert "PATH#>=N" in line
    assert not world.out.exists()


@pytest.mark.parametrize(("said", "pixels"), [("region.png#>=128", 9), ("region.png#=3", 55), ("region.png#any", 64)])
def test_the_table_says_which_values_count(said, pixels, world):
    assert area(world, said) == pixels


@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_two_values_need_no_word(value, world):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[5:8, 5:8] = value
    Image.fromarray(values).save(world.folder / "two.png")
    assert area(world, "two.png") == 9


def test_a_mask_of_another_size_is_refused(world):
    Image.fromarray(np.ones((9, 9), np.uint8)).save(world.folder / "small.png")
    with pytest.raises(ImageError, match="9x9 instead of 40x30"):
        area(world, "small.png")
