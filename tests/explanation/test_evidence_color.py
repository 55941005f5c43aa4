"""Colors: a function of the value alone, transparent below the threshold, rising in lightness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medmtl.explanation.color import OPACITY, blend, color_table, colorize, probability, visible
from medmtl.explanation.scale import ClassScale

SCALE = ClassScale("x", 0.5, 3.0)
MAPS = hnp.arrays(
    np.float32, (5, 7), elements=st.floats(-50, 50, width=32) | st.sampled_from([0.5, 3.0, np.nan, -np.inf])
)


@given(MAPS)
def test_color_depends_on_the_value_and_nothing_else(evidence):
    colors = colorize(evidence, SCALE)
    alone = [colorize(np.array([value]), SCALE)[0] for value in evidence.ravel()]
    np.testing.assert_array_equal(colors.reshape(-1, 4), alone)


@given(MAPS)
def test_opaque_exactly_at_and_above_the_threshold(evidence):
    expected = np.array([bool(value >= 0.5) for value in evidence.ravel()]).reshape(evidence.shape)
    np.testing.assert_array_equal(colorize(evidence, SCALE)[..., 3] > 0, expected)
    np.testing.assert_array_equal(visible(evidence, SCALE), expected)
    assert not colorize(evidence, SCALE)[~expected].any()


def test_ends_of_the_scale_have_the_ends_of_the_table():
    colors = colorize(np.array([0.5, 3.0, 99.0, np.inf]), SCALE)
    np.testing.assert_array_equal(colors[0, :3], color_table()[0])
    np.testing.assert_array_equal(colors[1:, :3], np.repeat(color_table()[-1:], 3, axis=0))


def test_middle_of_the_scale_is_matplotlibs_own_middle():
    from matplotlib import colormaps

    expected = np.array(colormaps["winter"](0.5)[:3]) * 255
    np.testing.assert_allclose(colorize(np.array([1.75]), SCALE)[0, :3], expected, atol=1.5)


def test_lightness_rises_so_that_hue_is_not_needed():
    linear = (color_table() / 255.0) ** 2.2
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) >= -1e-3).all()
    assert luminance[-1] > 5 * luminance[0]


def test_table_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        color_table()[0] = 0


@given(hnp.arrays(np.uint8, (4, 6, 3)), hnp.arrays(np.float32, (4, 6), elements=st.floats(-9, 9, width=32)))
def test_blend_is_the_weighted_mean_and_leaves_blank_pixels_alone(image, evidence):
    before = image.copy()
    colors = colorize(evidence, SCALE)
    out = blend(image, colors)
    weight = round(OPACITY * 255) / 255
    for index in np.ndindex(4, 6):
        mixed = (1 - weight) * image[index] + weight * colors[index][:3]
        expected = mixed if evidence[index] >= 0.5 else image[index]
        np.testing.assert_allclose(out[index], expected, atol=0.501)
    np.testing.assert_array_equal(image, before)


def test_probability_is_the_logistic_function():
    np.testing.assert_allclose(probability([-1.0, 0.0, 2.0]), [1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2))])
    np.testing.assert_array_equal(probability([-1e9, 1e9]), [0.0, 1.0])
