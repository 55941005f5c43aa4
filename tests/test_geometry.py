"""The way into a view and back: points exactly, maps to half a pixel, boxes beyond the border included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medmtl.geometry import Geometry, centred_square, restore_view, take_view


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    height, width = draw(st.integers(20, 300)), draw(st.integers(20, 300))
    side = draw(st.integers(16, 400))
    top = draw(st.integers(-side + 1, height - 1))
    left = draw(st.integers(-side + 1, width - 1))
    return Geometry(height, width, top, left, side, draw(st.integers(16, 400)))


def spot(height: int, width: int, x: float, y: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)


def centre(image: np.ndarray) -> np.ndarray:
    return np.array(ndimage.center_of_mass(image)[::-1])


@given(geometries(), st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=9))
def test_points_come_back(geometry: Geometry, points: list[tuple[float, float]]):
    array = np.array(points)
    np.testing.assert_allclose(geometry.to_original(geometry.to_view(array)), array, atol=1e-9)
    np.testing.assert_allclose(geometry.to_view(geometry.to_original(array)), array, atol=1e-9)


@given(geometries())
def test_corners_of_the_box_are_the_corners_of_the_view(geometry: Geometry):
    first = np.array([[geometry.left - 0.5, geometry.top - 0.5]])
    np.testing.assert_allclose(geometry.to_view(first), [[-0.5, -0.5]], atol=1e-9)
    np.testing.assert_allclose(geometry.to_view(first + geometry.side), [[geometry.size - 0.5] * 2], atol=1e-9)


@pytest.mark.parametrize("side", [150, 261, 400])
@pytest.mark.parametrize("size", [96, 128, 150, 320])
@pytest.mark.parametrize("place", [(-20, -13), (0, 0), (31, 17)])
def test_a_spot_lies_where_the_points_say_and_comes_back(side: int, size: int, place: tuple[int, int]):
    """The map's way and the point's way agree to half a pixel of either grid (here: a tenth)."""
    geometry = Geometry(300, 330, *place, side, size)
    truth = np.array([place[1] + 0.55 * side, place[0] + 0.4 * side])
    image = spot(300, 330, *truth, sigma=6 * max(1.0, side / size))
    view = take_view(image, geometry)
    assert view.shape == (size, size)
    np.testing.assert_allclose(centre(view), geometry.to_view(truth[None])[0], atol=0.1)
    back = restore_view(view, geometry)
    assert back.shape == image.shape
    np.testing.assert_allclose(centre(back), truth, atol=0.1)
    assert np.abs(back - image).max() < 0.06


@pytest.mark.parametrize("resolution", [24, 48, 96])
def test_a_coarse_map_of_the_whole_view_lands_in_the_same_place(resolution: int):
    """Class maps have fewer cells than the view has pixels; they still cover the same square."""
    geometry = Geometry(200, 260, 10, -20, 240, 96)
    truth = np.array([90.0, 120.0])
    inside = (truth + 0.5 - [geometry.left, geometry.top]) / geometry.side * resolution - 0.5
    coarse = spot(resolution, resolution, *inside, sigma=resolution / 16)
    np.testing.assert_allclose(centre(restore_view(coarse, geometry)), truth, atol=0.5)


@given(geometries())
@settings(max_examples=60, deadline=None)
def test_nearest_keeps_labels_and_boundaries_to_half_a_pixel(geometry: Geometry):
    """A label at any view pixel is the label of the original pixel that its centre falls in."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 250, (geometry.height, geometry.width)).astype(np.uint8)
    view = take_view(labels, geometry, nearest=True, fill=0)
    rows, columns = np.mgrid[: geometry.size, : geometry.size]
    points = geometry.to_original(np.stack([columns.ravel(), rows.ravel()], axis=1))
    x, y = np.floor(points + 0.5 + 1e-6).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < geometry.width) & (y < geometry.height)
    want = np.zeros(len(x), np.uint8)
    want[inside] = labels[y[inside], x[inside]]
    # Centres that fall on an edge between two pixels may go either way.
    clear = (np.abs(points + 0.5 - np.rint(points + 0.5)) > 1e-3).all(axis=1)
    assert (view.ravel() == want)[clear].all()


@given(geometries())
@settings(max_examples=60, deadline=None)
def test_outside_the_box_is_the_fill(geometry: Geometry):
    back = restore_view(np.ones((geometry.size, geometry.size), np.float32), geometry, fill=-7.0)
    rows, columns = np.mgrid[: geometry.height, : geometry.width]
    inside = (rows >= geometry.top) & (rows < geometry.top + geometry.side)
    inside &= (columns >= geometry.left) & (columns < geometry.left + geometry.side)
    np.testing.assert_allclose(back, np.where(inside, 1, -7), atol=1e-5)


@given(geometries())
@settings(max_examples=60, deadline=None)
def test_padding_has_the_fill_value(geometry: Geometry):
    view = take_view(np.full((geometry.height, geometry.width), 9, np.uint8), geometry, nearest=True, fill=200)
    centres = geometry.to_original(np.stack(np.meshgrid(*[np.arange(geometry.size)] * 2), axis=-1).reshape(-1, 2))
    beyond = (centres < -0.501).any(1) | (centres > [geometry.width - 0.499, geometry.height - 0.499]).any(1)
    certain = (centres > -0.499).all(1) & (centres < [geometry.width - 0.501, geometry.height - 0.501]).all(1)
    assert (view.ravel()[beyond] == 200).all()
    assert (view.ravel()[certain] == 9).all()


@pytest.mark.parametrize("place", [(-60, 0), (0, -60), (90, 0), (0, 90), (-200, -200), (500, 500)])
def test_a_box_beyond_the_border_altogether_is_only_fill(place: tuple[int, int]):
    geometry = Geometry(50, 60, *place, 40, 32)
    image = np.ones((50, 60), np.float32)
    np.testing.assert_array_equal(take_view(image, geometry, fill=0), np.zeros((32, 32)))
    np.testing.assert_array_equal(restore_view(np.ones((32, 32)), geometry), np.zeros((50, 60)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_are_kept_also_a_single_one(channels: int):
    geometry = Geometry(40, 50, -3, 2, 45, 32)
    image = np.random.default_rng(0).random((40, 50, channels)).astype(np.float32)
    view = take_view(image, geometry)
    back = restore_view(view, geometry)
    assert (view.shape, back.shape) == ((32, 32, channels), (40, 50, channels))
    for channel in range(channels):
        np.testing.assert_allclose(view[..., channel], take_view(image[..., channel], geometry), atol=1e-6)
        np.testing.assert_allclose(back[..., channel], restore_view(view[..., channel], geometry), atol=1e-6)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 50), st.integers(0, 50), st.integers(1, 64))
def test_the_square_is_the_smallest_one_with_the_box_in_its_middle(h: int, w: int, top: int, left: int, size: int):
    geometry = centred_square(300, 300, (top, left, top + h, left + w), size)
    assert geometry.side == max(h, w)
    assert geometry.top <= top
    assert geometry.top + geometry.side >= top + h
    assert geometry.left <= left
    assert geometry.left + geometry.side >= left + w
    before, after = top - geometry.top, geometry.top + geometry.side - (top + h)
    assert abs(before - after) <= 1


def test_identity():
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    geometry = Geometry(64, 64, 0, 0, 64, 64)
    np.testing.assert_allclose(take_view(image, geometry), image, atol=1e-6)
    np.testing.assert_allclose(restore_view(image, geometry), image, atol=1e-6)
    assert Geometry(*geometry.as_tuple()) == geometry
    assert geometry.scale == 1
