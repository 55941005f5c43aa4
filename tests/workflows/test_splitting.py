"""`medmtl data split`: patients stay whole, paths still lead to their files, and nothing else changes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from medmtl.cli import run
from medmtl.data.manifest import Manifest


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """30 patients with two eyes each; masks for some, the word absent for others."""
    path = tmp_path / "here" / "eyes.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "patient", "laterality", "split", "label:grade", "mask:disc"])
        for person in range(30):
            for side in "LR":
                mask = ["", "absent", f"m/{person}{side}.png#=3"][person % 3]
                writer.writerow([f"i/{person}{side}.png", person, side, "train", person % 2, mask])
    return path


Captured = pytest.CaptureFixture[str]


def command(*arguments: object) -> int:
    return run(["data", "split", *map(str, arguments)])


def test_patients_stay_whole_and_everything_else_stays(cohort: Path, tmp_path: Path, capfd: Captured):
    out = tmp_path / "there" / "deep" / "split.csv"
    out.parent.mkdir(parents=True)
    assert command(cohort, "--out", out, "--test", 0.2, "--val", 0.1, "--seed", 3, "--stratify", "grade") == 0
    before, after = Manifest.read(cohort).samples, Manifest.read(out).samples
    assert [s.image.resolve() for s in after] == [s.image.resolve() for s in before]
    assert [(s.patient, s.laterality, s.labels) for s in after] == [(s.patient, s.laterality, s.labels) for s in before]
    found = [
        {key: (mask.path.resolve(), mask.fragment) if mask.path else None for key, mask in s.masks.items()}
        for s in after
    ]
    assert found == [
        {key: (mask.path.resolve(), mask.fragment) if mask.path else None for key, mask in s.masks.items()}
        for s in before
    ]
    people = {name: {s.patient for s in after if s.split == name} for name in ("train", "val", "test")}
    assert [len(people[name]) for name in ("train", "val", "test")] == [21, 3, 6]
    assert sum(s.labels["grade"] == "1" for s in after if s.split == "test") == 6  # half of 12 images
    assert "test: 12 samples of 6 patients" in capfd.readouterr().out


def test_the_seed_decides(cohort: Path, tmp_path: Path):
    texts = []
    for number, seed in enumerate([0, 0, 1]):
        assert command(cohort, "--out", tmp_path / f"{number}.csv", "--seed", seed) == 0
        texts.append((tmp_path / f"{number}.csv").read_text())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--test", "1"], "shares"),
        (["--test", "0"], "shares"),
        (["--test", "-0.1", "--val", "0.5"], "shares"),
        (["--test", "nan"], "shares"),
        (["--stratify", "grad"], "grade"),
    ],
)
def test_what_cannot_be_split_is_said_and_nothing_written(
    cohort: Path, tmp_path: Path, capfd: Captured, arguments: list[str], word: str
):
    assert command(cohort, "--out", tmp_path / "x.csv", *arguments) == 2
    said = capfd.readouterr().err
    assert word in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "x.csv").exists()
