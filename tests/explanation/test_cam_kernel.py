"""The kernel's first component without its matrix against scikit-learn with it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA

from medmtl.explanation.cam import eigen
from medmtl.explanation.cam import kernel as module
from medmtl.explanation.cam.kernel import first_sigmoid_component


@pytest.mark.parametrize(("count", "channels", "block"), [(60, 5, 100), (301, 12, 8_000_000), (200, 1, 999)])
def test_it_is_scikit_learns_component(monkeypatch, count, channels, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng(count)
    points = np.abs(rng.normal(size=(count, channels))) * rng.uniform(0.5, 3, channels)
    points[: count // 5] += 2
    points -= points.mean(axis=0)
    want = KernelPCA(n_components=1, kernel="sigmoid", random_state=0).fit_transform(points)[:, 0]
    found = first_sigmoid_component(points)
    sign = np.sign(found @ want)
    np.testing.assert_allclose(sign * found, want, atol=2e-4 * np.abs(want).max())


def test_equal_points_have_no_component():
    assert not first_sigmoid_component(np.zeros((50, 4))).any()


def test_maps_of_many_cells_are_those_of_the_held_matrix(monkeypatch):
    activations = np.abs(np.random.default_rng(0).normal(size=(6, 9, 11)))
    activations[:, 2:5, 3:6] += 3
    held = eigen.kernel_projection(activations)
    monkeypatch.setattr(eigen, "HELD_CELLS", 10)
    found = eigen.kernel_projection(activations)
    np.testing.assert_allclose(found, held, atol=2e-4 * np.abs(held).max())
    assert found[3, 4] > 0
    assert not eigen.kernel_projection(np.ones((2, 5, 5))).any()
