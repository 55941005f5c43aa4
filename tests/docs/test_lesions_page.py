"""The page on lesion-level evaluation: its example runs as it stands, and it names every rule, column and option."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from medmtl.cli import app, run
from medmtl.evaluation.rules import HIT_RULES
from medmtl.lesionfiles.candidatetable import NEEDED

PAGE = (Path(__file__).parents[2] / "docs" / "lesions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (synth, code, evaluate) = [text for _, text in BLOCKS[1:4]]
    assert run(shlex.split(synth)[1:]) == 0
    exec(compile(code, "lesions.md", "exec"), {})
    assert run([*shlex.split(evaluate.replace("\\\n", " "))[1:], "--quiet", "--draws", "20"]) == 0, capfd.readouterr()
    assert (tmp_path / "blobs" / "index.html").exists()
    assert len(list((tmp_path / "blobs" / "images").glob("*.html"))) == 12


@pytest.mark.parametrize("rule", HIT_RULES)
def test_every_rule_is_told(rule):
    assert f"`{rule}" in PAGE


def test_every_needed_column_is_told():
    assert all(f"`{name}`" in PAGE for name in NEEDED)


def test_the_options_of_the_page_exist():
    commands = typer.main.get_command(app).commands
    known = {
        name: {word for option in one.params for word in (*option.opts, *option.secondary_opts)}
        for name, one in commands.items()
    }
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)  # commands of the blocks are parsed elsewhere
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", prose))
    assert told <= known["lesions"] | {"--export"}, told - known["lesions"]
    assert "--export" in known["explain"]
