"""What a public data set is to medmtl: its description, its options, how its folder becomes a table, its self-test."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from medmtl.errors import ConfigError, ManifestError, suggestion
from medmtl.registry import Registry


@dataclass(frozen=True)
class Option:
    """One choice that a source offers; its value is always text, as typed on the command line.

    Args:
        name: The name.
        default: The value where none is given; ``""`` means none.
        help: One line: what it changes.
        choices: The values allowed; empty means free text.
        required: Whether a value must be given.
    """

    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Check:
    """One line of a self-test: a published number beside the one found.

    Args:
        name: What is counted.
        expected: The published number, as text.
        found: The number found, as text.
        ok: Whether they agree, or disagree in a way that is known and recorded.
        note: Why a known disagreement is accepted, or what is likely wrong.
    """

    name: str
    expected: str
    found: str
    ok: bool
    note: str = ""


def no_checks(_frame: pd.DataFrame) -> list[Check]:
    """Returns no check, for a source with no published counts."""
    return []


@dataclass(frozen=True)
class Source:
    """A data set known by name: how its official folder becomes a table in the manifest convention.

    Args:
        name: The name on the command line; also what its rows carry as ``dataset``.
        title: The name as its owners write it.
        description: One line: what it holds.
        url: Where its owners offer it.
        terms: Licence or terms of use, in short.
        citation: The paper to cite.
        expected_layout: The folders and files looked for, in brief.
        build: From the root folder and the options (as keyword arguments, all given) to the table. Every cell is
            text, an empty one means unknown, and paths are absolute.
        options: The options that ``build`` takes.
        expected_values: For every mask column the values that may occur once its reference is resolved.
        check: From the table to the comparison with the published counts.
    """

    name: str
    title: str
    description: str
    url: str
    terms: str
    citation: str
    expected_layout: str
    build: Callable[..., pd.DataFrame]
    options: tuple[Option, ...] = ()
    expected_values: Mapping[str, frozenset[int]] = field(default_factory=dict)
    check: Callable[[pd.DataFrame], list[Check]] = no_checks


sources: Registry[Source] = Registry("data source")


def list_sources() -> list[Source]:
    """Returns every known source, ordered by name."""
    return [sources.get(name) for name in sources]


def _checked_value(option: Option, given: Mapping[str, str]) -> str:
    value = str(given.get(option.name, option.default))
    if option.required and not value:
        raise ConfigError(f"the option '{option.name}' is needed", remedy=f"{option.name}=...: {option.help}")
    if option.choices and value not in option.choices:
        remedy = suggestion(value, option.choices)
        raise ConfigError(f"option '{option.name}' has no such value", found=f"'{value}'", remedy=remedy)
    return value


def resolve_options(source: Source, given: Mapping[str, str]) -> dict[str, str]:
    """Checks the options given for a source and adds the defaults.

    Args:
        source: The source.
        given: Option name to value.

    Returns:
        Every option of the source with its value.

    Raises:
        ConfigError: An option or a value is not known, or a needed one is not given.
    """
    known = [option.name for option in source.options]
    for name in given:
        if name not in known:
            remedy = suggestion(name, known)
            raise ConfigError(f"the data source '{source.name}' has no such option", found=f"'{name}'", remedy=remedy)
    return {option.name: _checked_value(option, given) for option in source.options}


def make_manifest(name: str, root: str | Path, options: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Reads the folder of a public data set into a table in the manifest convention.

    Args:
        name: The name of the source, see :func:`list_sources`.
        root: Its folder; one or two levels above the folder that matters is also right.
        options: Option name to value.

    Returns:
        One row a sample; cells are text, an empty one means unknown, paths are absolute.

    Raises:
        ConfigError: The source, an option or a value is not known.
        ManifestError: The folder is not there or is not that data set.
    """
    source = sources.get(name)
    chosen = resolve_options(source, options or {})
    # Not resolve(): a linked file keeps the name under which its owners ship it.
    folder = Path(os.path.abspath(Path(root).expanduser()))  # noqa: PTH100
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise ManifestError("not a folder", where=folder, found=found, remedy=f"expected: {source.expected_layout}")
    frame = source.build(folder, **chosen)
    if frame.empty:
        raise ManifestError("no image found", where=folder, remedy=f"expected: {source.expected_layout}")
    return frame
