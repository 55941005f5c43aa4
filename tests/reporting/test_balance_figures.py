"""Who moves what, drawn: each figure only where its data exist, well formed, and told in words."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from balance_tables import TASKS, make_log, make_probe

from medmtl.reporting.artifacts import artifacts
from medmtl.reporting.balance import drawing, grids
from medmtl.reporting.balance.charts import balance_charts
from medmtl.reporting.balance.trends import trends
from medmtl.reporting.report import render_page

NOTHING = pd.DataFrame()


def titles(log, probe):
    return {group.title: [chart.title for chart in group.charts] for group in balance_charts(log, probe)}


@pytest.fixture(scope="module")
def groups():
    return balance_charts(make_log(), make_probe())


def test_all_that_was_measured_is_drawn(groups):
    found = {group.title: [chart.title for chart in group.charts] for group in groups}
    assert found["Weights and gradients"] == ["Task weights", "Gradient norms", "Cosines between gradients"]
    assert found["Update shares"] == [
        "Mean share over layers",
        "Share in each layer",
        "Largest share in each layer",
        *(f"Share of {task}" for task in TASKS),
    ]
    assert len(found["Conflict"]) == 3
    assert found["Cooperation"] == [
        "What the perturbation adds to the loss",
        "Drift in a phase",
        "Transfer between tasks",
        *(f"What phases did to the loss of {task}" for task in TASKS),
    ]


def test_every_figure_is_well_formed_and_told_in_words(groups):
    for group in groups:
        assert group.note
        for chart in group.charts:
            assert ET.fromstring(chart.svg).tag.endswith("svg")
            assert "mathdefault" not in chart.svg
            assert len(chart.alt) > 30
            assert "nan" not in chart.alt


def test_equal_tables_equal_figures(groups):
    assert balance_charts(make_log(), make_probe()) == groups


def test_without_data_without_figure():
    assert titles(NOTHING, NOTHING) == {}
    plain = make_log().filter(regex="^(step|epoch|split|loss|weight)").assign(**{f"weight/{t}": 1.0 for t in TASKS})
    assert titles(plain, NOTHING) == {}
    assert list(titles(NOTHING, make_probe())) == ["Weights and gradients", "Update shares", "Conflict"]
    assert titles(NOTHING, make_probe())["Weights and gradients"] == ["Gradient norms"]
    assert list(titles(make_log().filter(regex="^(step|epoch|split|drift)"), NOTHING)) == ["Cooperation"]


def test_many_pairs_become_a_table():
    tasks = tuple("abcde")
    found = titles(make_log(tasks=tasks).filter(regex="^(step|epoch|split|cosine)"), NOTHING)
    assert found["Weights and gradients"] == ["Mean cosines between gradients"]


def test_one_look_and_one_update_can_be_drawn():
    assert len(titles(make_log(steps=1), make_probe(looks=1))) == 4


@pytest.fixture
def seen(monkeypatch):
    figures = []
    for module in (drawing, grids):
        monkeypatch.setattr(module, "svg", lambda figure: figures.append(figure) or "<svg/>")
    return figures


def test_lines_carry_their_bands_and_the_level(seen):
    log = pd.concat([make_log()] * 20).assign(step=lambda frame: np.arange(len(frame)))
    drawing.lines(trends(log, "weight/"), drawing.Look("w", level=(0.0, "zero")), TASKS)
    axes = seen[0].axes[0]
    assert [line.get_label() for line in axes.get_lines()] == ["a", "b", "c", "zero"]
    assert len(axes.collections) == 3
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Update", "w")


def test_a_task_keeps_its_color_when_others_are_missing(seen):
    log = make_log()
    drawing.lines(trends(log, "weight/"), drawing.Look("w"), TASKS)
    drawing.lines(trends(log, "weight/")[2:], drawing.Look("w"), TASKS)
    assert seen[0].axes[0].get_lines()[2].get_color() == seen[1].axes[0].get_lines()[0].get_color()


def test_the_layer_map_is_white_at_even_shares(seen):
    grids.layer_map(np.full((4, 2), 0.5), ("x", "y"), np.arange(4.0), "share", "33%\neven")
    axes, bar = seen[0].axes
    image = axes.images[0]
    assert image.get_array().shape == (2, 4)
    assert image.norm(0.5) == 0.5
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["0%", "33%\neven", "100%"]


def test_bars_fill_the_row(seen):
    grids.layer_bars(np.array([[0.2, 0.8], [0.5, 0.5]]), ("x", "y"), ("a", "b"), ("a", "b"), np.array([0.5, 0.5]))
    ends = [patch.get_x() + patch.get_width() for patch in seen[0].axes[0].patches]
    np.testing.assert_allclose(ends, [0.2, 0.5, 1.0, 1.0])


def test_it_stands_on_the_page_and_its_table_beside_it(run):
    probed = dataclasses.replace(run, log=make_log(), probe=make_probe())
    page = render_page([], probed, {})
    assert "Who moves what" in page
    assert "Largest share in each layer" in page
    assert 'class="chart wide"' in page
    assert "beside it" not in page
    assert "curves/probe.csv" in [file.path for file in artifacts([], probed)]
    assert "Who moves what" not in render_page([], dataclasses.replace(run, log=NOTHING), {})
