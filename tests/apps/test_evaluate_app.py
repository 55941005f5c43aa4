from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from medmtl.errors import ManifestError, RunError
from medmtl.workflows import evaluating

PROGRAM = Path(__file__).parents[2] / "apps" / "evaluate.py"


@pytest.fixture
def app(program):
    return program("evaluate")


@pytest.fixture
def run(app):
    from medmtl.launching import launch

    return lambda *arguments: launch(app.app, "evaluate", arguments)


def table(folder, name="manifest.csv", text="image\na.png\n"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def asked(monkeypatch):
    """What the workflow is asked for, in place of the workflow."""
    calls = []

    def record(model, manifest, **options):
        calls.append({"model": model, "manifest": manifest, **options})
        return SimpleNamespace(report=options["out"] / "report.html")

    monkeypatch.setattr(evaluating, "evaluate", record)
    return calls


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet", "Manifest.CSV", "eyes.csv", "eyes.pq"])
def test_the_only_table_is_the_manifest(app, tmp_path, name):
    assert app.find_manifest(tmp_path / table(tmp_path, name).parent) == tmp_path / name


def test_manifest_csv_goes_before_other_tables(app, tmp_path):
    table(tmp_path, "a_labels.csv")
    assert app.find_manifest(table(tmp_path).parent).name == "manifest.csv"


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([], "holds no manifest"),
        (["a.png", ".hidden.csv"], "holds no manifest"),
        (["a.csv", "b.csv"], "holds several tables; found a.csv, b.csv"),
        (["manifest.csv", "manifest.parquet"], "several tables"),
    ],
)
def test_no_manifest_or_several_is_an_error(app, tmp_path, names, what):
    for name in names:
        table(tmp_path, name)
    with pytest.raises(ManifestError, match=what):
        app.find_manifest(tmp_path)


@pytest.mark.parametrize(
    ("text", "split", "expected"),
    [
        ("image\na.png\n", "auto", None),
        ("image,split\na.png,\nb.png,test\n", "auto", "test"),
        ("image,split\na.png,train\n", "auto", "test"),
        ("image,split\na.png,train\n", "all", None),
        ("image\na.png\n", "val", "val"),
    ],
)
def test_split(app, tmp_path, text, split, expected):
    assert app.choose_split(table(tmp_path, text=text), split) == expected


def test_flags_reach_the_workflow(run, asked, tmp_path, capsys):
    out = tmp_path / "out"
    manifest = table(tmp_path)
    assert run("--input", str(tmp_path), "--model", "m", "--output", str(out), "--device", "cpu", "--quiet") == 0
    (call,) = asked
    assert (call["model"], call["manifest"], call["out"]) == (Path("m"), manifest, out)
    assert call["ledger"] == out / "ledger.csv"
    assert (call["split"], call["device"], call["progress"].quiet) == (None, "cpu", True)
    assert capsys.readouterr().out == f"report {out / 'report.html'}\n"


def test_environment_reaches_the_workflow_and_flags_go_before_it(run, asked, tmp_path, monkeypatch):
    table(tmp_path)
    settings = {"INPUT": str(tmp_path), "MODEL": "m", "OUTPUT": "o", "SPLIT": "val", "DEVICE": "cuda:1", "QUIET": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(f"MEDMTL_{name}", value)
    assert run() == 0
    assert run("--split", "train") == 0
    first, second = asked
    assert (first["model"], first["out"], first["split"], first["device"]) == (Path("m"), Path("o"), "val", "cuda:1")
    assert (second["split"], second["model"]) == ("train", Path("m"))


def test_errors_are_one_line_and_code_2(run, tmp_path, capsys, monkeypatch):
    def refuse(*arguments, **options):
        raise RunError("this is not a run folder", where="m")

    monkeypatch.setattr(evaluating, "evaluate", refuse)
    table(tmp_path)
    commands = [
        ("--input", str(tmp_path / "none")),
        ("--input", str(tmp_path)),
        ("--input", str(tmp_path), "--split", "tset"),
    ]
    expected = ["no such input folder", "this is not a run folder", "did you mean 'test'?"]
    for command, what in zip(commands, expected, strict=True):
        assert run(*command) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith("error: ")
        assert what in said.err


def test_unknown_flag_is_one_line_and_code_2(run, capsys):
    assert run("--no-such-flag") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "--no-such-flag" in said
    assert said.count("\n") == 1


def test_as_a_process_an_empty_input_is_said_without_loading_torch(tmp_path):
    command = [sys.executable, "-X", "importtime", str(PROGRAM), "--input", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if not line.startswith("import time:")] == [
        f"error: {tmp_path}: the input folder holds no manifest; put a manifest.csv beside the images"
    ]
    assert " torch\n" not in done.stderr
