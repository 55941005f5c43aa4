"""What an export gets of an image, what it is, and how it is found by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from medmtl.errors import ConfigError, suggestion
from medmtl.explanation.shown import ShownClass, ShownImage
from medmtl.registry import Registry

EXPORT_FOLDER = "exports"


class Exporter(Protocol):
    """Writes one format to a folder, an image at a time."""

    def add(self, image: ShownImage) -> list[Path]:
        """Writes what belongs to this image alone and gives the files.

        Raises:
            OutputError: A file cannot be written.
        """

    def finish(self) -> list[Path]:
        """Writes what belongs to all images and gives the files.

        Raises:
            OutputError: A file cannot be written.
        """


EXPORTS: Registry[Callable[[Path], Exporter]] = Registry("export")
"""Exporters by the name of their format; made for a folder."""


@dataclass(frozen=True)
class PerImage:
    """An export without anything that belongs to all images."""

    folder: Path
    write: Callable[[Path, ShownImage], list[Path]]

    def add(self, image: ShownImage) -> list[Path]:
        """Writes the image's files."""
        return self.write(self.folder, image)

    def finish(self) -> list[Path]:
        """Nothing."""
        return []


@dataclass(frozen=True)
class PerClass:
    """An export of a map a class, ``NAME/CLASS`` and the suffix; ``write`` takes the path and gives all its files."""

    folder: Path
    suffix: str
    write: Callable[[Path, ShownImage, ShownClass], list[Path]]

    def add(self, image: ShownImage) -> list[Path]:
        """Writes the files of each class."""
        named = zip(image.stems(), image.classes, strict=True)
        paths = [(self.folder / image.name / f"{stem}{self.suffix}", entry) for stem, entry in named]
        return [file for path, entry in paths for file in self.write(path, image, entry)]

    def finish(self) -> list[Path]:
        """Nothing."""
        return []


def open_exports(names: Sequence[str], out: Path) -> list[Exporter]:
    """The exporters of formats, each once, in the order given.

    Args:
        names: Names in ``EXPORTS``; several may stand in one text, separated by commas.
        out: The output folder; each writes to ``out/exports/NAME``.

    Raises:
        ConfigError: A name is not known.
    """
    asked = [name.strip().lower() for text in names for name in text.split(",")]
    for name in asked:
        if name not in EXPORTS:
            remedy = suggestion(name, EXPORTS)
            raise ConfigError("unknown export", where="--export", found=f"'{name}'", remedy=remedy)
    return [EXPORTS.get(name)(out / EXPORT_FOLDER / name) for name in dict.fromkeys(asked)]


def plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a table as JSON values; what is not known becomes None."""
    return {str(key): None if value == "" or pd.isna(value) else value for key, value in row.items()}
