"""DIARETDB1: 89 fundus images with the lesion markings of four experts (v2.1 XML, or the summed masks of v1.1).

The consensus rule is the one of Kauppi et al., "The DIARETDB1 diabetic retinopathy database and evaluation protocol",
BMVC 2007, section 3.3: a pixel is a lesion where the experts' mean confidence is at least 0.75.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medmtl.data.markings import AGREEMENT, EXPERTS, Marking, consensus_mask, expert_files, parse_markings
from medmtl.data.reading import read_image_info, read_pixels
from medmtl.data.sources.base import Check, Option, Source, sources
from medmtl.data.sources.layout import (
    by_stem,
    child,
    children,
    files_below,
    find_home,
    require_files,
    table,
    wrong_root,
)
from medmtl.data.sources.tables import compare, count
from medmtl.errors import ManifestError

MARKINGS = {
    "hard_exudates": "Hard_exudates",
    "soft_exudates": "Soft_exudates",
    "haemorrhages": "Haemorrhages",
    "red_small_dots": "Red_small_dots",
}
_V1_FOLDERS = {
    "hard_exudates": "hardexudates",
    "soft_exudates": "softexudates",
    "haemorrhages": "hemorrhages",
    "red_small_dots": "redsmalldots",
}
# The masks hold the sum over experts on a scale that ends at 252; the official program takes value/252 >= 0.75.
_V1_THRESHOLD = 189
_COMPLETE = "complete the copy"
_LAYOUT = (
    "v2.1: ddb1_v02_01/ with images/, groundtruth/*_plain.xml, ddb1_v02_01_{train,test}_plain.txt; "
    "v1.1: diaretdb1_v_1_1/ with resources/images/{ddb1_fundusimages,ddb1_groundtruth}, "
    "resources/{traindatasets,testdatasets}/*.txt"
)


@dataclass(frozen=True)
class _Truth:
    """What the experts said of one image: mask references, and presence by the consensus rule and by any mark."""

    masks: Mapping[str, str]
    present: Mapping[str, bool]
    any_mark: bool


def _row(image: Path, split: str, truth: _Truth, fov: Path | None = None) -> dict[str, object]:
    row: dict[str, object] = {"image": image, "id": image.stem, "split": split, "fov": fov}
    row |= {f"mask:lesions.{name}": reference for name, reference in truth.masks.items()}
    row |= {f"label:lesions.{name}": int(present) for name, present in truth.present.items()}
    row["label:any_consensus"] = int(any(truth.present.values()))
    row["label:any_mark"] = int(truth.any_mark)
    return row


def _listed(path: Path) -> list[str]:
    """Reads the image stems of an official list: the first word of each line."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [Path(line.split()[0].replace("\\", "/")).stem for line in lines if line.strip()]


def _rows(
    lists: Mapping[str, Path], images: Mapping[str, Path], truth: Callable[[Path], _Truth], home: Path, fov: Path | None
) -> list[dict[str, object]]:
    rows = []
    for split, path in lists.items():
        stems = _listed(path)
        require_files([stem for stem in stems if stem.casefold() not in images], len(stems), path, home)
        found = [images[stem.casefold()] for stem in stems]
        rows += [_row(image, split, truth(image), fov) for image in found]
    return rows


def _v2_pattern(groundtruth: Path, stem: str) -> Path:
    # A copy may hold both the plain files and those that need their owner's server; never count an expert twice.
    for name in (f"{stem}_*_plain.xml", f"{stem}_??.xml"):
        if any(groundtruth.glob(name)):
            return groundtruth / name
    raise ManifestError("no markings of an image", where=groundtruth, found=f"no {stem}_*_plain.xml", remedy=_COMPLETE)


def _agreed(experts: Sequence[Sequence[Marking]], kind: str, shape: tuple[int, int]) -> bool:
    # Even full overlap cannot reach the threshold in most images; saying so first spares drawing.
    highest = [max((mark.confidence for mark in marks if mark.kind == kind), default=0.0) for marks in experts]
    return sum(highest) >= AGREEMENT * EXPERTS and bool(consensus_mask(experts, kind, shape).any())


def _v2_truth(image: Path, groundtruth: Path) -> _Truth:
    pattern = _v2_pattern(groundtruth, image.stem)
    experts = [parse_markings(path) for path in expert_files(pattern)]
    info = read_image_info(image)
    shape = (info.height, info.width)
    masks = {name: f"{pattern}#{kind}" for name, kind in MARKINGS.items()}
    present = {name: _agreed(experts, kind, shape) for name, kind in MARKINGS.items()}
    marked = any(marking.kind in MARKINGS.values() for markings in experts for marking in markings)
    return _Truth(masks, present, marked)


def _v2_list(home: Path, split: str) -> Path:
    for name in (f"ddb1_v02_01_{split}_plain.txt", f"ddb1_v02_01_{split}.txt"):
        path = child(home, name)
        if path is not None:
            return path
    raise ManifestError(
        "the official list of images is missing", where=home / f"ddb1_v02_01_{split}_plain.txt", remedy=_COMPLETE
    )


