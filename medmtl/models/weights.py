"""Encoder weights from a local file: read without running code from it, checked name by name before they are used."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from medmtl.errors import CheckpointError

StateDict = dict[str, Tensor]
_REMEDY = "give 'imagenet', 'none' or the path of a file with the weights of this encoder"
_BROKEN = (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, pickle.UnpicklingError)
_WRAPPED = ("state_dict", "network")
_HEAD = ("_conv_head.", "_bn1.", "_fc.", "fc.")


def read_state(path: Path) -> StateDict:
    """Reads a state dict with ``weights_only=True``.

    Args:
        path: A file written by ``torch.save``; a dict with the key ``state_dict``, or ``network`` as in the checkpoints of
            a run, is unwrapped.

    Raises:
        CheckpointError: The file is missing, unreadable, or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError("weights cannot be read", where=path, found=_first_line(error), remedy=_REMEDY) from error
    except _BROKEN as error:
        found = f"{type(error).__name__}: {_first_line(error)}"
        raise CheckpointError("not a weights file", where=path, found=found, remedy=_REMEDY) from error
    state = content
    if isinstance(content, dict):
        state = next((content[key] for key in _WRAPPED if key in content), content)
    if not _is_state(state):
        found = type(content).__name__
        raise CheckpointError("not a table of named tensors", where=path, found=found, remedy=_REMEDY)
    return dict(state)


def load_backbone(network: nn.Module, path: Path, rename: Callable[[str], str] = lambda name: name) -> None:
    """Loads the part of a file that belongs to an encoder's backbone.

    Takes the backbone's own state dict (with or without its classification head), an encoder's, or that of a whole
    medmtl network (the keys under ``encoder.``).

    Args:
        network: The backbone, without classification head.
        path: The file.
        rename: From a name in a published file to this backbone's.

    Raises:
        CheckpointError: The file cannot be read, or tensors are missing, of another shape or not known.
    """
    state = {rename(name): tensor for name, tensor in backbone_state(read_state(path)).items()}
    found = _difference(network.state_dict(), state)
    if found:
        raise CheckpointError("the weights do not fit this encoder", where=path, found=found, remedy=_REMEDY)
    network.load_state_dict(state, strict=False)  # files from before torch 0.4.1 lack num_batches_tracked


def load_parts(network: nn.Module, path: Path) -> tuple[list[str], list[str]]:
    """Loads the parts of another network that fit: the encoder, and each head whose tensors all have the same names and shapes.

    Sub-models of a cooperative network each take the encoder of a network that shares one.

    Args:
        network: Whose parts are the second level of its names, such as ``heads.grade``.
        path: The checkpoint of a run, or a network's own state dict.

    Returns:
        The parts that were taken and those that stay as they are.

    Raises:
        CheckpointError: The file cannot be read, or no part fits.
    """
    own = network.state_dict()
    state = _for_each_task(read_state(path), own)
    names: dict[str, list[str]] = {}
    for name in own:
        names.setdefault(".".join(name.split(".")[:2]), []).append(name)
    fits = {part: not _difference(_only(own, inside), _only(state, inside)) for part, inside in names.items()}
    taken = [part for part, fit in fits.items() if fit]
    if not taken:
        remedy = "give the checkpoint of a run whose encoder, or a head of the same name, is the same"
        found = _difference(own, state)
        raise CheckpointError("no part of this network is in the file", where=path, found=found, remedy=remedy)
    network.load_state_dict(
        {name: state[name] for part in taken for name in names[part] if name in state}, strict=False
    )
    return taken, [part for part in names if part not in taken]


def _for_each_task(state: StateDict, own: StateDict) -> StateDict:
    """Adds the one encoder of the file under the names of each task's own, where the file has none of that name."""
    wanted = (name for name in own if name.startswith("encoders.") and name not in state)
    shared = {name: "encoder." + name.split(".", 2)[2] for name in wanted}
    return {**state, **{name: state[other] for name, other in shared.items() if other in state}}


def _only(state: Mapping[str, Tensor], names: Iterable[str]) -> StateDict:
    return {name: state[name] for name in names if name in state}


def backbone_state(state: Mapping[str, Tensor]) -> StateDict:
    """Strips our prefixes and drops the classification head of a published network."""
    for prefix in ("encoder.network.", "network."):
        inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        if inside:
            return inside
    return {name: tensor for name, tensor in state.items() if not name.startswith(_HEAD)}


def _is_state(state: object) -> bool:
    return isinstance(state, Mapping) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]


def _difference(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Says in a few words how two state dicts differ; empty when ``given`` can be loaded."""
    missing = [name for name in wanted if name not in given and not name.endswith("num_batches_tracked")]
    unknown = [name for name in given if name not in wanted]
    reshaped = [name for name in wanted if name in given and wanted[name].shape != given[name].shape]
    kinds = {"missing": missing, "unknown": unknown, "of another shape": reshaped}
    return ", ".join(f"{len(names)} {kind} (first {names[0]})" for kind, names in kinds.items() if names)
