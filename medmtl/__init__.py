"""medmtl: train, explain and evaluate multi-task models for retinal and other medical images.

``medmtl.train``, ``medmtl.evaluate``, ``medmtl.explain``, ``medmtl.map_quality``, ``medmtl.recalibrate``,
``medmtl.lesions``, ``medmtl.lesion_difference`` and ``medmtl.compare`` are the calls of the command line; they are loaded
when first used, so that importing the package stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medmtl.errors import MedmtlError

if TYPE_CHECKING:
    from medmtl.api import compare, evaluate, explain, map_quality, recalibrate, train
    from medmtl.lesionapi import lesion_difference, lesions

__all__ = [
    "MedmtlError",
    "__version__",
    "compare",
    "evaluate",
    "explain",
    "lesion_difference",
    "lesions",
    "map_quality",
    "recalibrate",
    "train",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in {"train", "evaluate", "explain", "map_quality", "recalibrate", "compare"}:
        from medmtl import api

        return getattr(api, name)
    if name in {"lesions", "lesion_difference"}:  # by themselves, because they need no torch
        from medmtl import lesionapi

        return getattr(lesionapi, name)
    raise AttributeError(f"module 'medmtl' has no attribute '{name}'")
