"""Lesions painted on photographs: where the masks say, as dark or bright as they should be, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medmtl.data.synthesis.drawing import Frame
from medmtl.data.synthesis.painting import likely_eye, paint
from medmtl.data.synthetic import LESIONS, grade_of, synthesize

SIZE = 384
HEALTHY = {seed: synthesize(SIZE, seed, grade=0, domain="varied") for seed in range(6)}  # stands for photographs


@settings(max_examples=20, deadline=None)
@given(photograph=st.sampled_from(sorted(HEALTHY)), seed=st.integers(0, 2**40), grade=st.integers(0, 4))
@example(photograph=0, seed=11685, grade=4)
def test_only_what_lies_under_lesions_changes(photograph: int, seed: int, grade: int):
    eye = HEALTHY[photograph]
    painted = paint(eye.image, eye.fov, seed, grade=grade)
    assert painted.grade == grade_of(painted.counts) == grade
    touched = np.any(list(painted.lesions.values()), axis=0)
    assert touched.any() == (grade > 0)
    assert not (touched & ~eye.fov).any()
    # Outlines are soft, soft exudates' most of all: the farthest of 122 images with grade 4 ended 14.8 pixels from its mask.
    far = ndimage.distance_transform_edt(~touched) > 20 if grade else np.ones_like(touched)
    np.testing.assert_array_equal(painted.image[far], eye.image[far])
    for name in LESIONS:
        assert painted.lesions[name].any() <= bool(getattr(painted.counts, name))


def test_blood_is_darker_and_exudates_are_brighter_than_the_photograph():
    changes: dict[str, list[float]] = {name: [] for name in LESIONS}
    for number, eye in HEALTHY.items():
        painted = paint(eye.image, eye.fov, (number, 7), grade=2 + number % 3)
        change = np.log(painted.image[..., 1] + 1.0) - np.log(eye.image[..., 1] + 1.0)
        for name, mask in painted.lesions.items():
            alone = mask & ~np.any([other for key, other in painted.lesions.items() if key != name], axis=0)
            changes[name] += list(change[alone])
    assert all(len(found) > 50 for found in changes.values())
    for name in ("microaneurysms", "haemorrhages"):
        assert np.mean(np.array(changes[name]) < 0) > 0.97
    for name in ("hard_exudates", "soft_exudates"):
        assert np.mean(np.array(changes[name]) > 0) > 0.97
    # the strengths that the generator's look asks for, before the optics soften them
    assert -0.3 < np.median(changes["haemorrhages"]) < -0.05
    assert 0.05 < np.median(changes["hard_exudates"]) < 0.4


def test_the_same_seed_gives_the_same_bytes():
    eye = HEALTHY[0]
    first, again, other = (paint(eye.image, eye.fov, seed, grade=3).image for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(paint(eye.image, eye.fov, 5, grade=0).image, eye.image)


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_disc_and_fovea_are_found_near_to_where_they_are(laterality: str):
    misses = []
    for seed in range(12):
        eye = synthesize(SIZE, (seed, 3), grade=0, domain="varied", laterality=laterality)
        width = float(eye.fov.any(axis=0).sum())
        frame = Frame(SIZE, width, mirrored=False)
        found = likely_eye(eye.image, eye.fov, frame)
        true = (np.array([eye.disc_center, eye.fovea]) - (SIZE - 1) / 2) / width
        misses.append(np.hypot(*(np.array([found.disc, found.fovea]) - true).T))
    disc, fovea = np.array(misses).T
    assert np.mean(disc < 0.05) >= 0.9
    assert np.mean(fovea < 0.1) >= 0.75


def test_no_lesion_is_painted_on_the_disc():
    shares = []
    for number, eye in HEALTHY.items():
        painted = paint(eye.image, eye.fov, (number, 9), grade=4)
        touched = np.any(list(painted.lesions.values()), axis=0)
        shares.append((touched & eye.disc).sum() / eye.disc.sum())
    assert np.mean(shares) < 0.02
