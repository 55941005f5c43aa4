"""The program that counts failures of the field of view counts right."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from programs import program

from medmtl.data.samples import Sample


@pytest.fixture(scope="module")
def finder():
    return program("benchmarks/field_of_view.py")


def disc(radius=90, center=(120, 100), shape=(200, 240)):
    rows, columns = np.indices(shape)
    return (columns - center[0]) ** 2 + (rows - center[1]) ** 2 <= radius**2


def sample(folder, field, name="a.png", fov=None):
    rng = np.random.default_rng(0)
    image = np.where(field[..., None], rng.integers(90, 160, (*field.shape, 3)), 3).astype(np.uint8)
    cv2.imwrite(str(folder / name), image)
    path = None
    if fov is not None:
        path = folder / f"fov-{name}"
        cv2.imwrite(str(path), fov.astype(np.uint8) * 255)
    return Sample(name, folder / name, 2, folder / "m.csv", "d", "p", fov=path)


def test_a_disc_is_found_and_agrees_with_its_mask(finder, tmp_path):
    found = finder.read(sample(tmp_path, disc(), fov=disc()))
    assert found.why == ""
    assert found.overlap > 0.97
    assert found.filled > 0.98
    assert found.share == pytest.approx(disc().mean(), abs=0.02)
    assert np.isnan(finder.read(sample(tmp_path, disc())).overlap)


def test_a_bite_is_filled_and_a_ragged_outline_would_be_told(finder, tmp_path):
    bitten = disc() & ~disc(70, (120, 30))
    assert finder.convexity(bitten) < finder.LEAST_FILLED
    assert finder.read(sample(tmp_path, bitten)).why == ""
    assert finder.verdict(True, finder.convexity(bitten), float("nan")).startswith("ragged")


@pytest.mark.parametrize(
    ("field", "fov", "why"),
    [
        (disc(20), None, "no field found"),
        (disc(), disc(80), "overlap 0.7"),
    ],
)
def test_failures_say_why(finder, tmp_path, field, fov, why):
    assert finder.read(sample(tmp_path, field, fov=fov)).why.startswith(why)


def test_an_unreadable_file_is_a_failure_and_all_are_counted(finder, tmp_path):
    good, bad = sample(tmp_path, disc(), fov=disc()), sample(tmp_path, disc(), "b.png")
    (tmp_path / "b.png").write_bytes(b"")
    lines = list(finder.summary([finder.read(good), finder.read(bad)]))
    assert lines[0] == "d: 1 failures in 2 images (0.5000)"
    assert "overlap with 1 given masks" in lines[3]
    assert lines[-1].startswith("  FAILED b.png: ")
    assert "0 bytes" in lines[-1]
