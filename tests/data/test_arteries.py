"""Colored artery and vein labels, from the cell of a manifest to classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.masks import read_mask, read_mask_for
from medmtl.data.samples import MaskReference
from medmtl.data.sources.arteries import av_reference
from medmtl.errors import ImageError

CLASSES = np.random.default_rng(0).integers(0, 4, (20, 30)).astype(np.uint8)
COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 255, 0]], np.uint8)


def rgb(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.png"
    if kind == "palette":
        image = Image.fromarray(CLASSES[..., None][..., 0])
        image.putpalette(COLORS.ravel().tolist())
    elif kind == "alpha":
        image = Image.fromarray(np.dstack([COLORS[CLASSES], np.full(CLASSES.shape, 255, np.uint8)]))
    elif kind == "white":  # crossings drawn white
        image = Image.fromarray(np.where(CLASSES[..., None] == 3, np.uint8(255), COLORS[CLASSES]))
    else:
        image = Image.fromarray(COLORS[CLASSES])
    image.save(path)
    return path


@pytest.mark.parametrize("kind", ["plain", "palette", "alpha", "white"])
def test_rgb_fragment_gives_the_classes(tmp_path: Path, kind: str):
    path = rgb(tmp_path, kind)
    reference = MaskReference.parse(f"{path.name}#rgb", tmp_path)
    np.testing.assert_array_equal(read_mask(reference), CLASSES)
    np.testing.assert_array_equal(read_mask_for(reference, CLASSES.shape, binary=True), CLASSES > 0)


def test_rgb_of_a_grey_file_is_background_and_crossing(tmp_path: Path):
    Image.fromarray(np.where(CLASSES > 1, 255, 0).astype(np.uint8)).save(tmp_path / "g.png")
    want = np.where(CLASSES > 1, 3, 0)
    np.testing.assert_array_equal(read_mask(MaskReference(tmp_path / "g.png", "rgb")), want)


def test_size_is_still_checked(tmp_path: Path):
    with pytest.raises(ImageError, match="another size"):
        read_mask_for(MaskReference(rgb(tmp_path, "plain"), "rgb"), (20, 31))


def test_from_source_to_manifest_to_mask(tmp_path: Path):
    path = rgb(tmp_path, "plain")
    assert av_reference(path) == f"{path}#rgb"
    frame = pd.DataFrame({"image": [str(path)], "mask:av": [av_reference(path)]})
    write_manifest(frame, tmp_path / "m.csv")
    (sample,) = Manifest.read(tmp_path / "m.csv").samples
    np.testing.assert_array_equal(read_mask(sample.masks["av"]), CLASSES)


@pytest.mark.parametrize("fragment", ["", "#any", "#rgb", "#>=3"])
def test_a_hash_in_the_name_is_part_of_the_name(tmp_path: Path, fragment: str):
    """Written and read again: both split at the last '#'; a name with '#' needs a fragment."""
    name = "eye.png" if not fragment else "eye #1.png"
    frame = pd.DataFrame({"image": [str(tmp_path / name)], "mask:av": [f"{tmp_path / name}{fragment}"]})
    write_manifest(frame, tmp_path / "sub" / "m.csv")
    reference = Manifest.read(tmp_path / "sub" / "m.csv").samples[0].masks["av"]
    assert reference.path is not None
    assert reference.path.resolve() == (tmp_path / name).resolve()
    assert (reference.fragment or "") == fragment.removeprefix("#")
