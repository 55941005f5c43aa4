"""The field of view: found on every synthetic domain and every real set, and said to be missing where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from medmtl.data.blank import refuse_black
from medmtl.data.field import bounding_box, find_field
from medmtl.data.masks import read_mask
from medmtl.data.reading import read_image
from medmtl.data.samples import MaskReference
from medmtl.data.sources import make_manifest
from medmtl.data.synthesis.domain import DOMAINS
from medmtl.data.synthetic import synthesize
from medmtl.errors import ImageError

DATA = os.environ.get("MEDMTL_DATA", "")


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def disc(height: int, width: int, radius: float, dx: float = 0, dy: float = 0) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - height / 2 - dy) ** 2 + (columns - width / 2 - dx) ** 2 < radius**2


def fundus(mask: np.ndarray, level: float, noise: float = 0.005) -> np.ndarray:
    rng = np.random.default_rng(0)
    color = np.array([1.0, 0.6, 0.3]) * level
    texture = rng.uniform(0.8, 1.0, (*mask.shape, 1))
    image = mask[..., None] * color * texture + np.abs(rng.normal(0, noise, (*mask.shape, 3)))
    return np.clip(image, 0, 1).astype(np.float32)


@pytest.mark.parametrize("domain", sorted(DOMAINS))
@pytest.mark.parametrize("seed", [0, 1])
def test_synthetic_images_of_all_domains(domain: str, seed: int):
    eye = synthesize(256, seed, domain=domain)
    found = find_field(eye.image.astype(np.float32) / 255)
    assert found.found
    assert iou(found.mask, eye.fov > 0) > 0.97


@pytest.mark.parametrize("angle", [0.3, 1.5, 2.6, 5.0])
def test_a_shadow_at_the_rim_takes_no_bite_out_of_the_field(angle: float):
    truth = disc(400, 500, 180)
    shadow = disc(400, 500, 60, 165 * np.cos(angle), 165 * np.sin(angle))
    bitten = truth & ~shadow
    found = find_field(fundus(bitten, 0.5))
    assert iou(found.mask, truth) > 0.97 > iou(bitten, truth)


def test_a_disc_cut_by_straight_edges_is_taken_as_it_is():
    truth = disc(300, 500, 200)  # cut above and below by the image itself
    truth[:, 380:] = False
    assert iou(find_field(fundus(truth, 0.5)).mask, truth) > 0.97


@pytest.mark.parametrize("level", [0.08, 0.15, 0.4, 1.0])
@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (700, 900), (64, 64)])
def test_bright_and_dark_discs(level: float, shape: tuple[int, int]):
    truth = disc(*shape, 0.45 * min(shape))
    found = find_field(fundus(truth, level))
    assert found.found
    assert iou(found.mask, truth) > 0.97
    want = np.array(bounding_box(truth))
    assert np.abs(np.array(found.box) - want).max() <= 3 + max(shape) / 256


def test_a_cut_field_keeps_its_cut_edges():
    """Cameras cut the circle above and below."""
    truth = disc(200, 300, 130)
    found = find_field(fundus(truth, 0.5))
    assert iou(found.mask, truth) > 0.97
    assert (found.box[0], found.box[2]) == (0, 200)


def test_print_in_the_surround_is_left_out():
    truth = disc(300, 400, 140)
    image = fundus(truth, 0.5)
    image[5:20, 5:60] = 1.0
    assert iou(find_field(image).mask, truth) > 0.97


def test_dark_lesions_and_the_fovea_do_not_make_holes():
    truth = disc(300, 300, 140)
    image = fundus(truth, 0.4)
    image[disc(300, 300, 30, 20, 10)] = 0
    assert iou(find_field(image).mask, truth) > 0.97


@pytest.mark.parametrize("image", [np.zeros((50, 70, 3)), np.full((50, 70, 3), 0.01), np.full((16, 16, 3), 0.0)])
def test_black_images_have_none_and_the_whole_image_stands_in(image: np.ndarray):
    found = find_field(image.astype(np.float32))
    assert not found.found
    assert found.mask.all()
    assert found.mask.shape == image.shape[:2]
    assert found.box == (0, 0, *image.shape[:2])


def test_a_picture_without_surround_is_all_field():
    found = find_field(np.random.default_rng(0).uniform(0.3, 0.9, (120, 160, 3)).astype(np.float32))
    assert found.found
    assert found.mask.all()


def test_bounding_box():
    mask = np.zeros((10, 12), bool)
    mask[3:5, 7:11] = True
    assert bounding_box(mask) == (3, 7, 5, 11)


SETS = {"diaretdb1": 30, "drive_av": 40, "hrf_av": 45, "idrid": 60, "messidor2": 60}
"""Images looked at: all of the small sets, every n-th of the large ones."""


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(not DATA, reason="MEDMTL_DATA is not set")
@pytest.mark.parametrize("name", sorted(SETS))
def test_found_on_every_real_set(name: str):
    frame = make_manifest(name, Path(DATA) / name)
    rows = frame.iloc[:: max(1, len(frame) // SETS[name])]
    failures, overlaps = [], []
    for row in rows.to_dict("records"):
        image, _ = read_image(row["image"])
        found = find_field(image)
        if not found.found or not 0.3 < found.mask.mean() < 0.999:
            failures.append((row["image"], found.found, float(found.mask.mean())))
        if row.get("fov"):
            overlaps.append(iou(found.mask, read_mask(MaskReference(Path(row["fov"])), binary=True) > 0))
    assert not failures
    assert min(overlaps, default=1.0) > 0.97
    if name in {"drive_av", "hrf_av"}:
        assert len(overlaps) == len(rows)


@pytest.mark.parametrize(("level", "refused"), [(0, True), (1, True), (2, False), (40, False)])
def test_an_image_that_shows_nothing_is_refused(level: int, refused: bool):
    image = np.zeros((20, 20, 3), np.float32)
    image[3, 4, 2] = level / 255
    if not refused:
        refuse_black(image, Path("x.png"))
        return
    with pytest.raises(ImageError, match=r"x\.png: the image is all black"):
        refuse_black(image, Path("x.png"))
