"""Checks of arguments that several aggregation methods share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from medmtl.errors import ConfigError, DependencyError
from medmtl.optim.aggregation.rule import ByTask
from medmtl.optim.checks import check_number


def check_share(where: str, value: object, *, below: bool = False) -> None:
    """Accepts a number from 0 to 1, with ``below`` less than 1.

    Raises:
        ConfigError: Anything else.
    """
    check_number(where, value, least=0.0)
    if value > 1 or (below and value == 1):  # type: ignore[operator]  # a number: checked above
        remedy = "use a number >= 0 and < 1" if below else "use a number from 0 to 1"
        raise ConfigError("out of range", where=where, found=repr(value), remedy=remedy)


def preference_vector(where: str, values: Mapping[str, float] | None) -> dict[str, ByTask]:
    """The library's preference vector from positive numbers by task; none for equal ones.

    Raises:
        ConfigError: Not a mapping, or a number that is not positive.
    """
    if values is None:
        return {}
    check_mapping(where, values)
    for task, value in values.items():
        check_number(f"{where}.{task}", value, above=0.0)
    return {"pref_vector": ByTask(where, dict(values), default=1.0, normalized=True)}


def check_mapping(where: str, values: object) -> None:
    """Accepts values by task.

    Raises:
        ConfigError: Anything else.
    """
    if not isinstance(values, Mapping):
        raise ConfigError("not a mapping", where=where, found=repr(values), remedy="give a number for each task name")


def needing(where: str, extra: str, make: Callable[[], Any]) -> Any:
    """Makes an object of the library that needs packages of an extra.

    Raises:
        DependencyError: One is missing; gives the install command.
    """
    try:
        return make()
    except ImportError as error:
        raise DependencyError("a package is missing", where=where, remedy=f"pip install 'medmtl[{extra}]'") from error
