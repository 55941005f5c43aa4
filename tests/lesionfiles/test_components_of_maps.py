"""Components of heat maps: scored by their highest pixel or their mean, placed at it or at their weighted centroid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lesion_world import HEIGHT, IMAGES, WIDTH, LesionWorld

import medmtl
from medmtl.cli import run
from medmtl.errors import ConfigError


@pytest.fixture
def world(tmp_path: Path) -> LesionWorld:
    """Image a has a bar of three pixels in row 5, columns 4 to 6, with the values 1, 1 and 4; nothing else is above 0."""
    made = LesionWorld.make(tmp_path / "world")
    for image in IMAGES:
        for label in ("ex", "he"):
            values = np.full((HEIGHT, WIDTH), -1.0)
            values[5, 4:7] = (1, 1, 4) if (image, label) == ("a", "ex") else -1
            np.save(made.folder / "maps" / image / f"{label}.npy", values)
    made.write()
    return made


CUT = {"extract": "components", "threshold": 0.0, "draws": 5, "sanity": False}
# By hand: highest value 4 in column 6; mean 6 / 3 = 2; centroid of the excess over 0: (4 + 5 + 4 * 6) / 6 = 5.5.
FOUND = {
    (None, None): (4, 6, "scored by their highest pixel"),
    ("max", "peak"): (4, 6, "scored by their highest pixel"),
    ("mean", None): (2, 6, "scored by the mean of their pixels"),
    (None, "centroid"): (4, 5.5, "highest pixel, placed at their centroid weighted by the excess over that"),
    ("mean", "centroid"): (2, 5.5, "mean of their pixels, placed at their centroid weighted by the excess over that"),
}


@pytest.mark.parametrize("asked", FOUND, ids=str)
def test_scores_and_points_by_hand(asked, world):
    score, x, said = FOUND[asked]
    options = CUT | {"score": asked[0], "position": asked[1], "out": world.out, "overlays": False}
    result = medmtl.lesions(world.path("maps"), world.path("manifest.csv"), **options)
    (found,) = result.matches["ex", "peak_in_lesion"][0].score.tolist()
    assert found == score
    (row,) = [line.split(",") for line in (world.out / "candidates.csv").read_text().splitlines()[1:]]
    head = (world.out / "candidates.csv").read_text().splitlines()[0].split(",")
    told = dict(zip(head, row, strict=True))
    assert (float(told["x"]), float(told["y"]), float(told["score"])) == (x, 5, score)
    for name in ("index.html", "metrics.json"):
        assert said in (world.out / name).read_text()


def test_the_command_says_the_same_as_the_call(world):
    more = ("--extract", "components", "--threshold", "0", "--score", "mean", "--position", "centroid", "--no-sanity")
    assert run(world.command(*more, candidates="maps")) == 0
    options = CUT | {"score": "mean", "position": "centroid", "draws": 50, "out": world.folder / "called"}
    medmtl.lesions(world.path("maps"), world.path("manifest.csv"), **options)
    for name in ("candidates.csv", "lesions.csv"):
        assert (world.out / name).read_bytes() == (world.folder / "called" / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "candidates", "said"),
    [
        (("--extract", "peaks", "--min-distance", "2", "--score", "mean"), "maps", "--score: peaks are points"),
        (("--extract", "peaks", "--min-distance", "2", "--position", "peak"), "maps", "--position: peaks are points"),
        (("--score", "mean"), "maps", "--extract: heat maps must be cut"),
        (("--position", "centroid"), "candidates.csv", "--position: this option is for a folder of heat maps"),
    ],
)
def test_elsewhere_these_options_are_refused_in_one_line(more, candidates, said, world, capsys):
    assert run(world.command(*more, candidates=candidates)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"score": "average"}, "--score: no such choice"), ({"position": "center"}, "--position: no such choice")],
)
def test_a_misspelt_choice_is_refused(wrong, said, world):
    with pytest.raises(ConfigError, match=said):
        medmtl.lesions(world.path("maps"), world.path("manifest.csv"), **(CUT | wrong))
