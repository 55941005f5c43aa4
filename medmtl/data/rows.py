"""From the cells of one row to a sample, with all that is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medmtl.data.columns import Column
from medmtl.data.problems import Problem
from medmtl.data.samples import MaskReference, Sample, local_path
from medmtl.errors import suggestion

SPLITS = ("train", "val", "test")
_SPLIT_WORDS = {
    "training": "train",
    "trn": "train",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "testing": "test",
}
_SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
_SIDE_WORDS = {"od": "R", "os": "L", "re": "R", "le": "L"}
_MISSING_WORDS = {"nan", "na", "n/a", "#n/a", "<na>", "null", "nat"}
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0+")
_TRUTH = {"1": "1", "0": "0", "true": "1", "false": "0"}
_YES_NO = "write 1 (present), 0 (absent), or leave the cell empty (unknown)"


@dataclass
class RowReader:
    """Reads the rows of one manifest and gathers their problems.

    Attributes:
        path: The manifest.
        columns: Its columns, in order.
        problems: What was wrong in the rows read so far.
    """

    path: Path
    columns: Sequence[Column]
    problems: list[Problem] = field(default_factory=list)

    def read(self, row: int, cells: Sequence[str]) -> Sample | None:
        """Returns the sample of a row, or ``None`` where something in it is wrong."""
        before = len(self.problems)
        filled = {column: cell for column, cell in zip(self.columns, cells, strict=True) if cell}
        filled = {column: cell for column, cell in filled.items() if self._is_value(row, column, cell)}
        plain = {column.name: cell for column, cell in filled.items() if column.kind == "plain"}
        if "image" not in plain and len(self.problems) == before:
            self._problem(row, "the image cell is empty", None, "give a path, or remove the row")
        split, side = self._split(row, plain.get("split")), self._side(row, plain.get("laterality"))
        labels, masks = self._labels(row, filled), self._masks(row, filled)
        if len(self.problems) > before:
            return None
        return self._sample(row, plain, split, side, labels, masks)

    def _sample(
        self,
        row: int,
        plain: Mapping[str, str],
        split: str | None,
        side: str | None,
        labels: Mapping[str, str],
        masks: Mapping[str, MaskReference],
    ) -> Sample:
        folder = self.path.parent
        image = local_path(plain["image"], folder)
        identity = plain.get("id", image.name.removesuffix(".gz").rsplit(".", 1)[0])
        return Sample(
            id=identity,
            image=image,
            row=row,
            manifest=self.path,
            dataset=plain.get("dataset", self.path.stem),
            patient=plain.get("patient", identity),
            site=plain.get("site"),
            laterality=side,
            split=split,
            fov=local_path(plain["fov"], folder) if "fov" in plain else None,
            labels=labels,
            masks=masks,
        )

    def _problem(self, row: int, what: str, found: str | None, remedy: str) -> None:
        self.problems.append(Problem(what, row, found, remedy))

    def _is_value(self, row: int, column: Column, cell: str) -> bool:
        if cell.lower() not in _MISSING_WORDS or column.kind == "note":
            return True
        remedy = "leave the cell empty where nothing is known"
        self._problem(row, f"column '{column.header}' holds a word for a missing value", f"'{cell}'", remedy)
        return False

    def _split(self, row: int, cell: str | None) -> str | None:
        if cell is not None and cell not in SPLITS:
            meant = _SPLIT_WORDS.get(cell.lower())
            remedy = f"did you mean '{meant}'?" if meant else suggestion(cell.lower(), SPLITS)
            self._problem(row, "unknown split", f"'{cell}'", remedy)
        return cell

    def _side(self, row: int, cell: str | None) -> str | None:
        if cell is None or cell.lower() in _SIDES:
            return _SIDES.get((cell or "").lower())
        meant = _SIDE_WORDS.get(cell.lower())
        remedy = f"did you mean '{meant}'?" if meant else "write L or R (left or right)"
        self._problem(row, "unknown laterality", f"'{cell}'", remedy)
        return None

    def _labels(self, row: int, filled: Mapping[Column, str]) -> dict[str, str]:
        labels: dict[str, str] = {}
        for column, cell in filled.items():
            if column.kind == "labels":
                labels.update(self._label_set(row, column, cell))
            elif column.kind == "label" and column.member is not None:
                labels.update(self._truth(row, column.header, column.key, cell))
            elif column.kind == "label":
                labels[column.key] = _WHOLE_FLOAT.sub(r"\1", cell) if _WHOLE_FLOAT.fullmatch(cell) else cell
        return labels

    def _truth(self, row: int, header: str, key: str, cell: str) -> dict[str, str]:
        word = _WHOLE_FLOAT.sub(r"\1", cell).lower()
        if word in _TRUTH:
            return {key: _TRUTH[word]}
        self._problem(row, f"column '{header}' takes 1 or 0", f"'{cell}'", _YES_NO)
        return {}

    def _label_set(self, row: int, column: Column, cell: str) -> dict[str, str]:
        labels: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in cell.split(";"))):
            member, _, word = (piece.strip() for piece in part.partition("="))
            if not member or "." in member or ":" in member:
                self._problem(row, f"not a class in '{column.header}'", f"'{part}'", "write NAME=1 or NAME=0")
                continue
            truth = self._truth(row, column.header, f"{column.name}.{member}", word if "=" in part else "1")
            if any(labels.get(key, value) != value for key, value in truth.items()):
                self._problem(row, f"column '{column.header}' contradicts itself", f"'{cell}'", _YES_NO)
            labels.update(truth)
        return labels

    def _masks(self, row: int, filled: Mapping[Column, str]) -> dict[str, MaskReference]:
        masks: dict[str, MaskReference] = {}
        for column, cell in filled.items():
            if column.kind != "mask":
                continue
            try:
                masks[column.key] = MaskReference.parse(cell, self.path.parent)
            except ValueError:
                remedy = "write PATH, PATH#any, PATH#rgb, PATH#=N, PATH#>=N, PATTERN.xml#MARKING or absent"
                self._problem(row, f"not a mask reference in '{column.header}'", f"'{cell}'", remedy)
        return masks
