"""From rows to arrays: bins, shares by layer, bands of pairs, transfer between tasks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from balance_tables import TASKS, make_log, make_probe
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.reporting.balance import pairs, shares, transfer, trends


def test_few_values_are_kept_as_they_are():
    line = trends.binned("a", np.arange(3.0), np.array([1.0, 5.0, 2.0]), bins=3)
    assert line.middle.tolist() == line.low.tolist() == line.high.tolist() == [1, 5, 2]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60), st.integers(1, 20))
def test_bins_lose_no_value_and_bands_hold_medians(values, bins):
    steps = np.cumsum(np.ones(len(values)))
    line = trends.binned("a", steps, np.array(values), bins)
    assert len(line.steps) <= max(bins, 0) or len(values) <= bins
    assert (np.diff(line.steps) > 0).all()
    assert (line.low <= line.high).all()
    assert line.middle.min() >= min(values) - 1e-9
    assert line.middle.max() <= max(values) + 1e-9


def test_equal_bins_give_the_plain_mean():
    line = trends.binned("a", np.arange(8.0), np.arange(8.0), bins=2)
    assert line.middle.tolist() == [1.5, 5.5]
    assert line.steps.tolist() == [1.5, 5.5]


def test_trends_read_updates_only_and_drop_what_is_unknown():
    log = make_log().assign(**{"weight/b": np.nan})
    found = trends.trends(log, "weight/")
    assert [line.name for line in found] == ["a", "c"]
    assert found[0].steps.tolist() == list(range(1, 13))
    assert trends.trends(pd.DataFrame(), "weight/") == ()
    infinite = make_log().assign(**{"weight/b": np.inf})
    assert [line.name for line in trends.trends(infinite, "weight/")] == ["a", "c"]


def test_constants_need_no_picture():
    assert trends.moves(trends.trends(make_log(), "weight/"))
    assert not trends.moves(trends.trends(make_log().assign(**{f"weight/{t}": 1.0 for t in TASKS}), "weight/"))


def test_a_logarithm_where_lines_are_far_apart():
    log = make_log()
    assert trends.needs_logarithm(trends.trends(log, "gradient_norm/"))
    assert not trends.needs_logarithm(trends.trends(log, "loss/"), ratio=1e3)
    assert not trends.needs_logarithm(trends.trends(log.assign(**{"gradient_norm/a": 0.0}), "gradient_norm/"))


def test_shares_are_looks_by_layers_by_tasks():
    found = shares.read_shares(make_probe())
    assert found.values.shape == (4, 2, 3)
    assert (found.layers, found.tasks) == (("stem", "body.0"), TASKS)
    np.testing.assert_allclose(found.even, 1 / 3)
    np.testing.assert_allclose(found.values.sum(axis=2), 1)
    np.testing.assert_allclose(shares.of_task(found, "a")[0], [1 / 3, 1 / 2])
    np.testing.assert_allclose(shares.largest(found)[0], [1 / 3, 1 / 2])
    np.testing.assert_allclose(shares.by_layer(found)[1], [1 / 2, 1 / 4, 1 / 4])
    np.testing.assert_allclose(shares.over_layers(found)[0], [5 / 12, 7 / 24, 7 / 24])


def test_a_task_that_does_not_reach_a_layer_is_unknown_there_and_not_zero():
    probe = make_probe()
    found = shares.read_shares(probe[~((probe["layer"] == "stem") & (probe["tasks"] == "c"))])
    assert np.isnan(found.values[:, 0, 2]).all()
    np.testing.assert_allclose(shares.over_layers(found)[0, 2], 1 / 4)
    np.testing.assert_allclose(found.even, [1 / 2, 1 / 3])
    assert shares.reached_by_all(found).layers == ("body.0",)
    np.testing.assert_allclose(shares.largest(found)[0], [1 / 3, 1 / 2])


def test_without_a_layer_of_all_tasks_none_is_left_out():
    probe = make_probe()
    found = shares.read_shares(probe[~((probe["tasks"] == "c") & (probe["measure"] == "update_share"))])
    found = shares.Shares(
        found.steps,
        found.layers,
        ("a", "b", "c"),
        np.pad(found.values, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan),
        (1, 1),
    )
    assert shares.reached_by_all(found) is found


def test_the_scale_of_colors_has_its_middle_at_each_layers_even_share():
    values, even = np.array([[0.0, 0.5, 1 / 3, 1.0], [0.25, 0.75, 2 / 3, np.nan]]), np.array([0.5, 0.5, 1 / 3, 1 / 3])
    expected = [[0.0, 0.5, 0.5, 1.0], [0.25, 0.75, 0.75, np.nan]]
    np.testing.assert_allclose(shares.leaning(values, even), expected)


def test_many_layers_are_merged_by_the_beginnings_of_their_names():
    layers = tuple(f"encoder.network.blocks.{block}.{part}" for block in range(5) for part in ("conv", "norm"))
    found = shares.read_shares(make_probe(layers=layers))
    merged = shares.grouped(found, most=6)
    assert merged.layers == tuple(f"network.blocks.{block}" for block in range(5))
    assert merged.merged == (2,) * 5
    np.testing.assert_allclose(merged.values[:, 0], found.values[:, :2].mean(axis=1))
    np.testing.assert_allclose(shares.over_layers(merged), shares.over_layers(found))
    assert shares.grouped(found, most=99).merged == (1,) * 10


def test_short_names_stay_whole_and_one_level_is_always_kept():
    found = shares.read_shares(make_probe(layers=("trunk.0", "trunk.2")))
    assert shares.grouped(found).layers == ("trunk.0", "trunk.2")
    wide = shares.read_shares(make_probe(layers=tuple(f"l{n}" for n in range(9))))
    assert len(shares.grouped(wide, most=4).layers) == 9


def test_many_looks_are_merged():
    found = shares.thinned(shares.read_shares(make_probe(looks=50)), most=10)
    assert found.values.shape == (10, 2, 3)
    np.testing.assert_allclose(found.values.sum(axis=2), 1)
    assert (np.diff(found.steps) > 0).all()


def test_conflict_between_tasks_is_one_band_and_between_samples_one_a_task():
    found = {one.measure: one for one in pairs.comparisons(make_probe())}
    assert list(found) == ["cosine", "magnitude", "opposed"]
    assert [band.name for band in found["cosine"].tasks] == ["pairs of tasks"]
    assert [band.name for band in found["cosine"].samples] == list(TASKS)
    band = found["opposed"].samples[0]
    assert (band.steps.tolist(), band.low[0], band.middle[0], band.high[0]) == ([0, 5, 10, 15], 0.3, 0.5, 0.7)


def test_transfer_counts_rises_and_adds_up():
    found = transfer.read_transfer(make_log(), TASKS)
    assert found.tasks == TASKS
    np.testing.assert_allclose(found.mean(), np.full((3, 3), 0.125) - 0.625 * np.eye(3))
    np.testing.assert_allclose(found.rose(), 1 - np.eye(3))
    (own,) = [line for line in found.added("a") if line.name == "a"]
    assert own.steps.tolist() == [3, 6, 9, 12]
    assert own.middle.tolist() == [-0.5, -1.0, -1.5, -2.0]


def test_what_was_never_traced_is_unknown():
    log = make_log().assign(**{"transfer/a/b": np.nan})
    assert np.isnan(transfer.read_transfer(log, TASKS).mean()[0, 1])
    assert transfer.read_transfer(make_log().filter(regex="^(?!transfer)"), TASKS) is None


def test_the_gap_of_a_flat_loss_is_that_of_the_same_update():
    (line, *_) = transfer.flat_gaps(make_log())
    np.testing.assert_allclose(line.middle, 0.25)
    assert transfer.flat_gaps(make_log().filter(regex="^(?!flat)")) == ()


@pytest.mark.parametrize("empty", [pd.DataFrame(), pd.DataFrame(columns=list(make_probe().columns))])
def test_empty_tables_give_nothing(empty):
    assert shares.read_shares(empty) is None
    assert pairs.comparisons(empty) == ()
    assert trends.probed(empty, "gradient_norm") == ()
