"""Hit rules as a command line writes them: ``NAME`` or ``NAME:PARAMETER=NUMBER,...``."""

from __future__ import annotations

from dataclasses import fields

from medmtl.errors import ConfigError, EvaluationError, suggestion
from medmtl.evaluation.rules import HIT_RULES, HitRule, hit_rule

_FORM = "write NAME or NAME:PARAMETER=NUMBER, such as peak_in_lesion:tolerance=10"


def parse_rule(text: str) -> HitRule:
    """Reads a hit rule.

    Raises:
        ConfigError: There is no such rule, or a parameter is missing, unknown, another rule's, or no number.
    """
    name, _, rest = (part.strip() for part in text.partition(":"))
    if name not in HIT_RULES:
        remedy = f"{suggestion(name, HIT_RULES)}; {_FORM}"
        raise ConfigError("no such hit rule", where="--rule", found=f"'{name}'", remedy=remedy)
    parameters: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equal, value = (piece.strip() for piece in part.partition("="))
        if not equal or key in parameters:
            raise ConfigError("not a parameter of a rule", where=f"--rule {text}", found=f"'{part}'", remedy=_FORM)
        _check_owner(name, key, text)
        parameters[key] = _number(value, key, text)
    try:
        return hit_rule(name, **parameters)
    except EvaluationError as error:
        remedy = error.remedy or f"{_usage(name)}"
        raise ConfigError(error.what, where=f"--rule {text}", found=error.found, remedy=remedy) from None


def rule_text(rule: HitRule) -> str:
    """A rule as it would be written, with the parameters that are not its defaults."""
    said = [
        f"{item.name}={getattr(rule, item.name):g}"
        for item in fields(rule)  # type: ignore[arg-type]  # every rule is a dataclass
        if getattr(rule, item.name) != item.default
    ]
    return f"{rule.name}:{','.join(said)}" if said else rule.name


def _usage(name: str) -> str:
    known = [item.name for item in fields(HIT_RULES[name])]
    return f"{name}:{','.join(f'{key}=NUMBER' for key in known)}" if known else name


def _check_owner(rule: str, key: str, text: str) -> None:
    known = [item.name for item in fields(HIT_RULES[rule])]
    if key in known:
        return
    owners = [name for name, other in HIT_RULES.items() if key in {item.name for item in fields(other)}]
    whose = f"that is a parameter of {', '.join(owners)}; " if owners else ""
    takes = f"{rule} takes {', '.join(known)}" if known else f"{rule} takes none"
    raise ConfigError(f"the rule {rule} has no parameter '{key}'", where=f"--rule {text}", remedy=f"{whose}{takes}")


def _number(value: str, key: str, text: str) -> float:
    try:
        return float(value)
    except ValueError:
        remedy = f"write {key}=NUMBER"
        raise ConfigError(f"{key} is no number", where=f"--rule {text}", found=f"'{value}'", remedy=remedy) from None
