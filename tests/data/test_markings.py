from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.data.manifest import MaskReference
from medmtl.data.markings import Marking, confidence_map, consensus_mask, expert_files, parse_markings
from medmtl.data.masks import read_mask
from medmtl.errors import ImageError

SHAPE = (40, 50)


def circle(x: float, y: float, r: float) -> str:
    return (
        f"<circleregion><centroid><coords2d>{x},{y}</coords2d></centroid>"
        f'<radius direction="x">{r}</radius></circleregion>'
    )


def ellipse(x: float, y: float, a: float, b: float, angle: float) -> str:
    return (
        f'<ellipseregion><centroid><coords2d>{x},{y}</coords2d></centroid><radius direction="x">{a}</radius>'
        f'<radius direction="y">{b}</radius><angle>{angle}</angle></ellipseregion>'
    )


def polygon(*points: tuple[int, int]) -> str:
    vertices = "".join(f"<coords2d>{x},{y}</coords2d>" for x, y in points)
    return f"<polygonregion><centroid><coords2d>1,1</coords2d></centroid>{vertices}</polygonregion>"


def marking(region: str, confidence: str = "High", kind: str = "Hard_exudates") -> str:
    return (
        f"<marking>{region}<representativepoint><coords2d>0,0</coords2d></representativepoint>"
        f"<confidencelevel>{confidence}</confidencelevel><markingtype>{kind}</markingtype></marking>"
    )


def write(path: Path, *markings: str) -> Path:
    body = "\n".join(markings)
    path.write_text(
        '<?xml version="1.0" standalone="no"?>\n<!DOCTYPE imgannotool>\n<imgannotooldata><header/>'
        f"<markinglist>\n{body}\n</markinglist></imgannotooldata>"
    )
    return path


def drawn(path: Path, region: str) -> np.ndarray:
    return confidence_map([parse_markings(write(path, marking(region)))], "Hard_exudates", SHAPE) > 0


@pytest.mark.parametrize(
    ("x", "y", "r"), [(20, 15, 7), (0, 0, 5), (49, 39, 3), (10, 10, 0), (200, 200, 4), (-9, 5, 12)]
)
def test_circle_by_its_definition(tmp_path: Path, x: int, y: int, r: int):
    mask = drawn(tmp_path / "a.xml", circle(x, y, r))
    want = [[math.hypot(i - x, j - y) <= max(r, 0.5) for i in range(SHAPE[1])] for j in range(SHAPE[0])]
    np.testing.assert_array_equal(mask, want)


def test_ellipse_turns_counter_clockwise_on_the_screen(tmp_path: Path):
    mask = drawn(tmp_path / "a.xml", ellipse(25, 20, 12, 2, 45))
    assert mask[20 - 7, 25 + 7]  # up and to the right
    assert mask[20 + 7, 25 - 7]
    assert not mask[20 + 7, 25 + 7]
    flat = drawn(tmp_path / "b.xml", ellipse(25, 20, 12, 2, 0))
    assert flat[20, 37]
    assert not flat[23, 25]
    np.testing.assert_array_equal(drawn(tmp_path / "c.xml", ellipse(25, 20, 2, 12, 90)), flat)
    assert abs(mask.sum() - math.pi * 12 * 2) < 12


def test_a_centroid_is_no_vertex(tmp_path: Path):
    mask = drawn(tmp_path / "a.xml", polygon((20, 10), (30, 10), (30, 20), (20, 20), (20, 10)))
    want = np.zeros(SHAPE, bool)
    want[10:21, 20:31] = True
    np.testing.assert_array_equal(mask, want)


LEVELS = {"High": 1.0, "Medium": 0.75, "Low": 0.25}


@given(marks=st.lists(st.lists(st.sampled_from(sorted(LEVELS)), max_size=3), max_size=4))
def test_rule_of_agreement(marks: list[list[str]]):
    experts = [[Marking("Disc", LEVELS[level], ((5.0, 5.0),), (3.0, 3.0)) for level in own] for own in marks]
    mean = sum(max((LEVELS[level] for level in own), default=0.0) for own in marks) / 4
    assert confidence_map(experts, "Disc", (11, 11))[5, 5] == pytest.approx(mean)
    assert consensus_mask(experts, "Disc", (11, 11))[5, 5] == (mean >= 0.75 - 1e-9)
    assert consensus_mask(experts, "Disc", (11, 11), any_mark=True)[5, 5] == (mean > 0)
    assert not consensus_mask(experts, "IRMA", (11, 11), any_mark=True).any()


def test_through_a_mask_reference(tmp_path: Path):
    for number in (1, 2, 3):
        write(tmp_path / f"x_0{number}_plain.xml", marking(circle(20, 20, 5)), marking(circle(9, 9, 2), "Low", "IRMA"))
    write(tmp_path / "x_04_plain.xml")
    write(tmp_path / "x_04.xml", "not read, for it is not plain")
    write(tmp_path / "y_01_plain.xml", marking(circle(5, 5, 5)))
    reference = MaskReference.parse("x_*_plain.xml#Hard_exudates", tmp_path)
    mask = read_mask(reference, SHAPE)
    assert mask.dtype == np.uint8
    assert mask[20, 20] == 1
    assert mask[5, 5] == 0
    assert not read_mask(MaskReference.parse("x_*_plain.xml#IRMA", tmp_path), SHAPE).any()
    assert read_mask(MaskReference.parse("x_*_plain.xml#IRMA:any", tmp_path), SHAPE)[9, 9] == 1
    with pytest.raises(ValueError, match="shape"):
        read_mask(reference)
    with pytest.raises(ImageError, match="did you mean 'Hard_exudates'"):
        read_mask(MaskReference.parse("x_*_plain.xml#hard_exudate", tmp_path), SHAPE)
    with pytest.raises(ImageError, match="0 files"):
        read_mask(MaskReference.parse("z_*.xml#Disc", tmp_path), SHAPE)
    write(tmp_path / "x_05_plain.xml")
    with pytest.raises(ImageError, match="5 files"):
        expert_files(tmp_path / "x_*_plain.xml")


@pytest.mark.parametrize(
    "text",
    [
        "", "not XML", "<a><b></a>", "<imgannotooldata/>",
        "<!DOCTYPE a [<!ENTITY x 'y'>]><imgannotooldata><markinglist/></imgannotooldata>",
        *(
            f"<i><markinglist>{body}</markinglist></i>"
            for body in (
                marking(circle(1, 1, 2), "Sure"), marking(circle(1, 1, -2)), marking(""), marking(polygon()),
                marking(circle(1, 1, 2)).replace("1,1", "1"), marking(circle(1, 1, 2)).replace("1,1", "a,b"),
                marking(circle(math.nan, 1, 2)), marking(circle(1, 1, 2), kind=""),
                marking(circle(1, 1, 2)).replace("radius", "diameter"),
            )
        ),
    ],
)  # fmt: skip
def test_bad_files_give_one_line(tmp_path: Path, text: str):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ImageError, match="list of markings") as caught:
        parse_markings(tmp_path / "a.xml")
    assert "\n" not in str(caught.value)
