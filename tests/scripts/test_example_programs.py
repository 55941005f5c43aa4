"""The examples run as they stand, in seconds, and use the balancing methods alone."""

from __future__ import annotations

import ast

import pytest
from programs import ROOT, program

from medmtl.errors import ConfigError

EXAMPLE = ROOT / "examples" / "plain_module.py"


@pytest.fixture(scope="module")
def example():
    return program("examples/plain_module.py")


def test_it_prints_the_losses_of_every_method(example, capsys):
    example.main(["--steps", "4"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["method", "age", "grade", "signs"]
    assert [line.split()[0] for line in lines] == ["equal", "mao", "uw_so"]
    assert all(float(value) > 0 for line in lines for value in line.split()[1:])


def test_losses_fall_and_weights_are_told(example):
    reports = example.train("uw_so", example.synthetic(40), learning_rate=1e-2, temperature=1.0)
    first, last = example.mean_losses(reports[:5]), example.mean_losses(reports[-5:])
    assert all(last[task] < first[task] for task in first)
    assert sum(reports[-1].weights.values()) == pytest.approx(1)
    assert 0 < reports[0].counts["age"] < 32  # labels are missing


def test_mao_starves_no_task(example):
    reports = example.train("mao", example.synthetic(40), learning_rate=1e-2)
    first, last = example.mean_losses(reports[:5]), example.mean_losses(reports[-5:])
    assert all(last[task] < first[task] for task in first)
    assert set(reports[-1].gradient_norms) == {"age", "grade", "signs"}


def test_an_unknown_method_is_one_line(example):
    with pytest.raises(ConfigError, match="did you mean 'mao'"):
        example.main(["maoo", "--steps", "1"])


def test_it_uses_the_balancing_methods_alone_in_ten_lines():
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "medmtl" in str(node.module)}
    assert used == {"medmtl.optim"}
    (train,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "train"]
    assert len(train.body) <= 10