def _v2(home: Path) -> list[dict[str, object]]:
    groundtruth = child(home, "groundtruth") or home
    lists = {split: _v2_list(home, split) for split in ("train", "test")}
    return _rows(lists, by_stem(files_below(home)), lambda image: _v2_truth(image, groundtruth), home, None)


def _v1_truth(image: Path, groundtruth: Path) -> _Truth:
    paths = {}
    for name, folder in _V1_FOLDERS.items():
        path = child(groundtruth, f"{folder}/{image.stem}.png")
        if path is None:
            raise ManifestError(
                "a mask is missing", where=groundtruth / folder, found=f"no {image.stem}.png", remedy=_COMPLETE
            )
        paths[name] = path
    peaks = {name: _highest(path) for name, path in paths.items()}
    masks = {name: f"{path}#>={_V1_THRESHOLD}" for name, path in paths.items()}
    present = {name: peak >= _V1_THRESHOLD for name, peak in peaks.items()}
    return _Truth(masks, present, any(peak > 0 for peak in peaks.values()))


def _highest(path: Path) -> int:
    return int(np.max(read_pixels(path, labels=True).values))


def _v1(home: Path) -> list[dict[str, object]]:
    resources = home / "resources"
    lists = {}
    for split, folder in {"train": "traindatasets", "test": "testdatasets"}.items():
        found = [path for path in children(resources / folder) if path.suffix == ".txt"]
        if not found:
            raise ManifestError("the official list of images is missing", where=resources / folder, remedy=_COMPLETE)
        lists[split] = found[0]
    images = by_stem(files_below(resources / "images" / "ddb1_fundusimages"))
    groundtruth = child(resources, "images/ddb1_groundtruth") or resources
    fov = child(resources, "images/ddb1_fundusmask/fmask.tif")
    return _rows(lists, images, lambda image: _v1_truth(image, groundtruth), home, fov)


def build(root: Path, *, version: str, places: str) -> pd.DataFrame:
    """Reads DIARETDB1; see :class:`medmtl.data.sources.base.Source`."""
    frame = _frame(root, version)
    if places == "read":
        return frame
    return frame.drop(columns=[name for name in frame.columns if name.startswith("mask:")])


def _frame(root: Path, version: str) -> pd.DataFrame:
    second = None if version == "1.1" else find_home(root, "groundtruth")
    first = None if version == "2.1" or second else find_home(root, "resources/images/ddb1_groundtruth")
    if second:
        return table(_v2(second), "diaretdb1")
    if first:
        return table(_v1(first), "diaretdb1")
    raise wrong_root(root, "folder 'groundtruth' (v2.1) or 'resources/images/ddb1_groundtruth' (v1.1)", _LAYOUT)


_PUBLISHED = {
    "train": {"hard_exudates": 18, "soft_exudates": 6, "red_small_dots": 19, "haemorrhages": 21},
    "test": {"hard_exudates": 20, "soft_exudates": 9, "red_small_dots": 20, "haemorrhages": 18},
}
# Two of the eight published numbers differ by one from what the published rule gives on the published markings.
_KNOWN = {("train", "haemorrhages"): 22, ("test", "red_small_dots"): 21}


def check(frame: pd.DataFrame) -> list[Check]:
    """Compares with Kauppi 2007 (images positive at 0.75 by class) and the numbers of diseased images."""
    checks = [
        compare(f"{split} images", expected, count(frame, "split", split))
        for split, expected in {"train": 28, "test": 61}.items()
    ]
    for split, published in _PUBLISHED.items():
        for name, expected in published.items():
            found = count(frame, f"label:lesions.{name}", 1, split=split)
            reason = "known: the published rule gives one image more than the published number"
            known = {_KNOWN[split, name]: reason} if (split, name) in _KNOWN else {}
            checks.append(compare(f"{split} images with {name} at 0.75", expected, found, known))
    checks.append(compare("images with any consensus lesion", 51, count(frame, "label:any_consensus", 1)))
    checks.append(compare("images with any mark by any expert", 84, count(frame, "label:any_mark", 1)))
    return checks


sources.register("diaretdb1")(
    Source(
        name="diaretdb1",
        title="DIARETDB1 (v2.1 or v1.1)",
        description="89 fundus images, lesions of diabetic retinopathy marked by four experts, consensus rule",
        url="http://www.it.lut.fi/project/imageret/diaretdb1_v2_1/",
        terms="research only, no redistribution or modification, not in proprietary programs; citation required",
        citation="Kauppi et al., The DIARETDB1 diabetic retinopathy database and evaluation protocol, BMVC 2007",
        expected_layout=_LAYOUT,
        build=build,
        options=(
            Option("version", "auto", "which layout to read; auto prefers v2.1", ("auto", "2.1", "1.1")),
            Option(
                "places",
                "read",
                "the marked places as masks, or not at all: for training that may learn from labels of images only",
                ("read", "leave_out"),
            ),
        ),
        expected_values={f"mask:lesions.{name}": frozenset({0, 1}) for name in MARKINGS},
        check=check,
    )
)
