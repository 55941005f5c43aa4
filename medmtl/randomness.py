"""Seeds: every random number comes from a named stream of the run's seed, so that order of work changes nothing."""

from __future__ import annotations

import hashlib
from typing import Any


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from a run's seed and the name and position of a stream.

    The same parts give the same seed on every machine and in every process (unlike ``hash``).
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_torch(seed: int) -> None:
    """Seeds torch's global generators, which initialize weights and drop units."""
    import torch

    torch.manual_seed(seed)


def torch_state() -> dict[str, Any]:
    """The state of torch's global generators, as tensors (loadable with ``weights_only=True``)."""
    import torch

    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_torch_state(state: dict[str, Any]) -> None:
    """Puts back what :func:`torch_state` took."""
    import torch

    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
