"""Synthetic fundus images: the same from the same seed, with truth that is exact."""

from __future__ import annotations

import hashlib
from dataclasses import fields

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medmtl.data.synthesis.anatomy import draw_eye
from medmtl.data.synthesis.domain import draw
from medmtl.data.synthesis.drawing import Canvas, Frame, ribbon, smooth_field
from medmtl.data.synthesis.grading import draw_counts
from medmtl.data.synthesis.vessels import ARTERY, VEIN, grow_vessels
from medmtl.data.synthesis.writing import plan_dataset
from medmtl.data.synthetic import DOMAINS, LESIONS, Domain, LesionCounts, grade_of, synthesize, write_dataset
from medmtl.errors import ConfigError, OutputError


def digest(fundus):
    total = hashlib.sha256()
    for entry in fields(fundus):
        value = getattr(fundus, entry.name)
        arrays = value.values() if entry.name == "lesions" else [value]
        for array in arrays:
            total.update(array.tobytes() if isinstance(array, np.ndarray) else repr(array).encode())
    return total.hexdigest()


def test_same_seed_same_bytes_and_other_seed_other_image():
    first = digest(synthesize(96, 5, grade=3))
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    assert digest(synthesize(96, 5, grade=3)) == first
    assert digest(synthesize(96, 6, grade=3)) != first


@pytest.mark.parametrize("size", [64, 65, 127, 200, 512, 1024])
def test_every_size_gives_consistent_truth(size):
    fundus = synthesize(size, 11, grade=4)
    assert fundus.image.shape == (size, size, 3)
    assert fundus.image.dtype == np.uint8
    for mask in (fundus.fov, fundus.disc, fundus.cup, *fundus.lesions.values()):
        assert mask.shape == (size, size)
        assert mask.dtype == bool
        assert not (mask & ~fundus.fov).any()
    assert not (fundus.cup & ~fundus.disc).any()
    assert set(np.unique(fundus.vessels)) <= {0, 1, 2, 3}
    assert 0.68 < fundus.fov.mean() < 0.79
    assert 0.012 < fundus.disc.sum() / fundus.fov.sum() < 0.035
    assert 0.05 < (fundus.vessels > 0).sum() / fundus.fov.sum() < (0.3 if size < 150 else 0.2)
    assert fundus.image[~fundus.fov].mean() < 12 < 60 < fundus.image[fundus.fov][:, 0].mean()


@pytest.mark.parametrize("seed", range(12))
def test_disc_lies_in_the_field_and_landmarks_where_they_say(seed):
    fundus = synthesize(256, seed, grade=0)
    bare = synthesize(256, seed, grade=0, laterality=fundus.laterality, domain=Domain(cut=0))
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    distance = np.hypot(x - fundus.disc_center[0], y - fundus.disc_center[1])
    assert ndimage.binary_erosion(bare.fov)[bare.disc].all()
    center = x[fundus.disc].mean(), y[fundus.disc].mean()
    assert np.allclose(center, fundus.disc_center, atol=0.5)
    assert (fundus.disc_center[0] > fundus.fovea[0]) == (fundus.laterality == "R")
    green = cv2.GaussianBlur(fundus.image[..., 1].astype(float), (0, 0), 3)
    ring = fundus.fov & (distance > 24) & (distance < 40) & (fundus.vessels == 0)
    assert green[fundus.disc].mean() > 1.2 * green[ring].mean()
    fovea = np.hypot(x - fundus.fovea[0], y - fundus.fovea[1])
    assert green[fovea < 4].mean() < 0.95 * green[(fovea > 25) & (fovea < 40)].mean()


@pytest.mark.parametrize("seed", range(10))
def test_glaucoma_follows_from_the_masks(seed):
    fundus = synthesize(512, seed)
    height = [np.ptp(np.flatnonzero(mask.any(1))) + 1 for mask in (fundus.cup, fundus.disc)]
    assert height[0] / height[1] == pytest.approx(fundus.cup_disc_ratio, abs=0.03)
    assert fundus.glaucoma == (fundus.cup_disc_ratio >= 0.6)


