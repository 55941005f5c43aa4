"""Values of a wrong kind in a call from Python, told as a command line tells them: with the option, and what is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from medmtl.errors import ConfigError, suggestion


def items(given: Any) -> tuple[Any, ...]:
    """What was given as a list; a single text, number or rule stands for a list of one.

    Args:
        given: A list, or one value. A mapping is one value too: its keys alone would lose half of what was said.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        return (given,)
    return tuple(given)


def file_path(option: str, given: Any) -> Path:
    """A path, which a text or a path names.

    Args:
        option: The option, for messages.
        given: What was given.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(given, str | Path):
        raise ConfigError("not a path", where=option, found=_kind(given), remedy="give a path as text")
    return Path(given)


def check_choice(option: str, value: Any, known: Iterable[str]) -> None:
    """Refuses a value that is none of the known ones.

    Args:
        option: The option, for messages.
        value: What was given.
        known: The values that mean something.

    Raises:
        ConfigError: With the nearest known value.
    """
    names = tuple(known)
    if not isinstance(value, str) or value not in names:
        found = f"'{value}'" if isinstance(value, str) else _kind(value)
        hint = suggestion(value if isinstance(value, str) else "", names)
        remedy = hint if hint.startswith("known") else f"{hint} known: {', '.join(names)}"
        raise ConfigError("no such choice", where=option, found=found, remedy=remedy)


def check_texts(option: str, values: Iterable[Any]) -> None:
    """Refuses values that are no texts.

    Args:
        option: The option, for messages.
        values: What was given.

    Raises:
        ConfigError: With the first of them.
    """
    for value in values:
        if not isinstance(value, str):
            raise ConfigError("not a text", where=option, found=_kind(value), remedy="give a text, or a list of texts")


def check_flag(option: str, value: Any) -> None:
    """Refuses what is neither True nor False: a text such as "no" would count as yes.

    Args:
        option: The option, for messages.
        value: What was given.

    Raises:
        ConfigError: It is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise ConfigError("neither True nor False", where=option, found=_kind(value), remedy="give one of them")


def check_number(
    option: str, value: Any, *, least: float = -math.inf, above: float = -math.inf, whole: bool = False
) -> None:
    """Refuses what is no finite number of a range.

    Args:
        option: The option, for messages.
        value: What was given.
        least: Smallest number allowed.
        above: Numbers must lie above it.
        whole: It is a count: a whole number.

    Raises:
        ConfigError: With what may be given.
    """
    fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if fits and is_finite(value) and value >= least and value > above:
        return
    bound = f" of at least {least:g}" if math.isfinite(least) else f" above {above:g}" if math.isfinite(above) else ""
    found = value if isinstance(value, Real) and not isinstance(value, bool) else _kind(value)
    remedy = f"give a {'whole' if whole else 'finite'} number{bound}"
    raise ConfigError("not a usable number", where=option, found=found, remedy=remedy)


def is_finite(value: Real) -> bool:
    """Whether a number is finite, and small enough to be computed with."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of float64
        return False


def check_rule(rule: Any) -> None:
    """Refuses what is neither the name of a hit rule nor a rule itself.

    Args:
        rule: What was given.

    Raises:
        ConfigError: It is neither.
    """
    members = all(hasattr(rule, name) for name in ("name", "caption", "hits"))
    # A rule is written with its parameters, which are the fields of a dataclass; the class itself has none.
    if not isinstance(rule, str) and (isinstance(rule, type) or not members or not is_dataclass(rule)):
        remedy = "give NAME or NAME:PARAMETER=NUMBER, or a rule of medmtl.evaluation"
        raise ConfigError("not a hit rule", where="--rule", found=_kind(rule), remedy=remedy)


def _kind(value: Any) -> str:
    """A value in words: short texts and numbers as they are, of anything else what it is."""
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    return f"'{value}'" if isinstance(value, str) else f"a value of the type {type(value).__name__}"
