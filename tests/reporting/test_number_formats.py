"""How numbers look in tables."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from medmtl.evaluation.results import Interval, Metric
from medmtl.reporting import tables


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.912, "0.912"),
        (-0.05, "−0.050"),
        (35.16, "35.2"),
        (1744.0, "1,744"),
        (5e-5, "5e-05"),
        (0.0, "0.000"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_numbers(value, text):
    assert tables.format_number(value) == text


def test_interval_has_the_decimals_of_its_value():
    assert tables.format_interval(Interval(0.912, 0.88, 0.941)) == "0.912 (0.880–0.941)"
    assert tables.format_interval(Interval(35.16, 9.0, 41.0)) == "35.2 (9.0–41.0)"


def test_missing_value_is_a_dash_with_its_reason():
    nothing = Interval(math.nan, method="undefined: no positive")
    assert tables.format_interval(nothing) == "–"
    assert tables.missing_reason(nothing) == "undefined: no positive"
    assert tables.format_interval(Interval(0.5, method="one patient only")) == "0.500"
    assert tables.missing_reason(Interval(0.5, method="one patient only")) == "one patient only"
    assert tables.missing_reason(Interval(0.5, 0.4, 0.6, "DeLong")) == ""
    assert tables.missing_reason(Interval(math.nan)) != ""


def test_note_names_direction_only_where_lower_is_better():
    metric = Metric("ece", "ECE", Interval(0.1, 0, 0.2, "bootstrap"), 3, "images", higher_is_better=False)
    assert tables.metric_note(metric) == "images; bootstrap; lower is better"


@given(st.floats(-9.99, 9.99))
def test_text_is_within_half_a_unit_of_the_value(value):
    text = tables.format_number(value).replace("−", "-")
    assert float(text) == pytest.approx(value, rel=0.06, abs=0.000501)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (np.int64(-2), "−2"),
        (12.0, "12"),
        (2.5, "2.500"),
        (None, "–"),
        (pd.NA, "–"),
        ("", "–"),
        (True, "True"),
        (np.nan, "–"),
    ],
)
def test_cells(value, text):
    assert tables.format_cell(value) == text


@given(st.text())
def test_any_text_stays_plain_text_in_a_markdown_table(text):
    source = tables.markdown_table(["a", "b"], [[text, "end"]])
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(source)
    assert sum(token.type == "td_open" for token in tokens) == 2
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {"text", "text_special"}


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@a", "=HYPERLINK(1)"])
def test_csv_runs_no_formula(text):
    assert tables.csv_text(pd.DataFrame({"id": [text]})).splitlines()[1].lstrip('"').startswith("'")


def test_csv_keeps_full_precision_and_leaves_missing_cells_empty():
    frame = pd.DataFrame({"x": [0.1 + 0.2, np.nan], "t": ["-0.5", "a,b"], "n": [1, 2]})
    back = pd.read_csv(io.StringIO(tables.csv_text(frame)), dtype={"t": str})
    pd.testing.assert_frame_equal(back, frame, check_dtype=False, check_exact=True)
    assert tables.csv_text(frame).splitlines()[2].startswith(",")
