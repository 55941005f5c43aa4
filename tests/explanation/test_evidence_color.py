"""Colors: a function of the value alone, transparent below the threshold, rising in lightness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medmtl.explanation.color import CLASS_COLORS, OPACITY, blend, color_table, colorize, probability, visible
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


MACHADO = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes 2009, table 1, severity 1.0, on linear RGB."""


def seen(colors, blindness):
    """CIE Lab as a reader sees it."""
    from skimage.color import rgb2lab

    part = np.asarray(colors, float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    light = np.clip(linear @ np.asarray(MACHADO[blindness]).T, 0, 1)
    return rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("blindness", list(MACHADO))
def test_classes_stay_apart_for_color_blind_readers_and_from_the_fundus(blindness):
    """A difference (CIEDE2000) of 2 to 3 is just seen; red and green of the same lightness fall to that."""
    from skimage.color import deltaE_ciede2000

    classes, fundus = seen(CLASS_COLORS, blindness), seen([(190, 100, 50), (120, 50, 25)], blindness)
    apart = deltaE_ciede2000(classes[:, None], classes[None])[np.triu_indices(len(classes), 1)]
    assert apart.min() > 10
    assert deltaE_ciede2000(classes[:, None], fundus[None]).min() > 10
    confused = seen([(200, 60, 60), (118, 118, 40)], "deuteranopia")
    assert deltaE_ciede2000(confused[0], confused[1]) < 10  # without this the test could not fail


def test_almost_half_of_a_lesions_contrast_is_left_under_the_colors():
    image = np.array([[[190, 100, 50], [230, 190, 110]]], np.uint8)
    out = blend(image, colorize(np.full((1, 2), 1.0), SCALE)).astype(float)
    before = image.astype(float)
    np.testing.assert_allclose(out[0, 1] - out[0, 0], 0.45 * (before[0, 1] - before[0, 0]), atol=1.1)