@pytest.mark.parametrize("size", [128, 256, 512])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lesion_masks_are_where_the_lesion_free_eye_differs(size, seed):
    """The same seed without lesions is the same eye: the difference is the lesions and nothing else."""
    camera = Domain(noise=0.0)
    sick = synthesize(size, seed, grade=3, domain=camera)
    free = synthesize(size, seed, grade=0, domain=camera)
    assert np.array_equal(sick.vessels, free.vessels)
    change = sick.image[..., 1].astype(int) - free.image[..., 1]
    dark = sick.lesions["microaneurysms"] | sick.lesions["haemorrhages"]
    bright = sick.lesions["hard_exudates"] | sick.lesions["soft_exudates"]
    assert (change[dark & ~bright] < 0).mean() > 0.99
    if (bright & ~dark).any():
        assert (change[bright & ~dark] > 0).mean() > 0.99
    far = ndimage.distance_transform_edt(~(dark | bright)) > 3 + 0.012 * size
    assert abs(change[far]).max() <= 1  # the last grey level of a soft outline
    # Half the lesion's own change at least, somewhere in each blob: the mask is not mere blur.
    assert abs(change[dark]).mean() > 4 * abs(change[~(dark | bright)]).mean()


@given(seed=st.integers(0, 10**6), grade=st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_drawn_counts_obey_the_rule(seed, grade):
    counts = draw_counts(grade, np.random.default_rng(seed))
    assert grade_of(counts) == grade
    assert counts.preretinal <= counts.haemorrhages
    assert min(counts.microaneurysms, counts.haemorrhages, counts.hard_exudates, counts.soft_exudates) >= 0


@pytest.mark.parametrize(
    ("counts", "grade"),
    [
        (LesionCounts(), 0),
        (LesionCounts(microaneurysms=90), 1),
        (LesionCounts(hard_exudates=1), 2),
        (LesionCounts(soft_exudates=1), 2),
        (LesionCounts(haemorrhages=19), 2),
        (LesionCounts(haemorrhages=20), 3),
        (LesionCounts(haemorrhages=1, preretinal=1), 4),
    ],
)
def test_rule_at_its_borders(counts, grade):
    assert grade_of(counts) == grade


@pytest.mark.parametrize("grade", range(5))
def test_counts_are_visible_in_the_masks(grade):
    for seed in range(4):
        fundus = synthesize(256, seed, grade=grade)
        assert fundus.grade == grade
        assert fundus.referable == (grade >= 2)
        for name in LESIONS:
            count, blobs = getattr(fundus.counts, name), ndimage.label(fundus.lesions[name])[1]
            assert (count > 0) == (blobs > 0)
            if name == "microaneurysms":
                assert blobs >= 0.75 * count


def test_lesions_can_be_seen_at_256_px():
    contrasts = []
    for seed in range(5):
        camera = Domain(noise=0.0)
        sick, free = (synthesize(256, seed, grade=g, domain=camera).image[..., 1].astype(float) for g in (3, 0))
        mask = synthesize(256, seed, grade=3, domain=camera).lesions["haemorrhages"]
        contrasts.append(((free - sick) / np.maximum(free, 1))[mask].mean())
    assert 0.07 < np.median(contrasts) < 0.25


def test_veins_are_wider_and_darker_than_arteries():
    width, dark = {ARTERY: [], VEIN: []}, []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for segment in grow_vessels(draw_eye(rng), rng):
            width[segment.kind].append(segment.width.max())
        fundus = synthesize(512, seed, grade=0)
        red = fundus.image[..., 0].astype(float)
        outside = ~fundus.disc
        dark.append(np.median(red[(fundus.vessels == 1) & outside]) - np.median(red[(fundus.vessels == 2) & outside]))
    assert np.quantile(width[VEIN], 0.95) > 1.15 * np.quantile(width[ARTERY], 0.95)
    assert np.mean(dark) > 3


def test_vessels_spare_the_fovea_and_reach_the_disc():
    for seed in range(6):
        fundus = synthesize(256, seed, grade=0)
        x, y = np.meshgrid(np.arange(256), np.arange(256))
        assert not fundus.vessels[np.hypot(x - fundus.fovea[0], y - fundus.fovea[1]) < 0.015 * 256].any()
        for kind in (1, 2):
            assert (np.isin(fundus.vessels, (kind, 3)) & fundus.disc).any()


def test_same_eye_at_two_sizes():
    small, large = synthesize(256, 3, grade=2), synthesize(512, 3, grade=2)
    halved = cv2.resize((large.vessels > 0).astype(np.float32), (256, 256), interpolation=cv2.INTER_AREA) > 0.5
    both = 2 * (halved & (small.vessels > 0)).sum() / (halved.sum() + (small.vessels > 0).sum())
    assert both > 0.85
    assert small.counts == large.counts
    assert np.allclose((np.array(large.fovea) + 0.5) / 2, np.array(small.fovea) + 0.5)


def test_left_eye_mirrors_the_geometry():
    right, left = (synthesize(201, 9, grade=0, laterality=side) for side in ("R", "L"))
    assert (right.disc == left.disc[:, ::-1]).mean() > 0.999
    assert ((right.vessels > 0) == (left.vessels > 0)[:, ::-1]).mean() > 0.99
    assert right.fovea[0] == pytest.approx(200 - left.fovea[0])


def test_canvas_covers_the_area_of_the_polygon():
    frame = Frame(128, 120.0, mirrored=False)
    canvas = Canvas(frame)
    line = np.stack([np.linspace(-0.3, 0.3, 20), np.zeros(20)], 1)
    half = 2.5 / 120
    canvas.fill(ribbon(line, np.full(20, half - canvas.rim)))
    assert canvas.coverage()[:, 40:88].sum(0) == pytest.approx(5.0, abs=0.3)


def test_smooth_field_has_the_stated_scale():
    fine, coarse = (smooth_field(np.random.default_rng(0), 256, cells) for cells in (32, 4))
    assert np.abs(np.diff(fine)).mean() > 4 * np.abs(np.diff(coarse)).mean()
    assert 0.5 < fine.std() < 1.3


@pytest.mark.parametrize("name", sorted(DOMAINS))
def test_domains_differ_as_they_say(name):
    fundus = synthesize(128, 2, domain=name, grade=2)
    assert fundus.image[fundus.fov].mean() > 15
    rng = np.random.default_rng(0)
    still = Domain(jitter=0.0)
    assert draw(still, rng).tint == pytest.approx(still.tint)


def test_noise_and_blur_do_what_they_say():
    plain, noisy, blurry = (
        synthesize(256, 1, grade=0, domain=Domain(jitter=0, noise=noise, blur=blur)).image[100:150, 100:150, 1]
        for noise, blur in ((0.0, 0.001), (5.0, 0.001), (0.0, 0.01))
    )
    assert (noisy.astype(float) - plain).std() == pytest.approx(5.0, rel=0.25)
    assert np.abs(np.diff(blurry.astype(float))).mean() < 0.7 * np.abs(np.diff(plain.astype(float))).mean()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((63, 0), {}),
        ((128, -1), {}),
        ((128, 0), {"grade": 5}),
        ((128, 0), {"laterality": "left"}),
        ((128, 0), {"domain": "standart"}),
    ],
)
def test_bad_arguments_are_refused(arguments, options):
    with pytest.raises(ConfigError) as error:
        synthesize(*arguments, **options)
    assert "\n" not in str(error.value)
    if "domain" in options:
        assert "did you mean 'standard'" in str(error.value)


