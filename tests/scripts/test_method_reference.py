"""docs/methods.md is what the methods say of themselves, and they say all that a reader needs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from programs import ROOT, program

from medmtl.optim import argument_names, methods


@pytest.fixture(scope="module")
def script():
    return program("scripts/make_method_reference.py")


@pytest.fixture(scope="module")
def sections(script):
    parts = re.split(r"^### `(\w+)`$", script.reference(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_committed_reference_is_what_the_methods_say(script):
    committed = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    assert committed == script.reference(), "run scripts/make_method_reference.py"


def test_every_method_stands_in_the_tables_and_has_a_section(script, sections):
    text = script.reference()
    assert sorted(sections) == list(methods)
    for name in methods:
        info = methods.get(name).info
        assert text.count(f"| [`{name}`](#{name}) |") == 1
        for fact in (info.backward_passes, info.extra_memory, info.mixed_precision, info.processes, info.evidence):
            assert fact in sections[name], (name, fact)


@pytest.mark.parametrize("name", list(methods))
def test_every_argument_is_told(script, sections, name):
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", sections[name], re.MULTILINE))
    assert tuple(rows) == argument_names(methods.get(name))
    assert all(len(meaning) > 3 for meaning in rows.values()), rows


def test_every_table_is_whole(script):
    widths = []
    for line in script.reference().splitlines():
        widths = [*widths, line.replace("\\|", "").count("|")] if line.startswith("|") else []
        assert len(set(widths)) <= 1, line


def test_docstrings_become_markdown(script):
    told, arguments = script.split_docstring(
        "Does it.\n\nAs in::\n\n    a = b\n\nMore ``code``.\n\nArgs:\n    x: One\n        line.\n    y: Two."
    )
    assert script.to_markdown(told) == "Does it.\n\nAs in:\n\n```\na = b\n```\n\nMore `code`."
    assert arguments == {"x": "One line.", "y": "Two."}


def test_no_markup_of_docstrings_is_left(script):
    text = script.reference()
    assert "``" not in text.replace("```", "")
    assert "::\n" not in text
    assert "Args:" not in text


def test_reconstructions_are_named(script):
    text = script.reference()
    for name in methods:
        if "reconstruction" in methods.get(name).info.evidence:
            assert f"`{name}`" in script.reconstructed()
    assert "No figure of such a paper is claimed" in text


def test_check_tells_a_stale_file(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "TARGET", tmp_path / "methods.md")
    with pytest.raises(SystemExit):
        script.main(check=True)
    script.main(check=False)
    script.main(check=True)
    name = next(iter(methods))
    monkeypatch.setattr(methods.get(name), "info", replace(methods.get(name).info, paper="another"))
    with pytest.raises(SystemExit):
        script.main(check=True)
