"""The published counts on the real folders; skipped where there are none."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from medmtl.data.manifest import Manifest, write_manifest
from medmtl.data.sources import make_manifest, sources

DATA = os.environ.get("MEDMTL_DATA", "")
pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="MEDMTL_DATA does not name the folder of real data"),
]


def _make(name: str, folder: str, **options: str) -> pd.DataFrame:
    root = Path(DATA) / folder
    if not root.is_dir():
        pytest.skip(f"no folder {folder} in MEDMTL_DATA")
    return make_manifest(name, root, options)


@pytest.mark.parametrize("name", ["diaretdb1", "idrid", "hrf_av", "drive_av", "messidor2"])
def test_the_self_test_passes_and_the_manifest_reads_back_without_a_problem(name: str, tmp_path: Path) -> None:
    frame = _make(name, name)
    checks = sources.get(name).check(frame)
    assert [check for check in checks if not check.ok] == []
    write_manifest(frame, tmp_path / f"{name}.csv")
    manifest = Manifest.read(tmp_path / f"{name}.csv")
    assert manifest.problems == ()
    for sample in manifest.samples:
        assert sample.image.is_file()
        assert all(mask.absent or mask.path.is_file() or "*" in mask.path.name for mask in sample.masks.values())
    read_back = pd.read_csv(tmp_path / f"{name}.csv")
    assert sources.get(name).check(read_back) == checks


def test_diaretdb1_counts() -> None:
    frame = _make("diaretdb1", "diaretdb1")
    assert Counter(frame["split"]) == {"train": 28, "test": 61}
    assert Counter(frame["label:any_consensus"])["1"] == 51
    assert Counter(frame["label:any_mark"])["1"] == 84
    noted = [check for check in sources.get("diaretdb1").check(frame) if check.note]
    assert [(check.expected, check.found) for check in noted] == [("21", "22"), ("20", "21")]


def test_idrid_counts() -> None:
    frame = _make("idrid", "idrid")
    assert Counter(frame["split"]) == {"train": 413, "test": 103}
    assert Counter(frame["label:dr_grade"]) == {"0": 168, "1": 25, "2": 168, "3": 93, "4": 62}
    lesions = ["label:lesions.hard_exudates", "label:lesions.haemorrhages"]
    healthy, moderate = (frame[frame["label:dr_grade"] == grade][lesions] for grade in ("0", "2"))
    assert int((healthy == "0").all(axis=1).sum()) == 153
    assert int((moderate == "").all(axis=1).sum()) == 39
    unknown = frame[(frame[lesions] == "").all(axis=1) & (frame["label:dr_grade"] == "0")]
    assert len(unknown) == 0
    absent = _make("idrid", "idrid", no_box="absent")
    assert int((absent[lesions] == "").all(axis=1).sum()) == 2  # no box file
    assert frame["patient"].nunique() == 511  # five pairs of one image within the training part
    assert (frame["note:disc_x"] != "").all()


def test_idrid_holds_one_training_image_again_in_its_test_part() -> None:
    left = _make("idrid", "idrid", train_test_duplicates="leave_out")
    everything = _make("idrid", "idrid")
    assert set(everything["id"]) - set(left["id"]) == {"train_IDRiD_118"}
    assert all(check.ok for check in sources.get("idrid").check(left))


def test_idrid_segmentation_part() -> None:
    frame = _make("idrid", "idrid", part="segmentation")
    assert len(frame) == 24
    assert Counter(frame["mask:lesions.soft_exudates"] == "absent") == {False: 9, True: 15}
    both = _make("idrid", "idrid", part="all")
    assert both.groupby("patient")["split"].nunique().max() == 1
    shared = both[both["id"].str.startswith("seg_") & ~both["patient"].str.startswith("seg_")]
    assert len(shared) == 21
    left = _make("idrid", "idrid", exclude_segmentation_duplicates="yes")
    assert len(left) == 516 - 21


def test_vessel_sets_and_messidor() -> None:
    assert Counter(_make("hrf_av", "hrf_av")["split"]) == {"train": 24, "test": 21}
    assert Counter(_make("drive_av", "drive_av")["split"]) == {"train": 20, "test": 20}
    messidor = _make("messidor2", "messidor2")
    assert Counter(messidor["label:dr_grade"]) == {"0": 1017, "1": 270, "2": 347, "3": 75, "4": 35}
    assert messidor["patient"].nunique() == 1744 - 4


def test_a_set_is_found_from_one_level_above() -> None:
    assert len(_make("diaretdb1", ".")) == 89
    assert len(_make("idrid", ".")) == 516
    assert len(_make("messidor2", ".")) == 1744
