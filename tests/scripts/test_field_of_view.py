"""The program that counts failures of the field of view counts right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from medmtl.data.samples import Sample

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program():
    specification = importlib.util.spec_from_file_location("field_of_view", ROOT / "benchmarks/field_of_view.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules["field_of_view"] = module  # where dataclasses look for it
    specification.loader.exec_module(module)
    yield module
    del sys.modules["field_of_view"]


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


def test_a_disc_is_found_and_agrees_with_its_mask(program, tmp_path):
    found = program.read(sample(tmp_path, disc(), fov=disc()))
    assert found.why == ""
    assert found.overlap > 0.97
    assert found.filled > 0.98
    assert found.share == pytest.approx(disc().mean(), abs=0.02)
    assert np.isnan(program.read(sample(tmp_path, disc())).overlap)


def test_a_bite_is_filled_and_a_ragged_outline_would_be_told(program, tmp_path):
    bitten = disc() & ~disc(70, (120, 30))
    assert program.convexity(bitten) < program.LEAST_FILLED
    assert program.read(sample(tmp_path, bitten)).why == ""
    assert program.verdict(True, program.convexity(bitten), float("nan")).startswith("ragged")


@pytest.mark.parametrize(
    ("field", "fov", "why"),
    [
        (disc(20), None, "no field found"),
        (disc(), disc(80), "overlap 0.7"),
    ],
)
def test_failures_say_why(program, tmp_path, field, fov, why):
    assert program.read(sample(tmp_path, field, fov=fov)).why.startswith(why)


def test_an_unreadable_file_is_a_failure_and_all_are_counted(program, tmp_path):
    good, bad = sample(tmp_path, disc(), fov=disc()), sample(tmp_path, disc(), "b.png")
    (tmp_path / "b.png").write_bytes(b"")
    lines = list(program.summary([program.read(good), program.read(bad)]))
    assert lines[0] == "d: 1 failures in 2 images (0.5000)"
    assert "overlap with 1 given masks" in lines[3]
    assert lines[-1].startswith("  FAILED b.png: ")
    assert "0 bytes" in lines[-1]
