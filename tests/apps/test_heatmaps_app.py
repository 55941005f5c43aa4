from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import medmtl
from medmtl.errors import RunError


@pytest.fixture
def run(program):
    app = program("heatmaps").app
    from medmtl.launching import launch

    return lambda *arguments: launch(app, "heatmaps", arguments)


def test_model_images_and_folder_reach_explain(run, monkeypatch, capsys, tmp_path):
    calls = []

    def explain(model, images, **options):
        calls.append((model, images, options))
        return SimpleNamespace(images=3, candidates=5, index=tmp_path / "index.html")

    monkeypatch.setitem(vars(medmtl), "explain", explain)
    assert run("model", "photos", "results") == 0
    assert run("model", "photos", "--quiet", "--export", "geojson", "--anatomy", "eyes.csv") == 0
    assert calls == [
        (Path("model"), Path("photos"), {"out": Path("results"), "export": (), "anatomy": None, "quiet": False}),
        (
            Path("model"),
            Path("photos"),
            {"out": Path("heatmaps"), "export": ["geojson"], "anatomy": Path("eyes.csv"), "quiet": True},
        ),
    ]
    told = capsys.readouterr().out
    assert "3 images looked at, 5 places marked." in told
    assert str(tmp_path / "index.html") in told


def test_errors_are_one_line_and_code_2(run, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise RunError("the run holds no thresholds", where="model", remedy="train it\nagain")

    monkeypatch.setitem(vars(medmtl), "explain", refuse)
    assert run("model", "photos") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: model: the run holds no thresholds; train it again\n"


@pytest.mark.parametrize("arguments", [(), ("model",), ("model", "photos", "out", "more"), ("--wrong",)])
def test_wrong_use_is_one_line_and_code_2(run, arguments, capsys):
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.endswith("; see heatmaps --help\n")
    assert said.err.count("\n") == 1


def test_what_the_system_refuses_is_one_line_and_code_2(run, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device", "heatmaps/index.html")

    monkeypatch.setitem(vars(medmtl), "explain", refuse)
    assert run("model", "photos") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "heatmaps/index.html" in said
    assert said.count("\n") == 1


def test_help_says_what_a_color_means_and_what_it_is_not(run, capsys):
    assert run("--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "not a diagnosis" in told
    assert "same evidence in every image" in told
