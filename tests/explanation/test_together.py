"""All classes in one picture: nothing is covered, colors are the classes' own, and nothing is said where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from medmtl.explanation import together as module
from medmtl.explanation.candidates import candidate_table
from medmtl.explanation.color import CLASS_COLORS
from medmtl.explanation.panel import NOTHING
from medmtl.explanation.scale import ClassScale
from medmtl.explanation.shown import ShownClass
from medmtl.explanation.together import class_color, draw_together

HARD, BLOOD = ClassScale("hard exudates", 0.5, 3.0), ClassScale("haemorrhages", 0.0, 2.0)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(30, 220, (200, 420, 3), dtype=np.uint8)


def shown(scale, place=None):
    values = np.full((200, 420), -5.0, np.float32)
    if place is None:
        return ShownClass(scale, values)
    row, column = place
    values[row : row + 12, column : column + 12] = 2.5
    return ShownClass(scale, values, candidate_table("a", scale, x=[column + 5], y=[row + 5], score=[2.5]))


def test_a_picture_without_evidence_keeps_every_byte(image):
    out = draw_together(image, [shown(HARD), shown(BLOOD)])
    np.testing.assert_array_equal(out[:200, :420], image)


def test_the_inside_of_a_region_keeps_its_bytes_and_its_outline_has_the_classs_color(image):
    out = draw_together(image, [shown(HARD, (50, 60)), shown(BLOOD, (120, 300))])
    for index, (row, column) in enumerate([(50, 60), (120, 300)]):
        np.testing.assert_array_equal(
            out[row : row + 12, column : column + 12], image[row : row + 12, column : column + 12]
        )
        np.testing.assert_array_equal(out[row - 1, column + 5], CLASS_COLORS[index])
        np.testing.assert_array_equal(out[row + 5, column - 1], CLASS_COLORS[index])
    far = np.ones((200, 420), bool)
    far[20:100, 20:130] = far[90:170, 260:370] = False
    np.testing.assert_array_equal(out[:200, :420][far], image[far])


def test_the_legend_says_what_was_found_and_that_nothing_was(image, monkeypatch):
    texts = []
    draw = module.ImageDraw.Draw

    def spy(picture):
        drawing = draw(picture)
        write = drawing.text
        drawing.text = lambda place, text, *rest, **more: (texts.append(text), write(place, text, *rest, **more))
        return drawing

    monkeypatch.setattr(module.ImageDraw, "Draw", spy)
    draw_together(image, [shown(HARD, (50, 60)), shown(BLOOD)])
    assert {"hard exudates", "haemorrhages", "1 candidate at 0.50 logits or more", NOTHING} <= set(texts)
    assert "Research use only. Not a diagnosis." in texts


def test_small_pictures_and_many_classes_are_drawn():
    tiny = np.zeros((3, 2, 3), np.uint8)
    out = draw_together(tiny, [ShownClass(ClassScale(f"c{n}", 0.0, 1.0), np.zeros((3, 2))) for n in range(8)])
    assert out.shape[1] == 384
    assert class_color(6) == class_color(0)
