"""Masks of findings that count neither way (``--ignore``): they need not be found, nor are held against who finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medmtl.data.samples import MaskReference
from medmtl.errors import ConfigError, suggestion


def ignored_findings(
    asked: Sequence[str], names: tuple[str, ...], keys: Mapping[str, str] | None = None
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The findings to be ignored, and the classes that are left.

    Args:
        asked: ``[CLASS=]NAME`` texts.
        names: Names of all masks of lesions.
        keys: The name of each column of a manifest, whose whole name may be asked for too.

    Raises:
        ConfigError: There is no such mask, or no such class.
    """
    known = dict(keys or {}) | {name: name for name in names}
    parts = [text.rpartition("=") for text in asked]
    for part in [piece.strip() for label, equal, name in parts for piece in ([label, name] if equal else [name])]:
        if part not in known:
            remedy = f"{suggestion(part, known)} write [CLASS=]NAME of masks of the truth"
            raise ConfigError("no such mask", where="--ignore", found=f"'{part}'", remedy=remedy)
    found = tuple((known[label.strip()] if label else "", known[name.strip()]) for label, _, name in parts)
    apart = {name for _, name in found}
    return found, tuple(name for name in names if name not in apart)


def unknown_ignored(
    ignored: Sequence[tuple[str, str]], masks: Mapping[tuple[int, str], MaskReference], images: int
) -> tuple[str, ...]:
    """Notes on images that have no mask of findings to be ignored.

    Args:
        ignored: As :func:`ignored_findings` gives them.
        masks: By image number and name.
        images: Number of images.
    """
    counts = {name: sum((number, name) not in masks for number in range(images)) for _, name in ignored}
    return tuple(
        f"{name}: not known in {n} of {images} images; nothing is ignored there" for name, n in counts.items() if n
    )
