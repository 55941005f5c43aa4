"""MAO's memory, counted in live bytes: moments, and what is alive beside them at the worst moment of a step."""

from __future__ import annotations

from collections.abc import Iterable
from unittest.mock import patch

import torch
from live_bytes import LiveBytes as LiveBytes
from live_bytes import Wide, peak_of
from torch import nn

from medmtl.optim import LossScale, Services, make_method
from medmtl.optim.gradients import GRAMIAN_CHUNK

PRECISIONS: dict[str, tuple[torch.dtype | None, bool]] = {
    "fp32": (None, False),
    "bf16": (torch.bfloat16, False),
    "fp16": (torch.float16, True),
}
CHUNK_SHARE = 1 / 6
"""A chunk is one of the six layers."""


def _adamw(named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW([parameter for _, parameter in named], foreach=False)


def measure(name: str, k: int, precision: str, **arguments: object) -> tuple[float, float]:
    """Peak beside parameters and moments, and moments, in units of the shared part."""
    dtype, scaled = PRECISIONS[precision]
    problem = Wide(k, autocast=dtype)
    method = make_method(name, **arguments)
    method.build(problem, _adamw)
    if name == "mao":
        method.optimizers[0].chunk = int(problem.shared_bytes / 4 * CHUNK_SHARE)  # type: ignore[attr-defined]
    services = Services(problem, scale=LossScale(8.0) if scaled else None)
    with patch.dict(GRAMIAN_CHUNK, cpu=256):  # a bounded buffer, large against this small network
        method.update([problem.inputs], services)
        return peak_of(problem, method, lambda: method.update([problem.inputs], services))


def show(tasks: list[int]) -> None:
    """The table."""
    print("\n## Memory, in units of the shared parameters (chunk: 1/6); peak is beside parameters and moments\n")
    print(
        "bf16 and fp16: autocast holds a copy of the weights at half the size for the backward passes, in any method.\n"
    )
    print("| step | precision | " + " | ".join(f"K = {k}: moments, peak" for k in tasks) + " |")
    print("|---|---|" + "---|" * len(tasks))
    for label, name, arguments in (
        ("equal", "equal", {}),
        ("mao, stream", "mao", {"gradients": "stream"}),
        ("mao, exact", "mao", {"gradients": "exact"}),
        ("mao, collect", "mao", {"gradients": "collect"}),
        ("pcgrad", "pcgrad", {}),
    ):
        for precision in PRECISIONS:
            found = [measure(name, k, precision, **arguments) for k in tasks]
            cells = " | ".join(f"{moments:.2f}, {peak:.2f}" for peak, moments in found)
            print(f"| {label} | {precision} | {cells} |")
