from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medmtl.errors import OutputError
from medmtl.files import atomic_folder, atomic_write, made_folder, refilled_folder, sha256_file, write_text


def write_then_raise(path: Path, error: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


def fill_then_raise(path: Path, error: BaseException) -> None:
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("1")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_leaves_nothing_else(tmp_path: Path):
    with atomic_write(tmp_path / "deep" / "a.csv") as temporary:
        assert temporary.suffix == ".csv"
        assert temporary.parent == tmp_path / "deep"
        temporary.write_text("x")
        assert not (tmp_path / "deep" / "a.csv").exists()
    assert names(tmp_path / "deep") == ["a.csv"]
    assert (tmp_path / "deep" / "a.csv").read_text() == "x"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OutputError("mine")])
def test_error_keeps_the_old_file_and_passes(tmp_path: Path, error: BaseException):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_then_raise(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "word"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "permission"), (errno.EROFS, "read-only"), (errno.EIO, "written")],
)
def test_system_errors_become_one_line(tmp_path: Path, number: int, word: str):
    path = tmp_path / "a.txt"
    with pytest.raises(OutputError, match=word) as caught:
        write_then_raise(path, OSError(number, os.strerror(number)))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert names(tmp_path) == []


def test_an_input_that_is_missing_is_not_an_output_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out" / "a.txt"):
        (tmp_path / "missing.txt").read_text()


def test_a_library_oserror_passes(tmp_path: Path):
    with pytest.raises(OSError, match="cannot identify"), atomic_write(tmp_path / "a.txt"):
        raise OSError("cannot identify image file")


def test_folder_in_the_way(tmp_path: Path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="folder is in the way"), atomic_write(tmp_path / "a.txt"):
        pytest.fail("the block must not run")


def test_parent_is_a_file(tmp_path: Path):
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f" / "a.txt", tmp_path / "f" / "g" / "a.txt"):
        with pytest.raises(OutputError, match="not a folder"), atomic_write(path):
            pytest.fail("the block must not run")


def test_nothing_written(tmp_path: Path):
    with pytest.raises(OutputError, match="nothing was written"), atomic_write(tmp_path / "a.txt"):
        pass


def test_long_name_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(OutputError, match="too long"):
        write_text(tmp_path / ("a" * 300), "x")


def test_symlink_is_followed(tmp_path: Path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="permission"):
            write_text(tmp_path / "a.txt", "x")
    finally:
        tmp_path.chmod(0o700)


def test_a_limit_kept_by_the_kernel(tmp_path: Path):
    """The real thing: the system refuses a write in the middle; the old file stays and no half one."""
    (tmp_path / "a.bin").write_bytes(b"old")
    program = (
        "import resource, signal, sys\n"
        "from medmtl.errors import OutputError\n"
        "from medmtl.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    with atomic_write(sys.argv[1]) as t:\n"
        "        t.write_bytes(bytes(100_000))\n"
        "except OutputError as error:\n"
        "    sys.exit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.bin")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "larger than the limit" in done.stderr
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_folder_appears_whole(tmp_path: Path):
    with atomic_folder(tmp_path / "run") as temporary:
        (temporary / "a").write_text("1")
        assert names(tmp_path) == [temporary.name]
    assert names(tmp_path / "run") == ["a"]
    assert names(tmp_path) == ["run"]


def test_folder_is_cleared_on_error(tmp_path: Path):
    with pytest.raises(ValueError, match="no"):
        fill_then_raise(tmp_path / "run", ValueError("no"))
    assert names(tmp_path) == []


def test_folder_takes_an_empty_place_and_refuses_a_full_one(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as temporary:
        (temporary / "a").write_text("1")
    assert names(tmp_path / "empty") == ["a"]
    with pytest.raises(OutputError, match="not empty"), atomic_folder(tmp_path / "empty"):
        pytest.fail("the block must not run")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="in the way"), atomic_folder(tmp_path / "file"):
        pytest.fail("the block must not run")


def test_text_is_utf8_with_plain_newlines(tmp_path: Path):
    write_text(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


def test_sha256(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("writer", [write_then_raise, fill_then_raise])
def test_folders_made_for_a_failure_are_taken_back(tmp_path: Path, writer):
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError):
        writer(tmp_path / "there" / "deep" / "x", ZeroDivisionError())
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == []
    with pytest.raises(ZeroDivisionError), made_folder(tmp_path / "there" / "a" / "b"):
        raise ZeroDivisionError
    assert names(tmp_path / "there") == []


def refill(folder: Path, number: int, error: BaseException | None = None) -> None:
    with refilled_folder(folder) as temporary:
        write_text(temporary / "tables" / f"{number}.csv", str(number))
        write_text(temporary / "report", str(number))
        if error is not None:
            raise error


def test_a_refilled_folder_keeps_what_is_not_replaced_and_mixes_nothing(tmp_path: Path):
    out = tmp_path / "deep" / "out"
    refill(out, 1)
    (out / "mine.txt").write_text("mine")
    refill(out, 2)
    assert names(out) == ["mine.txt", "report", "tables"]
    assert names(out / "tables") == ["2.csv"]
    assert (out / "report").read_text() == "2"


def test_a_refill_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(KeyboardInterrupt):
        refill(tmp_path / "deep" / "out", 1, KeyboardInterrupt())
    assert names(tmp_path) == []
    refill(tmp_path / "out", 1)
    with pytest.raises(OutputError, match="disk is full"):
        refill(tmp_path / "out", 2, OSError(errno.ENOSPC, "full"))
    rename, last = Path.rename, tmp_path / "out" / "report"

    def fail_late(self: Path, target: Path) -> Path:
        if Path(target) == last and self.parent.name.endswith(".tmp"):
            raise OSError(errno.EIO, "input or output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_late)
    with pytest.raises(OutputError, match="cannot be written"):
        refill(tmp_path / "out", 3)
    assert names(tmp_path / "out") == ["report", "tables"]
    assert names(tmp_path / "out" / "tables") == ["1.csv"]
    assert last.read_text() == "1"


def test_a_file_in_the_place_of_a_refilled_folder(tmp_path: Path):
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "g"):
        with pytest.raises(OutputError, match=r"a file is in the way|not a folder"), refilled_folder(path):
            pytest.fail("the block must not run")