def test_dataset_reads_as_a_manifest(tmp_path):
    seen = []
    manifest = write_dataset(8, 4, tmp_path / "set", size=96, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 8) for k in range(1, 9)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
    table = pd.read_csv(manifest)
    assert len(table) == 8
    assert table["id"].is_unique
    for _, row in table.iterrows():
        image = cv2.imread(str(manifest.parent / row["image"]))
        assert image.shape == (96, 96, 3)
        assert row["label:referable"] == (row["label:dr_grade"] >= 2)
        for column in [c for c in table.columns if c.startswith("mask:")] + ["fov"]:
            if row[column] != "absent":
                assert cv2.imread(str(manifest.parent / row[column]), cv2.IMREAD_UNCHANGED).shape == (96, 96)
        for name in LESIONS:
            assert (row[f"mask:lesions.{name}"] == "absent") == (row[f"label:lesions.{name}"] == 0)


def test_written_files_hold_what_was_made(tmp_path):
    manifest = write_dataset(2, 4, tmp_path / "set", size=96, grades=(0, 0, 0, 1, 0))
    row = pd.read_csv(manifest).iloc[1]
    fundus = synthesize(96, (4, 1), grade=int(row["label:dr_grade"]), laterality=row["laterality"])
    read = {c: cv2.imread(str(manifest.parent / row[c]), cv2.IMREAD_UNCHANGED) for c in ("image", "mask:disc", "fov")}
    assert np.array_equal(read["image"][..., ::-1], fundus.image)
    assert np.array_equal(read["mask:disc"], fundus.disc.astype(int) + fundus.cup)
    assert np.array_equal(read["fov"] > 0, fundus.fov)


