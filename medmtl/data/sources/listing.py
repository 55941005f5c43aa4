"""From the names in somebody's table to the images in somebody's folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from medmtl.data.sources.layout import IMAGE_SUFFIXES, files_below, identical_files
from medmtl.errors import ManifestError


class ImageIndex:
    """The images below a folder, found by relative path, by name, or by name without suffix, in this order.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = files_below(root)
        self._keys: defaultdict[str, list[Path]] = defaultdict(list)
        for path in self.images:
            relative = path.relative_to(root)
            for key in dict.fromkeys((relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem)):
                self._keys[key.casefold()].append(path)

    def find(self, name: str, where: object) -> Path | None:
        """Returns the image that a table means, or ``None`` where there is none.

        Args:
            name: A relative path, a file name, or a file name without (or with another) suffix.
            where: The place of the name, for the error.

        Raises:
            ManifestError: Several images fit.
        """
        text = name.replace("\\", "/").removeprefix("./").casefold()
        # The last resort forgives another suffix, but takes no part of a name with dots in it for a suffix.
        stem = text.rsplit(".", 1)[0] if f".{text.rsplit('.', 1)[-1]}" in IMAGE_SUFFIXES else text
        for key in dict.fromkeys((text, stem, stem.rsplit("/", 1)[-1])):
            found = self._keys.get(key, [])
            if len(found) > 1:
                names = " and ".join(path.relative_to(self.root).as_posix() for path in found[:2])
                raise ManifestError(f"'{name}' fits several images", where=where, found=names, remedy="give its path")
            if found:
                return found[0]
        return None


def find_all(
    index: ImageIndex, names: Iterable[str], table: Path, missing: str, first_line: int = 2
) -> list[Path | None]:
    """Finds the images that a table lists.

    Args:
        index: The images.
        names: The cells of the table.
        table: Its file, for errors.
        missing: ``error`` or ``leave_out``.
        first_line: The line of the first name.

    Returns:
        For each name its image; ``None`` where it is missing and may be left out.

    Raises:
        ManifestError: An image is missing, is listed twice, or fits several files; or none was found at all.
    """
    seen: dict[Path, int] = {}
    found: list[Path | None] = []
    lost: list[str] = []
    for line, name in enumerate(names, start=first_line):
        path = index.find(name, f"{table}, line {line}") if name else None
        if path is None:
            lost.append(f"'{name}' on line {line}" if name else f"an empty name on line {line}")
        elif path in seen:
            raise ManifestError(f"'{name}' is listed twice", where=f"{table}, line {line}", found=f"line {seen[path]}")
        else:
            seen[path] = line
        found.append(path)
    if lost and (missing == "error" or not seen):
        what = f"{len(lost)} of {len(found)} listed images are not below {index.root}"
        remedy = f"{len(index.images)} images are there; check the folder" + (
            ", or give the option missing=leave_out" if seen else " and the column of image names"
        )
        raise ManifestError(what, where=table, found=f"no file for {lost[0]}", remedy=remedy)
    return found


def unique_ids(images: list[Path], root: Path) -> dict[Path, str]:
    """Names each image: by its stem, or by its path below ``root`` where two share a stem."""
    stems = [path.stem for path in images]
    clash = len(set(stems)) < len(stems)
    names = {path: path.relative_to(root).with_suffix("").as_posix().replace("/", "_") for path in images}
    return names if clash else {path: path.stem for path in images}


def patients_by_content(ids: dict[Path, str]) -> dict[Path, str]:
    """Gives byte-identical images one patient: the id of the first of them."""
    return {path: ids[first] for path, first in identical_files(list(ids)).items()}


def join_patients(patients: dict[Path, str], pairs: Iterable[tuple[Path, Path]]) -> dict[Path, str]:
    """Makes the two images of each pair one patient, and with them all who share a patient with either."""
    joined = dict(patients)
    for first, second in pairs:
        kept, replaced = joined[first], joined[second]
        joined = {path: kept if patient == replaced else patient for path, patient in joined.items()}
    return joined
