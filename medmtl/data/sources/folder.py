"""Any folder of images with a table of labels: no Python needed for a new data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from medmtl.data.columns import Column
from medmtl.data.problems import manifest_error
from medmtl.data.rows import RowReader
from medmtl.data.sources.base import Option, Source, sources
from medmtl.data.sources.layout import table, wrong_root
from medmtl.data.sources.listing import ImageIndex, find_all, patients_by_content, unique_ids
from medmtl.data.sources.tables import find_column, read_table, resolve_table
from medmtl.errors import ManifestError, suggestion

_IMAGE_COLUMNS = ("image", "image_id", "id_code", "filename", "file_name", "file", "name", "image name", "image_path")
_MISSING_WORDS = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "null", "nat", "none"})
_PLAIN = ("patient", "split", "laterality", "site")
_LAYOUT = "a folder of images (sub-folders allowed) and a CSV file with one row an image, one column a label"


def _label_columns(text: str, frame: pd.DataFrame, taken: set[str], path: Path) -> dict[str, str]:
    """Reads ``column=task,column=task``; without it, every column that has no other use is a label.

    Returns:
        Column of the table to column of the manifest.
    """
    if not text:
        return {name: _header(name) for name in map(str, frame.columns) if name not in taken}
    columns = {}
    for part in text.split(","):
        name, _, task = (piece.strip() for piece in part.partition("="))
        if name not in frame.columns:
            raise ManifestError("no such column", where=path, found=f"'{name}'", remedy=suggestion(name, frame.columns))
        columns[name] = _header(task or name)
    return columns


def _check_headers(headers: Mapping[str, str], path: Path) -> None:
    for name, header in headers.items():
        others = [other for other in headers if headers[other] == header]
        if others[0] != name:
            found = f"'{others[0]}' and '{name}', both '{header}'"
            remedy = "name them apart with the option label_columns=COLUMN=TASK,COLUMN=TASK"
            raise ManifestError("two columns become one label", where=path, found=found, remedy=remedy)


def _header(name: str) -> str:
    if name.startswith(("label:", "labels:")):
        return name
    return "label:" + "_".join("".join(sign if sign.isalnum() else " " for sign in name).split()).casefold()


def _value(cell: str) -> str:
    return "" if cell.casefold() in _MISSING_WORDS else cell


def build(
    root: Path,
    *,
    labels: str,
    image_column: str,
    label_columns: str,
    patient_column: str,
    split_column: str,
    laterality_column: str,
    site_column: str,
    missing: str,
) -> pd.DataFrame:
    """Reads a folder and a table; see :class:`medmtl.data.sources.base.Source`."""
    path = resolve_table(labels, root)
    frame = read_table(path)
    index = ImageIndex(root)
    if not index.images:
        raise wrong_root(root, "image", _LAYOUT)
    image_name = find_column(frame, (image_column,) if image_column else _IMAGE_COLUMNS, path)
    given = dict(zip(_PLAIN, (patient_column, split_column, laterality_column, site_column), strict=True))
    plain = {key: find_column(frame, (column,), path) for key, column in given.items() if column}
    headers = _label_columns(label_columns, frame, {image_name, *plain.values()}, path)
    _check_headers(headers, path)
    images = find_all(index, zip(frame.index, frame[image_name], strict=True), path, missing)
    ids = unique_ids([image for image in images if image is not None], root)
    patients = patients_by_content(ids)
    rows = []
    reader = RowReader(path, [Column(name, "plain", name) for name in ("image", *plain)])
    for line, image, cells in zip(frame.index, images, frame.to_dict("records"), strict=True):
        if image is not None:
            told = {key: _value(cells[column]) for key, column in plain.items()}
            reader.read(line, [image.name, *told.values()])
            row: dict[str, object] = {"image": image, "id": ids[image], "patient": patients[image]}
            row |= {key: value for key, value in told.items() if value}
            rows.append(row | {header: _value(cells[column]) for column, header in headers.items()})
    if reader.problems:  # a split or a side that no manifest may hold
        raise manifest_error(path, reader.problems)
    return table(rows, None)


sources.register("folder")(
    Source(
        name="folder",
        title="Any folder of images with a CSV file of labels",
        description="your own data: images found by path, name or stem, labels taken from the columns of a table",
        url="none",
        terms="those of your data",
        citation="none",
        expected_layout=_LAYOUT,
        build=build,
        options=(
            Option("labels", "", "the CSV file, relative to the folder or to where you are", required=True),
            Option("image_column", "", "the column that names the images; by default image, id_code, filename, ..."),
            Option("label_columns", "", "COLUMN=TASK,COLUMN=TASK; by default every other column is a label"),
            Option("patient_column", "", "the column that names the patient; by default every image is one"),
            Option("split_column", "", "the column that holds train, val or test"),
            Option("laterality_column", "", "the column that holds L or R (left or right)"),
            Option("site_column", "", "the column that names the hospital or camera"),
            Option("missing", "error", "what to do with listed images that are not there", ("error", "leave_out")),
        ),
    )
)
