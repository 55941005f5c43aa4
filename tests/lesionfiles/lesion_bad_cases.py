"""Ways to break a lesion-level evaluation: what is done, and what the one line must name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nibabel
import numpy as np
from lesion_world import HEIGHT, IMAGES, WIDTH, LesionWorld, csv_bytes, mask, picture
from PIL import Image

PEAKS = ("--extract", "peaks", "--min-distance", "2")


@dataclass(frozen=True)
class Case:
    category: str
    name: str
    do: Callable[[LesionWorld], list[str]]
    says: tuple[str, ...]


CASES: list[Case] = []


def add(category: str, name: str, do: Callable[[LesionWorld], list[str]], *says: str) -> None:
    CASES.append(Case(category, name, do, says))


def cell(category: str, name: str, column: str, value: Any, *says: str, row: int = 1) -> None:
    """A cell of the candidate table; the line in the file is two more than the row."""

    def do(world: LesionWorld) -> list[str]:
        world.candidates[row][column] = value
        return world.command()

    add(category, name, do, f"candidates.csv, line {row + 2}", *says)


def options(category: str, name: str, more: tuple[str, ...], *says: str, **which: str) -> None:
    add(category, name, lambda world: world.command(*more, **which), *says)


def file(
    category: str, name: str, path: str, content: Any, *says: str, more: tuple[str, ...] = (), **which: str
) -> None:
    """A file with this content, or what a function makes of its place."""

    def do(world: LesionWorld) -> list[str]:
        target = world.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(target)
        else:
            world.put(path, content)
        return world.command(*more, **which)

    add(category, name, do, *says)


def change(
    category: str, name: str, do: Callable[[LesionWorld], None], *says: str, more: tuple[str, ...] = (), **which: str
) -> None:
    def run(world: LesionWorld) -> list[str]:
        do(world)
        return world.command(*more, **which)

    add(category, name, run, *says)


def save(values: np.ndarray) -> Callable[[Any], None]:
    return lambda path: np.save(path, values) if path.suffix == ".npy" else Image.fromarray(values).save(path)


MAPS = {"candidates": "maps"}
HEAT = np.zeros((HEIGHT, WIDTH), np.float32)


def spoiled(value: float, row: int = 3, column: int = 4) -> np.ndarray:
    values = HEAT.copy()
    values[row, column] = value
    return values


# --- maps ---
file(
    "map",
    "another size",
    "maps/a/ex.npy",
    save(HEAT[:20]),
    "ex.npy",
    "another size than its image",
    "40x20 instead of 40x30",
    more=PEAKS,
    **MAPS,
)
file("map", "turned", "maps/b/he.npy", save(HEAT.T.copy()), "he.npy", "30x40 instead of 40x30", more=PEAKS, **MAPS)
file(
    "map",
    "NaN",
    "maps/a/ex.npy",
    save(spoiled(np.nan)),
    "not finite",
    "1 pixels",
    "x=4, y=3",
    "--missing-values",
    more=PEAKS,
    **MAPS,
)
file("map", "infinite", "maps/a/ex.npy", save(spoiled(np.inf)), "not finite", "inf at x=4, y=3", more=PEAKS, **MAPS)
file(
    "map",
    "infinite and NaN allowed",
    "maps/a/ex.npy",
    save(spoiled(-np.inf)),
    "not finite",
    "-inf",
    more=(*PEAKS, "--missing-values"),
    **MAPS,
)
file(
    "map",
    "channels",
    "maps/a/ex.npy",
    save(np.zeros((HEIGHT, WIDTH, 3))),
    "one number a pixel",
    "30x40x3",
    more=PEAKS,
    **MAPS,
)
file("map", "texts", "maps/a/ex.npy", save(np.array([["a"]])), "a map holds numbers", more=PEAKS, **MAPS)
file(
    "map",
    "Python objects",
    "maps/a/ex.npy",
    lambda path: np.save(path, np.array([{}]), allow_pickle=True),
    "NPY file cannot be read",
    more=PEAKS,
    **MAPS,
)
file(
    "map",
    "truncated NPY",
    "maps/a/ex.npy",
    lambda path: path.write_bytes(path.read_bytes()[:300]),
    "NPY file cannot be read",
    "truncated",
    more=PEAKS,
    **MAPS,
)
file("map", "empty file", "maps/a/ex.npy", b"", "0 bytes", more=PEAKS, **MAPS)
change(
    "map",
    "corrupt TIFF",
    lambda w: (
        (w.folder / "maps/a/ex.npy").unlink(),
        (w.folder / "maps/a/ex.tif").write_bytes(b"II*\0" + b"\xff" * 60),
    ),
    "TIFF file cannot be decoded",
    more=PEAKS,
    **MAPS,
)
change(
    "map",
    "a volume",
    lambda w: (
        (w.folder / "maps/a/ex.npy").unlink(),
        nibabel.Nifti1Image(np.zeros((4, 4, 3)), np.eye(4)).to_filename(w.folder / "maps/a/ex.nii"),
    ),
    "not a two-dimensional image",
    "4x4x3",
    more=PEAKS,
    **MAPS,
)
file(
    "map",
    "PNG without sidecar",
    "maps/a/zz.png",
    save(picture(1)),
    "zz.png",
    "does not say what its values mean",
    more=PEAKS,
    **MAPS,
)
file(
    "map",
    "two of one class",
    "maps/ex/a.npy",
    save(HEAT),
    "two maps of class 'ex' for the image 'a'",
    "the other is",
    more=PEAKS,
    **MAPS,
)
file(
    "map",
    "unknown image",
    "maps/zebra/ex.npy",
    save(HEAT),
    "zebra",
    "no image that the truth knows",
    more=PEAKS,
    **MAPS,
)
change(
    "map",
    "one is missing",
    lambda w: (w.folder / "maps/c/he.npy").unlink(),
    "no heat map of class 'he' for the image 'c'",
    more=PEAKS,
    **MAPS,
)
change(
    "map",
    "an image without maps",
    lambda w: [(w.folder / f"maps/d/{k}.npy").unlink() for k in ("ex", "he")],
    "for the image 'd' (and 1 more maps)",
    more=PEAKS,
    **MAPS,
)
options("map", "no such folder", PEAKS, "gone", "neither a table of candidates nor a folder", candidates="gone")
change(
    "map",
    "an empty folder",
    lambda w: (w.folder / "void").mkdir(),
    "the folder holds no heat maps",
    "void",
    more=PEAKS,
    candidates="void",
)
change(
    "map",
    "other files",
    lambda w: ((w.folder / "void").mkdir(), (w.folder / "void/a.txt").write_text("x")),
    "holds no heat maps",
    ".txt",
    more=PEAKS,
    candidates="void",
)

# --- how maps are cut ---
options("extraction", "nothing said", (), "heat maps must be cut into candidates", "--extract peaks", **MAPS)
options("extraction", "peaks without distance", ("--extract", "peaks"), "peaks need --min-distance", **MAPS)
options(
    "extraction", "components without threshold", ("--extract", "components"), "components need --threshold", **MAPS
)
options(
    "extraction",
    "components with a distance",
    ("--extract", "components", "--threshold", "0", "--min-distance", "3"),
    "components know no such option",
    "--min-distance",
    **MAPS,
)
options(
    "extraction", "negative distance", ("--extract", "peaks", "--min-distance", "-1"), "--min-distance", "-1", **MAPS
)
options(
    "extraction",
    "threshold not finite",
    ("--extract", "components", "--threshold", "nan"),
    "--threshold",
    "nan",
    **MAPS,
)
options("extraction", "no candidate at all", (*PEAKS, "--limit", "0"), "--limit", **MAPS)
options("extraction", "of a table", PEAKS, "for a folder of heat maps", "--extract")
options(
    "extraction", "missing values of a table", ("--missing-values",), "for a folder of heat maps", "--missing-values"
)
options("extraction", "unknown way", ("--extract", "blobs"), "'blobs' is not one of")

# --- candidate table ---
cell("candidates", "score not finite", "score", "nan", "column 'score'", "'nan'")
cell("candidates", "score infinite", "score", "inf", "column 'score'", "'inf'")
cell("candidates", "score a word", "score", "high", "column 'score'", "'high'")
cell("candidates", "decimal comma", "x", "5,5", "column 'x'", "'5,5'", "decimal point")
cell("candidates", "no place", "y", "", "column 'y'", "finite number")
cell("candidates", "no class", "class", "", "column 'class' is empty")
cell("candidates", "no image", "image", "", "column 'image' is empty")
cell("candidates", "unknown image", "image", "zebra", "an image that the truth does not know", "'zebra'", "--images")
cell("candidates", "unknown image, nearly one", "image", "a.jpeg2", "'a.jpeg2'")
cell("candidates", "right of its image", "x", 40, "outside its image", "x=40", "40x30 pixels", "x from 0 to 39")
cell("candidates", "above its image", "y", -0.6, "outside its image", "y=-0.6")
cell("candidates", "pixels counted in another image", "x", 4000, "outside its image", "4000")
cell("candidates", "other coordinates", "coordinates", "millimeters", "tells of other coordinates", "'millimeters'")


def several(column: str, value: Any) -> Callable[[LesionWorld], None]:
    def do(world: LesionWorld) -> None:
        for row in world.candidates:
            row[column] = value

    return do


change(
    "candidates",
    "radius for some",
    lambda w: w.candidates[0].update(radius=3),
    "column 'radius' is empty, and other rows have a region",
    "line 3",
)
change("candidates", "negative radius", several("radius", -1), "column 'radius'", "of at least 0", "line 2")
change("candidates", "misspelt radius", several("raduis", 3), "unknown column", "'raduis'", "did you mean 'radius'?")
change(
    "candidates",
    "no score",
    lambda w: [row.pop("score") for row in w.candidates],
    "no column 'score'",
    "image, class, x, y",
)
change(
    "candidates",
    "score by another name",
    lambda w: [row.update(scores=row.pop("score")) for row in w.candidates],
    "no column 'score'",
    "did you mean 'scores'?",
)
change("candidates", "mask that is not there", several("mask", "gone.png"), "gone.png", "does not exist")
change(
    "candidates",
    "mask of another size",
    lambda w: (several("mask", "m.png")(w), Image.fromarray(np.ones((9, 9), np.uint8)).save(w.folder / "m.png")),
    "m.png",
    "another size",
    "9x9 instead of 40x30",
)
change(
    "candidates",
    "empty mask",
    lambda w: (
        several("mask", "m.png")(w),
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(w.folder / "m.png"),
    ),
    "m.png",
    "is empty",
    "line 2",
)
change("candidates", "mask of a strange form", several("mask", "m.png#=x"), "not a mask", "line 2")
file(
    "candidates",
    "no such column, Parquet text",
    "c.parquet",
    b"PAR1xx",
    "not a readable Parquet file",
    candidates="c.parquet",
)
file("candidates", "no JSON", "c.json", b"{", "not valid JSON", "c.json", candidates="c.json")
file(
    "candidates",
    "JSON of another kind",
    "c.json",
    {"boxes": []},
    "holds no list of records",
    "boxes",
    "candidates",
    candidates="c.json",
)
file(
    "candidates",
    "JSON with NaN",
    "c.json",
    b'[{"image":"a","class":"ex","x":1,"y":1,"score":NaN},{"image":"a","class":"he","x":1,"y":1,"score":1}]',
    "c.json, record 1",
    "score",
    candidates="c.json",
)
file(
    "candidates",
    "JSON with other coordinates",
    "c.json",
    {"coordinates": "one-based", "candidates": []},
    "other coordinates",
    "one-based",
    candidates="c.json",
    more=("--class", "ex="),
)
for _name, _columns in (
    ("a number", 5),
    ("nothing", None),
    ("a text", "image"),
    ("lists", [["image"]]),
    ("objects", [{}]),
):
    file(
        "candidates",
        f"JSON whose columns are {_name}",
        "c.json",
        {"candidates": [], "columns": _columns},
        "c.json",
        '"columns" names no columns',
        candidates="c.json",
    )
file("candidates", "empty file", "c.csv", b"", "the candidate table is empty", candidates="c.csv")
file(
    "candidates",
    "semicolons",
    "c.csv",
    b"image;class;x;y;score\na;ex;1;1;1\n",
    "not separated by commas",
    candidates="c.csv",
)
file("candidates", "UTF-16", "c.csv", "image,class,x,y,score\n".encode("utf-16"), "not UTF-8", candidates="c.csv")
file(
    "candidates",
    "a row too short",
    "c.csv",
    b"image,class,x,y,score\na,ex,1,1\n",
    "line 2",
    "another number of cells",
    candidates="c.csv",
)
file(
    "candidates",
    "a column twice",
    "c.csv",
    b"image,class,x,y,score,x\na,ex,1,1,1,1\n",
    "the same column twice",
    "'x'",
    candidates="c.csv",
)
file("candidates", "another split's file", "c.csv", picture(3).tobytes(), "c.csv", candidates="c.csv")

# --- classes ---
change(
    "class",
    "missing among the candidates",
    lambda w: w.candidates.__delitem__(slice(7, None)),
    "class 'he' of the truth is not among the candidates",
    "found ex",
    "--class",
)
change(
    "class",
    "missing in the truth",
    lambda w: [row.pop("mask:he") for row in w.manifest],
    "class 'he' of the candidates is not among the truth",
    "found ex",
)
change(
    "class",
    "spelt differently",
    lambda w: [row.update({"class": row["class"].upper()}) for row in w.candidates],
    "class 'ex'",
    "EX",
)
options("class", "unknown one", ("--class", "hx"), "no such class among the truth", "'hx'", "known: ex, he")
options("class", "unknown candidates", ("--class", "ex=exx"), "no such class among the candidates", "'exx'")
options("class", "named twice", ("--class", "ex", "--class", "ex=he"), "two pairs of classes of the same name", "'ex'")
options("class", "nothing", ("--class", "=ex"), "not a pair of classes")
options("class", "nothing behind a plus", ("--class", "ex+=ex"), "not a pair of classes")

# --- rules ---
options("rule", "unknown", ("--rule", "peek_in_lesion"), "no such hit rule", "did you mean 'peak_in_lesion'?")
options("rule", "without its parameter", ("--rule", "iou"), "--rule iou", "threshold")
options("rule", "dice without its parameter", ("--rule", "dice"), "--rule dice", "threshold")
options(
    "rule",
    "with another rule's",
    ("--rule", "peak_in_lesion:guard=4"),
    "no parameter 'guard'",
    "any_overlap",
    "takes tolerance",
)
options("rule", "with nobody's", ("--rule", "iou:radius=4"), "no parameter 'radius'", "takes threshold")
options("rule", "a word for a number", ("--rule", "iou:threshold=half"), "threshold is no number", "'half'")
options("rule", "out of its range", ("--rule", "iou:threshold=1.5"), "--rule iou:threshold=1.5", "1.5")
options("rule", "negative tolerance", ("--rule", "peak_in_lesion:tolerance=-2"), "tolerance", "-2")
options("rule", "not finite", ("--rule", "peak_in_lesion:tolerance=nan"), "tolerance", "nan")
options("rule", "a parameter without value", ("--rule", "iou:threshold"), "not a parameter of a rule", "'threshold'")
options("rule", "a parameter twice", ("--rule", "iou:threshold=.1,threshold=.2"), "not a parameter of a rule")
options(
    "rule", "twice the same", ("--rule", "iou:threshold=.1", "--rule", "iou:threshold=0.1"), "rules must be different"
)
options(
    "rule",
    "areas of points",
    ("--rule", "iou:threshold=0.1"),
    "--rule iou:threshold=0.1",
    "give candidates a radius or mask",
)
options("rule", "overlap of points", ("--rule", "any_overlap"), "--rule any_overlap", "radius or mask")

options("rule", "flagged pixels of points", ("--diaretdb1",), "points flag no pixels", "--diaretdb1", "radius or mask")
options(
    "rule",
    "flagged pixels of points below the threshold",
    ("--diaretdb1", "--image-threshold", "99"),
    "points flag no pixels",
)


def discs(world: LesionWorld) -> None:
    for row in world.candidates:
        row["radius"] = 2


change(
    "rule",
    "flagged pixels of a table without a threshold",
    discs,
    "--diaretdb1: a table does not say from which score on its candidates flag pixels",
    "add --image-threshold SCORE",
    more=("--diaretdb1",),
)

# --- numbers ---
options("number", "no draws", ("--draws", "0"), "--draws", "at least 1")
options("number", "negative seed", ("--seed", "-1"), "--seed")
options("number", "rate of zero", ("--rate", "0"), "--rate", "above 0")
options("number", "rate twice", ("--rate", "2", "--rate", "2"), "rates must be different")
options("number", "rate not finite", ("--rate", "inf"), "--rate", "inf")
options("number", "no area", ("--min-area", "0"), "--min-area")
options("number", "rate shown", ("--show-rate", "-2"), "--show-rate")

options("number", "one edge of sizes", ("--size-edge", "4"), "--size-edge", "at least two rising numbers")
options("number", "edges that fall", ("--size-edge", "9", "--size-edge", "4"), "--size-edge", "9.0, 4.0")
options("number", "an edge that is none", ("--size-edge", "nan", "--size-edge", "4"), "--size-edge", "nan")
options("number", "threshold of images", ("--image-threshold", "inf"), "--image-threshold", "inf")

# --- truth: manifest ---


def masks_of(values: np.ndarray) -> Callable[[LesionWorld], None]:
    return lambda world: Image.fromarray(values).save(world.folder / "masks/ex/a.png")


GREY = (mask("a", "ex", 1) * np.arange(WIDTH, dtype=np.uint8)).astype(np.uint8)
change(
    "truth",
    "levels of grey",
    masks_of(GREY),
    "a.png",
    "values of unknown meaning",
    "expected 0 and 1, or 0 and 255",
    "0, 4, 5, 6, 7",
    "#>=N",
)
change("truth", "several classes", masks_of(mask("a", "ex", 2)), "found 0, 2; expected 0 and 1, or 0 and 255")
change(
    "truth",
    "one and 255",
    masks_of(mask("a", "ex", 1) + 254 * mask("a", "he", 1) + mask("a", "he", 1)),
    "found 0, 1, 255",
)
change(
    "truth",
    "127 of another reading",
    masks_of(np.where(mask("a", "ex") > 0, 127, mask("a", "he")).astype(np.uint8)),
    "found 0, 127, 255",
)
change(
    "truth",
    "another size",
    masks_of(mask("a", "ex")[:20]),
    "a.png",
    "another size than its image",
    "40x20 instead of 40x30",
)
change("truth", "mask is missing", lambda w: (w.folder / "masks/ex/a.png").unlink(), "a.png", "does not exist")
change(
    "truth",
    "mask is corrupt",
    lambda w: (w.folder / "masks/ex/a.png").write_bytes(b"\x89PNG\r\n\x1a\nxx"),
    "a.png",
    "cannot be decoded",
)
change(
    "truth",
    "picture is corrupt",
    lambda w: (w.folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nxx"),
    "a.png",
    "cannot be decoded",
)
change(
    "truth",
    "empty everywhere",
    lambda w: [row.update({"mask:ex": "absent", "mask:he": "absent"}) for row in w.manifest],
    "the truth is empty everywhere",
    "4 images",
    "classes ex, he",
)
change(
    "truth",
    "known nowhere",
    lambda w: [row.update({"mask:ex": "", "mask:he": ""}) for row in w.manifest],
    "the lesions are known in no image",
    "`absent`",
)
options("truth", "all too small", ("--min-area", "1000"), "the truth is empty everywhere", "dropped as too small")
change(
    "truth",
    "no mask column",
    lambda w: [(row.pop("mask:ex"), row.pop("mask:he"), row.update({"label:ex": 1})) for row in w.manifest],
    "a manifest without masks is no truth",
    "label:ex",
)
change(
    "truth",
    "the same image twice",
    lambda w: w.manifest.append(w.manifest[0]),
    "the same id twice",
    "'a'",
    "lines 2, 6",
)
change(
    "truth",
    "misspelt column",
    lambda w: [row.update({"maks:ex": row.pop("mask:ex")}) for row in w.manifest],
    "unknown column",
    "did you mean 'mask:ex'?",
)
options("truth", "no such file", (), "the truth does not exist", "gone.csv", truth="gone.csv")
options("truth", "a split without images", ("--split", "val"), "no image is in the split 'val'", "found test")
options("truth", "an unknown split", ("--split", "tset"), "unknown split", "did you mean 'test'?")
options("truth", "images of a manifest", ("--images", "x.csv"), "a manifest names its images itself", "--images")
options(
    "truth", "missing masks of a manifest", ("--missing-masks", "absent"), "for a folder of masks", "--missing-masks"
)
options("truth", "values of a manifest's masks", ("--lesion-values", "any"), "for a folder of masks", "--lesion-values")
options("truth", "a word for a choice", ("--missing-masks", "ignore"), "'ignore' is not one of")

# --- field of view ---


def field_of_view(values: np.ndarray) -> Callable[[LesionWorld], None]:
    def do(world: LesionWorld) -> None:
        Image.fromarray(values).save(world.folder / "fov.png")
        world.manifest[0]["fov"] = "fov.png"

    return do


HALF = np.ones((HEIGHT, WIDTH), np.uint8)
HALF[:, 25:] = 0
change(
    "field",
    "candidate outside",
    field_of_view(HALF),
    "outside the field of view",
    "line 5",
    "x=31, y=22",
    "--outside-field",
)
change("field", "another size", field_of_view(np.ones((20, 20), np.uint8)), "fov.png", "20x20 instead of 40x30")
change("field", "empty", field_of_view(np.zeros((HEIGHT, WIDTH), np.uint8)), "the field of view is empty")
change("field", "missing", lambda w: w.manifest[0].update(fov="gone.png"), "gone.png", "does not exist")

# --- truth: tables ---


def boxed(name: str, do: Callable[[LesionWorld], Any], *says: str, more: tuple[str, ...] = ()) -> None:
    change("table of lesions", name, lambda world: (do(world), None)[1], *says, more=more, truth="boxes.csv")


boxed(
    "corner and size",
    lambda w: w.boxes[1].update(x1=2),
    "boxes.csv, line 3",
    "comes before its start",
    "not a corner and a size",
)
boxed("not finite", lambda w: w.boxes[1].update(y1="nan"), "boxes.csv, line 3", "column 'y1'")
boxed("no class", lambda w: w.boxes[1].update({"class": ""}), "boxes.csv, line 3", "column 'class'")
boxed(
    "class without a place", lambda w: w.boxes[1].update(x0="", y0="", x1="", y1=""), "boxes.csv, line 3", "column 'x0'"
)
boxed(
    "no places",
    lambda w: [[row.pop(k) for k in ("x0", "y0")] for row in w.boxes],
    "not a truth table",
    "x0, y0, x1, y1",
)
boxed("two ways", lambda w: [row.update(x=1, y=1) for row in w.boxes], "lesions told in two ways")
boxed("no images", lambda w: [row.pop("image") for row in w.boxes], "no column 'image'")
boxed(
    "candidates of an image without lesions", lambda w: None, "an image that the truth does not know", "'d'", "--images"
)
boxed(
    "nothing in it", lambda w: w.put("boxes.csv", b"image,class,x0,y0,x1,y1\n"), "the truth names no image", "--images"
)
change(
    "table of lesions",
    "outside its image",
    lambda w: w.boxes[1].update(x0=100, x1=110),
    "boxes.csv, line 3",
    "a lesion outside its image",
    more=("--images", "IMAGES"),
    truth="boxes.csv",
)
boxed(
    "neither ignored nor not",
    lambda w: [row.update(ignore=mark) for row, mark in zip(w.boxes, ("1", "yes", "", "2", "0"), strict=True)],
    "boxes.csv, line 3",
    "column 'ignore' is neither 1 nor 0",
    "'yes'",
    "also line 5",
)
boxed(
    "misspelt ignore", lambda w: w.boxes[1].update(ignored=1), "unknown column", "'ignored'", "did you mean 'ignore'?"
)
boxed(
    "ignored without class or place",
    lambda w: w.boxes.append({"image": "d", "ignore": 1}),
    "boxes.csv, line 7",
    "column 'class' is empty",
)
change(
    "table of lesions",
    "misspelt radius",
    lambda w: w.put("t.csv", csv_bytes([{"image": "a", "class": "ex", "x": 4, "y": 4, "raduis": 3}])),
    "t.csv",
    "unknown column",
    "did you mean 'radius'?",
    truth="t.csv",
)
boxed(
    "all ignored",
    lambda w: [row.update(ignore=1) for row in w.boxes],
    "the truth is empty everywhere",
    more=("--images", "IMAGES"),
)
change(
    "table of lesions",
    "radius of zero",
    lambda w: w.put("t.csv", csv_bytes([{"image": "a", "class": "ex", "x": 4, "y": 4, "radius": 0}])),
    "t.csv, line 2",
    "column 'radius'",
    "above 0",
    truth="t.csv",
)

# --- the table of images ---


def imaged(name: str, do: Callable[[LesionWorld], Any], *says: str, more: tuple[str, ...] = ()) -> None:
    change(
        "images", name, lambda world: (do(world), None)[1], *says, more=("--images", "IMAGES", *more), truth="boxes.csv"
    )


imaged("named twice", lambda w: w.images.append(w.images[0]), "images.csv, line 6", "the same image twice", "'a'")
imaged(
    "one of the truth is missing", lambda w: w.images.pop(0), "boxes.csv, line 2", "not among the evaluated ones", "'a'"
)
imaged("one of the candidates is missing", lambda w: w.images.pop(3), "candidates.csv, line 8", "'d'")
imaged("another size than told", lambda w: w.images[0].update(width=99), "images.csv, line 2", "40x30", "99x30")
imaged("half a size", lambda w: w.images[0].update(width=""), "images.csv, line 2", "'height'")
imaged("a size that is none", lambda w: w.images[0].update(width=0), "images.csv, line 2", "at least 1")
imaged(
    "unknown column", lambda w: [row.update(patnet=1) for row in w.images], "unknown column", "did you mean 'patient'?"
)
imaged("no image", lambda w: w.images.clear() or w.put("images.csv", b"image\n"), "there is no image")
imaged(
    "a split that is not there", lambda w: None, "no image is in the split 'test'", "no split", more=("--split", "test")
)
options("images", "no such file", ("--images", "gone.csv"), "the table of images does not exist", truth="boxes.csv")
options("images", "a split of nothing", ("--split", "test"), "there is no split", truth="boxes.csv")
options("images", "pictures that are not there", ("--pictures", "gone"), "no such folder of pictures", truth="masks")

# --- folder of masks ---
FOLDER = {"truth": "masks"}
change(
    "folder of masks",
    "one is missing",
    lambda w: (w.folder / "masks/he/d.png").unlink(),
    "no mask of class 'he' for the image 'd'",
    "--missing-masks",
    **FOLDER,
)
change("folder of masks", "levels of grey", masks_of(GREY), "values of unknown meaning", "--lesion-values", **FOLDER)
change(
    "folder of masks",
    "values that are none",
    lambda w: None,
    "--lesion-values",
    "'many'",
    more=("--lesion-values", "many"),
    **FOLDER,
)
change(
    "folder of masks",
    "unknown image",
    lambda w: (w.folder / "masks/he/zebra.png").write_bytes((w.folder / "masks/he/a.png").read_bytes()),
    "zebra.png",
    "no image that the truth knows",
    more=("--images", "IMAGES"),
    **FOLDER,
)
change("folder of masks", "empty", lambda w: (w.folder / "void").mkdir(), "the folder holds no masks", truth="void")
change(
    "folder of masks",
    "two of one class",
    lambda w: Image.fromarray(mask("a", "ex")).save(w.folder / "masks/ex/a.tif"),
    "two masks of class 'ex' for the image 'a'",
    **FOLDER,
)

# --- COCO ---


def coco(name: str, do: Callable[[dict[str, Any]], Any], *says: str) -> None:
    def run(world: LesionWorld) -> None:
        content = world.coco()
        do(content)
        (world.folder / "coco.json").write_text(json.dumps(content))

    change("COCO", name, run, *says, truth="coco.json")


coco("no images", lambda c: c.pop("images"), "no list 'images'")
coco("no categories", lambda c: c.update(categories={}), "no list 'categories'")
coco("unknown image", lambda c: c["annotations"][1].update(image_id=77), "annotation 2", "unknown image_id", "found 77")
coco("unknown category", lambda c: c["annotations"][1].update(category_id=77), "annotation 2", "unknown category_id")
coco("not a box", lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), "annotation 2", "not a box")
coco("a box without width", lambda c: c["annotations"][1].update(bbox=[1, 2, 0, 3]), "annotation 2", "not a box")
coco("a box of words", lambda c: c["annotations"][1].update(bbox=["a", 2, 2, 3]), "annotation 2", "not a box")
coco("a box beyond all numbers", lambda c: c["annotations"][1].update(bbox=[10**400, 2, 2, 3]), "not a box")
coco("a box that is one text", lambda c: c["annotations"][1].update(bbox="1234"), "annotation 2", "not a box")
coco("a width that is true", lambda c: c["images"][0].update(width=True), "an image that says too little")
coco("a crowd", lambda c: c["annotations"][1].update(iscrowd=1), "annotation 2", "a crowd is no lesion")
coco("neither ignored nor not", lambda c: c["annotations"][1].update(ignore="maybe"), "annotation 2", "found maybe")
coco("ignored by a list", lambda c: c["annotations"][1].update(ignore=[1]), "annotation 2", "neither 1 nor 0")
coco("no size", lambda c: c["images"][0].pop("width"), "an image that says too little")
coco("another size", lambda c: c["images"][0].update(width=50), "another size than told", "40x30", "50x30")
coco("the same id twice", lambda c: c["images"][1].update(id=0), "the same image id twice")
coco("an image's id is a list", lambda c: c["images"][1].update(id=[1]), "image 2", "no usable id", "found [1]")
coco("no id of an image", lambda c: c["images"][1].pop("id"), "image 2", "no usable id")
coco("a category's id is an object", lambda c: c["categories"][1].update(id={}), "category 2", "no usable id")
coco("an image_id is a list", lambda c: c["annotations"][1].update(image_id=[1]), "annotation 2", "unknown image_id")
coco("a category_id is an object", lambda c: c["annotations"][1].update(category_id={}), "unknown category_id")
coco("two categories of one id", lambda c: c["categories"][1].update(id=1), "the same category id twice", "found 1")
coco("a category without name", lambda c: c["categories"][1].pop("name"), "a category that says too little")
coco("a category's name is a list", lambda c: c["categories"][1].update(name=["he"]), "says too little", "['he']")
coco("the same name twice", lambda c: c["images"][1].update(file_name="a.png"), "the same image twice", "'a'")

# --- places without candidates ---


def excluded(name: str, do: Callable[[LesionWorld], Any], *says: str, what: str = "disc", **which: str) -> None:
    def run(world: LesionWorld) -> None:
        for row in world.manifest:
            row["mask:disc"] = "disc.png"
        Image.fromarray(mask("a", "ex", 1)).save(world.folder / "disc.png")
        do(world)

    change("exclusion", name, run, *says, more=("--exclude", what), **which)


excluded("unknown", lambda w: None, "no such mask", "--exclude", "'dics'", "name a mask column", what="dics")
excluded("nearly a class", lambda w: None, "no such mask", "'exx'", "did you mean 'ex'?", what="exx")
excluded("of a table without images", lambda w: None, "no such mask", "'disc'", "--images", truth="boxes.csv")
excluded(
    "another size",
    lambda w: Image.fromarray(np.ones((9, 9), np.uint8)).save(w.folder / "disc.png"),
    "disc.png",
    "another size than its image",
    "9x9 instead of 40x30",
)
excluded(
    "levels of grey",
    lambda w: Image.fromarray(GREY).save(w.folder / "disc.png"),
    "disc.png",
    "values of unknown meaning",
    "#>=N",
)
excluded("missing", lambda w: (w.folder / "disc.png").unlink(), "disc.png", "does not exist")
excluded(
    "what candidates look for",
    lambda w: [row.pop("mask:disc") for row in w.manifest],
    "class 'ex' of the candidates is not among the truth",
    what="ex",
)


def barred(name: str, do: Callable[[LesionWorld], Any], *says: str) -> None:
    more = ("--images", "IMAGES", "--exclude", "disc")
    change("exclusion", name, lambda world: (do(world), None)[1], *says, more=more, truth="boxes.csv")


barred(
    "a strange cell",
    lambda w: w.images[1].update(disc="masks/ex/a.png#=x"),
    "images.csv, line 3",
    "not a mask",
    "masks/ex/a.png#=x",
)
barred(
    "of an image of unknown size",
    lambda w: (
        [path.unlink() for path in w.folder.glob("?.png")],
        [row.update(disc="masks/ex/a.png", width="", height="") for row in w.images],
    ),
    "size of the image 'a' is not known",
    "--exclude",
)
change(
    "exclusion",
    "column of a mask without the option",
    lambda w: w.images[1].update(disc="masks/ex/a.png"),
    "unknown column",
    "'disc'",
    more=("--images", "IMAGES"),
    truth="boxes.csv",
)

# --- sizes beyond all memory ---


def unsized(world: LesionWorld) -> None:
    """Images of which no size is known."""
    for path in world.folder.glob("?.png"):
        path.unlink()


def circles(name: str, row: dict[str, Any], *says: str) -> None:
    def run(world: LesionWorld) -> None:
        unsized(world)
        rows = [
            {"image": image, "class": label, "x": 4, "y": 4, "radius": 3} for image in IMAGES for label in ("ex", "he")
        ]
        rows[2] |= row
        world.put("t.csv", csv_bytes(rows))

    change("sizes", name, run, "t.csv, line 4", *says, truth="t.csv")


circles("a lesion as large as a city", {"radius": 1e6}, "a lesion too large to be held", "width and height in --images")
circles("a lesion beyond all numbers", {"radius": 1e300}, "column 'radius' lies beyond 1000000000 pixels")
circles("a lesion far out", {"x": 1e20}, "column 'x' lies beyond 1000000000 pixels")
boxed(
    "a box as large as a city",
    lambda w: (unsized(w), w.boxes.append({"image": "d", "class": "ex", "x0": 0, "y0": 0, "x1": 1e6, "y1": 1e6})),
    "boxes.csv, line 7",
    "a lesion too large to be held",
)
change(
    "sizes",
    "a candidate as large as a city",
    lambda w: (
        unsized(w),
        several("radius", 2)(w),
        w.candidates[3].update(radius=1e6),
        w.boxes.append({"image": "d", "class": ""}),
    ),
    "candidates.csv, line 5",
    "a candidate too large to be held",
    "found radius 1e+06",
    more=("--rule", "any_overlap"),
    truth="boxes.csv",
)
cell("sizes", "a candidate far out", "x", -1e12, "column 'x' lies beyond", "original pixels")
change(
    "sizes",
    "an image too large for rows that know nothing",
    lambda w: (unsized(w), w.images[1].update(width=10**7, height=10**7)),
    "images.csv, line 3",
    "too large to be held as a whole",
    "10000000x10000000 pixels",
    "--no-sanity",
    more=("--images", "IMAGES"),
    truth="boxes.csv",
)
imaged("a width beyond all numbers", lambda w: w.images[1].update(width=1e300), "images.csv, line 3", "column 'width'")
coco("a width beyond all images", lambda c: c["images"][0].update(width=10**12), "an image that says too little")
coco("a box far out", lambda c: c["annotations"][1].update(bbox=[1e30, 1, 2, 3]), "annotation 2", "beyond")

# --- output, comparison ---
change(
    "output",
    "a folder with something in it",
    lambda w: (w.out.mkdir(), (w.out / "x").write_text("x")),
    "not empty",
    "out",
)
change("output", "a file in its place", lambda w: w.out.write_text("x"), "a file is in the way")
options(
    "comparison", "no such file", ("--against", "gone.csv"), "neither a table of candidates nor a folder", "gone.csv"
)
change(
    "comparison",
    "a class is missing",
    lambda w: w.put("other.csv", csv_bytes(w.candidates[:7])),
    "class 'he' of the truth is not among the candidates",
    more=("--against", "OTHER"),
)


def arguments(case: Case, world: LesionWorld) -> list[str]:
    """The command line; IMAGES and OTHER stand for files of the world."""
    places = {"IMAGES": world.path("images.csv"), "OTHER": world.path("other.csv")}
    return [places.get(part, part) for part in case.do(world)]


assert len(IMAGES) == 4
