"""Evidence taken away and looked for again: the maximum over looks, each at places that are new."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.inference.removal import discs, filled, iterated
from medmtl.inference.tiles import Evidence
from medmtl.tasks.inference_config import RemovalConfig

FIELD = np.ones((64, 64), bool)
BLOBS = {(10, 10): 5.0, (40, 12): 4.0, (20, 50): 3.0, (52, 52): 2.0, (30, 30): 0.5}
"""Row and column to the logit that a network gives where it is the strongest thing in the picture."""


class Winner:
    """A network that shows the strongest thing it sees and nothing else, in 16 by 16 cells of 4 pixels."""

    def __init__(self) -> None:
        self.looks: list[np.ndarray] = []

    def __call__(self, removed: np.ndarray) -> Evidence:
        self.looks.append(removed.copy())
        maps = torch.full((1, 1, 16, 16), -4.0)
        left = {place: value for place, value in BLOBS.items() if not removed[place]}
        if left:
            (row, column), value = max(left.items(), key=lambda item: item[1])
            maps[0, 0, row // 4, column // 4] = value
        return Evidence(maps)


def found(evidence: Evidence) -> list[float]:
    return sorted(evidence.maps[evidence.maps > -4].tolist(), reverse=True)


@pytest.mark.parametrize(
    ("rounds", "expected"), [(1, [5, 4]), (2, [5, 4, 3]), (3, [5, 4, 3, 2]), (10, [5, 4, 3, 2, 0.5])]
)
def test_each_round_shows_what_the_one_before_hid(rounds, expected):
    network = Winner()
    # a peak of 5 in one cell is 2.9 after interpolation to pixels: what counts is the map that a reader sees
    evidence, removed = iterated(network, FIELD, RemovalConfig(rounds=rounds, threshold=-3.5, radius=6))
    assert found(evidence) == expected
    assert len(network.looks) == len(removed) == min(rounds, len(BLOBS)) + 1
    assert not removed[0].any()
    for before, after in pairwise(removed):
        assert (after >= before).all()
        assert after.sum() > before.sum()


def test_it_stops_when_nothing_passes_the_threshold():
    network = Winner()
    evidence, removed = iterated(network, FIELD, RemovalConfig(rounds=10, threshold=0.5, radius=6))
    assert found(evidence) == [5, 4, 3, 2, 0.5]  # the last is -4 + 4.5 · 0.875² = -0.55 in pixels: seen, not taken away
    assert len(removed) == 5
    network = Winner()
    evidence, removed = iterated(network, FIELD, RemovalConfig(threshold=9))
    assert found(evidence) == [5]
    assert len(network.looks) == len(removed) == 1


def test_a_place_is_taken_once():
    """A network that the filling does not impress shows the same map again: there is no new place in it."""
    calls = []

    def look(removed: np.ndarray) -> Evidence:
        calls.append(removed)
        maps = torch.full((1, 2, 16, 16), -4.0)
        maps[0, 1, 3, 3] = 5
        return Evidence(maps)

    evidence, _ = iterated(look, FIELD, RemovalConfig(rounds=9))
    assert len(calls) == 2
    assert evidence.maps[0, 1, 3, 3] == 5


def test_what_is_seen_in_the_filling_does_not_count():
    def look(removed: np.ndarray) -> Evidence:
        maps = torch.full((1, 1, 16, 16), -4.0)
        maps[0, 0, 8, 8] = 50.0 if removed.any() else 5.0
        maps[0, 0, 2, 2] = 1.0 if removed.any() else -4.0
        return Evidence(maps, torch.full((1, 1, 16, 16), float(removed.any())))

    evidence, removed = iterated(look, FIELD, RemovalConfig(rounds=1, radius=5))
    assert removed[-1][34, 34]
    assert evidence.maps[0, 0, 8, 8] == 5
    assert evidence.maps[0, 0, 2, 2] == 1
    assert evidence.attention is not None
    assert evidence.attention[0, 0, 2, 2] == 1
    assert evidence.attention.sum() == 1


def test_places_of_all_classes_up_to_the_limit_and_only_in_the_field():
    maps = torch.full((1, 2, 16, 16), -4.0)
    for c, row, column, value in ((0, 2, 2, 3.0), (1, 8, 8, 5.0), (0, 12, 3, 4.0), (1, 5, 14, 9.0)):
        maps[0, c, row, column] = value
    field = FIELD.copy()
    field[:, 50:] = False
    seen = []

    def look(removed: np.ndarray) -> Evidence:
        seen.append(removed)
        return Evidence(maps if not removed.any() else maps * 0 - 4)

    iterated(look, field, RemovalConfig(radius=3, places=2))
    assert [bool(seen[1][place]) for place in ((34, 34), (50, 14), (10, 10), (22, 58))] == [True, True, False, False]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 29)), min_size=1, max_size=5), st.floats(0.5, 8))
@settings(max_examples=30, deadline=None)
def test_discs_are_what_lies_near_a_point(points, radius):
    mask = discs(np.array(points), radius, (20, 30))
    for row, column in np.ndindex(20, 30):
        distance = min(np.hypot(row - y, column - x) for y, x in points)
        if abs(distance - radius) > 1e-3:
            assert mask[row, column] == (distance < radius)


@pytest.mark.parametrize("fill", ["inpaint", "mean"])
@pytest.mark.parametrize("factor", [1, 2])
def test_filling_changes_what_is_taken_away_and_nothing_else(fill, factor):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 64 * factor, 64 * factor, generator=generator)
    removed, field = discs(np.array([[20, 30]]), 5, (64, 64)), FIELD.copy()
    field[:, :10] = False
    new = filled(image, removed, field, fill)
    mask = torch.from_numpy(np.kron(removed, np.ones((factor, factor)))).bool()
    assert torch.equal(new[..., ~mask], image[..., ~mask])
    assert (new[..., mask] != image[..., mask]).float().mean() > 0.9
    if fill == "mean":
        inside = torch.from_numpy(np.kron(field, np.ones((factor, factor)))).bool()
        expected = image[0][:, inside & ~mask].mean(1)
        torch.testing.assert_close(new[0][:, mask], expected[:, None].expand(3, int(mask.sum())))
    assert filled(image, np.zeros((64, 64), bool), field, fill) is image


def test_a_dark_spot_on_a_smooth_ground_is_painted_over():
    y, x = torch.meshgrid(torch.linspace(0.3, 0.5, 64), torch.linspace(0, 0.2, 64), indexing="ij")
    ground = (y + x).expand(1, 3, 64, 64)
    removed = discs(np.array([[30, 30]]), 6, (64, 64))
    spotted = torch.where(torch.from_numpy(removed), torch.tensor(0.0), ground)
    assert (filled(spotted, removed, FIELD) - ground).abs().max() < 0.05
    assert (filled(spotted, removed, FIELD, "mean") - ground).abs()[0, 0].max() < 0.15


def test_a_field_without_a_pixel_left_is_filled_with_black():
    image = torch.rand(1, 3, 8, 8)
    everything = np.ones((8, 8), bool)
    assert not filled(image, everything, everything, "mean").any()