def test_small_dataset_is_the_beginning_of_a_larger_one(tmp_path):
    tables = []
    for n in (3, 6):
        folder = write_dataset(n, 7, tmp_path / str(n), size=64).parent
        tables.append(pd.read_csv(folder / "manifest.csv", dtype=str).head(3))
    assert tables[0].equals(tables[1])
    for name in tables[0]["image"]:
        assert (tmp_path / "3" / name).read_bytes() == (tmp_path / "6" / name).read_bytes()


@given(seed=st.integers(0, 1000), n=st.integers(1, 60), more=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_plan_is_a_prefix_and_keeps_eyes_together(seed, n, more):
    weights, splits = (0.4, 0.1, 0.2, 0.2, 0.1), (0.6, 0.2, 0.2)
    plan = plan_dataset(n, seed, weights, splits)
    assert plan == plan_dataset(n + more, seed, weights, splits)[:n]
    for first, second in zip(plan[::2], plan[1::2], strict=False):
        assert (first.patient, first.split) == (second.patient, second.split)
        assert {first.laterality, second.laterality} == {"L", "R"}


def test_plan_meets_its_weights_within_each_grade():
    plan = plan_dataset(2000, 0, (0.5, 0, 0.3, 0, 0.2), (0.6, 0.2, 0.2))
    worse = pd.DataFrame([vars(row) for row in plan]).groupby("patient").agg({"grade": "max", "split": "first"})
    assert worse["grade"].value_counts(normalize=True).to_dict() == pytest.approx({0: 0.5, 2: 0.3, 4: 0.2}, abs=0.01)
    shares = worse.groupby("grade")["split"].value_counts(normalize=True).unstack()
    assert np.allclose(shares[["train", "val", "test"]], (0.6, 0.2, 0.2), atol=0.02)


def test_refusals_of_write_dataset_leave_nothing(tmp_path):
    with pytest.raises(ConfigError):
        write_dataset(0, 1, tmp_path / "a")
    with pytest.raises(ConfigError):
        write_dataset(2, 1, tmp_path / "a", grades=(1, 1))
    with pytest.raises(ConfigError):
        write_dataset(2, 1, tmp_path / "a", splits=(0, 0, 0))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("keep")
    with pytest.raises(OutputError):
        write_dataset(2, 1, tmp_path / "b", size=64)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(2, 1, tmp_path / "a", size=64, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b" / "mine.txt").read_text() == "keep"
