"""What the documents say is true: commands parse, links lead somewhere, Python compiles and calls what there is."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import medmtl
from medmtl.cli import app
from medmtl.comparison import planning
from medmtl.comparison.planning import make_plan
from medmtl.comparison.spec import read_spec
from medmtl.config import load_config
from medmtl.inference.network import build_tasks

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/*.md")])
CONFIGS = sorted(ROOT.glob("configs/**/*.yaml"))
# Made by runs, not by hand: the results' tables and the demo's picture.
MADE: set[str] = set()


def blocks(page, language=""):
    # Fences inside list items are indented.
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for _, kind, text in found if kind == language]


def commands():
    texts = [(page, text) for page in PAGES for text in blocks(page)]
    texts += [(path, re.sub(r"^#\s*", "", path.read_text(), flags=re.MULTILINE)) for path in CONFIGS]
    for path, text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip().startswith("medmtl "):
                yield pytest.param(line.strip(), id=f"{path.name}: {line.strip()[:60]}")


def parse(line):
    """Parses a command line to the end and calls nothing."""
    arguments = shlex.split(line, comments=True)[1:]
    command, context = typer.main.get_command(app), None
    while arguments:
        with command.make_context(command.name, arguments, parent=context) as context:
            rest = [*context._protected_args, *context.args] if hasattr(command, "commands") else []
        if not rest:
            return
        _, command, arguments = command.resolve_command(context, rest)


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line):
    if line.split()[1:] not in (["--help"], ["-h"]):
        parse(line)


@pytest.mark.parametrize(
    "line", ["medmtl evaluate RUN --manifesto M", "medmtl trian X", "medmtl data make idrid --out M"]
)
def test_a_wrong_command_is_found(line):
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        parse(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    paths = {(page.parent / target).resolve() for target in targets if target}
    missing = {path.relative_to(ROOT).as_posix() for path in paths if not path.exists()}
    assert missing - MADE == set()


def test_the_architecture_names_every_layer():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [layer.split(" | ") for layer in contracts[0]["layers"]]
    (chain,) = re.findall(r"^`(cli → .*)`$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    told = [layer.split(", ") for layer in chain.split(" → ")]
    assert [{f"medmtl.{name}" for name in layer} for layer in told] == [set(layer) for layer in layers]


def test_the_python_example_calls_what_there_is():
    (text,) = blocks(ROOT / "README.md", "python")
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    found = [
        node for node in calls if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "medmtl"
    ]
    assert {node.func.attr for node in found} == {"train", "evaluate", "explain"}
    for node in found:
        names = [keyword.arg for keyword in node.keywords]
        inspect.signature(getattr(medmtl, node.func.attr)).bind(*node.args, **dict.fromkeys(names))


def test_make_targets_of_the_documents_exist():
    text = "\n".join(block for page in PAGES for block in blocks(page))
    told = set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= told <= targets


def test_no_path_of_a_machine_is_told():
    for page in [*PAGES, *CONFIGS]:
        assert not re.search(r"(/work|/home|/Users|/root)/", page.read_text(encoding="utf-8")), page


def trained():
    """The configurations of each command that trains, in the comments of the configurations."""
    for path in CONFIGS:
        for line in re.sub(r"^#\s*", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if line.startswith("medmtl train ") else []
            files = [word for word in words if word.endswith(".yaml")]
            if files:
                sets = [value for word, value in itertools.pairwise(words) if word == "--set"]
                yield pytest.param(files, sets, id=" ".join(files))


@pytest.mark.parametrize(("files", "sets"), trained())
def test_configurations_that_comments_train_are_complete(files, sets):
    config = load_config([ROOT / file for file in files], sets)
    assert config.name
    assert build_tasks(config)


@pytest.mark.parametrize(
    "path", [path for path in sorted(ROOT.glob("configs/compare/*.yaml")) if not path.stem.endswith("-base")]
)
def test_every_cell_of_the_comparisons_has_a_configuration(path, monkeypatch):
    for name in ("read_cohort", "_check_manifests"):  # their data are not here
        monkeypatch.setattr(planning, name, lambda *_: None)
    plan = make_plan(read_spec(path), path)
    assert len([*plan.tuning(), *plan.chosen({one.name: next(iter(one.configs)) for one in plan.series})]) >= 2
