"""What `medmtl methods` prints: a short table of the balancing methods, and the page of one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields

from medmtl.optim import Method, MethodInfo, argument_names, methods

_WIDE = ("method", "extra memory", "state", "optimizer", "mixed precision", "processes")
_HEAD = ("method", "family", "backward", "forward", "needs", "form from")
_LEGEND = (
    "backward: backward passes through the shared part per micro-batch, of K tasks; forward: further forward passes",
    "*: under a condition, or through a part only; `medmtl methods NAME` says all about a method",
    "--wide: memory, state, optimizer, mixed precision and processes in a second table",
)
_PASSES = re.compile(r"[0-9K]+( [-+] [0-9K]+)?")


def method_lines(name: str | None = None, *, wide: bool = False) -> list[str]:
    """The table of all methods, or the page of one.

    Args:
        name: The method; None = all of them.
        wide: A second table beneath the first: memory, state, optimizer, precision and processes in full.

    Raises:
        ConfigError: No method has this name.
    """
    if name is not None:
        return method_page(methods.get(name))
    infos = [methods.get(item).info for item in methods]
    return method_table(infos) + (["", *cost_table(infos)] if wide else [])


def method_table(infos: Iterable[MethodInfo]) -> list[str]:
    """One line a method in columns of a word or two, and what the columns mean."""
    return [*_columns([_HEAD, *map(_cells, infos)]), "", *_LEGEND]


def cost_table(infos: Iterable[MethodInfo]) -> list[str]:
    """One line a method with what it holds beyond a plain step, and what it does in other precisions and in company.

    The lines are as long as the words: nothing is cut or abbreviated.
    """
    return _columns(
        [
            _WIDE,
            *(
                (i.name, i.extra_memory, i.state, "own" if i.own_optimizer else "-", i.mixed_precision, i.processes)
                for i in infos
            ),
        ]
    )


def method_page(kind: type[Method]) -> list[str]:
    """All about one method: what its class says of itself, what it costs and needs, its arguments and their defaults."""
    facts = [(field.name.replace("_", " "), getattr(kind.info, field.name)) for field in fields(kind.info)]
    width = max(len(label) for label, _ in facts)
    return [
        *(inspect.getdoc(kind) or "").splitlines(),
        "",
        *(f"{label:{width}}  {_said(value)}" for label, value in facts),
        f"{'arguments':{width}}  {', '.join(_arguments(kind)) or 'none'}",
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _cells(info: MethodInfo) -> Sequence[str]:
    needs = "sub-models" if info.needs_split else "shared encoder" if info.needs_features else "-"
    source = re.split(r"[,;(]", info.evidence)[0].strip()
    return info.name, info.family, _short(info.backward_passes), _short(info.extra_forwards), needs, source


def _short(passes: str) -> str:
    """The number that a text about passes begins with, starred where the text says more."""
    found = _PASSES.match(passes)
    number = found.group() if found else ""
    return number if number == passes else f"{number}*"


def _said(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _arguments(kind: type[Method]) -> list[str]:
    parameters = inspect.signature(kind).parameters
    return [
        name if parameters[name].default is inspect.Parameter.empty else f"{name}={parameters[name].default!r}"
        for name in argument_names(kind)
    ]
