"""LibMTL's weightings on the network of balancing_nets.py: what has to be done to run them, and a step."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from balancing_nets import Net, Step, adamw
from torch import nn

# Rescale 1, LibMTL's default, divides the direction of `cagrad` (rescale 0) by 1 + c²: one product,
# nothing to the times that are compared here, but directions must not be compared without it.
_SETTINGS: dict[str, dict[str, Any]] = {"MGDA": {"mgda_gn": "none"}, "CAGrad": {"calpha": 0.5, "rescale": 1}}


def libmtl_version() -> str | None:
    """Its version; None where it is not installed."""
    try:
        return version("LibMTL")
    except PackageNotFoundError:
        return None


def libmtl_note() -> str:
    """What had to be done to run it."""
    found = libmtl_version()
    if found is None:
        return "LibMTL: not installed (pip install --no-deps LibMTL); its columns are left out"
    try:
        importlib.import_module("LibMTL.trainer")
        whole = "imports"
    except Exception as error:  # noqa: BLE001  anything may be missing
        whole = f"does not import here ({type(error).__name__}: {error})"
    for name in [name for name in sys.modules if name.split(".")[0] == "LibMTL"]:
        del sys.modules[name]
    return (
        f"LibMTL {found}: the package as a whole {whole}, and its Trainer is fixed to cuda:0; its weighting classes run on "
        "the CPU when imported past the package's first file, as here. Its CAGrad is written for three tasks."
    )


def _libmtl_weighting(name: str) -> Any:
    """A weighting class, imported without the package's own __init__."""
    if "LibMTL" not in sys.modules:
        spec = importlib.util.find_spec("LibMTL")
        package = types.ModuleType("LibMTL")
        package.__path__ = list(spec.submodule_search_locations)  # type: ignore[union-attr]
        sys.modules["LibMTL"] = package
    return getattr(importlib.import_module("LibMTL.weighting"), name)


def libmtl(net: Net, name: str) -> Step:
    """A step as LibMTL's Trainer does it: a tensor of losses, the weighting's backward, one step."""
    kind = _libmtl_weighting(name)

    class Model(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.task_num, self.device, self.rep_grad = len(net.tasks), torch.device("cpu"), False
            self.encoder, self.heads = net.encoder, net.heads
            self.init_param()

        def get_share_params(self) -> Iterable[nn.Parameter]:
            return self.encoder.parameters()

        def zero_grad_share_params(self) -> None:
            self.encoder.zero_grad(set_to_none=False)  # as torch did when LibMTL was written; it reads .grad later

    model = Model()
    optimizer = adamw(model.named_parameters())
    settings = _SETTINGS.get(name, {})

    def step() -> None:
        losses = torch.zeros(len(net.tasks))
        for index, loss in enumerate(net.mean_losses(net.encoder(net.inputs))):
            losses[index] = loss
        optimizer.zero_grad()
        model.backward(losses, **settings)
        optimizer.step()

    return step
