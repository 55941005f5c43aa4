"""Bad input of a lesion-level evaluation gives one clear line, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from lesion_bad_cases import CASES, Case, arguments
from lesion_world import LesionWorld

import medmtl
from medmtl.cli import run


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.category}: {case.name}")
def test_one_line_and_nothing_left(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = LesionWorld.make(tmp_path / "world")
    argv = arguments(case, world)
    before = tree(tmp_path)
    code = run(argv)
    captured = capfd.readouterr()
    assert code == 2, captured
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    for said in case.says:
        assert said in lines[0], lines[0]
    parts = lines[0].split("; ")
    assert len(parts) > 1, f"no remedy: {lines[0]}"
    assert not parts[-1].startswith("found "), f"no remedy: {lines[0]}"
    assert captured.out == ""
    assert tree(tmp_path) == before


def test_enough_cases():
    assert len(CASES) >= 100
    assert len({(case.category, case.name) for case in CASES}) == len(CASES)
    assert min(Counter(case.category for case in CASES).values()) >= 2


def test_the_unbroken_world_works(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Otherwise every case above would fail for the wrong reason."""
    world = LesionWorld.make(tmp_path / "world")
    assert run(world.command()) == 0, capfd.readouterr()
    assert (world.out / "metrics.json").exists()
    world.folder = Path(shutil.copytree(world.folder, tmp_path / "again", ignore=shutil.ignore_patterns("out")))
    assert run(world.command("--extract", "peaks", "--min-distance", "2", truth="masks", candidates="maps")) == 0


def test_no_lesion_free_image_is_a_note(tmp_path: Path):
    world = LesionWorld.make(tmp_path / "world")
    world.manifest = world.manifest[:2]
    world.candidates = [row for row in world.candidates if row["image"] in "ab" and row["class"] == "ex"]
    world.write()
    result = medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), classes=["ex"], draws=20)
    assert any("every image has such a lesion" in note for note in result.notes)


def test_a_table_without_candidates_is_a_legal_result(tmp_path: Path):
    world = LesionWorld.make(tmp_path / "world")
    world.put("candidates.csv", b"image,class,x,y,score\n")
    world.put("candidates.json", [])
    world.write()
    for name in ("candidates.csv", "candidates.json"):
        result = medmtl.lesions(world.path(name), world.path("manifest.csv"), classes=["ex=", "he="], draws=20)
        metrics = [metric for task in result.result.tasks for metric in task.metrics]
        values = [metric.interval.value for metric in metrics if metric.name.startswith(("sensitivity_at", "cpm"))]
        assert values == [0.0] * 10


def test_unknown_sizes_are_a_note(tmp_path: Path):
    world = LesionWorld.make(tmp_path / "world")
    for path in world.folder.glob("*.png"):
        path.unlink()
    world.boxes.append({"image": "d", "class": ""})
    world.write()
    result = medmtl.lesions(world.path("candidates.csv"), world.path("boxes.csv"), draws=20)
    assert any("size of 4 images is not known" in note for note in result.notes)
    assert result.result.tasks[0].metrics[0].n == 3


def test_points_on_images_of_any_size_need_no_memory(tmp_path: Path):
    """A whole slide has more pixels than a mask could hold; lesions and candidates there are small."""
    world = LesionWorld.make(tmp_path / "world")
    for path in world.folder.glob("?.png"):
        path.unlink()
    for row in world.images:
        row.update(width=400_000, height=300_000)
    for row in world.boxes:
        row.update(x0=row["x0"] + 250_000, x1=row["x1"] + 250_000)
    for row in world.candidates:
        row.update(x=row["x"] + 250_000)
    world.write()
    files = world.path("candidates.csv"), world.path("boxes.csv")
    for images in (world.path("images.csv"), None):
        if images is None:
            world.boxes.append({"image": "d", "class": ""})
            world.write()
        result = medmtl.lesions(*files, images=images, sanity=False, draws=20)
        assert result.matches["ex", "peak_in_lesion"][0].outcome.tolist() == [1, 2, 0, 1]


def test_an_image_that_memory_does_not_hold_is_named(tmp_path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]):
    world = LesionWorld.make(tmp_path / "world")

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("medmtl.lesionfiles.gathering.sanity_rows", full)
    assert run(world.command()) == 2
    said = capfd.readouterr().err
    assert "manifest.csv, line 2: memory does not suffice for this image; found 40x30 pixels" in said
    assert not world.out.exists()
