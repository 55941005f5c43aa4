"""Public functions of evaluation, workflows and the Python calls say what they take and what they raise."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from medmtl import api, measureapi
from medmtl.workflows import evaluating, explaining, flatness, mapquality

PACKAGE = Path(api.__file__).parent
FILES = [
    *sorted(PACKAGE.glob("*api.py")),
    *sorted(PACKAGE.glob("evaluation/*.py")),
    *sorted(PACKAGE.glob("workflows/*.py")),
]


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def lacking(function: ast.FunctionDef) -> list[str]:
    text, given = ast.get_docstring(function) or "", function.args
    names = [
        item.arg for item in [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg] if item
    ]
    names = [name for name in names if name not in {"self", "cls"}]
    missing = [name for name in names if len(names) >= 3 and f"    {name}: " not in text]
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(function))
    return missing + (["Raises"] if raises and "Raises:" not in text else [])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_arguments_and_errors_are_documented(path: Path):
    functions = public(ast.parse(path.read_text(encoding="utf-8")).body)
    assert {function.name: gap for function in functions if (gap := lacking(function))} == {}


@pytest.mark.parametrize(
    ("call", "workflow"),
    [
        (api.evaluate, evaluating.evaluate),
        (api.explain, explaining.explain),
        (measureapi.map_quality, mapquality.map_quality),
        (measureapi.flatness, flatness.measure_flatness),
    ],
)
def test_the_python_calls_take_what_the_workflows_take_by_name(call, workflow):
    ours, theirs = (inspect.signature(function).parameters for function in (call, workflow))
    keywords = {name for name, item in theirs.items() if item.kind is item.KEYWORD_ONLY}
    assert {name for name, item in ours.items() if item.kind is item.KEYWORD_ONLY} == keywords - {"progress"} | {
        "quiet"
    }
    for name in keywords - {"progress"}:
        assert ours[name].default in {theirs[name].default, "heatmaps"}
