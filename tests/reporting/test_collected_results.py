"""Tables out of run folders: means and deviations against numpy, nothing left out, damage told."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from medmtl.config import parse_config
from medmtl.errors import RunError
from medmtl.evaluation.results import EvaluationResult, Interval, Metric
from medmtl.reporting.artifacts import write_metrics
from medmtl.reporting.markdown import aggregate
from medmtl.reporting.results import COLUMNS, collect_results, render_results


def make_run(root: Path, folder: str, *, name: str = "base", seed: int = 0, config: str = "lr: 1") -> Path:
    path = root / folder
    path.mkdir()
    data = {
        "name": name,
        "seed": seed,
        "code_version": "0.1.0",
        "git": "abc",
        "minutes": 30.5,
        "created": "2025-11-22",
        "run_hash": folder,
    }
    (path / "run.json").write_text(json.dumps(data))
    (path / "config.yaml").write_text(f"name: {name}\nseed: {seed}\n{config}\n")
    return path


def evaluate(path: Path, result: EvaluationResult, value: float, evaluation: str = "test", **changes: object) -> Path:
    interval = (
        Interval(value, value - 0.1, value + 0.1, "DeLong")
        if math.isfinite(value)
        else Interval(value, method="undefined: no positive")
    )
    task = dataclasses.replace(result.tasks[0], metrics=(Metric("auc", "ROC AUC", interval, 103),))
    write_metrics(path / "evaluation" / evaluation, [dataclasses.replace(result, tasks=(task,), **changes)])
    return path


def rows_of(markdown: str) -> list[list[str]]:
    tokens = MarkdownIt().enable("table").parse(markdown)
    rows: list[list[str]] = []
    for before, token in itertools.pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("td_open", "th_open"):
            rows[-1].append(token.content)
    return rows


def test_mean_and_deviation_equal_numpy(tmp_path, result):
    values = [0.81, 0.88, 0.95]
    runs = [evaluate(make_run(tmp_path, f"r{s}", seed=s), result, v) for s, v in enumerate(values)]
    frame = collect_results(runs)
    row = aggregate(frame).iloc[0]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert (row["runs"], row["seeds"], row["n_low"]) == (3, 3, 103)
    text = render_results(frame)
    assert [
        "idrid · test",
        "dr",
        "ROC AUC",
        f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}",
        "3",
        "103",
    ] in rows_of(text)
    for seed, value in enumerate(values):
        interval = f"{value:.3f} ({value - 0.1:.3f}–{value + 0.1:.3f})"
        assert [
            f"r{seed}",
            str(seed),
            "0.1.0",
            "30.5",
            "idrid · test",
            "dr",
            "ROC AUC",
            interval,
            "103",
            "row 7",
        ] in rows_of(text)


def test_frame_has_its_columns_and_values(tmp_path, result):
    frame = collect_results([evaluate(make_run(tmp_path, "r"), result, 0.9)])
    assert tuple(frame.columns) == COLUMNS
    assert frame.loc[0, ["run", "seed", "dataset", "split", "value", "n", "ledger_row"]].tolist() == [
        "base",
        0,
        "idrid",
        "test",
        0.9,
        103,
        "row 7",
    ]


def test_one_seed_has_no_deviation(tmp_path, result):
    text = render_results(collect_results([evaluate(make_run(tmp_path, "r"), result, 0.9)]))
    assert "0.900 ± –" in text


def test_negative_and_missing_values_stay(tmp_path, result):
    a = evaluate(make_run(tmp_path, "a", seed=0), result, -0.3)
    b = evaluate(make_run(tmp_path, "b", seed=1), result, math.nan)
    text = render_results(collect_results([a, b]))
    assert "−0.300 ± –" in text
    assert "2, 1 with a value" in text
    assert "– (undefined: no positive)" in text


def test_a_figure_that_no_run_has_is_folded_with_its_reason(tmp_path, result):
    nothing = [evaluate(make_run(tmp_path, name, seed=i), result, math.nan) for i, name in enumerate("ab")]
    for text in (render_results(collect_results(nothing)), render_results(collect_results(nothing[:1]))):
        assert "Figures without a value: 1<" in text
        assert text.count("undefined: no positive") == 1
        assert "Every seed" not in text


def test_run_without_evaluation_is_listed(tmp_path, result):
    bare, done = make_run(tmp_path, "bare", seed=1), evaluate(make_run(tmp_path, "done"), result, 0.9)
    frame = collect_results([bare, done])
    assert frame.loc[frame["folder"] == "bare", "metric"].isna().all()
    text = render_results(frame)
    assert "bare (seed 1): **not evaluated**" in text
    assert "| 103 |" in text  # counts stay whole numbers beside a run without any
    assert "not evaluated" in render_results(collect_results([bare]))


def test_same_name_with_other_settings_is_not_averaged(tmp_path, result):
    runs = [evaluate(make_run(tmp_path, f"r{i}", seed=i, config=f"lr: {i}"), result, 0.5 + i / 10) for i in range(2)]
    table = aggregate(collect_results(runs))
    assert table["mean"].tolist() == pytest.approx([0.5, 0.6])
    assert render_results(collect_results(runs)).count("(configuration ") == 2


def test_two_evaluations_on_one_data_set_stay_apart(tmp_path, result):
    run = make_run(tmp_path, "r")
    evaluate(run, result, 0.7, "any-mark")
    evaluate(run, result, 0.9, "consensus")
    text = render_results(collect_results([run]))
    assert "idrid · test (any-mark)" in text
    assert "idrid · test (consensus)" in text


def test_a_run_given_twice_counts_once(tmp_path, result):
    run = evaluate(make_run(tmp_path, "r"), result, 0.9)
    assert len(collect_results([run, run / ".." / "r"])) == 1


def test_names_are_text(tmp_path, result, evil):
    run = evaluate(make_run(tmp_path, "r", name="a"), result, 0.9, ledger_row=f"{evil} | [x](http://x.y)\nz")
    data = json.loads((run / "run.json").read_text()) | {"name": f"{evil}\n# x", "git": evil}
    (run / "run.json").write_text(json.dumps(data))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(render_results(collect_results([run])))
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html
    assert html.count("<h3>") == 1
    assert "<h1>" not in html


def test_no_runs():
    assert render_results(collect_results([])) == "No runs.\n"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", None, "no run folder"),
        ("config.yaml", None, "no run folder"),
        ("run.json", "{", "not valid JSON"),
        ("run.json", "[]", "JSON object"),
        ("run.json", "{}", "key 'name' is missing"),
        ("config.yaml", "a: [", "not valid YAML"),
        ("config.yaml", "3", "mapping"),
        ("config.yaml", b"\xff\xfe\x00", "not UTF-8"),
        ("evaluation/test/metrics.json", '{"results": 3}', "no file of results"),
        ("evaluation/test/metrics.json", '{"results": [3]}', "saved evaluation result"),
        ("evaluation/test/metrics.json", '{"results": [{"run": 1}]}', "not a saved evaluation result"),
        ("evaluation/test/metrics.json", '{"format": 9, "results": []}', "newer version"),
        ("evaluation/test/metrics.json", '{"format": "x", "results": []}', "newer version"),
        ("evaluation/test/metrics.json", '{"results": [', "not valid JSON"),
    ],
)
def test_damage_is_one_clear_line(tmp_path, result, file, content, message):
    run = evaluate(make_run(tmp_path, "r"), result, 0.9)
    (run / file).unlink()
    if content is not None:
        (run / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=message) as caught:
        collect_results([run])
    assert "\n" not in str(caught.value)
    assert str(run) in str(caught.value)


def test_missing_folder(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        collect_results([tmp_path / "none"])


def test_processor_minutes_stand_beside_those_of_the_clock_where_they_are_known(tmp_path):
    runs = [make_run(tmp_path, f"r{seed}", seed=seed) for seed in range(3)]
    assert "training minutes: 30.5 on average\n" in render_results(collect_results(runs))
    for run, minutes in zip(runs[:2], (10, 20), strict=True):
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**record, "processor_minutes": minutes}))
    text = render_results(collect_results(runs))
    assert "training minutes: 30.5 on average, 15.0 on average of processor time\n" in text


def test_a_key_that_is_newer_than_a_run_does_not_tell_it_apart(tmp_path):
    tasks = {"grade": {"type": "classification", "mode": "ordinal", "classes": ["0", "1"]}}
    whole = parse_config({"name": "base", "tasks": tasks}).model_dump(mode="json")
    older = {**whole, "model": {**whole["model"], "encoder": {"name": "efficientnet-lite0", "weights": "imagenet"}}}
    other = {**whole, "training": {**whole["training"], "lr": 0.5}}
    runs = [make_run(tmp_path, f"r{seed}", seed=seed) for seed in range(3)]
    for run, data in zip(runs, (whole, older, other), strict=True):
        (run / "config.yaml").write_text(json.dumps(data))
    hashes = list(collect_results(runs)["config"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_seeds_that_start_from_the_first_step_of_their_own_are_one_configuration(tmp_path, result):
    for seed, value in enumerate((0.5, 0.7)):
        config = f"model: {{start: runs/first-{seed}/checkpoints/best.pt}}"
        evaluate(make_run(tmp_path, f"two-{seed}", name="two", seed=seed, config=config), result, value)
    other = "model: {start: runs/another-2/checkpoints/best.pt}"
    evaluate(make_run(tmp_path, "two-2", name="two", seed=2, config=other), result, 0.9)
    means = aggregate(collect_results(tmp_path.iterdir()))
    assert sorted(zip(means["mean"].round(3), means["seeds"], strict=True)) == [(0.6, 2), (0.9, 1)]
