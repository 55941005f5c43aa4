"""Bad input gives one clear line, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_cases import CASES
from bad_world import Case, World, encoded, make_folder

from medmtl import files
from medmtl.cli import run

CATEGORIES = Counter(case.category for case in CASES)


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder; a folder has no bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def arguments(case: Case, world: World) -> list[str]:
    return case.do(world) or world.train()


def check_line(case: Case, text: str) -> None:
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("error: ")
    assert "Traceback" not in text
    for said in case.says:
        assert said in lines[0], lines[0]
    parts = lines[0].split("; ")
    assert len(parts) > 1, f"no remedy: {lines[0]}"
    assert not parts[-1].startswith("found "), f"no remedy: {lines[0]}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.category}: {case.name}")
def test_one_line_and_nothing_left(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "world")
    argv = arguments(case, world)
    before = tree(tmp_path)
    code = run(argv)
    captured = capfd.readouterr()
    assert code == 2, captured
    check_line(case, captured.err)
    assert tree(tmp_path) == before


def test_enough_cases():
    assert len(CASES) >= 200
    assert min(CATEGORIES.values()) >= 5, CATEGORIES


def test_the_unbroken_world_works(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Otherwise every case above would fail for the wrong reason."""
    world = World.make(tmp_path / "world")
    assert run(world.train("--dry-run")) == 0, capfd.readouterr()
    assert capfd.readouterr().err == ""
    assert not world.out.exists()


@pytest.mark.parametrize("kind", ["BOM", "CRLF", "both", "old Mac", "spaces"])
def test_manifests_as_spreadsheets_write_them_work(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "world")
    line = {"CRLF": "\r\n", "both": "\r\n", "old Mac": "\r"}.get(kind, "\n")
    world.raw_manifest = world.csv("utf-8-sig" if kind in {"BOM", "both"} else "utf-8", line)
    if kind == "spaces":
        world.raw_manifest = world.raw_manifest.replace(b",", b" , ")
    assert run(world.train("--dry-run")) == 0, capfd.readouterr()


BLACK = [case for case in CASES if case.category == "all-black image"]


@pytest.mark.parametrize("case", BLACK, ids=lambda case: case.name)
def test_the_doctor_calls_an_all_black_image_a_problem(case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "world")
    arguments(case, world)
    assert run(["data", "inspect", str(world.manifest)]) == 1
    text = capfd.readouterr().out
    assert "the image is all black" in text
    assert case.says[0].rpartition(", ")[2] in text


@pytest.mark.parametrize("content", ["black", "level 1", "field of view given"])
def test_evaluate_refuses_an_all_black_image(
    content: str, small_run: Path, small_manifest: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    world = World.make(tmp_path / "world")
    world.put("3.png", encoded("PNG", np.full((40, 40, 3), content == "level 1", np.uint8)))
    world.rows = [{"image": row["image"], "label:referable": "1"} for row in world.rows]
    if content == "field of view given":
        world.put("f.png", encoded("PNG", np.full((40, 40), 255, np.uint8)))
        world.rows = [{**row, "fov": "f.png"} for row in world.rows]
    world.write()
    before = tree(tmp_path)
    argv = ["evaluate", str(small_run), "--manifest", str(world.manifest), "--out", str(world.out)]
    assert run([*argv, "--split", "all", "--quiet"]) == 2
    text = capfd.readouterr().err
    check_line(Case("", "", lambda _: None, ("manifest.csv, line 5", "3.png", "all black")), text)
    assert tree(tmp_path) == before


def test_an_all_black_mask_is_a_mask(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    world = World.make(tmp_path / "world")
    world.put(world.rows[0]["mask:vessel"], encoded("PNG", np.zeros((40, 40, 3), np.uint8)))
    assert run(world.train("--dry-run")) == 0, capfd.readouterr()
    run(["data", "inspect", str(world.manifest)])
    assert "is empty" in capfd.readouterr().out


FULL = [
    ("synth", lambda w: ["data", "synth", "--n", "1", "--size", "64", "--out", str(w.out)]),
    ("inspect", lambda w: ["data", "inspect", str(w.manifest), "--out", str(w.out / "x.json")]),
    ("train", lambda w: w.train()),
    ("make", lambda w: make_folder(w, w.out / "m.csv")),
    ("demo", lambda w: ["demo", "--out", str(w.out), "--quiet"]),
    (
        "evaluate",
        lambda w: ["evaluate", str(w.trained), "--manifest", str(w.trained_on), "--out", str(w.out / "x"), "--quiet"],
    ),
    ("explain", lambda w: ["explain", str(w.trained), str(w.folder / "0.png"), "--out", str(w.out / "x"), "--quiet"]),
    ("results", lambda w: ["results", str(w.trained), "--out", str(w.out / "results.md")]),
]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(("name", "command"), FULL, ids=[name for name, _ in FULL])
def test_a_disk_that_refuses(
    name: str,
    command: object,
    number: int,
    small_run: Path,
    small_manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    world = World.make(tmp_path / "world")
    world.trained, world.trained_on = small_run, small_manifest
    world.write()
    argv = command(world)  # type: ignore[operator]
    before, run_before = tree(tmp_path), tree(small_run)

    def refuse(path: Path) -> Iterator[None]:
        raise OSError(number, "refused", str(path))

    monkeypatch.setattr(files, "_flush", refuse)
    code = run(argv)
    captured = capfd.readouterr()
    assert code == 2, captured
    assert len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith("error: ")
    assert any(word in captured.err for word in ("full", "quota", "read-only", "permission"))
    assert tree(tmp_path) == before
    assert tree(small_run) == run_before


PROCESSES = ["missing image: image", "truncated image: PNG", "huge image: PNG", "mask of another size: smaller", "other encoding: utf-16",
             "unknown split: trian", "config with unknown key: top", "class absent from training: never yes",
             "run folder that is not one: evaluate: missing", "corrupt image: DICOM noise", "no write permission: train below /proc"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_as_a_process(name: str, tmp_path: Path):
    case = next(case for case in CASES if f"{case.category}: {case.name}" == name)
    world = World.make(tmp_path / "world")
    argv = arguments(case, world)
    before = tree(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "medmtl", *argv], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    check_line(case, done.stderr)
    assert tree(tmp_path) == before
