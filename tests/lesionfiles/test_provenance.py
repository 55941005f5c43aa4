"""The digest of several files: of names and contents, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from medmtl.files import sha256_file
from medmtl.lesionfiles.provenance import digest


def made(folder: Path, **texts: str) -> list[Path]:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def test_the_same_files_in_another_place_give_the_same_value(tmp_path: Path):
    first, second = (made(tmp_path / name / "data", a="1", b="2") for name in ("x", "y/z"))
    assert digest(first) == digest(second) == digest([*second, *second])
    assert digest(first) != digest(made(tmp_path / "other", a="1", b="3"))
    assert digest(first[:1]) == sha256_file(first[0])


def test_files_are_named_from_behind_a_linked_folder(tmp_path: Path):
    files = made(tmp_path / "store" / "data", a="1", b="2")
    (tmp_path / "store" / "manifests").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "manifests").symlink_to(tmp_path / "store" / "manifests")
    seen = [tmp_path / "work" / "manifests" / ".." / "data" / path.name for path in files]
    assert digest(seen) == digest(files)
