"""YAML files that compose: data only, nothing in them is evaluated, and a key given twice is an error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medmtl.errors import ConfigError


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads one YAML mapping.

    Raises:
        ConfigError: It cannot be read, is no YAML, no mapping, or has a key twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (
            "is not UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else (getattr(error, "strerror", "") or str(error))
        )
        remedy = "give the path of a YAML file"
        raise ConfigError(f"the configuration cannot be read: {reason}", where=path, remedy=remedy) from None
    data = _parse(text, str(path))
    if data is None:
        return {}
    if not isinstance(data, dict):
        remedy = "write lines of the form key: value"
        raise ConfigError(
            "the configuration must be a mapping of keys", where=path, found=type(data).__name__, remedy=remedy
        )
    return data


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  a SafeLoader that also refuses duplicate keys
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}, line {mark.line + 1}" if mark else where
        found = getattr(error, "problem", None) or str(error)
        raise ConfigError("not valid YAML", where=place, found=found, remedy="correct the line") from None
    except (ValueError, RecursionError) as error:  # such as the date 2001-99-99, or a thousand brackets
        found = "too deep a nesting" if isinstance(error, RecursionError) else error
        raise ConfigError("not valid YAML", where=where, found=found, remedy="put text in quotes") from None


def parse_override(text: str) -> dict[str, Any]:
    """Turns ``a.b=value`` (value read as YAML) into ``{"a": {"b": value}}``.

    Raises:
        ConfigError: It has not this form.
    """
    key, separator, value = text.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not separator or not all(parts):
        raise ConfigError("--set needs key.path=value", found=f"'{text}'", remedy="for example --set training.epochs=5")
    result = _parse(value, f"--set {key}")
    for part in reversed(parts):
        result = {part: result}
    return dict(result)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lays one mapping over another, key by key; ``null`` for a block removes it."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        elif value is None and isinstance(result.get(key), Mapping):
            del result[key]
        else:
            result[key] = value
    return result


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML would silently keep the last, and the NUL character."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        if isinstance(node.value, str) and "\0" in node.value:  # no path and no name can hold it
            raise yaml.constructor.ConstructorError(None, None, "a NUL character in a text", node.start_mark)
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
