"""Which image and class a file of a folder is about, by its name: IMAGE/CLASS, CLASS/IMAGE, IMAGE_CLASS or IMAGE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medmtl.errors import ConfigError, ImageError
from medmtl.lesionfiles.images import ImageIndex, stem

UNNAMED = "map"
"""Class of files that name an image and no class."""

LAYOUTS = "IMAGE/CLASS.*, CLASS/IMAGE.*, IMAGE_CLASS.* or IMAGE.*"
_SEPARATOR = re.compile(r"[_.\- ]+")


@dataclass(frozen=True)
class NamedFile:
    """A file, the number of its image, and its class."""

    path: Path
    image: int
    label: str


def listed(folder: Path, suffixes: Iterable[str], what: str) -> list[Path]:
    """Files of a folder and below whose names end in one of some suffixes, in order; hidden ones are left out.

    Raises:
        ImageError: The folder does not exist, or holds none.
    """
    if not folder.is_dir():
        raise ImageError(f"there is no such folder of {what}", where=folder, remedy="check the path")
    ends = tuple(suffixes)
    files = [path for path in sorted(folder.rglob("*")) if path.name.lower().endswith(ends) and path.is_file()]
    files = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not files:
        others = sorted({path.suffix for path in folder.rglob("*") if path.is_file()})
        found = f"files {', '.join(others)}" if others else "no file"
        raise ImageError(f"the folder holds no {what}", where=folder, found=found, remedy=f"use {LAYOUTS}")
    return files


def name_of(path: Path, folder: Path, index: ImageIndex) -> tuple[str, str] | None:
    """Image and class of a file as its name says; None where no evaluated or known image is in it.

    Args:
        path: A file below ``folder``.
        folder: The folder that was given.
        index: The images.
    """
    name, parent = _plain(path.name), path.parent.name if path.parent != folder else ""
    if parent and _known(parent, index):
        return parent, _label(name, parent)
    if _known(name, index):
        return name, parent or UNNAMED
    head = _head(name, index)
    if head is None:
        return None
    return head, parent or _label(name, head)


def unplaced(path: Path, folder: Path, index: ImageIndex) -> ImageError:
    """The error for a file whose name holds no known image."""
    known = ", ".join(image.id for image in index.images[:3])
    remedy = f"name files {LAYOUTS} below {folder}; images are {known}, ..."
    return ImageError("the file's name holds no image that the truth knows", where=path, remedy=remedy)


def _plain(name: str) -> str:
    return stem(name).removesuffix(".map")


def _known(name: str, index: ImageIndex) -> bool:
    return index.find(name) is not None or index.is_other(name)


def _label(name: str, image: str) -> str:
    rest = name.removeprefix(image) if name != image else ""
    return _SEPARATOR.sub("", rest, count=1) if rest != name and _SEPARATOR.match(rest) else rest or UNNAMED


def _head(name: str, index: ImageIndex) -> str | None:
    """The longest beginning of a name, up to a separator, that is an image."""
    ends = [match.start() for match in _SEPARATOR.finditer(name)]
    return next((name[:end] for end in reversed(ends) if end and _known(name[:end], index)), None)


def named_paths(texts: Sequence[str], option: str) -> dict[str, Path]:
    """Reads ``NAME=PATH`` texts.

    Args:
        texts: As given.
        option: The option, for messages.

    Raises:
        ConfigError: A text is no such pair, or a name is given twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equal, path = (part.strip() for part in text.partition("="))
        if not (name and equal and path):
            raise ConfigError("not a name and a file", where=option, found=f"'{text}'", remedy="write NAME=FILE")
        if name in found:
            raise ConfigError("the same name twice", where=option, found=f"'{name}'", remedy="name each row once")
        found[name] = Path(path)
    return found
