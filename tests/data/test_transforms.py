"""From files to network arrays: maps follow the image through every random change, and the surround stays black."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import set_track_meta
from PIL import Image

from medmtl.config import AugmentConfig, ViewConfig
from medmtl.data.contrast import local_contrast
from medmtl.data.field import FieldOfView
from medmtl.data.samples import MaskReference, Sample
from medmtl.data.targets import UNKNOWN, LabelClass, LabelTarget, MaskLayer, MaskTarget
from medmtl.data.transforms import (
    RandColord,
    field_view,
    fixed_transforms,
    random_transforms,
    sample_masks,
    view_geometry,
)
from medmtl.errors import ImageError
from medmtl.geometry import Geometry, take_view

NO_COLOR = {"brightness": 0, "contrast": 0, "color": 0}


@pytest.fixture(autouse=True)
def _plain_tensors() -> Iterator[None]:
    set_track_meta(False)
    yield
    set_track_meta(True)


def item(seed: int, size: int = 48) -> dict[str, Any]:
    """An image whose channels are its two mask layers and its field."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((3, size // 8, size // 8)) > 0.5
    masks = np.kron(coarse, np.ones((8, 8))).astype(np.uint8)
    masks[:2] *= masks[2]
    return {"image": masks * np.uint8(255), "field": masks[2:], "t": masks[:2], "x": np.array([1.0], np.float32)}


TARGETS = [MaskTarget("t", (MaskLayer("a", "a"), MaskLayer("b", "b"))), LabelTarget("x", (LabelClass("x", "x"),))]


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.sampled_from([None, 32]))
@settings(max_examples=60, deadline=None)
def test_flips_turns_and_crops_move_all_maps_alike(seed: int, flip: bool, turns: bool, patch: int | None):
    view = ViewConfig(size=48, patch=patch, augment=AugmentConfig(flip=flip, quarter_turns=turns, **NO_COLOR))
    random = random_transforms(view, TARGETS, training=True)
    random.set_random_state(seed=seed)
    changed = random(item(seed % 7))
    torch.testing.assert_close(changed["image"][:2], changed["t"].float())
    torch.testing.assert_close(changed["image"][2:], changed["field"].float())
    assert changed["image"].shape == (3, patch or 48, patch or 48)
    assert changed["x"].tolist() == [1.0]


@given(st.integers(0, 2**32 - 1), st.floats(0, 180), st.floats(0, 0.5))
@settings(max_examples=40, deadline=None)
def test_rotation_and_zoom_move_all_maps_alike(seed: int, rotate: float, zoom: float):
    """Masks are moved to the nearest pixel, the image linearly: they differ by less than a half, pixel for pixel."""
    view = ViewConfig(size=48, augment=AugmentConfig(rotate=rotate, zoom=zoom, **NO_COLOR))
    random = random_transforms(view, TARGETS, training=True)
    random.set_random_state(seed=seed)
    changed = random(item(seed % 7))
    maps = torch.cat([changed["t"], changed["field"]])
    assert set(torch.unique(maps).tolist()) <= {0, 1}
    assert (changed["image"] - maps.float()).abs().max() <= 0.75  # linear in two directions
    assert (changed["image"] - maps.float()).abs().mean() < 0.1


def test_masks_stay_whole_numbers_also_unknown_ones():
    data = item(0)
    data["t"] = np.where(data["t"] == 1, UNKNOWN, 0).astype(np.uint8)
    view = ViewConfig(size=48, augment=AugmentConfig(rotate=30, zoom=0.2, **NO_COLOR))
    random = random_transforms(view, TARGETS, training=True)
    random.set_random_state(seed=3)
    changed = random(data)
    assert changed["t"].dtype == changed["field"].dtype == torch.uint8
    assert set(changed["t"].unique().tolist()) == {0, UNKNOWN}


def test_the_same_seed_gives_the_same_and_another_another():
    view = ViewConfig(size=48, augment=AugmentConfig(rotate=20))
    random = random_transforms(view, TARGETS, training=True)

    def draw(seed: int) -> torch.Tensor:
        random.set_random_state(seed=seed)
        return random(item(1))["image"]

    torch.testing.assert_close(draw(5), draw(5), rtol=0, atol=0)
    assert any(not torch.equal(draw(5), draw(seed)) for seed in (6, 7))


def test_what_is_cached_is_never_written_to():
    data = item(2)
    copies = {key: value.copy() for key, value in data.items()}
    random = random_transforms(ViewConfig(size=48, augment=AugmentConfig(rotate=20, zoom=0.1)), TARGETS, training=True)
    for seed in range(5):
        random.set_random_state(seed=seed)
        random(dict(data))
    for key, value in copies.items():
        np.testing.assert_array_equal(data[key], value)


