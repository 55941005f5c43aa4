"""The table of balancing methods is short words in columns; a method's page has the prose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medmtl.errors import ConfigError
from medmtl.optim import methods
from medmtl.optim.base import MethodInfo
from medmtl.workflows.listing import cost_table, method_lines, method_page, method_table

PLAIN = MethodInfo("plain", "weighting", "1", "none", "none", False, False, "bf16", "summed", "-", "definition")
WORDY = replace(
    PLAIN,
    name="wordy",
    backward_passes="1, through one sub-model",
    extra_forwards="K - 1 encoders, without gradient",
    evidence="library (TorchJD; the rest is ours)",
    needs_split=True,
)


def test_prose_stays_out_of_the_table():
    head, plain, wordy, *rest = method_table([PLAIN, WORDY])
    assert head.split() == ["method", "family", "backward", "forward", "needs", "form", "from"]
    assert plain.split() == ["plain", "weighting", "1", "0", "-", "definition"]
    assert [wordy[head.index(word) :].split("  ")[0] for word in ("backward", "forward", "needs", "form from")] == [
        "1*", "K - 1*", "sub-models", "library",
    ]  # fmt: skip
    assert "*:" in rest[-2]
    assert "--wide" in rest[-1]


def test_no_line_of_the_table_is_long():
    lines = method_lines()
    assert [line for line in lines if len(line) > 120] == []
    assert {line.split()[0] for line in lines if line} >= set(methods)


def test_the_wide_table_says_in_full_what_a_method_costs_and_does():
    head, *lines = cost_table([PLAIN, replace(WORDY, own_optimizer=True, state="K optimizers; a place in the round")])
    names = ["method", "extra memory", "state", "optimizer", "mixed precision", "processes"]
    starts = [head.index(f"  {name}") + 2 if place else 0 for place, name in enumerate(names)]
    cells = [[line[a:b].rstrip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]
    assert cells == [
        ["plain", "none", "none", "-", "bf16", "summed"],
        ["wordy", "none", "K optimizers; a place in the round", "own", "bf16", "summed"],
    ]


def test_wide_comes_beneath_and_leaves_no_method_and_no_fact_out():
    short, wide = method_lines(), method_lines(wide=True)
    assert wide[: len(short)] == short
    beneath = {line.split()[0]: line for line in wide[len(short) :] if line}
    assert set(beneath) == {"method", *methods}
    for name in methods:
        info = methods.get(name).info
        for fact in (info.extra_memory, info.state, info.mixed_precision, info.processes):
            assert fact in beneath[name]
        assert ("  own  " in beneath[name]) == info.own_optimizer


@pytest.mark.parametrize("name", list(methods))
def test_the_page_holds_docstring_facts_and_arguments(name: str):
    kind = methods.get(name)
    text = "\n".join(method_page(kind))
    assert (kind.__doc__ or "").split("\n")[0] in text
    assert f"backward passes  {kind.info.backward_passes}\n" in text
    assert f"extra forwards   {kind.info.extra_forwards}\n" in text
    assert f"needs split      {'yes' if kind.info.needs_split else 'no'}\n" in text
    assert "arguments " in text.splitlines()[-1]


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="did you mean"):
        method_lines("pcgard")
