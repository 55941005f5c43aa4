from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.sources import make_manifest, sources
from medmtl.data.sources.idrid_boxes import presence, read_classes
from medmtl.errors import ManifestError

SETS = {"train": ("a. Training Set", "Training"), "test": ("b. Testing Set", "Testing")}
DISC, EXUDATES, RED = "0 .5 .5 .1 .1", "1 .5 .5 .1 .1", "2 .5 .5 .1 .1"


def _file(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content or str(path), encoding="utf-8")
    return path


def _grading(home: Path, grades: Mapping[str, list[str]], content: Mapping[str, str] | None = None) -> None:
    for split, (folder, word) in SETS.items():
        rows = ["Image name,Retinopathy grade,Risk of macular edema ,,"]
        for number, grade in enumerate(grades[split], start=1):
            stem = f"IDRiD_{number:03d}"
            rows.append(f"{stem},{grade},1,,")
            image = home / "B. Disease Grading" / "1. Original Images" / folder / f"{stem}.jpg"
            _file(image, (content or {}).get(f"{split}_{stem}", ""))
        truths = home / "B. Disease Grading" / "2. Groundtruths"
        _file(truths / f"x. IDRiD_Disease Grading_{word} Labels.csv", "\r\n".join([*rows, ",,,,", ""]))


def _boxes(home: Path, name: str, *lines: str, split: str = "train") -> None:
    _file(home / "codras_boxes" / SETS[split][0] / f"{name}.txt", "\n".join(lines) + "\n")


def _points(home: Path) -> None:
    for folder, x in (("1. Optic Disc Center Location", 10), ("2. Fovea Center Location", 20)):
        for _, word in SETS.values():
            place = home / "C. Localization" / "2. Groundtruths" / folder
            text = f"Image No,X- Coordinate,Y - Coordinate,,\nIDRiD_001,{x},{x + 1},,\n,,,,\n"
            _file(place / f"x. {word} Set_Markups.csv", text)


def _segmentation(home: Path, stems: Mapping[str, list[str]], twins: str = "") -> None:
    part = home / "A. Segmentation"
    for split, names in stems.items():
        folder = SETS[split][0]
        truths = part / "2. All Segmentation Groundtruths" / folder
        for stem in names:
            _file(part / "1. Original Images" / folder / f"{stem}.jpg")
            _file(truths / "1. Microaneurysms" / f"{stem}_MA.tif")
            _file(truths / "5. Optic Disc" / f"{stem}_OD.tif")
        (truths / "4. Soft Exudates").mkdir(parents=True, exist_ok=True)
    if twins:
        _file(part / "same_image_in_grading_part.csv", "segmentation,grading,grading split\n" + twins)


def test_the_two_splits_number_alike_and_are_kept_apart(tmp_path: Path) -> None:
    _grading(tmp_path / "idrid", {"train": ["0", "3"], "test": ["1"]})
    _points(tmp_path / "idrid")
    for root in (tmp_path, tmp_path / "idrid", tmp_path / "idrid" / "B. Disease Grading"):
        frame = make_manifest("idrid", root).set_index("id")
        assert frame.index.tolist() == ["train_IDRiD_001", "train_IDRiD_002", "test_IDRiD_001"]
        assert frame["split"].tolist() == ["train", "train", "test"]
        assert frame["label:dr_grade"].tolist() == ["0", "3", "1"]
        assert frame["label:dme"].tolist() == ["1", "1", "1"]
        points = ["note:disc_x", "note:disc_y", "note:fovea_x", "note:fovea_y"]
        assert frame.loc["train_IDRiD_001", points].tolist() == ["10", "11", "20", "21"]
        assert frame.loc["train_IDRiD_002", points].tolist() == ["", "", "", ""]
        assert not [name for name in frame if name.startswith("label:lesions")]


def test_boxes_say_present_absent_or_nothing(tmp_path: Path) -> None:
    _grading(tmp_path, {"train": ["0", "0", "2", "2", "0"], "test": ["0"]})
    _boxes(tmp_path, "IDRiD_001", DISC)
    _boxes(tmp_path, "IDRiD_002", DISC, RED)
    _boxes(tmp_path, "IDRiD_003", DISC, EXUDATES, EXUDATES)
    _boxes(tmp_path, "IDRiD_004", DISC)
    expected = {"unknown": ["", ""], "absent": ["0", "0"]}
    for no_box, other in expected.items():
        frame = make_manifest("idrid", tmp_path, {"no_box": no_box}).set_index("id")
        cells = frame[["label:lesions.hard_exudates", "label:lesions.haemorrhages"]]
        assert cells.loc["train_IDRiD_001"].tolist() == ["0", "0"]
        assert cells.loc["train_IDRiD_002"].tolist() == ["0", "1"]
        assert cells.loc["train_IDRiD_003"].tolist() == ["1", other[0]]
        assert cells.loc["train_IDRiD_004"].tolist() == other
        assert cells.loc["train_IDRiD_005"].tolist() == ["", ""]  # no box file: unknown, grade 0 or not
        assert cells.loc["test_IDRiD_001"].tolist() == ["", ""]  # the test box of that number, not the training one


@pytest.mark.parametrize("no_box_absent", [False, True])
@pytest.mark.parametrize("grade", [None, 0, 1, 4])
def test_without_a_box_file_nothing_is_known(grade: int | None, no_box_absent: bool) -> None:
    assert set(presence(None, grade, no_box_absent=no_box_absent).values()) == {None}
    assert presence({0}, None, no_box_absent=False) == {"hard_exudates": None, "haemorrhages": None}


