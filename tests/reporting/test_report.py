"""The page is self-contained, says what metrics.json says, and treats every name as text."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medmtl.errors import EvaluationError, OutputError
from medmtl.evaluation.results import EvaluationResult, Interval, Metric
from medmtl.reporting.artifacts import artifacts, slug
from medmtl.reporting.page import frame_grid, metric_row, picture_uri, strip
from medmtl.reporting.report import render_page, write_report

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory, result, run, picture):
    path = write_report(tmp_path_factory.mktemp("report") / "out", [result], run, {("idrid", "dr", "img1"): picture})
    return path.parent, Page(path.read_text(encoding="utf-8"))


def test_page_needs_nothing_from_outside(written):
    folder, page = written
    for _, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
        assert not any(name.startswith("on") for name in attributes)
    text = (folder / "report.html").read_text(encoding="utf-8")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert page.all("script") == []
    assert page.all("link") == []


def test_the_glance_shows_the_first_metric_that_has_a_value(result, run):
    task = result.tasks[0]
    void = next(metric for metric in task.metrics if np.isnan(metric.interval.value))
    known = next(metric for metric in task.metrics if np.isfinite(metric.interval.value))
    for metrics, label in (((void, known), known.label), ((void,), void.label)):
        shown = dataclasses.replace(result, tasks=(dataclasses.replace(task, metrics=metrics),))
        glance = re.search(r'<section id="glance">(.*?)</section>', render_page([shown], run, {}), re.DOTALL).group(1)
        assert re.findall(r'data-name="Metric">(.*?)<', glance) == [label]


def test_anchors_lead_somewhere_and_ids_are_unique(written):
    _, page = written
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)


def test_numbers_on_the_page_equal_those_of_metrics_json(written):
    folder, page = written
    data = json.loads((folder / "metrics.json").read_text())
    shown = {
        (c["data-dataset"], c["data-task"], c["data-metric"]): c["data-value"]
        for c in page.all("td")
        if "data-metric" in c
    }
    expected = {
        (task["dataset"], task["task"], metric["name"]): metric["interval"]["value"]
        for task in data["results"][0]["tasks"]
        for metric in task["metrics"]
    }
    assert {key: float(value) if value else None for key, value in shown.items()} == expected
    assert "0.912 (0.880–0.941)" in page.text


def test_saved_json_reads_back_as_the_result(written, result):
    folder, _ = written
    data = json.loads((folder / "metrics.json").read_text())
    assert [EvaluationResult.from_dict(item).to_dict() for item in data["results"]] == [result.to_dict()]


def test_untrusted_names_are_text(written, evil):
    folder, page = written
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert evil not in text
    assert "<img src=x" not in text
    assert sum(evil in part for part in page.text) >= 5  # title, heading, table, example, environment
    assert any(evil in image["alt"] for image in page.all("img"))


def test_every_picture_has_words_and_decodes(written):
    _, page = written
    for image in page.all("img"):
        assert len(image["alt"]) > 10
        kind, data = image["src"].removeprefix("data:image/").split(";base64,")
        raw = base64.b64decode(data)
        assert raw.startswith(b"<?xml") if kind == "svg+xml" else Image.open(io.BytesIO(raw)).size == (8, 6)
    assert sum("image/png" in image["src"] for image in page.all("img")) == 1


def test_examples_stand_in_the_order_best_median_worst(written):
    _, page = written
    roles = [a["class"].split()[-1] for a in page.all("span") if a.get("class", "").startswith("role ")]
    assert roles == ["best", "median", "worst"]
    assert page.text.count("no picture was made") == 2


def test_missing_values_show_a_dash_and_the_reason(written):
    _, page = written
    place = page.text.index("undefined: no positive")
    assert page.text[place - 1] == "–"
    assert "nan" not in " ".join(page.text).lower().replace("alert", "")


@pytest.mark.parametrize(
    "words",
    [
        "Research use only. Not for clinical use.",
        "hash123",
        "mhash456",
        "row 7",
        "2025-11-22",
        "31.4",
        "Hit rule: peak-in-lesion, 0 px",
        "thresholds from validation",
        "abc, clean",
    ],
)
def test_page_says(written, words):
    _, page = written
    assert any(words in part for part in page.text)


def test_labelled_and_unlabelled_are_counted(written):
    _, page = written
    assert "103 labelled" in " ".join("".join(page.text).split())
    assert "7 unlabelled, left out" in " ".join("".join(page.text).split())


def test_files_hold_the_tables_and_curves(written, result):
    folder, _ = written
    index = pd.read_csv(folder / "curves" / "index.csv", keep_default_na=False)
    assert list(index["kind"]) == [curve.kind for curve in result.tasks[0].curves]
    for path, curve in zip(index["file"], result.tasks[0].curves, strict=True):
        frame = pd.read_csv(folder / path)
        np.testing.assert_array_equal(frame["x"].to_numpy(dtype=float), curve.x)
        np.testing.assert_array_equal(frame["y"].to_numpy(dtype=float), curve.y)
    metrics = pd.read_csv(folder / "tables" / "metrics.csv")
    assert metrics["value"].tolist()[:2] == [0.91234567, -0.05]
    matrix = pd.read_csv(folder / "tables" / "idrid_test_dr_confusion_grades.csv")
    assert matrix.iloc[:, 1:].to_numpy().tolist() == [[30, 4], [0, 0]]


def test_file_names_never_collide_or_leave_the_folder(result, run):
    task = dataclasses.replace(result.tasks[0], dataset="../../etc", task="a/b")
    files = artifacts([dataclasses.replace(result, tasks=(task, task))], run)
    paths = [file.path for file in files]
    assert len(set(paths)) == len(paths)
    assert all(re.fullmatch(r"(tables|curves)/[a-z0-9_-]+\.csv", path) for path in paths)
    assert slug("../..") == "unnamed"


def test_nothing_evaluated_still_makes_a_page(run):
    empty = dataclasses.replace(
        run, log=pd.DataFrame(), data_counts=pd.DataFrame(), minutes=float("nan"), ledger_row=""
    )
    page = Page(render_page([], empty, {}))
    assert "Nothing was evaluated." in page.text
    assert "–" in page.text


def test_task_without_metrics(result, run):
    bare = dataclasses.replace(result.tasks[0], metrics=(), curves=(), confusions=(), tables=(), examples=(), notes=())
    page = Page(render_page([dataclasses.replace(result, tasks=(bare,))], run, {}))
    assert any("No metric could be computed." in part for part in page.text)


def test_same_input_same_page(result, run):
    assert render_page([result], run, {}) == render_page([result], run, {})


def test_pictures_of_another_format_are_refused(tmp_path, result, run):
    with pytest.raises(EvaluationError, match="neither PNG nor JPEG"):
        write_report(tmp_path / "out", [result], run, {("idrid", "dr", "img1"): b"<svg onload=alert(1)>"})
    assert not (tmp_path / "out").exists()
    assert picture_uri(b"\xff\xd8\xff\xe0").startswith("data:image/jpeg;base64,")


def test_folder_that_is_a_file_is_one_clear_error(tmp_path, result, run):
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError):
        write_report(tmp_path / "out", [result], run, {})


def test_metrics_json_comes_last(tmp_path, result, run, monkeypatch):
    from medmtl.reporting import report

    seen = []
    monkeypatch.setattr(report, "write_metrics", lambda folder, results: seen.append((folder / "report.html").exists()))
    write_report(tmp_path / "out", [result], run, {})
    assert seen == [True]


def test_long_tables_are_cut_on_the_page_and_say_so():
    grid = frame_grid(pd.DataFrame({"a": range(100)}), "t")
    assert (len(grid.rows), grid.hidden, grid.numeric) == (40, 60, (True,))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(0.5, 0.4, 0.6), (50, 40, 20)),
        (Interval(0.1, -0.1, 1.2), (10, 0, 100)),
        (Interval(0.5), (50, 50, 0)),
        (Interval(-0.1, -0.2, 0), None),
        (Interval(float("nan")), None),
        (Interval(1744.0, 1, 2), None),
    ],
)
def test_strip_lies_between_zero_and_one(interval, expected):
    found = strip(interval)
    assert (found and (found.dot, found.left, found.width)) == expected


def test_reason_is_not_said_twice():
    row = metric_row(Metric("a", "A", Interval(float("nan"), method="no label"), 0, "images"))
    assert (row.text, row.reason, row.note, row.raw) == ("–", "no label", "images", "")


def test_neither_results_nor_summary_load_matplotlib():
    code = "import sys, medmtl.reporting.results, medmtl.reporting.report; print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )
