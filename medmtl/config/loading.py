"""From YAML files, mappings and ``--set`` to a run's configuration, with errors that name the file of a key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from medmtl.blocks import validate_block
from medmtl.config.run import RunConfig
from medmtl.errors import ConfigError
from medmtl.yamlfile import merge, parse_override, read_yaml

_KEY = re.compile(r"\w+(\.\w+)*")
_OPTION = "--set"

Layer = tuple[str, Mapping[str, Any]]
"""Where keys come from, and the keys."""


def load_config(paths: Sequence[Path], overrides: Iterable[str] = ()) -> RunConfig:
    """Reads YAML files, later ones over earlier ones, then ``key.path=value`` overrides.

    Args:
        paths: The files.
        overrides: On top of them.

    Raises:
        ConfigError: A file cannot be read, a key is unknown, or a value does not fit.
    """
    with opened_config(paths, overrides) as config:
        return config


@contextmanager
def opened_config(paths: Sequence[Path], overrides: Iterable[str] = ()) -> Iterator[RunConfig]:
    """Gives what :func:`load_config` reads; errors about a key in the block, too, name the file where the key stands.

    Args:
        paths: The files.
        overrides: On top of them.

    Yields:
        The configuration.

    Raises:
        ConfigError: As :func:`load_config`.
    """
    files: list[Layer] = [(str(path), read_yaml(path)) for path in paths]
    layers = [*files, *((_OPTION, parse_override(text)) for text in overrides)]
    merged = _merged(layers)
    if not merged:
        where = ", ".join(map(str, paths)) or None
        raise ConfigError("the configuration is empty", where=where, remedy="state at least one task under `tasks`")
    with _named(layers):
        yield parse_config(merged)


def parse_config(data: Mapping[str, Any]) -> RunConfig:
    """Validates a mapping as a run's configuration.

    Raises:
        ConfigError: A key is unknown, or a value does not fit.
    """
    return validate_block(RunConfig, data, "")


def with_overrides(config: RunConfig | Mapping[str, Any], overrides: Iterable[str] = ()) -> RunConfig:
    """Lays ``key.path=value`` over a configuration or a mapping.

    Raises:
        ConfigError: As :func:`parse_config`.
    """
    over = [(_OPTION, parse_override(text)) for text in overrides]
    if isinstance(config, RunConfig) and not over:
        return config
    given = config.model_dump(mode="json") if isinstance(config, RunConfig) else config
    with _named(over):
        return parse_config(_merged([("", given), *over]))


def resolved_config(
    config: RunConfig | Mapping[str, Any] | str | Path | Sequence[str | Path], overrides: Iterable[str] = ()
) -> AbstractContextManager[RunConfig]:
    """Gives a configuration in whatever form it came; of files as :func:`opened_config`.

    Args:
        config: A configuration, a mapping, or one or more YAML files.
        overrides: On top of it.

    Raises:
        ConfigError: As :func:`load_config`.
    """
    if isinstance(config, RunConfig | Mapping):
        return nullcontext(with_overrides(config, overrides))
    paths = [config] if isinstance(config, str | Path) else config
    return opened_config([Path(path) for path in paths], list(overrides))


def _merged(layers: Iterable[Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for _, data in layers:
        merged = merge(merged, data)
    return merged


@contextmanager
def _named(layers: Sequence[Layer]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        where = _place(error.where or "", layers)
        raise ConfigError(error.what, where=where, found=error.found, remedy=error.remedy) from None


def _place(where: str, layers: Sequence[Layer]) -> str | None:
    """The place with the name of the layer that holds most of its key; all files where none holds any."""
    keys = where.split(".")
    if not _KEY.fullmatch(where) or keys[0] not in {*RunConfig.model_fields, *_top(layers), "configuration"}:
        return where or None
    depths = [_depth(data, keys) for _, data in layers]
    deepest = max(depths, default=0)
    if deepest == 0:
        files = ", ".join(name for name, _ in layers if name != _OPTION)
        return f"{files}: {where}" if files else where
    name = next(name for (name, _), depth in reversed(list(zip(layers, depths, strict=True))) if depth == deepest)
    return f"{name} {where}" if name == _OPTION else f"{name}: {where}"


def _top(layers: Sequence[Layer]) -> set[str]:
    return {str(key) for _, data in layers for key in data}


def _depth(data: Any, keys: Sequence[str]) -> int:
    """How many of the keys lead somewhere."""
    for depth, key in enumerate(keys):
        if isinstance(data, Mapping) and key in map(str, data):
            data = next(value for name, value in data.items() if str(name) == key)
        elif isinstance(data, list) and key.isdigit() and int(key) < len(data):
            data = data[int(key)]
        else:
            return depth
    return len(keys)
