"""Manifests of public data sets, and the doctor's look at any manifest with its data set's self-tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from medmtl.data.columns import parse_columns
from medmtl.data.inspect import Inspection, SelfTest, inspect_manifest
from medmtl.data.manifest import Manifest, Problem, write_manifest
from medmtl.data.sources import Source, list_sources, make_manifest, sources
from medmtl.data.table import read_table
from medmtl.errors import ConfigError, ManifestError, OutputError
from medmtl.files import write_text
from medmtl.progress import Progress


def source_lines() -> list[str]:
    """The public data sets that :func:`make` knows, each with its options."""
    return [line for source in list_sources() for line in _source_lines(source)]


def _source_lines(source: Source) -> list[str]:
    lines = [f"{source.name:12} {source.title}: {source.description}"]
    for option in source.options:
        choice = "|".join(option.choices) or "TEXT"
        default = "needed" if option.required else f"default {option.default}" if option.default else "optional"
        lines.append(f"    --option {option.name}={choice}  {option.help} ({default})")
    return lines


def make(name: str, root: Path, out: Path, options: Sequence[str]) -> list[str]:
    """Writes the manifest of a public data set and says what is in it.

    Args:
        name: The data set.
        root: Its folder, in the official layout.
        out: Manifest to write (.csv or .parquet).
        options: ``KEY=VALUE`` for each option of the data set that differs from its default.

    Raises:
        MedmtlError: Unknown data set or option, wrong folder, or the manifest cannot be written.
    """
    frame = make_manifest(name, root, dict(_pair(text) for text in options))
    _spare(out)
    write_manifest(frame, out)
    splits = frame["split"].replace("", "none").value_counts() if "split" in frame else {"without a split": len(frame)}
    counts = ", ".join(f"{split} {count}" for split, count in splits.items())
    return [f"manifest {out}: {len(frame)} samples ({counts})"]


def _spare(out: Path) -> None:
    """Refuses to write a manifest over a file that is none, such as the table of labels that it is made from."""
    if not out.is_file() or out.stat().st_size == 0:
        return
    try:
        _, problems = parse_columns(read_table(out).columns)
    except ManifestError:
        problems = [Problem("no table")]
    if problems:
        remedy = "choose another --out, or remove the file first"
        raise OutputError("a file that is no manifest is in the way", where=out, remedy=remedy)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        remedy = "see `medmtl data list` for the options of a data set"
        raise ConfigError("--option needs KEY=VALUE", found=f"'{text}'", remedy=remedy)
    return key, value


def _values(text: str) -> tuple[str, set[int]]:
    column, _, numbers = text.partition("=")
    try:
        return column, {int(number) for number in numbers.split(",")}
    except ValueError:
        remedy = "write COLUMN=VALUE,VALUE with whole numbers, such as --known vessels=0,255"
        raise ConfigError("--known needs a mask column and its values", found=f"'{text}'", remedy=remedy) from None


def inspect(path: Path, out: Path | None, size: int, known: Sequence[str] = ()) -> Inspection:
    """Inspects a manifest; a known data set's mask values and published counts are checked too.

    Args:
        path: The manifest.
        out: JSON file to write the findings to; None writes nothing.
        size: Side of the view that the estimate of the cache is for, in pixels.
        known: ``COLUMN=VALUE,VALUE``: values that the files of a mask column may hold.

    Raises:
        MedmtlError: The manifest cannot be read, a column or value in ``known`` is none, or ``out`` cannot be written.
    """
    values = dict(_values(text) for text in known)
    if out is not None and out.exists() and path.exists() and out.samefile(path):
        raise OutputError("the findings would replace the manifest", where=out, remedy="choose another --out")
    source = _source_of(path)
    with Progress().bar("inspecting", None) as bar:
        inspection = inspect_manifest(
            path,
            expected=None if source is None else source.expected_values,
            known=values,
            size=size,
            self_test=None if source is None else lambda _: _self_tests(source, path),
            progress=lambda done, total: bar.advance(note=f"{done} of {total}"),
        )
    if out is not None:
        write_text(out, json.dumps(inspection.to_dict(), indent=2) + "\n")
    return inspection


def _source_of(path: Path) -> Source | None:
    datasets = {sample.dataset for sample in Manifest.read(path, strict=False).samples}
    name = next(iter(datasets)) if len(datasets) == 1 else ""
    return sources.get(name) if name in sources else None


def _self_tests(source: Source, path: Path) -> Iterable[SelfTest]:
    table = read_table(path)
    frame = pd.DataFrame([list(cells) for _, cells in table.rows], columns=list(table.columns), dtype=str)
    for check in source.check(frame):
        # A count that differs in a known, recorded way is shown with its note, and passes.
        expected = check.found if check.ok else check.expected
        yield SelfTest(check.name, int(expected), int(check.found), check.note)
