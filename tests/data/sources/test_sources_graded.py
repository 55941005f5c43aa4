"""Messidor-2, and any folder with a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.sources import make_manifest, sources
from medmtl.errors import ManifestError


def _file(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def _messidor(root: Path) -> None:
    rows = [
        "id_code,diagnosis,adjudicated_dme,adjudicated_gradable",
        "a.jpg,0,0,1",
        "b.png,2,1,1",
        "c.jpg,,,0",
        "d.jpg,4,1,1",
    ]
    _file(root / "messidor_data.csv", "\n".join(rows))
    for name, content in (("a", "same"), ("b", "same"), ("c", "else"), ("d", "diff")):
        _file(root / "IMAGES" / f"{name}.JPG", content)


def test_messidor_leaves_out_what_was_not_gradable_and_joins_equal_images(tmp_path: Path) -> None:
    _messidor(tmp_path / "messidor2")
    frame = make_manifest("messidor2", tmp_path)
    assert frame["id"].tolist() == ["a", "b", "d"]
    assert frame["patient"].tolist() == ["a", "a", "d"]
    assert frame["label:dr_grade"].tolist() == ["0", "2", "4"]
    assert frame["label:dme"].tolist() == ["0", "1", "1"]
    assert set(frame["split"]) == {"train"}
    kept = make_manifest("messidor2", tmp_path, {"ungradable": "keep", "split": "none"})
    assert kept.loc[kept["id"] == "c", "label:dr_grade"].tolist() == [""]
    assert set(kept["split"]) == {""}
    assert [check.ok for check in sources.get("messidor2").check(frame)] == [False] * 7


def test_messidor_pairs_name_the_patient_and_the_side(tmp_path: Path) -> None:
    _messidor(tmp_path)
    _file(tmp_path / "pairs.csv", "left;right\nb.jpg;d.jpg\nx.jpg;c.jpg\n")
    frame = make_manifest("messidor2", tmp_path, {"pairs": "pairs.csv"})
    assert frame["patient"].nunique() == 1  # a and b are one image, b and d two eyes
    assert frame["laterality"].tolist() == ["", "L", "R"]


def test_messidor_with_an_image_missing(tmp_path: Path) -> None:
    _messidor(tmp_path)
    (tmp_path / "IMAGES" / "d.JPG").unlink()
    with pytest.raises(ManifestError, match=r"messidor_data\.csv.*1 of 4.*'d\.jpg' on line 5"):
        make_manifest("messidor2", tmp_path)
    assert len(make_manifest("messidor2", tmp_path, {"missing": "leave_out"})) == 2


def _clinic(root: Path) -> None:
    _file(root / "left" / "p1.jpg", "1")
    _file(root / "left" / "p2.jpg", "2")
    _file(root / "right" / "p3.tif", "2")
    table = ["file,Grade (ICDR),Glaucoma?,person,part,eye,place"]
    table += ["p1.jpg,2,NA,anna,train,L,Ulm", "p2,0,yes,ben,test,R,", "right/p3.png,,no,ben,test,L,Ulm"]
    _file(root / "t.csv", "\n".join(table))


def test_a_folder_becomes_a_manifest_that_can_be_read(tmp_path: Path) -> None:
    _clinic(tmp_path)
    options = {
        "labels": "t.csv",
        "patient_column": "person",
        "split_column": "part",
        "laterality_column": "eye",
        "site_column": "place",
    }
    frame = make_manifest("folder", tmp_path, options)
    assert frame["label:grade_icdr"].tolist() == ["2", "0", ""]
    assert frame["label:glaucoma"].tolist() == ["", "yes", "no"]
    assert frame["patient"].tolist() == ["anna", "ben", "ben"]
    write_manifest(frame, tmp_path / "m.csv")
    samples = Manifest.read(tmp_path / "m.csv").samples
    assert [sample.labels for sample in samples] == [
        {"grade_icdr": "2"},
        {"grade_icdr": "0", "glaucoma": "yes"},
        {"glaucoma": "no"},
    ]
    assert [sample.image.exists() for sample in samples] == [True] * 3
    assert [sample.site for sample in samples] == ["Ulm", None, "Ulm"]
    assert samples[0].dataset == "m"


def test_label_columns_are_chosen_and_renamed(tmp_path: Path) -> None:
    _clinic(tmp_path)
    options = {"labels": str(tmp_path / "t.csv"), "image_column": "file", "label_columns": "Grade (ICDR)=dr_grade"}
    frame = make_manifest("folder", tmp_path, options)
    assert [name for name in frame if name.startswith("label")] == ["label:dr_grade"]
    assert frame["patient"].tolist() == ["p1", "p2", "p2"]  # byte-identical files
    with pytest.raises(ManifestError, match="did you mean 'Grade"):
        make_manifest("folder", tmp_path, {**options, "label_columns": "Grade ICDR=dr_grade"})
    with pytest.raises(ManifestError, match="no column 'picture'"):
        make_manifest("folder", tmp_path, {**options, "image_column": "picture"})
    with pytest.raises(ManifestError, match="no such table"):
        make_manifest("folder", tmp_path, {**options, "labels": "none.csv"})


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    _file(tmp_path / "t.csv", "image,l\na,1\n")
    with pytest.raises(ManifestError, match=r"no image.*found t\.csv"):
        make_manifest("folder", tmp_path, {"labels": "t.csv"})