@pytest.mark.parametrize("line", ["3 .5 .5 .1 .1", "1 .5 .5 .1", "x .5 .5 .1 .1", "1 a .5 .1 .1", "1.0 .5 .5 .1 .1"])
def test_a_line_that_is_no_box_is_named(tmp_path: Path, line: str) -> None:
    path = _file(tmp_path / "b.txt", f"{DISC}\n\n{line}\n")
    with pytest.raises(ManifestError, match=r"b\.txt, line 3: not a box"):
        read_classes(path)


def test_equal_images_share_a_patient_but_never_across_splits(tmp_path: Path) -> None:
    content = {
        "train_IDRiD_001": "x",
        "train_IDRiD_003": "x",
        "train_IDRiD_002": "y",
        "test_IDRiD_002": "y",
        "test_IDRiD_003": "y",
    }
    _grading(tmp_path, {"train": ["0", "3", "0"], "test": ["1", "1", "1"]}, content)
    frame = make_manifest("idrid", tmp_path).set_index("id")
    assert frame["patient"].tolist() == [
        "train_IDRiD_001",
        "train_IDRiD_002",
        "train_IDRiD_001",
        "test_IDRiD_001",
        "test_IDRiD_002",
        "test_IDRiD_002",
    ]
    left = make_manifest("idrid", tmp_path, {"train_test_duplicates": "leave_out"})
    assert sorted(set(frame.index) - set(left["id"])) == ["train_IDRiD_002"]


def test_segmentation_part(tmp_path: Path) -> None:
    _segmentation(tmp_path, {"train": ["IDRiD_01"], "test": ["IDRiD_55"]})
    for root in (tmp_path, tmp_path / "A. Segmentation"):
        frame = make_manifest("idrid", root, {"part": "segmentation"}).set_index("id")
        assert frame["split"].tolist() == ["train", "test"]
        row = frame.loc["seg_IDRiD_01"]
        assert row["mask:lesions.microaneurysms"].endswith("a. Training Set/1. Microaneurysms/IDRiD_01_MA.tif#any")
        assert row["mask:lesions.soft_exudates"] == "absent"  # the folder is there, the file is not
        assert row["mask:lesions.hard_exudates"] == ""  # not even the folder: nobody looked, or an incomplete copy
        assert row["mask:disc"].endswith("OD.tif#any")
        assert row["patient"] == "seg_IDRiD_01"


def test_the_same_image_in_both_parts_is_one_patient_in_one_split(tmp_path: Path) -> None:
    _grading(tmp_path, {"train": ["0", "3"], "test": ["1"]})
    _segmentation(
        tmp_path,
        {"train": ["IDRiD_01", "IDRiD_02", "IDRiD_03"]},
        "IDRiD_01,IDRiD_002,train\nIDRiD_02,IDRiD_001,test\nIDRiD_03,,\n",
    )
    frame = make_manifest("idrid", tmp_path, {"part": "all"})
    rows = frame.set_index("id")
    assert rows.loc["seg_IDRiD_01", ["patient", "split"]].tolist() == ["train_IDRiD_002", "train"]
    assert rows.loc["seg_IDRiD_02", ["patient", "split"]].tolist() == ["test_IDRiD_001", "test"]
    assert rows.loc["seg_IDRiD_03", ["patient", "split"]].tolist() == ["seg_IDRiD_03", "train"]
    assert frame.groupby("patient")["split"].nunique().max() == 1
    write_manifest(frame, tmp_path / "m.csv")
    assert not Manifest.read(tmp_path / "m.csv").problems

    options = {"part": "all", "exclude_segmentation_duplicates": "yes"}
    left = make_manifest("idrid", tmp_path, options).set_index("id")
    assert sorted(left.index) == ["seg_IDRiD_01", "seg_IDRiD_02", "seg_IDRiD_03", "train_IDRiD_001"]
    assert left.loc["seg_IDRiD_02", "split"] == "train"


def test_excluding_without_the_table_of_equal_images_is_refused(tmp_path: Path) -> None:
    _grading(tmp_path, {"train": ["0"], "test": ["1"]})
    with pytest.raises(ManifestError, match=r"same_image_in_grading_part\.csv"):
        make_manifest("idrid", tmp_path, {"exclude_segmentation_duplicates": "yes"})


def test_a_part_that_is_not_there_or_not_complete(tmp_path: Path) -> None:
    _grading(tmp_path, {"train": ["0", "1"], "test": ["1"]})
    with pytest.raises(ManifestError, match=r"no folder 'A\. Segmentation'"):
        make_manifest("idrid", tmp_path, {"part": "segmentation"})
    next(tmp_path.rglob("IDRiD_002.jpg")).unlink()
    with pytest.raises(ManifestError, match=r"1 of 2 listed images.*'IDRiD_002'"):
        make_manifest("idrid", tmp_path)
    next(tmp_path.rglob("*Testing*.csv")).unlink()
    next(tmp_path.rglob("*Training*.csv")).write_text("Image name,Retinopathy grade\nIDRiD_001,0\n")
    with pytest.raises(ManifestError, match="no CSV file of the test grades"):
        make_manifest("idrid", tmp_path)


def test_the_self_test_fails_where_a_number_differs(tmp_path: Path) -> None:
    _grading(tmp_path, {"train": ["0"], "test": ["1"]})
    _segmentation(tmp_path, {"train": ["IDRiD_01"]})
    frame = make_manifest("idrid", tmp_path, {"part": "all"})
    checks = sources.get("idrid").check(frame)
    assert [(check.expected, check.found, check.ok) for check in checks] == [
        ("413", "1", False),
        ("103", "1", False),
        ("81", "1", False),
    ]
