"""medmtl: train, explain and evaluate multi-task models for retinal and other medical images.

``medmtl.train``, ``medmtl.evaluate``, ``medmtl.explain``, ``medmtl.map_quality``, ``medmtl.recalibrate``,
``medmtl.flatness``, ``medmtl.lesions``, ``medmtl.lesion_difference`` and ``medmtl.compare`` are the calls of the command
line; they are loaded when first used, so that importing the package stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medmtl.errors import MedmtlError

if TYPE_CHECKING:
    from medmtl.api import compare, evaluate, explain, recalibrate, train
    from medmtl.lesionapi import lesion_difference, lesions
    from medmtl.measureapi import flatness, map_quality

__all__ = [
    "MedmtlError",
    "__version__",
    "compare",
    "evaluate",
    "explain",
    "flatness",
    "lesion_difference",
    "lesions",
    "map_quality",
    "recalibrate",
    "train",
]
__version__ = "0.1.0"


_HOMES = {
    "api": ("train", "evaluate", "explain", "recalibrate", "compare"),
    "measureapi": ("map_quality", "flatness"),
    "lesionapi": ("lesions", "lesion_difference"),  # by themselves, because they need no torch
}


def __getattr__(name: str) -> Any:
    for home, calls in _HOMES.items():
        if name in calls:
            return getattr(import_module(f"medmtl.{home}"), name)
    raise AttributeError(f"module 'medmtl' has no attribute '{name}'")
