"""Parameter groups with names, and what they are checked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import AdamW, Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.checks import check_choice, check_number
from medmtl.optim.pertask.rules import FORMS

_KEPT = ("params", "lr", "betas", "eps", "weight_decay", "initial_lr")


def check_rule(where: str, form: str, momentum: str, combine: str) -> None:
    """Accepts the words of an update.

    Raises:
        ConfigError: An unknown word, or shared momentum in a form without a first moment.
    """
    check_choice(f"{where}.form", form, tuple(FORMS))
    check_choice(f"{where}.momentum", momentum, ("per_task", "shared"))
    check_choice(f"{where}.combine", combine, ("sum", "mean"))
    if momentum == "shared" and not FORMS[form].first:
        raise ConfigError(
            "this form has no first moment to share",
            where=f"{where}.momentum",
            found=f"'shared' with form '{form}'",
            remedy="leave it out, or use form: adamw",
        )


def check_betas(where: str, betas: object) -> tuple[float, float]:
    """Accepts two decays in [0, 1).

    Raises:
        ConfigError: Anything else.
    """
    if not isinstance(betas, Sequence) or isinstance(betas, str) or len(betas) != 2:
        raise ConfigError("two decays are needed", where=where, found=repr(betas), remedy="for example [0.9, 0.999]")
    for beta in betas:
        check_number(where, beta, least=0.0)
        if beta >= 1:
            raise ConfigError("out of range", where=where, found=repr(beta), remedy="use numbers in [0, 1)")
    return float(betas[0]), float(betas[1])


def check_group(where: str, group: Mapping[str, Any], form: str) -> None:
    """Accepts the settings of a group.

    Raises:
        ConfigError: A number out of range, or weight decay for the form that has none.
    """
    check_number(f"{where}.lr", group["lr"], least=0.0)
    check_number(f"{where}.eps", group["eps"], least=0.0)
    check_number(f"{where}.weight_decay", group["weight_decay"], least=0.0)
    check_betas(f"{where}.betas", group["betas"])
    if form == "adam" and group["weight_decay"]:
        raise ConfigError(
            "the form 'adam' has no weight decay: inside the gradient it would be normalized away once a task",
            where=f"{where}.form",
            found=f"weight_decay {group['weight_decay']:g}",
            remedy="use form: adamw, whose decay is decoupled, or weight_decay 0",
        )


def named_groups(params: Iterable[Any]) -> list[dict[str, Any]]:
    """Groups whose ``params`` are (name, parameter) pairs.

    Raises:
        ConfigError: Parameters without names.
    """
    entries = list(params)
    groups = entries if entries and isinstance(entries[0], Mapping) else [{"params": entries}]
    return [{**group, "params": [_pair(entry) for entry in group["params"]]} for group in groups]


def take_over(
    optimizer: Optimizer, named: Iterable[tuple[str, Tensor]], where: str, form: str, **chosen: Any
) -> list[dict[str, Any]]:
    """The groups of an ordinary optimizer, with names: its learning rates, decay and, if an Adam, betas and eps.

    Args:
        optimizer: What the factory of the run makes.
        named: All its parameters.
        where: The method, as an error names it.
        form: The form that will run.
        **chosen: ``betas`` and ``eps`` of the method's own; None for those of the optimizer.

    Raises:
        ConfigError: The optimizer does something that the form does not.
    """
    names = {id(parameter): name for name, parameter in named}
    own = {key: value for key, value in chosen.items() if value is not None}
    groups = []
    for group in optimizer.param_groups:
        settings = {**_decays(group, form), **{key: group[key] for key in _KEPT if key in group}, **own}
        _check_origin(where, form, optimizer, group, settings)
        groups.append({**settings, "params": [(names[id(p)], p) for p in group["params"]]})
    return groups


def is_fused(optimizer: Optimizer) -> bool:
    """Whether an ordinary optimizer was made with ``fused=True``."""
    return all(bool(group.get("fused")) for group in optimizer.param_groups)


def _decays(group: Mapping[str, Any], form: str) -> dict[str, Any]:
    """Decays of an optimizer that is no Adam, for the forms that are none either: SGD's momentum, RMSprop's alpha."""
    if form.startswith("adam"):
        return {}
    return {"betas": (group.get("momentum", 0.9), group.get("alpha", 0.999))}


def _check_origin(
    where: str, form: str, optimizer: Optimizer, group: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    kind = type(optimizer).__name__
    if form.startswith("adam") and not {"betas", "eps"} <= settings.keys():
        raise ConfigError(
            "the optimizer is not an Adam", where=where, found=kind, remedy="choose adamw as the optimizer"
        )
    for switch in ("amsgrad", "maximize"):
        if group.get(switch):
            raise ConfigError(f"the optimizer's {switch} has no per-task form", where=where, found=kind)
    if group.get("weight_decay") and not group.get("decoupled_weight_decay", isinstance(optimizer, AdamW)):
        raise ConfigError(
            "decay inside the gradient would be normalized away once a task",
            where=where,
            found=f"weight_decay {group['weight_decay']:g} of a plain {kind}",
            remedy="choose adamw as the optimizer",
        )


def _pair(entry: Any) -> tuple[str, Tensor]:
    if not isinstance(entry, tuple) or len(entry) != 2:
        raise ConfigError(
            "the optimizer needs parameters with their names",
            where="optimizer.params",
            found=type(entry).__name__,
            remedy="pass model.named_parameters()",
        )
    return entry
