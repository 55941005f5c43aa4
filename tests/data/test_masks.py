from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from medmtl.data.manifest import MaskReference
from medmtl.data.masks import read_mask, read_mask_for
from medmtl.errors import ImageError

RNG = np.random.default_rng(1)
CLASSES = RNG.choice(np.array([0, 1, 2, 3, 188, 189, 252, 255], np.uint8), (21, 34))


def save(path: Path, values: np.ndarray, palette: list[int] | None = None) -> Path:
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "bmp", "pgm"])
def test_grey_values_as_given(tmp_path: Path, suffix: str):
    path = save(tmp_path / f"m.{suffix}", CLASSES)
    mask = read_mask(MaskReference(path))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, CLASSES)


@pytest.mark.parametrize(
    ("fragment", "want"), [(">=189", CLASSES >= 189), ("=3", CLASSES == 3), ("any", CLASSES > 0), (">=0", CLASSES >= 0)]
)
def test_fragments(tmp_path: Path, fragment: str, want: np.ndarray):
    path = save(tmp_path / "m.png", CLASSES)
    mask = read_mask(MaskReference.parse(f"m.png#{fragment}", tmp_path))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, want.astype(np.uint8))
    np.testing.assert_array_equal(read_mask(MaskReference(path), binary=True), CLASSES > 0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette_gives_indices(tmp_path: Path, suffix: str):
    indices = CLASSES % 3
    path = save(tmp_path / f"m.{suffix}", indices, [0, 0, 0, 128, 0, 0, 0, 128, 0])
    np.testing.assert_array_equal(read_mask(MaskReference(path)), indices)


def test_gif_with_grey_palette_gives_grey_and_with_colors_indices(tmp_path: Path):
    indices = CLASSES % 3
    grey = save(tmp_path / "g.gif", indices, [0, 0, 0, 255, 255, 255, 7, 7, 7])
    np.testing.assert_array_equal(read_mask(MaskReference(grey)), np.array([0, 255, 7])[indices])
    color = save(tmp_path / "c.gif", indices, [0, 0, 0, 255, 0, 0, 0, 255, 0])
    np.testing.assert_array_equal(read_mask(MaskReference(color)), indices)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pbm"])
def test_bitmaps_are_0_and_1(tmp_path: Path, suffix: str):
    path = save(tmp_path / f"m.{suffix}", CLASSES > 2)
    np.testing.assert_array_equal(read_mask(MaskReference(path), binary=True), (CLASSES > 2).astype(np.uint8))
    if suffix != "bmp":  # whose bitmaps have a palette of two greys
        np.testing.assert_array_equal(read_mask(MaskReference(path)), (CLASSES > 2).astype(np.uint8))


def test_color_with_equal_channels_is_grey(tmp_path: Path):
    path = save(tmp_path / "m.png", np.dstack([CLASSES] * 3))
    np.testing.assert_array_equal(read_mask(MaskReference(path)), CLASSES)
    path = save(tmp_path / "a.png", np.dstack([CLASSES] * 3 + [255 - CLASSES]))
    np.testing.assert_array_equal(read_mask(MaskReference(path)), CLASSES)


def test_color_is_refused_unless_any_color_means_it(tmp_path: Path):
    red = np.dstack([CLASSES, 0 * CLASSES, 0 * CLASSES])
    path = save(tmp_path / "m.png", red)
    for fragment in (None, "=3", ">=3"):
        with pytest.raises(ImageError, match=r"in color.*#any"):
            read_mask(MaskReference(path, fragment))
    np.testing.assert_array_equal(read_mask(MaskReference(path, "any")), CLASSES > 0)
    np.testing.assert_array_equal(read_mask(MaskReference(path), binary=True), CLASSES > 0)


def test_16_bit(tmp_path: Path):
    small = save(tmp_path / "s.png", CLASSES.astype(np.uint16))
    np.testing.assert_array_equal(read_mask(MaskReference(small)), CLASSES)
    large = save(tmp_path / "l.png", CLASSES.astype(np.uint16) * 200)
    with pytest.raises(ImageError, match=r"do not fit 0-255.*; save classes as whole numbers from 0 to 255, or"):
        read_mask(MaskReference(large))
    np.testing.assert_array_equal(read_mask(MaskReference(large, ">=600")), CLASSES >= 3)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "mha", "nrrd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_label_maps_of_volumes(tmp_path: Path, suffix: str, dtype: type):
    path = tmp_path / f"m.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(CLASSES.astype(dtype)), str(path))
    np.testing.assert_array_equal(read_mask(MaskReference(path)), CLASSES)


def test_values_that_are_no_classes(tmp_path: Path):
    for name, value in (("a.mha", -1), ("b.mha", 0.5), ("c.mha", float("nan"))):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((20, 20), value, np.float32)), str(tmp_path / name))
        with pytest.raises(ImageError, match=r"fit 0-255|not whole"):
            read_mask(MaskReference(tmp_path / name))


def test_absent_is_all_zero_and_needs_a_shape():
    reference = MaskReference.parse("absent", Path())
    mask = read_mask(reference, (5, 7))
    assert mask.shape == (5, 7)
    assert not mask.any()
    with pytest.raises(ValueError, match="shape"):
        read_mask(reference)


def test_another_size_is_refused(tmp_path: Path):
    path = save(tmp_path / "m.png", CLASSES)
    assert read_mask_for(MaskReference(path), (21, 34)).shape == (21, 34)
    with pytest.raises(ImageError, match="34x21 instead of 21x34"):
        read_mask_for(MaskReference(path), (34, 21))


def test_bad_files(tmp_path: Path):
    (tmp_path / "e.png").write_bytes(b"")
    for name, words in (("e.png", "empty"), ("n.png", "does not exist"), ("n_*.xml", "0 files")):
        with pytest.raises(ImageError, match=words):
            read_mask(MaskReference(tmp_path / name, "Disc" if "xml" in name else None), (9, 9))
