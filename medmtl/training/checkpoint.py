"""Checkpoints: whole or not there, plain tensors and numbers, loaded with ``weights_only=True``."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
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
    # By way of memory, because torch hides what the operating system said about a file (full disk, no permission).
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(
    path: Path, device: torch.device | str = "cpu", *, needs: Sequence[str] = ("network",)
) -> dict[str, Any]:
    """Reads a checkpoint.

    Args:
        path: The file.
        device: Where tensors are put.
        needs: Parts that must be in it.

    Raises:
        CheckpointError: It is missing, damaged, not a checkpoint, from a newer version, or lacks a part.
    """
    if not path.is_file():
        remedy = "the run was not trained yet: medmtl train ... --out RUN"
        raise CheckpointError("there is no checkpoint", where=path, remedy=remedy)
    state = _read(path, device)
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        remedy = "restore the file as training wrote it"
        raise CheckpointError("this is not a checkpoint of medmtl", where=path, remedy=remedy)
    if state["format"] > FORMAT:
        found = f"format {state['format']}"
        raise CheckpointError(
            "the checkpoint is from a newer version", where=path, found=found, remedy="upgrade medmtl"
        )
    lacking = [name for name in needs if name not in state]
    if lacking:
        found, remedy = f"no '{lacking[0]}'", "restore the file as training wrote it"
        raise CheckpointError("the checkpoint lacks a part", where=path, found=found, remedy=remedy)
    return state


def _read(path: Path, device: torch.device | str) -> Any:
    remedy = "it may be damaged: restore or retrain it"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself reads over a flipped bit
        state = torch.load(path, map_location=device, weights_only=True) if damaged is None else None
    except Exception as error:  # noqa: BLE001  a damaged archive or pickle can raise anything
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise CheckpointError("the checkpoint cannot be read", where=path, found=reason, remedy=remedy) from None
    if damaged is not None:
        found = f"wrong checksum of {damaged}"
        raise CheckpointError("the checkpoint cannot be read", where=path, found=found, remedy=remedy)
    return state


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
