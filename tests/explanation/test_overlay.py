"""Overlays: blank is unchanged, same evidence is the same color, marks do not hide lesions, sizes follow the image."""

from __future__ import annotations

import numpy as np
import pytest

from medmtl.errors import EvaluationError
from medmtl.explanation import overlay as module
from medmtl.explanation.candidates import COLUMNS, candidate_table
from medmtl.explanation.markers import Marker, place_markers
from medmtl.explanation.overlay import draw_overlay
from medmtl.explanation.panel import LEAST_WIDTH, NOTHING, draw_panel
from medmtl.explanation.scale import ClassScale

SCALE = ClassScale("hard exudates", 0.5, 3.0)


def picture(height=200, width=400, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def table(x=(), y=(), score=(), area=None):
    return candidate_table("a", SCALE, x=x, y=y, score=score, area_px=area)


@pytest.fixture
def said(monkeypatch):
    """What the panel was told."""
    texts = []

    def spy(width, scale, result):
        texts.append(result)
        return draw_panel(width, scale, result)

    monkeypatch.setattr(module, "draw_panel", spy)
    return texts


@pytest.mark.parametrize("blank", [-3.0, 0.49999, np.nan, -np.inf])
def test_a_blank_map_leaves_every_byte_of_the_picture_and_says_so(blank, said):
    image = picture()
    out = draw_overlay(image, np.full((200, 400), blank, np.float32), SCALE, table())
    np.testing.assert_array_equal(out[:200], image)
    assert said == [NOTHING]


def test_candidates_below_the_threshold_are_not_drawn(said):
    image, rows = picture(), table([50], [60], [1.0])
    rows["score"] = 0.4
    np.testing.assert_array_equal(draw_overlay(image, np.zeros((200, 400)), SCALE, rows)[:200], image)
    assert said == [NOTHING]


def test_same_evidence_has_the_same_color_in_two_images_of_different_range():
    image = np.full((60, 500, 3), 120, np.uint8)
    low, high = np.full((60, 500), -5.0, np.float32), np.full((60, 500), -5.0, np.float32)
    low[20:40, 20:40] = high[20:40, 120:140] = 1.25
    high[20:40, 300:340] = 40.0
    one = draw_overlay(image, low, SCALE, table())[30, 30]
    other = draw_overlay(image, high, SCALE, table())
    np.testing.assert_array_equal(one, other[30, 130])
    assert (one != other[30, 320]).any()
    assert (one != 120).any()


def test_change_is_confined_to_region_and_contour():
    image, evidence = picture(400, 400), np.full((400, 400), -5.0, np.float32)
    evidence[100:120, 150:180] = 2.0
    changed = (draw_overlay(image, evidence, SCALE, table())[:400, :400] != image).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() >= 97
    assert rows.max() <= 122
    assert columns.min() >= 147
    assert columns.max() <= 182


def test_contour_and_number_do_not_cover_a_lesion_of_one_pixel():
    from medmtl.explanation.color import blend, colorize

    image, evidence = picture(400, 600), np.full((400, 600), -5.0, np.float32)
    evidence[200, 300] = 2.0
    out = draw_overlay(image, evidence, SCALE, table([300], [200], [2.0]))
    np.testing.assert_array_equal(out[200, 300], blend(image, colorize(evidence, SCALE))[200, 300])


def test_input_is_not_changed():
    image, evidence = picture(), np.full((200, 400), 2.0, np.float32)
    before = image.copy(), evidence.copy()
    draw_overlay(image, evidence, SCALE, table([5], [5], [2.0]))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(evidence, before[1])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 900), (50, 64), (300, 384), (700, 1600)])
def test_any_size_draws_and_the_panel_grows_with_the_width(height, width):
    out = draw_overlay(picture(height, width), np.full((height, width), 9.0), SCALE, table([0], [0], [9.0], [1]))
    panel = out.shape[0] - height
    assert out.shape[1] == max(width, LEAST_WIDTH)
    assert panel == draw_panel(width, SCALE, "").shape[0]
    assert panel >= 60


def test_panel_height_follows_the_width():
    heights = [draw_panel(width, SCALE, "x").shape[0] for width in (384, 1000, 2000, 4000)]
    assert heights == sorted(heights)
    assert heights[3] == pytest.approx(2 * heights[2], rel=0.03)


def test_long_and_odd_class_names_stay_inside_the_panel():
    for name in ("x" * 500, "", "two\nlines", "日本 <b>"):
        assert draw_panel(500, ClassScale(name, 0, 1), NOTHING).shape[1] == 500


def test_result_counts_and_says_how_many_are_numbered(said):
    evidence = np.full((200, 400), -1.0)
    evidence[10, 10] = 1
    draw_overlay(picture(), evidence, SCALE, table([10], [10], [1.0]))
    draw_overlay(picture(), evidence, SCALE, table(range(40), range(40), [1.0] * 40))
    assert said == ["1 candidate above threshold", "40 candidates above threshold, strongest 30 numbered"]


def test_labels_stay_inside_apart_and_off_the_evidence():
    occupied = np.zeros((300, 300), bool)
    occupied[100:140, 100:140] = True
    points = [(120, 120), (135, 110), (105, 138), (2, 2), (298, 298), (298, 2)]
    boxes = [p.box for p in place_markers([Marker(i, x, y) for i, (x, y) in enumerate(points, 1)], occupied, 12)]
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= 300
        assert 0 <= top < bottom <= 300
        assert not occupied[top:bottom, left:right].any()
        for other in boxes[:number]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_wrong_inputs_are_refused():
    with pytest.raises(EvaluationError, match="8-bit RGB"):
        draw_overlay(picture().astype(np.float32), np.zeros((200, 400)), SCALE, table())
    with pytest.raises(EvaluationError, match="8-bit RGB"):
        draw_overlay(picture()[..., 0], np.zeros((200, 400)), SCALE, table())
    with pytest.raises(EvaluationError, match=r"200, 400.*400, 200"):
        draw_overlay(picture(), np.zeros((400, 200)), SCALE, table())


def test_candidate_table_is_numbered_by_falling_score_without_what_is_below():
    rows = table([1, 2, 3, 4], [5, 6, 7, 8], [0.6, 9.0, 0.4, 0.6], [1, 2, 3, np.nan])
    assert list(rows.columns) == COLUMNS
    assert rows["x"].tolist() == [2, 1, 4]
    assert rows["number"].tolist() == [1, 2, 3]
    assert rows["probability"].iloc[1] == pytest.approx(1 / (1 + np.exp(-0.6)))
    with pytest.raises(EvaluationError, match="length"):
        table([1], [1, 2], [3.0])