def test_evaluation_changes_nothing():
    data = item(3)
    plain = random_transforms(ViewConfig(size=48), TARGETS, training=False)(dict(data))
    np.testing.assert_allclose(plain["image"], data["image"] / 255)
    np.testing.assert_array_equal(plain["t"], data["t"])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_color_keeps_the_surround_black_and_the_range(seed: int):
    field = torch.zeros(1, 20, 20)
    field[:, 5:15, 5:15] = 1
    image = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)) * field
    color = RandColord(AugmentConfig(brightness=0.9, contrast=0.9, color=0.9))
    color.set_random_state(seed=seed)
    changed = color({"image": image, "field": field})["image"]
    assert (changed[:, field[0] == 0] == 0).all()
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_local_contrast_of_a_constant_is_one_half():
    mask = np.zeros((64, 64), bool)
    mask[10:50, 12:60] = True
    out = local_contrast(np.full((64, 64, 3), 0.3, np.float32), mask)
    np.testing.assert_allclose(out[mask], 0.5, atol=1e-4)


def test_local_contrast_does_not_see_gain_and_offset():
    rng = np.random.default_rng(0)
    image, mask = rng.random((64, 64, 3)).astype(np.float32), np.ones((64, 64), bool)
    np.testing.assert_allclose(local_contrast(image * 0.6 + 0.2, mask), local_contrast(image, mask), atol=2e-3)


def test_local_contrast_of_an_impulse_in_a_tiny_neighbourhood():
    """Closed form: sigma so large that the neighbourhood is the image; (x - mean) / (6 * deviation)."""
    rng = np.random.default_rng(1)
    image, mask = rng.random((16, 16, 3)).astype(np.float32), np.ones((16, 16), bool)
    out = local_contrast(image, mask, share=50)
    mean = image.mean((0, 1))
    want = 0.5 + (image - mean) / (6 * np.sqrt(((image - mean) ** 2).mean((0, 1)) + 1e-4))
    np.testing.assert_allclose(out, want, atol=0.02)


@pytest.mark.parametrize("contrast", ["none", "local"])
def test_the_view_is_black_outside_the_field(contrast: str):
    field = np.zeros((60, 80), bool)
    field[10:50, 20:70] = True
    fov = FieldOfView(field, (10, 20, 50, 70), True)
    view = ViewConfig(size=32, contrast=contrast)  # type: ignore[arg-type]
    image, mask = field_view(np.ones((60, 80, 3), np.float32), fov, view)
    assert image.shape == (32, 32, 3)
    assert (image[~mask] == 0).all()
    assert mask.any()
    assert not mask.all()
    assert (image.min() >= 0, image.max() <= 1) == (True, True)


def test_the_crop_is_the_square_around_the_field_or_the_image():
    fov = FieldOfView(np.ones((60, 80), bool), (10, 20, 50, 70), True)
    assert view_geometry(fov, ViewConfig(size=32)) == Geometry(60, 80, 5, 20, 50, 32)
    assert view_geometry(fov, ViewConfig(size=32, crop="none")) == Geometry(60, 80, -10, 0, 80, 32)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 2, (8, 10)), np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(np.stack([mask * 255, np.full_like(mask, 90), mask * 100], -1)).save(tmp_path / "i.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    Image.fromarray(np.full_like(mask, 255)).save(tmp_path / "f.png")
    masks = {"a": MaskReference(tmp_path / "m.png"), "b": MaskReference(None, absent=True)}
    return Sample(
        "i", tmp_path / "i.png", 2, tmp_path / "m.csv", "d", "p", fov=tmp_path / "f.png", labels={"x": "1"}, masks=masks
    )


@pytest.mark.parametrize("size", [32, 40, 80, 160])
def test_from_files_to_arrays(sample: Sample, size: int):
    targets = [*TARGETS, MaskTarget("u", (MaskLayer("c", "c"),))]
    data = fixed_transforms(ViewConfig(size=size), targets)({"sample": sample})
    geometry = Geometry(*data["geometry"])
    assert (data["image"].dtype, data["image"].shape) == (np.uint8, (3, size, size))
    assert data["t"].shape == (2, size, size)
    inside = data["field"][0] > 0
    raw = np.asarray(Image.open(sample.masks["a"].path or ""))
    np.testing.assert_array_equal(data["t"][0], take_view(raw, geometry, nearest=True))
    assert (data["t"][1] == 0).all()
    assert (data["u"] == UNKNOWN).all()
    assert data["x"].tolist() == [1.0]
    assert (np.abs(data["image"][0] / 255.0 - data["t"][0])[inside]).mean() < 0.15  # the red channel is the mask
    assert (data["image"][:, ~inside] == 0).all()


def test_errors_name_the_line(sample: Sample, tmp_path: Path):
    (tmp_path / "m.png").write_bytes(b"")
    with pytest.raises((ImageError, RuntimeError)) as caught:
        fixed_transforms(ViewConfig(size=32), TARGETS)({"sample": sample})
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, ImageError):
        cause = cause.__cause__ or cause.__context__
    assert "m.csv, line 2" in str(cause)


def test_unknown_values_are_refused_only_where_classes_are_told_apart(sample: Sample):
    Image.fromarray(np.full((64, 80), 9, np.uint8)).save(sample.masks["a"].path or "")
    any_value = MaskTarget("t", (MaskLayer("a", "a"),), known=(0, 1))
    np.testing.assert_array_equal(sample_masks(sample, any_value, (64, 80))["a"], 1)
    told_apart = MaskTarget("t", (MaskLayer("a", "a", (1,)),), known=(0, 1))
    with pytest.raises(ImageError, match="line 2, column mask:a"):
        sample_masks(sample, told_apart, (64, 80))
