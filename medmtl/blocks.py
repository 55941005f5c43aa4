"""Blocks of a configuration: typed, closed to unknown keys, and one clear line for what does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from medmtl.errors import ConfigError, suggestion

M = TypeVar("M", bound=BaseModel)
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A seed: what PyTorch's generators and 64-bit files take."""
_SHOWN = 80
_MESSAGES = {
    "model_type": "must be a block of keys",
    "dict_type": "must be a block of keys",
    "invalid_key": "a key must be text",
}
_QUOTES = "put it in quotes: YAML reads it as something else than text"
_REMEDIES = {
    "string_type": _QUOTES,
    "path_type": _QUOTES,
    "invalid_key": _QUOTES,
    "int_": "write a whole number",
    "float_": "write a number",
    "finite_number": "write a number",
    "greater_than": "write a value in that range",
    "less_than": "write a value in that range",
    "list_type": "write a list: [a, b]",
    "too_": "write a list of that length",
    "model_type": "write its keys and their values, indented beneath it",
    "dict_type": "write its keys and their values, indented beneath it",
}
"""By the beginning of pydantic's name for what is wrong."""


class Block(BaseModel):
    """A block of the configuration: unknown keys are refused, and yes/no is never taken for a number or back."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_no_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        members = _members(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and bool not in members and str not in members:
            raise ValueError("a value was expected, not yes or no; write it, in quotes where it is text")
        if bool in members and not isinstance(value, bool) and len(members) == 1:
            raise ValueError("must be true or false; write one of them, without quotes")
        return value


def validate_block(model: type[M], data: Mapping[str, Any], path: str) -> M:
    """Validates a mapping with a pydantic model, and says what is wrong as one line with the key's path.

    Args:
        model: The block's model.
        data: What was read.
        path: Dotted path of the block, empty at the top.

    Raises:
        ConfigError: With path, found value and remedy.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise _first_error(model, data, error, path) from None


def _first_error(model: type[BaseModel], data: Mapping[str, Any], error: ValidationError, path: str) -> ConfigError:
    details = [(_real_path(data, item["loc"], item["type"]), item) for item in error.errors()]
    unknown = [detail for detail in details if detail[1]["type"] == "extra_forbidden"]
    # Of the alternatives of a union the one that came furthest is the one that was meant.
    keys, first = max(unknown or details, key=lambda detail: len(detail[0]))
    where = ".".join([path, *map(str, keys)] if path else map(str, keys)) or "configuration"
    if first["type"] == "extra_forbidden":
        return ConfigError("unknown key", where=where, remedy=suggestion(str(keys[-1]), _known_keys(model, keys[:-1])))
    if first["type"] == "missing":
        return ConfigError("a required key is missing", where=where, remedy="add it")
    message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
    # A validator of ours may say the remedy after a semicolon.
    what, _, own_remedy = message.rpartition("; ") if first["type"] == "value_error" else (message, "", "")
    what = what or message
    found = None if isinstance(first["input"], Mapping) else _shown(first["input"])
    remedy = own_remedy if what != message else _remedy(first["type"], first["input"], first.get("ctx", {}))
    return ConfigError(what[:1].lower() + what[1:], where=where, found=found, remedy=remedy)


def _remedy(kind: str, value: Any, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context.get("expected"))) or [str(context.get("expected"))]
        return suggestion(str(value), known)
    if kind == "list_type" and isinstance(value, str | int | float):
        return f"write [{_shown(value)}]"
    if kind == "string_type" and isinstance(value, list | Mapping):
        return "write text"
    return next((remedy for start, remedy in _REMEDIES.items() if kind.startswith(start)), "see docs/configuration.md")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _real_path(data: Any, location: Sequence[int | str], kind: str) -> list[int | str]:
    """The keys of an error's location that stand in the data: pydantic also names the alternatives of a union there."""
    path: list[int | str] = []
    for place, key in enumerate(location):
        held = isinstance(data, Mapping) and key in data
        listed = isinstance(data, list) and isinstance(key, int) and key < len(data)
        if held or listed:
            data = data[key]
            path.append(key)
        elif kind == "missing" and place == len(location) - 1:
            path.append(key)
    return path


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    annotations: list[Any] = [model]
    for key in location:
        annotations = [inner for annotation in annotations for inner in _within(annotation, key)]
    return [name for annotation in annotations for member in _members(annotation) for name in _fields(member)]


def _within(annotation: Any, key: int | str) -> list[Any]:
    found = []
    for member in _members(annotation):
        if key in _fields(member):
            found.append(_fields(member)[str(key)].annotation)
        elif get_origin(member) in {dict, list}:
            found.append(get_args(member)[-1])
    return found


def _fields(annotation: Any) -> Mapping[str, Any]:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation.model_fields if is_model else {}


def _members(annotation: Any) -> list[Any]:
    """The alternatives of a union, or the one type."""
    if get_origin(annotation) in {Union, UnionType}:
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return [annotation]
