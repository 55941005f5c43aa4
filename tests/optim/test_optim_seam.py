"""Outside the package no method is known by name, and nobody asks for its class."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import medmtl
from medmtl.optim import Method, methods

ROOT = Path(medmtl.__file__).parent
OUTSIDE = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] != "optim"]
CLASSES = {methods.get(name).__name__ for name in methods} | {Method.__name__}
WORDS = {"config", "fixed", "mean", "random"}  # methods, but everyday words too: a string with one of them says nothing
DRAWING = {"set_aspect", "axis", "set_box_aspect"}  # a figure's "equal" axes are no method


def offences(source: str) -> list[str]:
    """Lines that know a method: a string with its name, its class, a module inside the package."""
    tree = ast.parse(source)
    drawn = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DRAWING
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]
    }
    named = set(methods) - WORDS
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in named and id(node) not in drawn:
            found.append(f"line {node.lineno}: the name {node.value!r}")
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith("medmtl.optim."):
                found.append(f"line {node.lineno}: imports {node.module}")
            if node.module == "medmtl.optim":
                taken = {alias.name for alias in node.names} & (CLASSES - {Method.__name__})
                found += [f"line {node.lineno}: imports {name}" for name in sorted(taken)]
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            found += [f"line {node.lineno}: asks for {name}" for name in sorted(asked & CLASSES)]
    return found


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_method_is_known_outside(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 'pcgrad'",
        "isinstance(m, Method)",
        "from medmtl.optim import Famo",
        "from medmtl.optim.weighting import Equal",
    ],
)
def test_the_check_can_fail(source: str) -> None:
    assert offences(source)


def test_drawing_is_no_offence() -> None:
    assert offences("axes.set_aspect('equal')") == []
