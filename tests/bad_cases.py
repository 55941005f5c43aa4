"""The bad-input cases: each breaks one thing in a world that works, and says what the one line must name."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from bad_world import Break, Case, World, bmp_header, encoded, jpeg_header, make_folder, picture, png_header

CASES: list[Case] = []
LINE2 = "manifest.csv, line 2"


def add(category: str, name: str, do: Break, *says: str) -> None:
    CASES.append(Case(category, name, do, says))


def image(category: str, name: str, content: Callable[[], bytes], *says: str, file: str = "x.png") -> None:
    def do(world: World) -> None:
        world.first_image(file, content())

    add(category, name, do, LINE2, file, *says)


def mask(category: str, name: str, content: Callable[[], bytes], *says: str, file: str = "m.png") -> None:
    def do(world: World) -> None:
        world.put(file, content())
        world.rows[0]["mask:vessel"] = file

    add(category, name, do, LINE2, *says)


def cell(category: str, name: str, column: str, value: str, *says: str, row: int = 0) -> None:
    def do(world: World) -> None:
        for other in world.rows:
            other.setdefault(column, "")
        world.rows[row][column] = value

    add(category, name, do, f"manifest.csv, line {row + 2}", *says)


def table(category: str, name: str, content: Callable[[World], bytes], *says: str) -> None:
    def do(world: World) -> None:
        world.raw_manifest = content(world)

    add(category, name, do, "manifest.csv", *says)


def over(category: str, name: str, path: str, value: Any, *says: str) -> None:
    def do(world: World) -> None:
        *parts, last = path.split("/")
        block = world.config
        for part in parts:
            block = block.setdefault(part, {})
        block[last] = value

    add(category, name, do, *says)


def grey(values: np.ndarray, kind: str = "PNG") -> bytes:
    return encoded(kind, values.astype(np.uint8))


def damaged(kind: str) -> bytes:
    data = bytearray(encoded(kind))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    return bytes(data)


def zipped() -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "b")
    return stream.getvalue()


# --- missing ---
cell("missing image", "image", "image", "gone.png", "does not exist", "gone.png", "relative to the manifest")
cell("missing image", "validation image", "image", "gone.png", "does not exist", row=7)
cell("missing image", "mask", "mask:vessel", "gone.png", "mask 'vessel'", "gone.png")
cell("missing image", "field of view", "fov", "gone.png", "field-of-view mask")
cell("missing image", "markings", "mask:vessel", "gone_*.xml#Haemorrhages", "gone_*.xml")
cell("missing image", "folder in its place", "image", ".", "the path is a folder")
cell("missing image", "other folder", "image", "sub/0.png", "sub/0.png")
cell("missing image", "fragment of nothing", "mask:vessel", "gone.png#=3", "gone.png")


def dangling(world: World) -> None:
    (world.folder / "link.png").symlink_to(world.folder / "nowhere.png")
    world.rows[0]["image"] = "link.png"


add("missing image", "dangling link", dangling, LINE2, "link.png")
cell("missing image", "name too long for any file", "image", "a" * 300 + ".png", "does not exist", row=3)
cell("missing image", "mask with a name too long", "mask:vessel", "a" * 300 + ".png", "mask 'vessel'", row=3)
cell("missing image", "device in its place", "image", "/dev/zero", "a device or a pipe")

# --- empty: bytes, but no image in them ---
image("empty image", "spaces", lambda: b"   \n\n", "not an image")
image("empty image", "zeros", lambda: bytes(2000), "zeros only")
image("empty image", "no width", lambda: png_header(0, 40))
image("empty image", "no rows in a PPM", lambda: b"P6\n40 0\n255\n", file="x.ppm")
image("empty image", "signature only", lambda: b"\x89PNG\r\n\x1a\n")
image("empty image", "GIF without a frame", lambda: b"GIF89a" + bytes([40, 0, 40, 0, 0, 0, 0]) + b";", file="x.gif")

# --- zero-byte ---
for suffix in ("png", "jpg", "tif", "dcm", "nii.gz", "ppm"):
    image("zero-byte image", suffix, lambda: b"", "0 bytes", file=f"x.{suffix}")
mask("zero-byte image", "mask", lambda: b"", "0 bytes", "m.png")

# --- truncated ---
for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("BMP", "bmp"), ("GIF", "gif"), ("PPM", "ppm")):
    image("truncated image", kind, lambda kind=kind: encoded(kind)[: len(encoded(kind)) * 6 // 10], file=f"x.{suffix}")
    image("truncated image", f"{kind} header", lambda kind=kind: encoded(kind)[:20], file=f"h.{suffix}")
mask("truncated image", "mask", lambda: grey(np.eye(40))[:60], "m.png")

# --- corrupt ---
for kind, suffix in (("PNG", "png"), ("TIFF", "tif")):
    image(
        "corrupt image",
        f"noise after a {kind} signature",
        lambda kind=kind: encoded(kind)[:8] + os.urandom(800),
        file=f"x.{suffix}",
    )
image("corrupt image", "PNG data", lambda: damaged("PNG"))
image("corrupt image", "DICOM noise", lambda: bytes(128) + b"DICM" + b"\x55" * 300, file="x.dcm")
image("corrupt image", "JPEG noise", lambda: b"\xff\xd8\xff" + b"\x12" * 500, file="x.jpg")
image("corrupt image", "random bytes", lambda: b"\x01\x02" + b"\x99" * 500, "not an image")
image("corrupt image", "NRRD noise", lambda: b"NRRD0004\nnonsense\n\n\1\2\3", file="x.nrrd")
mask("corrupt image", "mask", lambda: damaged("PNG"), "m.png")

# --- wrongly named: what is inside is no image, whatever the name says ---
image("wrongly named image", "PDF", lambda: b"%PDF-1.4\n" + b"x" * 99, "PDF", file="x.jpg")
image("wrongly named image", "HTML", lambda: b"<!DOCTYPE html><p>404</p>", "HTML", file="x.png")
image("wrongly named image", "ZIP", zipped, "ZIP", file="x.tif")
image("wrongly named image", "WebP", lambda: encoded("WEBP"), "WebP", file="x.png")
image(
    "wrongly named image",
    "Git LFS pointer",
    lambda: b"version https://git-lfs.github.com/spec/v1\n",
    "LFS",
    file="x.jpg",
)
image("wrongly named image", "text", lambda: b"image,label\n1,2\n", "not an image", file="x.dcm")
image("wrongly named image", "HEIC", lambda: b"\0\0\0\x18ftypheic" + bytes(99), "HEIC", file="x.jpg")

# --- huge: the header promises more than memory ---
for name, content, file in (
    ("PNG", png_header(60_000, 60_000), "x.png"),
    ("wide PNG", png_header(2**31 - 1, 2), "x.png"),
    ("BMP", bmp_header(50_000, 50_000), "x.bmp"),
    ("JPEG", jpeg_header(65_500, 65_500), "x.jpg"),
    ("PPM", b"P6\n90000 90000\n255\n" + bytes(99), "x.ppm"),
    ("GIF", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\x44\1\0;", "x.gif"),
):
    image("huge image", name, lambda content=content: content, "too large", file=file)
mask("huge image", "mask", lambda: png_header(60_000, 60_000), "too large")

# --- too small ---
for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("BMP", "bmp"), ("PPM", "ppm")):
    image("1x1 image", kind, lambda kind=kind: encoded(kind, picture(0, 1)), "too small", "1x1", file=f"x.{suffix}")
image("1x1 image", "one row", lambda: encoded("PNG", picture(0)[:1]), "40x1")
image("1x1 image", "15 pixels", lambda: encoded("PNG", picture(0, 15)), "15x15")

# --- all black: nothing to find a field of view by ---
for name, content, file in (
    ("PNG", lambda: encoded("PNG", np.zeros((40, 40, 3), np.uint8)), "x.png"),
    ("grey", lambda: grey(np.zeros((40, 40))), "x.png"),
    ("with alpha", lambda: encoded("PNG", np.dstack([np.zeros((40, 40, 3)), np.full((40, 40), 255)]).astype(np.uint8)), "x.png"),
    ("JPEG", lambda: encoded("JPEG", np.zeros((40, 40, 3), np.uint8)), "x.jpg"),
    ("16 bits", lambda: encoded("PNG", np.zeros((40, 40), np.uint16)), "x.png"),
    ("one grey level up", lambda: encoded("PNG", np.ones((40, 40, 3), np.uint8)), "x.png"),
    ("TIFF", lambda: encoded("TIFF", np.zeros((40, 40, 3), np.uint8)), "x.tif"),
):  # fmt: skip
    image("all-black image", name, content, "all black", "remove the row", file=file)


def black_row(world: World, *rows: int, **cells: str) -> None:
    world.put("x.png", encoded("PNG", np.zeros((40, 40, 3), np.uint8)))
    for row in rows:
        world.put(world.rows[row]["image"], (world.folder / "x.png").read_bytes())
        for column, value in cells.items():
            for other in world.rows:
                other.setdefault(column, "")
            world.rows[row][column] = value


def black_in_its_field(world: World) -> None:
    world.put("f.png", grey(np.full((40, 40), 255)))
    black_row(world, 2, fov="f.png")


add("all-black image", "every one", lambda w: black_row(w, *range(8)), "manifest.csv, line 2", "all black")
add("all-black image", "in validation", lambda w: black_row(w, 7), "manifest.csv, line 9", "all black")
add("all-black image", "with a field of view", black_in_its_field, "manifest.csv, line 4", "all black")


# --- masks of another size ---
for name, shape in (
    ("smaller", (39, 40)),
    ("larger", (41, 40)),
    ("turned", (40, 60)),
    ("1x1", (1, 1)),
    ("half", (20, 20)),
):
    mask("mask of another size", name, lambda shape=shape: grey(np.ones(shape)), "another size", "40x40")


def fov_size(world: World) -> None:
    world.put("f.png", grey(np.ones((40, 41))))
    for row in world.rows:
        row["fov"] = ""
    world.rows[0]["fov"] = "f.png"


def fov_empty(world: World) -> None:
    fov_size(world)
    world.put("f.png", grey(np.zeros((40, 40))))


add("mask of another size", "field of view", fov_size, LINE2, "another size", "f.png")
add("mask of another size", "empty field of view", fov_empty, LINE2, "empty", "leave the cell empty")

# --- masks with unknown values ---
for value in (3, 4, 128, 254, 255):
    mask(
        "mask with unknown values",
        str(value),
        lambda value=value: grey(np.full((40, 40), value)),
        "unknown to task 'vessel'",
        str(value),
        "mask:vessel",
    )
mask("mask with unknown values", "one pixel", lambda: grey(np.pad(np.full((1, 1), 7), ((9, 30), (9, 30)))), "found 7")
mask(
    "mask with unknown values",
    "blurred by JPEG",
    lambda: encoded("JPEG", picture(3)[..., 0]),
    "unknown to task",
    file="m.jpg",
)
mask("mask with unknown values", "colors", lambda: encoded("PNG", picture(3)), "a mask in color", "#any")
mask("mask with unknown values", "16 bits", lambda: encoded("PNG", np.full((40, 40), 700, np.uint16)), "0-255")

# --- manifest: columns ---
table(
    "manifest with wrong columns",
    "no image column",
    lambda w: w.csv().replace(b"image,", b"note:x,", 1),
    "no column 'image'",
)
table(
    "manifest with wrong columns", "misspelt", lambda w: w.csv().replace(b"split", b"spilt", 1), "did you mean 'split'"
)
table(
    "manifest with wrong columns",
    "kind misspelt",
    lambda w: w.csv().replace(b"label:ref", b"lable:ref", 1),
    "did you mean 'label:ref'",
)
table(
    "manifest with wrong columns",
    "no kind",
    lambda w: w.csv().replace(b"label:ref", b"ref", 1),
    "unknown column",
    "'ref'",
)
table("manifest with wrong columns", "no name", lambda w: w.csv().replace(b"label:ref", b"label:", 1), "'label:'")
table("manifest with wrong columns", "twice", lambda w: w.csv().replace(b"label:ref", b"label:grade", 1), "twice")
table("manifest with wrong columns", "unnamed", lambda w: w.csv().replace(b"label:ref", b"", 1), "name every column")
table("manifest with wrong columns", "semicolons", lambda w: w.csv().replace(b",", b";"), "commas")
table("manifest with wrong columns", "ragged", lambda w: w.csv().replace(b"0.png,", b"0.png,,", 1), "line 2", "cells")
table("manifest with wrong columns", "header only", lambda w: w.csv().splitlines()[0], "no samples")
table("manifest with wrong columns", "empty file", lambda w: b"", "empty")
table("manifest with wrong columns", "open quotation mark", lambda w: w.csv().replace(b"0.png", b'"0.png', 1), "quot")

# --- manifest: duplicates ---
cell("manifest with duplicates", "same image and id", "image", "0.png", "the same id twice", row=1)
cell("manifest with duplicates", "same image in two splits", "image", "0.png", "split", row=7)


def same_id(world: World) -> None:
    for number, row in enumerate(world.rows):
        row["id"] = f"s{number}"
    world.rows[3]["id"] = "s2"


def same_patient(world: World) -> None:
    for number, row in enumerate(world.rows):
        row["patient"] = f"p{number}"
    world.rows[7]["patient"] = "p0"


def stem(world: World) -> None:
    world.put("0.jpg", encoded("JPEG"))
    world.rows[4]["image"] = "0.jpg"


def second_manifest(world: World, **change: str) -> None:
    rows, world.rows = world.rows, [{**world.rows[0], **change}]
    world.put("second.csv", world.csv())
    world.rows = rows
    world.config["data"]["manifests"].append(str(world.folder / "second.csv"))


add("manifest with duplicates", "id", same_id, "manifest.csv, line 5", "'s2'", "own id")
add("manifest with duplicates", "patient in two splits", same_patient, "line 9", "'p0'", "one split")
add("manifest with duplicates", "same stem", stem, "line 6", "'0'")
add(
    "manifest with duplicates",
    "in another manifest's other split",
    lambda w: second_manifest(w, split="val"),
    "second.csv, line 2",
    "two splits",
)
add(
    "manifest with duplicates",
    "test split of another manifest",
    lambda w: second_manifest(w, split="test"),
    "second.csv, line 2",
    "two splits",
)


def manifest_twice(world: World) -> None:
    world.config["data"]["manifests"] *= 2


add("manifest with duplicates", "the manifest itself", manifest_twice, "data.manifests", "given twice")

# --- manifest: splits, labels, words ---
for value, says in (
    ("trian", "train"),
    ("holdout", "train"),
    ("Test", "test"),
    ("training", "train"),
    ("2", "train"),
    ("val ue", "val"),
):
    cell("unknown split", value, "split", value, f"'{value}'", says, row=2)
for column, value in (
    ("label:grade", "7"),
    ("label:grade", "mild"),
    ("label:grade", "-1"),
    ("label:grade", "1.5"),
    ("label:ref", "2"),
    ("label:ref", "maybe"),
    ("label:ref", "0.5"),
):
    cell("label outside its classes", f"{column}={value}", column, value, column, f"'{value}'", row=3)
cell("label outside its classes", "in validation", "label:grade", "9", "label:grade", "'9'", row=7)
for value in ("NaN", "nan", "NA", "N/A", "null", "#N/A"):
    cell("NaN in the manifest", f"label {value}", "label:ref", value, "leave the cell empty", row=4)
cell("NaN in the manifest", "image", "image", "nan", "leave the cell empty", row=4)
cell("NaN in the manifest", "mask", "mask:vessel", "NaN", "leave the cell empty", row=4)
cell("NaN in the manifest", "split", "split", "NaN", "leave the cell empty", row=4)

# --- manifest: encodings ---
for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
    table("other encoding", name, lambda w, name=name: w.csv(name), "UTF-8")
for name in ("latin-1", "cp1252", "cp850"):
    table(
        "other encoding",
        name,
        lambda w, name=name: w.csv().replace(b"note", b"note") + "8.png,train,1,1,mäsk.png\n".encode(name),
        "UTF-8",
        "line 10",
    )
table("other encoding", "NUL", lambda w: w.csv() + b"\0", "NUL")
table("other encoding", "an image", lambda w: encoded("PNG"), "manifest.csv")

# --- configurations ---
over("config with unknown key", "top", "trainning", {}, "trainning", "did you mean 'training'")
over("config with unknown key", "training", "training/epoch", 3, "training.epoch", "did you mean 'epochs'")
over(
    "config with unknown key", "view", "views/field/batchsize", 3, "views.field.batchsize", "did you mean 'batch_size'"
)
over(
    "config with unknown key", "augment", "views/field/augment", {"flipp": True}, "augment.flipp", "did you mean 'flip'"
)
over(
    "config with unknown key",
    "encoder",
    "model/encoder/weight",
    "none",
    "model.encoder.weight",
    "did you mean 'weights'",
)
over("config with unknown key", "task", "tasks/grade/mod", "ordinal", "tasks.grade.mod", "did you mean 'mode'")
over(
    "config with unknown key",
    "class",
    "tasks/vessel/classes/artery/value",
    [1],
    "tasks.vessel.classes.artery.value",
    "did you mean 'values'",
)
over(
    "config with unknown key",
    "class among alternatives",
    "tasks/ref/classes",
    {"ref": {"colum": "x"}},
    "tasks.ref.classes.ref.colum",
    "did you mean 'column'",
)
over("config with unknown key", "method", "method", {"name": "uw", "lrr": 1}, "lrr")
add(
    "config with unknown key",
    "--set",
    lambda w: w.train("--set", "training.epoch=1"),
    "training.epoch",
    "did you mean 'epochs'",
)
over(
    "config with mistyped name",
    "task type",
    "tasks/ref/type",
    "clasification",
    "tasks.ref.type",
    "did you mean 'classification'",
)
over("config with mistyped name", "view", "tasks/ref/view", "feild", "did you mean 'field'")
over(
    "config with mistyped name",
    "encoder",
    "model/encoder/name",
    "eficientnet-lite0",
    "did you mean 'efficientnet-lite0'",
)
over("config with mistyped name", "method", "method", {"name": "pcgard"}, "did you mean 'pcgrad'")
over("config with mistyped name", "cache", "data/cache", "memroy", "data.cache", "'memory'")
over("config with mistyped name", "mode", "tasks/grade/mode", "ordinl", "tasks.grade.mode", "'ordinal'")
over("config with mistyped name", "weights", "model/encoder/weights", "imagent", "imagent")
over("config with mistyped name", "patient", "data/exclude_patients", ["00"], "data.exclude_patients", "'00'")
for path, value in (
    ("training/epochs", "many"), ("training/epochs", True), ("training/epochs", 2.5), ("training/lr", "fast"), ("training/lr", [1]),
    ("training/lr", float("nan")), ("data/manifests", "manifest.csv"), ("views/field/size", "large"), ("views", [1]), ("seed", "x"),
    ("training/compile", 1), ("tasks", "ref"), ("tasks/ref", 3), ("data/workers", -1), ("name", 3), ("views/field/augment", True),
    ("tasks/vessel/decoder_channels", [8, 8, 0, 8, 8]), ("training/threads", 10**6), ("tasks/vessel/classes/artery/values", [300]), ("tasks/vessel/classes/artery/values", 1),
):  # fmt: skip
    over("config with wrong type", f"{path}={value}", path, value, path.replace("/", "."))
over("config with wrong type", "NUL in a path", "data/manifests", ["a\0b.csv"], "config.yaml, line", "NUL")
over("impossible combination", "patch larger than the view", "views/field/patch", 64, "views.field", "larger than")
over(
    "impossible combination",
    "labels of whole images on patches",
    "views/field",
    {"size": 64, "patch": 32, "batch_size": 4},
    "views.field.patch",
    "without `patch`",
)
over(
    "impossible combination",
    "more labels than places",
    "tasks/ref/min_per_batch",
    5,
    "views.field.batch_size",
    "5 in 4",
)
over(
    "impossible combination",
    "value in two exclusive classes",
    "tasks/vessel",
    {
        "type": "segmentation",
        "column": "vessel",
        "exclusive": True,
        "classes": {"a": {"values": [1]}, "b": {"values": [1]}},
    },
    "tasks.vessel.classes",
    "share the value 1",
)
over("impossible combination", "value ignored and used", "tasks/vessel/ignore", [2], "`ignore`", "2")
over(
    "impossible combination",
    "ordinal without classes",
    "tasks/grade/classes",
    [],
    "tasks.grade.classes",
    "at least two",
)
over(
    "impossible combination",
    "a class twice",
    "tasks/grade/classes",
    [0, 1, 1],
    "tasks.grade.classes",
    "'1' stands twice",
)
over("impossible combination", "positive of a grade", "tasks/grade/positive", [1], "tasks.grade.positive", "drop it")
over("impossible combination", "reserved name", "tasks", {"image": {"type": "classification"}}, "the word is taken")
over("impossible combination", "test data select", "data/validation_split", "test", "data.validation_split")
over(
    "impossible combination",
    "sub-models from a shared encoder",
    "method",
    {"name": "alternating"},
    "model.architecture",
    "cooperative",
)
over("impossible combination", "no such GPU", "training/device", "cuda:0", "training.device", "cpu")
over("impossible combination", "selects twice", "training/select_by", ["grade", "grade"], "select_by", "twice")
over("impossible combination", "patches without a patch", "views/field/patches_per_image", 4, "there is no patch")


def no_validation(world: World) -> None:
    world.rows = [{**row, "split": "train"} for row in world.rows]
    world.config["data"]["validation_fraction"] = 0
    world.config["training"]["patience"] = 3


def all_test(world: World) -> None:
    world.rows = [{**row, "split": "test"} for row in world.rows]


def weights_of_untrained_lenders(world: World) -> None:
    world.config["model"] = {
        **world.config.get("model", {}),
        "architecture": "cooperative",
        "cooperation": {"lenders": "untrained"},
    }
    world.config["method"] = {"name": "mtcl", "target": "weights"}


def weights_of_random_lenders(world: World) -> None:
    weights_of_untrained_lenders(world)
    world.config["model"]["cooperation"]["lenders"] = "random"


def noise_in_nothing(world: World) -> None:
    weights_of_untrained_lenders(world)
    world.config["model"]["cooperation"]["lenders"] = "none"
    world.config["method"] = {"name": "mtcl"}


add("impossible combination", "noise in what nobody lends", noise_in_nothing, "method.target", "target=own")
add(
    "impossible combination",
    "noise in the weights of copies",
    weights_of_untrained_lenders,
    "method.target",
    "lenders=trained",
)
add(
    "impossible combination",
    "noise in the weights of random copies",
    weights_of_random_lenders,
    "method.target",
    "random copies lend",
    "lenders=trained",
)
add("impossible combination", "patience without validation", no_validation, "training.patience", "validation")
add("impossible combination", "no training row", all_test, "data.train_split", "test")


# --- nothing to learn ---
def blank(column: str, rows: range = range(8), value: str = "") -> Break:
    def do(world: World) -> None:
        for row in rows:
            world.rows[row][column] = value

    return do


for column in ("ref", "grade"):
    add(
        "task without a labelled sample",
        column,
        blank(f"label:{column}"),
        f"tasks.{column}",
        "no labelled training sample",
        f"label:{column}",
    )
    add(
        "task without a labelled sample",
        f"{column} only in validation",
        blank(f"label:{column}", range(6)),
        f"tasks.{column}",
    )
add("task without a labelled sample", "mask", blank("mask:vessel"), "tasks.vessel", "mask:vessel")
over(
    "task without a labelled sample",
    "column misspelt",
    "tasks/grade/column",
    "grad",
    "tasks.grade",
    "did you mean 'grade'",
)
over(
    "task without a labelled sample",
    "mask column misspelt",
    "tasks/vessel/column",
    "vesel",
    "tasks.vessel",
    "did you mean 'vessel'",
)
over(
    "task without a labelled sample",
    "localization",
    "tasks/ref",
    {"type": "localization", "classes": ["ma"]},
    "tasks.ref",
    "label:ref.ma",
)
add("class absent from training", "never yes", blank("label:ref", value="0"), "tasks.ref", "'ref'", "yes and no")
add("class absent from training", "never no", blank("label:ref", value="1"), "tasks.ref", "yes and no")
add("class absent from training", "a grade", blank("label:grade", range(6), "1"), "tasks.grade", "'0'")
over("class absent from training", "one grade more", "tasks/grade/classes", [0, 1, 2, 3], "tasks.grade", "'3'")
add("class absent from training", "only absent masks", blank("mask:vessel", value="absent"), "tasks.vessel", "'artery'")
over("class absent from training", "a positive that nobody has", "tasks/ref/positive", ["9"], "tasks.ref", "yes and no")


# --- run folders ---
def exists(fill: Callable[[World], None]) -> Break:
    def do(world: World) -> list[str]:
        fill(world)
        return world.train()

    return do


add(
    "run folder that exists",
    "with a file in it",
    exists(lambda w: (w.out.mkdir(), (w.out / "x").write_text("1"))[0]),
    "out",
    "exists already",
    "--resume",
)
add("run folder that exists", "a run", exists(lambda w: (w.run_folder("out"), None)[1]), "exists already")
add(
    "run folder that exists",
    "hidden file",
    exists(lambda w: (w.out.mkdir(), (w.out / ".x").write_text("1"))[0]),
    "exists already",
)
add("run folder that exists", "a file", exists(lambda w: (w.out.write_text("1"), None)[1]), "out")
add("run folder that exists", "a folder in it", exists(lambda w: (w.out / "sub").mkdir(parents=True)), "exists already")
add("run folder that exists", "demo", lambda w: ["demo", "--out", str(w.folder), "--quiet"], "exists already")


def commands(folder: Path, world: World) -> list[list[str]]:
    world.write()
    manifest = ["--manifest", str(world.manifest)]
    return [["evaluate", str(folder), *manifest, "--quiet"], ["explain", str(folder), str(world.folder / "0.png"), "--out", str(world.out), "--quiet"],
            [*world.train("--resume")[:2], "--out", str(folder), "--resume", "--quiet"]]  # fmt: skip


def interrupted(world: World) -> Path:
    folder = world.run_folder(status="new", minutes=None)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.pt").write_bytes(b"")
    return folder


def no_run(world: World, number: int, kind: str) -> list[str]:
    folder = world.folder / "norun"
    if kind == "a file":
        folder.write_text("x")
    elif kind != "missing":
        folder.mkdir()
    if kind == "damaged record":
        (folder / "run.json").write_text('{"format": ')
    if kind == "record without configuration":
        (folder / "run.json").write_text('{"format": 1}')
    return commands(folder, world)[number]


for number, command in enumerate(("evaluate", "explain", "resume")):
    for kind in ("missing", "empty", "a file", "damaged record", "record without configuration"):
        add("run folder that is not one", f"{command}: {kind}", lambda w, n=number, k=kind: no_run(w, n, k), "norun")
    for version in (2, 99):
        add(
            "run folder from a newer version",
            f"{command}: {version}",
            lambda w, n=number, v=version: commands(w.run_folder(format=v), w)[n],
            "run",
            "upgrade medmtl",
            str(version),
        )
add("run folder that is not one", "untrained", lambda w: commands(w.run_folder(), w)[0], "checkpoint", "medmtl train")
for number, command in enumerate(("evaluate", "explain")):
    add(
        "run folder that is not one",
        f"{command}: interrupted",
        lambda w, n=number: commands(interrupted(w), w)[n],
        "interrupted",
        "--resume",
    )
add("run folder that is not one", "results", lambda w: ["results", str(w.folder / "none")], "none")
add(
    "run folder that is not one",
    "report",
    lambda w: ["report", str(w.folder), "--out", str(w.folder / "r.html")],
    "not a run folder",
)


# --- tables of labels, from which manifests are made ---
def labels(name: str, text: str, *says: str, options: tuple[str, ...] = (), out: str = "new.csv") -> None:
    def do(world: World) -> list[str]:
        world.put("labels.csv", text.encode())
        more = [part for option in ("labels=labels.csv", *options) for part in ("--option", option)]
        target = str(world.folder / out)
        return ["data", "make", "folder", "--root", str(world.folder), "--out", target, *more]

    add("table of labels", name, do, "labels.csv" if out == "new.csv" else out, *says)


GRADES = "image,grade\n0.png,1\n1.png,2\n"
labels(
    "split misspelt", "image,part\n0.png,train\n1.png,Training\n", "line 3", "'train'", options=("split_column=part",)
)
labels("side in Latin", "image,eye\n0.png,OD\n", "line 2", "did you mean 'R'", options=("laterality_column=eye",))
labels("column twice", "image,grade,grade\n0.png,1,3\n", "'grade' stands twice")
labels("two columns of one name", "image,Grade 1,grade-1\n0.png,1,3\n", "'Grade 1'", "label:grade_1", "label_columns")
labels("header only", "image,grade\n", "no row")
labels("no column of images", "picture,grade\n0.png,1\n", "no column 'image'")
labels("not there", GRADES, "no such table", options=("labels=labels.csv.gone",))
labels("itself as the manifest", GRADES, "no manifest is in the way", out="labels.csv")
labels("an image as the manifest", GRADES, "no manifest is in the way", out="0.png")
add(
    "table of labels",
    "findings over the manifest",
    lambda w: ["data", "inspect", w.train()[1].replace("config.yaml", "manifest.csv"), "--out", str(w.manifest)],
    "would replace the manifest",
)


# --- no permission ---
def in_the_way(world: World) -> Path:
    world.put("way", b"a file")
    return world.folder / "way" / "deeper"


add(
    "no write permission",
    "train below a file",
    lambda w: [*w.train()[:2], "--out", str(in_the_way(w)), "--quiet"],
    "way",
)
add(
    "no write permission",
    "train below /proc",
    lambda w: [*w.train()[:2], "--out", "/proc/nothing/here", "--quiet"],
    "/proc/nothing",
)
add(
    "no write permission",
    "synth below a file",
    lambda w: ["data", "synth", "--n", "1", "--size", "64", "--out", str(in_the_way(w))],
    "way",
)
add(
    "no write permission",
    "synth below /proc",
    lambda w: ["data", "synth", "--n", "1", "--size", "64", "--out", "/proc/nothing/here"],
    "/proc/nothing",
)
add(
    "no write permission",
    "inspect",
    lambda w: ["data", "inspect", w.train()[1].replace("config.yaml", "manifest.csv"), "--out", str(in_the_way(w))],
    "way",
)
add("no write permission", "make", lambda w: make_folder(w, in_the_way(w) / "m.csv"), "way")
add(
    "no write permission",
    "demo below /proc",
    lambda w: ["demo", "--out", "/proc/nothing/here", "--quiet"],
    "/proc/nothing",
)
add(
    "no write permission",
    "a folder as the findings' file",
    lambda w: ["data", "inspect", w.train()[1].replace("config.yaml", "manifest.csv"), "--out", str(w.folder)],
    "folder",
)

# --- usage ---
for arguments in (
    ["train"],
    ["--nope"],
    ["trian"],
    ["data", "synth"],
    ["data", "synth", "--out", "x", "--n", "0"],
    ["train", "a.yaml", "--epochs", "3"],
    ["data", "make", "idird", "--root", ".", "--out", "x.csv"],
    ["evaluate"],
    ["methods", "pcgard"],
):
    add("usage", " ".join(arguments), lambda w, a=arguments: list(a), "")
