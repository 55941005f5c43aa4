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


def find_all(index: ImageIndex, names: Iterable[tuple[int, str]], table: Path, missing: str) -> list[Path | None]:
    """Finds the images that a table lists.

    Args:
        index: The images.
        names: Line and cell of the table.
        table: Its file, for errors.
        missing: ``error`` or ``leave_out``.

    Returns:
        For each name its image; ``None`` where it is missing and may be left out.

    Raises:
        ManifestError: An image is missing, is listed twice, or fits several files; or none was found at all.
    """
    lines: dict[Path, int] = {}
    found: list[Path | None] = []
    lost: list[str] = []
    for line, name in names:
        where = f"{table}, line {line}"
        path = index.find(name, where) if name else None
        if path is None:
            lost.append(f"'{name}' on line {line}")
        elif path in lines:
            remedy = "keep one of the two rows"
            raise ManifestError(f"'{name}' is listed twice", where=where, found=f"line {lines[path]}", remedy=remedy)
        else:
            lines[path] = line
        found.append(path)
    if lost and (missing == "error" or not lines):
        raise _missing(index, len(lost), len(found), table, lost[0])
    return found


def _missing(index: ImageIndex, lost: int, total: int, table: Path, first: str) -> ManifestError:
    some = lost < total
    remedy = "give the option missing=leave_out" if some else "check the column of image names"
    remedy = f"{len(index.images)} images are there; check the folder, or {remedy}"
    what = f"{lost} of {total} listed images are not below {index.root}"
    return ManifestError(what, where=table, found=f"no file for {first}", remedy=remedy)


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
