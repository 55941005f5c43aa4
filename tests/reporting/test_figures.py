"""Figures are well-formed, equal for equal input, and survive hostile names, empty curves and missing values."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medmtl.evaluation.results import Confusion, Curve, CurvePoint
from medmtl.reporting import canvas, figures, learning
from medmtl.reporting.page import CURVE_NAMES


def curves_of(result, kind):
    return [curve for curve in result.tasks[0].curves if curve.kind == kind]


@pytest.mark.parametrize("kind", list(CURVE_NAMES))
def test_every_kind_draws_well_formed_svg(result, kind):
    text = figures.curve_figure(kind, curves_of(result, kind))
    assert ET.fromstring(text).tag.endswith("svg")
    assert text == figures.curve_figure(kind, curves_of(result, kind))


def test_froc_is_drawn_in_steps_and_roc_is_not(monkeypatch):
    seen = {}
    monkeypatch.setattr(figures, "svg", lambda figure: seen.update(axes=figure.axes[0]) or "")
    curve = Curve("froc", "t", (0, 1, 2), (0, 0.5, 0.6), "x", "y")
    figures.froc([curve])
    line = seen["axes"].get_lines()[0]
    assert line.get_drawstyle() == "steps-post"
    assert seen["axes"].get_xscale() == "symlog"
    assert list(line.get_xdata()) == [0, 1, 2]
    figures.roc([curve])
    assert {line.get_drawstyle() for line in seen["axes"].get_lines()} == {"default"}


@pytest.mark.parametrize(("largest", "limit"), [(0.5, 8), (10, 10), (300, 16)])
def test_froc_axis_reaches_eight_and_stops_at_sixteen(monkeypatch, largest, limit):
    seen = {}
    monkeypatch.setattr(figures, "svg", lambda figure: seen.update(axes=figure.axes[0]) or "")
    figures.froc([Curve("froc", "t", (0, largest), (0, 0.5), "x", "y")])
    assert seen["axes"].get_xlim() == (0, limit)


def test_confusion_shows_counts_and_shares_of_the_row(monkeypatch):
    seen = {}
    monkeypatch.setattr(figures, "svg", lambda figure: seen.update(axes=figure.axes[0]) or "")
    figures.confusion(Confusion(("a", "b"), ((30, 10), (0, 0)), "t"))
    assert [text.get_text() for text in seen["axes"].texts] == ["30\n75%", "10\n25%", "0\n0%", "0\n0%"]
    np.testing.assert_allclose(seen["axes"].images[0].get_array(), [[0.75, 0.25], [0, 0]])


@settings(deadline=None, max_examples=10)
@given(st.text(st.characters(codec=None), max_size=60))
def test_any_title_can_be_drawn(title):
    ET.fromstring(figures.roc([Curve("roc", title, (0, 1), (0, 1), title, title)]))


def test_no_two_lines_look_alike():
    looks = [tuple(canvas.ink(index).values()) for index in range(28)]
    assert len(set(looks)) == 28
    assert len({canvas.ink(index)["color"] for index in range(figures.MAX_LINES)}) == figures.MAX_LINES


def test_matplotlib_settings_are_given_back():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figures.roc([])
    assert dict(mpl.rcParams) == before


def test_png_is_one():
    figure, axes = canvas.sheet()
    axes.plot([0, 1])
    assert canvas.png(figure).startswith(b"\x89PNG")


def test_epoch_means_equal_plain_means(log):
    line = learning.by_epoch(log, "train", "loss")
    assert line.to_dict() == pytest.approx(
        {1: (1 + 1 / 2) / 2, 2: (1 / 3 + 1 / 4) / 2, 3: (1 / 5 + 1 / 6) / 2, 4: (1 / 7 + 1 / 8) / 2}
    )


def test_best_epoch_is_the_chosen_one_or_the_lowest_validation_loss(log):
    assert learning.best_epoch(log).epoch == 2
    assert learning.best_epoch(log, 4).epoch == 4
    assert learning.best_epoch(log.drop(columns="loss")) is None
    assert learning.best_epoch(log[log["split"] == "train"]) is None


def test_best_epoch_is_marked(log, monkeypatch):
    seen = []
    monkeypatch.setattr(learning, "svg", lambda figure: seen.append(figure.axes[0]) or "")
    learning.learning_curves(log)
    assert all(any(list(line.get_xdata()) == [2, 2] for line in axes.get_lines()) for axes in seen)


def test_one_chart_for_each_thing_that_was_logged(log):
    titles = [chart.title for chart in learning.learning_curves(log)]
    assert titles == ["Loss", "Loss of dr", "Validation metrics of dr", "Learning rate"]
    assert "validation from 0.9 to 0.6" in learning.learning_curves(log)[0].alt


@pytest.mark.parametrize(
    "log",
    [pd.DataFrame(), pd.DataFrame({"loss": [1.0]}), pd.DataFrame({"epoch": [1], "split": ["val"], "loss": [math.nan]})],
)
def test_empty_logs_give_no_charts(log):
    assert learning.learning_curves(log) == ()


def test_a_curve_of_steps_ends_with_its_axis(monkeypatch):
    """What lies beyond the axis would be drawn over the page: lines are not clipped, so that 0 and 1 are whole."""
    seen = {}
    monkeypatch.setattr(figures, "svg", lambda figure: seen.update(axes=figure.axes[0]) or "")
    far = CurvePoint(30, 0.9, "beyond")
    near = CurvePoint(2, 0.5, "within")
    figures.froc(
        [
            Curve("froc", "t", (0, 2, 30), (0, 0.5, 0.9), "x", "y", points=(near, far)),
            Curve("froc", "empty", (), (), "", ""),
        ]
    )
    line = seen["axes"].get_lines()[0]
    assert line.get_xdata().tolist() == [0, 2, 16]
    assert line.get_ydata().tolist() == [0, 0.5, 0.5]
    assert "beyond" not in seen["axes"].get_legend_handles_labels()[1]
