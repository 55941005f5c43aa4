from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.sources import make_manifest, sources
from medmtl.errors import ManifestError, MedmtlError

CLASSES = ("hard_exudates", "soft_exudates", "haemorrhages", "red_small_dots")


def _image(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 50), value, np.uint8)).save(path)


def _mark(kind: str, confidence: str, x: int = 20) -> str:
    region = (
        f'<circleregion><centroid><coords2d>{x},20</coords2d></centroid><radius direction="x">5</radius></circleregion>'
    )
    return (
        f"<marking>{region}<confidencelevel>{confidence}</confidencelevel><markingtype>{kind}</markingtype></marking>"
    )


def _xml(marks: str) -> str:
    return f'<?xml version="1.0"?><imgannotooldata><markinglist>{marks}</markinglist></imgannotooldata>'


def _v2(
    home: Path, experts: dict[str, list[str]], *, images: str = "images", suffix: str = "jpg", kind: str = "_plain"
) -> None:
    for number, marks in experts.items():
        stem = f"diaretdb1_image{number}"
        _image(home / images / f"{stem}.{suffix}")
        for expert, text in enumerate(marks, start=1):
            path = home / "groundtruth" / f"{stem}_{expert:02d}{kind}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_xml(text))
    numbers = list(experts)
    for split, chosen in (("train", numbers[:1]), ("test", numbers[1:])):
        lines = [
            f"images/diaretdb1_image{number}.png groundtruth/diaretdb1_image{number}_01{kind}.xml" for number in chosen
        ]
        (home / f"ddb1_v02_01_{split}{kind}.txt").write_text("\r\n".join([*lines, ""]))


EXPERTS = {
    "001": [_mark("Hard_exudates", "High")] * 3 + [""],  # mean 0.75: agreed
    "002": [_mark("Haemorrhages", "High")] * 2 + ["", ""],  # mean 0.5: marked only
    "003": [_mark("Disc", "High")] * 4,  # not a lesion
    "004": [_mark("Red_small_dots", "High", x) for x in (6, 18, 30, 42)],  # all four, nowhere together
}


def test_the_places_can_be_left_out(tmp_path: Path) -> None:
    _v2(tmp_path / "ddb1_v02_01", EXPERTS)
    whole, labels = (make_manifest("diaretdb1", tmp_path, {"places": places}) for places in ("read", "leave_out"))
    assert [name for name in whole.columns if name not in labels.columns] == [
        f"mask:lesions.{name}" for name in CLASSES
    ]
    assert labels.equals(whole[list(labels.columns)])


@pytest.mark.parametrize(("images", "kind"), [("images", "_plain"), ("documents", "_plain"), ("images", "")])
def test_version_2_1(tmp_path: Path, images: str, kind: str) -> None:
    home = tmp_path / "x" / "ddb1_v02_01"
    _v2(home, EXPERTS, images=images, kind=kind)
    frame = make_manifest("diaretdb1", tmp_path).set_index("id")
    assert frame.index.tolist() == [f"diaretdb1_image00{n}" for n in (1, 2, 3, 4)]
    assert frame["split"].tolist() == ["train", "test", "test", "test"]
    labels = {name: frame[f"label:lesions.{name}"].tolist() for name in CLASSES}
    assert labels.pop("hard_exudates") == ["1", "0", "0", "0"]
    assert set(map(tuple, labels.values())) == {("0", "0", "0", "0")}
    assert frame["label:any_consensus"].tolist() == ["1", "0", "0", "0"]
    assert frame["label:any_mark"].tolist() == ["1", "1", "0", "1"]
    pattern = "diaretdb1_image002_*_plain.xml" if kind else "diaretdb1_image002_??.xml"
    assert frame.iloc[1]["mask:lesions.red_small_dots"] == f"{home / 'groundtruth' / pattern}#Red_small_dots"


def test_the_labels_agree_with_the_masks_that_the_references_give(tmp_path: Path) -> None:
    from medmtl.data.masks import read_mask

    _v2(tmp_path, EXPERTS)
    write_manifest(make_manifest("diaretdb1", tmp_path), tmp_path / "out" / "m.csv")
    for sample in Manifest.read(tmp_path / "out" / "m.csv").samples:
        for name in CLASSES:
            mask = read_mask(sample.masks[f"lesions.{name}"], (40, 50))
            assert str(int(mask.any())) == sample.labels[f"lesions.{name}"]


