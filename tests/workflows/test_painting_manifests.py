"""`medmtl data paint`: healthy images alone, patients in one split, masks beside images, and clear refusals."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from medmtl.cli import run
from medmtl.data.manifest import Manifest
from medmtl.data.reading import read_pixels
from medmtl.data.synthetic import write_dataset

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(24, 3, tmp_path_factory.mktemp("photographs") / "set", size=160)


def command(*arguments: object) -> int:
    return run(["data", "paint", *map(str, arguments), "--quiet"])


def painted(photographs: Path, out: Path, n: int = 9) -> Path:
    assert command(photographs, "--out", out, "--n", n, "--size", 128, "--split", "train") == 0
    return out / "manifest.csv"


def test_healthy_images_of_the_split_alone_are_painted(photographs: Path, tmp_path: Path, capfd: Captured):
    path = painted(photographs, tmp_path / "a")
    assert "9 images" in capfd.readouterr().out
    sources = {sample.id: sample for sample in Manifest.read(photographs).samples}
    manifest = Manifest.read(path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    splits: dict[str, set[str | None]] = {}
    for row, sample in zip(rows, manifest.samples, strict=True):
        source = sources[row["note:photograph"]]
        assert source.labels["dr_grade"] == "0"
        assert source.split == "train"
        assert sample.person == source.person  # so that nobody learns from those who are held out
        splits.setdefault(sample.patient, set()).add(sample.split)
        for name in ("microaneurysms", "haemorrhages", "hard_exudates", "soft_exudates"):
            mask = sample.masks[f"lesions.{name}"]
            assert (sample.labels[f"lesions.{name}"] == "0") == mask.absent
            if not mask.absent:
                values = read_pixels(mask.path, labels=True).values
                assert values.shape[:2] == (128, 128)
                assert set(np.unique(values)) == {0, 255}
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val"}


def test_a_smaller_set_is_the_beginning_of_a_larger_one(photographs: Path, tmp_path: Path):
    small, large = painted(photographs, tmp_path / "small", 4), painted(photographs, tmp_path / "large", 7)
    for one, other in zip(Manifest.read(small).samples, Manifest.read(large).samples, strict=False):
        assert one.image.read_bytes() == other.image.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--grade", "no_such_label"], "label:no_such_label = 0"),
        (["--split", "nowhere"], "unknown split"),
        (["--domain", "vared"], "varied"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_what_cannot_be_painted_is_refused(
    photographs: Path, tmp_path: Path, capfd: Captured, arguments: list[str], found: str
):
    assert command(photographs, "--out", tmp_path / "x", "--n", 2, "--size", 64, *arguments) == 2
    assert found in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over_what_is_there(photographs: Path, tmp_path: Path, capfd: Captured):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.txt").write_text("mine")
    assert command(photographs, "--out", tmp_path / "x", "--n", 2, "--size", 64) == 2
    assert [file.name for file in (tmp_path / "x").iterdir()] == ["mine.txt"]
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
