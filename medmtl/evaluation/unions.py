"""Classes taken together: any lesion, red lesions, bright lesions. First the union of pixels, then its components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medmtl.errors import EvaluationError
from medmtl.evaluation.region_table import RegionTable
from medmtl.evaluation.targets import Targets, lesion_targets

LESION_GROUPS: dict[str, tuple[str, ...]] = {
    "red": ("microaneurysms", "red_small_dots", "haemorrhages"),
    "bright": ("hard_exudates", "soft_exudates"),
}
"""Classes that look alike, by the names of medmtl's manifests; each data set has some of them."""


def union_targets(targets: Sequence[Targets], min_area: int = 1) -> Targets:
    """The lesions of several classes of one image as one class: lesions of two classes that touch become one.

    Args:
        targets: One a class.
        min_area: Least pixels of a lesion of the union.

    Returns:
        The 8-connected components of the union. Unknown is what is unknown in one class and no lesion in any; irrelevant
        findings stay; ``dropped`` counts those of each class and of the union.

    Raises:
        EvaluationError: There is no class, or their shapes differ.
    """
    shapes = {one.shape for one in targets}
    if len(shapes) != 1:
        raise EvaluationError("a union needs classes of one image", found=f"shapes {sorted(shapes)}")
    lesion = np.any([one.mask for one in targets], axis=0)
    unknown = np.any([one.unknown for one in targets], axis=0) & ~lesion
    found = lesion_targets(np.where(unknown, 255, lesion.astype(np.uint8)), min_area=min_area)
    irrelevant = RegionTable.concatenated([one.irrelevant for one in targets])
    dropped = found.dropped + sum(one.dropped for one in targets)
    return replace(found, irrelevant=irrelevant, dropped=dropped, beyond=sum(one.beyond for one in targets))


def group_targets(
    targets: Mapping[str, Targets], groups: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Targets]:
    """Any lesion, and the groups of classes that are there.

    Args:
        targets: The lesions of each class of one image, by name.
        groups: Names of classes by group; None: ``LESION_GROUPS``.

    Returns:
        ``any`` and each group of which at least one class is there.

    Raises:
        EvaluationError: As ``union_targets``.
    """
    chosen = LESION_GROUPS if groups is None else groups
    parts = {"any": list(targets), **{name: [one for one in names if one in targets] for name, names in chosen.items()}}
    return {name: union_targets([targets[one] for one in names]) for name, names in parts.items() if names}