def _v1(home: Path, values: dict[str, int]) -> None:
    resources = home / "resources"
    folders = ("hardexudates", "softexudates", "hemorrhages", "redsmalldots")
    for stem, value in values.items():
        _image(resources / "images" / "ddb1_fundusimages" / f"{stem}.png")
        for folder in folders:
            _image(
                resources / "images" / "ddb1_groundtruth" / folder / f"{stem}.png", value * (folder == "hemorrhages")
            )
    _image(resources / "images" / "ddb1_fundusmask" / "fmask.tif", 255)
    stems = list(values)
    for name, chosen in (("train", stems[:1]), ("test", stems[1:])):
        path = resources / f"{name}datasets" / f"{name}set.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(f"{stem}.png" for stem in chosen))


def test_version_1_1_takes_189_of_252(tmp_path: Path) -> None:
    _v1(tmp_path / "diaretdb1_v_1_1", {"image001": 189, "image002": 188, "image003": 0, "image004": 252})
    frame = make_manifest("diaretdb1", tmp_path)
    assert frame["split"].tolist() == ["train", "test", "test", "test"]
    assert frame["label:lesions.haemorrhages"].tolist() == ["1", "0", "0", "1"]
    assert frame["label:any_consensus"].tolist() == ["1", "0", "0", "1"]
    assert frame["label:any_mark"].tolist() == ["1", "1", "0", "1"]
    assert frame["label:lesions.hard_exudates"].tolist() == ["0"] * 4
    assert frame.iloc[0]["mask:lesions.haemorrhages"].endswith("hemorrhages/image001.png#>=189")
    assert frame.iloc[0]["fov"].endswith("fmask.tif")


def test_the_version_can_be_asked_for(tmp_path: Path) -> None:
    _v2(tmp_path / "ddb1_v02_01", EXPERTS)
    _v1(tmp_path / "diaretdb1_v_1_1", {"image001": 252})
    assert make_manifest("diaretdb1", tmp_path)["id"].iloc[0] == "diaretdb1_image001"
    assert make_manifest("diaretdb1", tmp_path, {"version": "1.1"})["id"].tolist() == ["image001"]
    with pytest.raises(ManifestError, match="groundtruth"):
        make_manifest("diaretdb1", tmp_path / "diaretdb1_v_1_1", {"version": "2.1"})


def test_an_incomplete_copy_is_named(tmp_path: Path) -> None:
    _v2(tmp_path, EXPERTS)
    (tmp_path / "images" / "diaretdb1_image003.jpg").unlink()
    with pytest.raises(ManifestError, match=r"1 of 3 listed images.*diaretdb1_image003"):
        make_manifest("diaretdb1", tmp_path)
    _image(tmp_path / "images" / "diaretdb1_image003.jpg")
    for path in tmp_path.glob("groundtruth/*image002*"):
        path.unlink()
    with pytest.raises(ManifestError, match=r"no markings of an image.*image002"):
        make_manifest("diaretdb1", tmp_path)
    (tmp_path / "ddb1_v02_01_train_plain.txt").unlink()
    with pytest.raises(ManifestError, match="official list"):
        make_manifest("diaretdb1", tmp_path)


def test_a_broken_image_or_marking_is_a_clear_error(tmp_path: Path) -> None:
    _v2(tmp_path, EXPERTS)
    (tmp_path / "images" / "diaretdb1_image001.jpg").write_bytes(b"")
    with pytest.raises(MedmtlError, match="image001"):
        make_manifest("diaretdb1", tmp_path)
    _image(tmp_path / "images" / "diaretdb1_image001.jpg")
    (tmp_path / "groundtruth" / "diaretdb1_image001_01_plain.xml").write_text("<html>")
    with pytest.raises(MedmtlError, match="image001_01_plain"):
        make_manifest("diaretdb1", tmp_path)


def test_the_self_test_knows_its_twelve_numbers_and_fails_on_another_set(tmp_path: Path) -> None:
    _v2(tmp_path, EXPERTS)
    checks = sources.get("diaretdb1").check(make_manifest("diaretdb1", tmp_path))
    assert len(checks) == 12
    assert not any(check.ok for check in checks)
    assert {check.expected for check in checks} == {"28", "61", "18", "6", "19", "21", "20", "9", "51", "84"}
