"""Places in the eye: closed forms, mirror images, synthetic eyes, and nothing said that is not known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.data.synthetic import synthesize
from medmtl.errors import ConfigError, EvaluationError, ManifestError
from medmtl.explanation.anatomy import Anatomy, Position, disc_of_mask, position
from medmtl.explanation.anatomy_table import read_anatomy
from medmtl.explanation.candidates import candidate_table
from medmtl.explanation.scale import ClassScale

RIGHT = Anatomy("R", disc=(300.0, 100.0), disc_diameter=40.0, fovea=(200.0, 110.0))


@pytest.mark.parametrize(
    ("x", "y", "quadrant"),
    [
        (260, 60, "superior nasal"),
        (260, 200, "inferior nasal"),
        (120, 60, "superior temporal"),
        (120, 160, "inferior temporal"),
    ],
)
def test_quadrants_of_a_right_eye_about_the_fovea(x, y, quadrant):
    place = position(x, y, RIGHT)
    assert (place.quadrant, place.center) == (quadrant, "fovea")
    assert place.from_fovea == pytest.approx(math.dist((x, y), (200, 110)) / 40)
    assert place.from_disc == pytest.approx(math.dist((x, y), (300, 100)) / 40)


@settings(deadline=None)
@given(st.floats(0, 399), st.floats(0, 299))
def test_a_mirrored_eye_has_the_same_places(x, y):
    left = Anatomy("L", disc=(399 - 300.0, 100.0), disc_diameter=40.0, fovea=(399 - 200.0, 110.0))
    one, other = position(x, y, RIGHT), position(399 - x, y, left)
    if abs(x - 200) > 1e-9:
        assert one.quadrant == other.quadrant
    assert one.from_fovea == pytest.approx(other.from_fovea)


@pytest.mark.parametrize(
    ("anatomy", "expected"),
    [
        (Anatomy(), ("", "", False, False)),
        (Anatomy("R"), ("", "", False, False)),
        (Anatomy(fovea=(200.0, 110.0)), ("superior", "fovea", False, False)),
        (Anatomy("R", fovea=(200.0, 110.0)), ("superior nasal", "fovea", False, False)),
        (Anatomy(disc=(300.0, 100.0), disc_diameter=40.0), ("superior", "disc", False, True)),
        (Anatomy("L", disc=(300.0, 100.0), disc_diameter=40.0), ("superior nasal", "disc", False, True)),
        (Anatomy("R", disc=(300.0, 100.0)), ("superior temporal", "disc", False, False)),
        (Anatomy(disc=(300.0, 100.0), fovea=(200.0, 110.0)), ("superior nasal", "fovea", False, False)),
        # The disc of a left eye lies left of the fovea: here it does not, so no side of the nose is named.
        (Anatomy("L", disc=(300.0, 100.0), fovea=(200.0, 110.0)), ("superior", "fovea", False, False)),
    ],
)
def test_only_what_is_known_is_said(anatomy, expected):
    place = position(260, 60, anatomy)
    known = (math.isfinite(place.from_fovea), math.isfinite(place.from_disc))
    assert (place.quadrant, place.center, *known) == expected


def test_contradiction_is_told_and_a_disc_has_a_size():
    assert Anatomy("L", disc=(300.0, 1.0), fovea=(200.0, 1.0)).contradiction
    assert not RIGHT.contradiction
    with pytest.raises(EvaluationError, match="diameter is above 0"):
        Anatomy(disc_diameter=0.0)
    assert position(1, 1, Anatomy()) == Position() or math.isnan(position(1, 1, Anatomy()).from_disc)


@pytest.mark.parametrize("seed", range(4))
def test_the_disc_of_a_synthetic_eye_is_found_and_its_nose_is_where_it_should_be(seed):
    eye = synthesize(256, seed)
    center, diameter = disc_of_mask(eye.disc > 0)
    assert math.dist(center, eye.disc_center) < 3
    assert diameter == pytest.approx(2 * math.sqrt((eye.disc > 0).sum() / math.pi), rel=0.01)
    known = Anatomy(eye.laterality, center, diameter, eye.fovea)
    assert not known.contradiction
    assert position(*center, known).quadrant.endswith("nasal")
    assert position(*eye.fovea, known).from_disc > 1.5


def test_a_mask_that_shows_no_one_disc_gives_none():
    assert disc_of_mask(np.zeros((8, 8), bool)) is None
    two = np.zeros((20, 20), bool)
    two[2:8, 2:8] = two[12:17, 12:17] = True
    assert disc_of_mask(two) is None
    two[12:17, 12:17] = False
    two[15, 15] = True  # a speck beside it does not count
    assert disc_of_mask(two) == ((4.5, 4.5), pytest.approx(2 * math.sqrt(36 / math.pi)))


def test_candidates_carry_their_place():
    scale = ClassScale("x", 0.0, 1.0)
    table = candidate_table("a", scale, x=[260, 120], y=[60, 160], score=[2, 1], anatomy=RIGHT)
    assert table["quadrant"].tolist() == ["superior nasal", "inferior temporal"]
    assert table["laterality"].tolist() == ["R", "R"]
    assert table["fovea_distance_dd"].iloc[0] == pytest.approx(math.dist((260, 60), (200, 110)) / 40)
    empty = candidate_table("a", scale, x=[1], y=[1], score=[2])
    assert empty["quadrant"].tolist() == [""]
    assert empty["fovea_distance_dd"].isna().all()


def test_a_table_of_eyes_is_read(tmp_path):
    path = tmp_path / "eyes.csv"
    path.write_text(
        "image,laterality,disc_x,disc_y,disc_diameter,fovea_x,fovea_y\n"
        "photos/a.png,OD,300,100,40.5,200,110\nb,left,,,,,\nc.jpg,,,,,12.5,3\n"
    )
    found = read_anatomy(path)
    assert found["a"] == Anatomy("R", (300.0, 100.0), 40.5, (200.0, 110.0), "eyes.csv")
    assert found["b"] == Anatomy("L", origin="eyes.csv")
    assert found["c"].fovea == (12.5, 3.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,fovea_z\na,1\n", "unknown column; found 'fovea_z'; did you mean 'fovea_"),
        ("name\na\n", "unknown column"),
        ("laterality\nR\n", "no column 'image'"),
        ("image,fovea_x\na,1\n", "line 2: the fovea has one coordinate"),
        ("image,disc_x,disc_y\na,1,x\n", "line 2, disc_y: not a number; found 'x'"),
        ("image,disc_x,disc_y\na,1,nan\n", "not a number"),
        ("image,disc_diameter\na,0\n", "line 2, disc_diameter: a disc's diameter is above 0"),
        ("image,laterality\na,both\n", "line 2: unknown laterality; found 'both'; write L or R"),
        ("image,laterality\na,L\nx/a.png,R\n", "line 3: the image stands twice"),
        ("image,laterality\n,L\n", "line 2: the image cell is empty"),
        ("", "empty"),
    ],
)
def test_a_wrong_table_is_one_clear_line(text, words, tmp_path):
    path = tmp_path / "eyes.csv"
    path.write_text(text)
    with pytest.raises((ConfigError, ManifestError), match=words) as caught:
        read_anatomy(path)
    assert "\n" not in str(caught.value)
    assert "eyes.csv" in str(caught.value)
