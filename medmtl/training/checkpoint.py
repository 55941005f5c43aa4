"""Checkpoints: whole or not there, plain tensors and numbers, loaded with ``weights_only=True``."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medmtl.errors import CheckpointError
from medmtl.files import atomic_write

FORMAT = 1
"""Version of a checkpoint's layout; a reader refuses a newer one."""


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint under a temporary name and renames it.

    Raises:
        OutputError: It cannot be written.
    """
    with atomic_write(path) as temporary:
        try:
            torch.save({"format": FORMAT, **state}, temporary)
        except RuntimeError as error:  # torch wraps the disk's refusal
            raise OSError(28, "No space left on device", str(temporary)) from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Reads a checkpoint.

    Raises:
        CheckpointError: It is missing, damaged, not a checkpoint, or from a newer version.
    """
    if not path.is_file():
        raise CheckpointError("there is no checkpoint", where=path, remedy="the run was not trained yet: medmtl train ... --out RUN")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:80]
        raise CheckpointError("the checkpoint cannot be read", where=path, found=reason, remedy="it may be damaged: restore or retrain it") from None
    if not isinstance(state, dict) or "format" not in state:
        raise CheckpointError("this is not a checkpoint of medmtl", where=path)
    if state["format"] > FORMAT:
        raise CheckpointError("the checkpoint is from a newer version", where=path, found=f"format {state['format']}", remedy="upgrade medmtl")
    return dict(state)


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
