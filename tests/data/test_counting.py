from __future__ import annotations

from pathlib import Path

import pytest

from medmtl.data.counting import class_counts
from medmtl.data.manifest import Manifest
from medmtl.data.targets import IndexTarget, LabelClass, LabelTarget, MaskLayer, MaskTarget
from medmtl.errors import ManifestError

TARGETS = [
    LabelTarget("signs", (LabelClass("he", "s.he"), LabelClass("dr", "grade", ("1", "2")))),
    IndexTarget("grade", "grade", ("0", "1", "2")),
    MaskTarget("outlines", (MaskLayer("ex", "ex"),)),
]


@pytest.fixture
def samples(tmp_path: Path):
    rows = ["a.png,one,1,0,m.png", "b.png,one,0,2,absent", "c.png,one,,,", "d.png,two,,1,"]
    (tmp_path / "m.csv").write_text("image,dataset,label:s.he,label:grade,mask:ex\n" + "\n".join(rows) + "\n")
    return Manifest.read(tmp_path / "m.csv").samples


def test_unknown_is_apart_from_absent(samples):
    rows = class_counts(samples, TARGETS, "training")
    counted = {
        (row["dataset"], row["task"], row["class"]): (row["positive"], row["negative"], row["unknown"]) for row in rows
    }
    assert counted == {
        ("one", "signs", "he"): (1, 1, 1),
        ("one", "signs", "dr"): (1, 1, 1),
        ("one", "grade", "0"): (1, 1, 1),
        ("one", "grade", "1"): (0, 2, 1),
        ("one", "grade", "2"): (1, 1, 1),
        ("one", "outlines", "ex"): (1, 1, 1),
        ("two", "signs", "he"): (0, 0, 1),
        ("two", "signs", "dr"): (1, 0, 0),
        ("two", "grade", "0"): (0, 1, 0),
        ("two", "grade", "1"): (1, 0, 0),
        ("two", "grade", "2"): (0, 1, 0),
        ("two", "outlines", "ex"): (0, 0, 1),
    }
    assert {(row["side"], row["dataset"], row["samples"]) for row in rows} == {
        ("training", "one", 3),
        ("training", "two", 1),
    }


def test_nothing_is_nothing():
    assert class_counts([], TARGETS, "validation") == []


def test_a_label_outside_its_classes_is_refused(samples):
    with pytest.raises(ManifestError, match="outside its classes"):
        class_counts(samples, [IndexTarget("grade", "grade", ("0", "1"))], "training")
