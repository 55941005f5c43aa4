from __future__ import annotations

from pathlib import Path

import pytest

from medmtl.data.sources.layout import child, files_below, find_home, identical_files, inventory, table
from medmtl.data.sources.listing import ImageIndex, find_all, join_patients, unique_ids
from medmtl.data.sources.tables import compare, count, find_column, read_table
from medmtl.errors import ManifestError


def _touch(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or str(path).encode())
    return path


@pytest.mark.parametrize("name", ["A. Segmentation", "A.%20Segmentation", "a. segmentation", "A.  Segmentation "])
def test_names_are_found_as_people_have_them(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "1. Images").mkdir(parents=True)
    assert child(tmp_path, "A. Segmentation/1. images") == tmp_path / name / "1. Images"
    assert child(tmp_path, "B. Grading") is None


def test_home_is_found_a_level_more_or_less_and_no_deeper(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    (home / "marker").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "a", home, home / "marker"):
        assert find_home(root, "marker") == home
    deep = tmp_path / "x" / "y" / "z"
    (deep / "other").mkdir(parents=True)
    assert find_home(tmp_path, "other") is None


def test_files_are_searched_only_so_deep_and_hidden_ones_left_out(tmp_path: Path) -> None:
    near = _touch(tmp_path / "a" / "1.PNG")
    _touch(tmp_path / ".hidden" / "2.png")
    _touch(tmp_path / "a" / "._1.png")
    _touch(tmp_path / "a" / "b" / "3.png")
    _touch(tmp_path / "a" / "notes.txt")
    assert files_below(tmp_path, depth=1) == [near]
    assert len(files_below(tmp_path)) == 2


def test_identical_files_are_found_by_content_and_not_by_size(tmp_path: Path) -> None:
    first, second, third = (_touch(tmp_path / n, c) for n, c in (("1", b"abc"), ("2", b"abc"), ("3", b"abd")))
    assert identical_files([first, second, third]) == {first: first, second: first, third: third}


def test_inventory_is_short(tmp_path: Path) -> None:
    for number in range(9):
        _touch(tmp_path / f"{number}.jpg")
    assert inventory(tmp_path, limit=2) == "0.jpg, 1.jpg and 7 more"


def test_table_keeps_unknown_apart_from_zero() -> None:
    frame = table([{"image": "a", "id": "a", "label:x": 0}, {"image": "b", "id": "b", "label:x": None}], "set")
    assert frame["label:x"].tolist() == ["0", ""]
    assert frame["dataset"].tolist() == ["set", "set"]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("image,grade\r\na, 1\r\n", "utf-8-sig"),
        ("image;grade\na;1\n", "utf-8"),
        ("image , grade ,,\na,1,,\n,,,\n,,,\n", "utf-8"),
        ("image\tgrade\na\t1\n", "latin-1"),
    ],
)
def test_label_tables_are_read_as_people_save_them(tmp_path: Path, content: str, encoding: str) -> None:
    path = _touch(tmp_path / "t.csv", content.encode(encoding))
    assert read_table(path).to_dict("index") == {2: {"image": "a", "grade": "1"}}


@pytest.mark.parametrize("content", [b"\x00\x01", b" ", b"image,grade\n", b"a,b\n1,2,3\n"])
def test_a_file_that_is_no_table_of_labels_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ManifestError, match=r"t\.csv"):
        read_table(_touch(tmp_path / "t.csv", content))
    with pytest.raises(ManifestError, match="no such table"):
        read_table(tmp_path / "none.csv")


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    frame = read_table(_touch(tmp_path / "t.csv", b"Image,g\na,1\n"))
    assert find_column(frame, ("image",), tmp_path) == "Image"
    with pytest.raises(ManifestError, match=r"'grade' or 'diagnosis'.*columns Image, g"):
        find_column(frame, ("grade", "diagnosis"), tmp_path)


def test_counts_are_the_same_for_text_and_numbers_as_read_back_from_a_file() -> None:
    frame = table([{"image": "a", "l": 1, "split": "train"}, {"image": "b", "l": None, "split": "test"}], None)
    numeric = frame.assign(l=[1.0, float("nan")])
    for version in (frame, numeric):
        assert count(version, "l", 1) == count(version, "l", 1, split="train") == 1
        assert count(version, "l", 0) == count(version, "l", 1, split="test") == count(version, "none", 1) == 0


def test_a_known_disagreement_is_accepted_with_its_reason_and_another_is_not() -> None:
    assert compare("x", 21, 22, {22: "known"}) == compare("x", 21, 22, {22: "known"})
    assert (compare("x", 21, 22, {22: "known"}).ok, compare("x", 21, 22, {22: "known"}).note) == (True, "known")
    assert (compare("x", 21, 21).ok, compare("x", 21, 21).note) == (True, "")
    assert not compare("x", 21, 20, {22: "known"}).ok


def test_images_are_found_by_path_name_and_stem_whatever_the_suffix(tmp_path: Path) -> None:
    one, two = _touch(tmp_path / "a" / "1.x.jpg"), _touch(tmp_path / "b" / "2.png")
    index = ImageIndex(tmp_path)
    for name in ("a/1.x.jpg", "a\\1.x.jpg", "1.x.jpg", "1.x", "1.X.PNG", "elsewhere/1.x.tif", "./a/1.x.jpg"):
        assert index.find(name, "t") == one
    assert index.find("2", "t") == two
    assert index.find("1", "t") is None


def test_a_name_that_fits_two_images_is_refused_and_its_path_is_not(tmp_path: Path) -> None:
    one = _touch(tmp_path / "a" / "1.jpg")
    _touch(tmp_path / "b" / "1.jpg")
    index = ImageIndex(tmp_path)
    assert index.find("a/1.jpg", "t") == one
    with pytest.raises(ManifestError, match=r"a/1\.jpg and b/1\.jpg"):
        index.find("1.jpg", "t")
    assert sorted(unique_ids(index.images, tmp_path).values()) == ["a_1", "b_1"]


def test_listed_images_that_are_missing_or_listed_twice(tmp_path: Path) -> None:
    one = _touch(tmp_path / "1.jpg")
    index = ImageIndex(tmp_path)
    with pytest.raises(ManifestError, match=r"1 of 2 listed images.*'2' on line 3.*missing=leave_out"):
        find_all(index, [(2, "1"), (3, "2")], Path("t.csv"), "error")
    assert find_all(index, [(2, "1"), (3, "2")], Path("t.csv"), "leave_out") == [one, None]
    with pytest.raises(ManifestError, match=r"line 3.*listed twice.*line 2"):
        find_all(index, [(2, "1"), (3, "1.jpg")], Path("t.csv"), "error")
    with pytest.raises(ManifestError, match="column of image names"):
        find_all(index, [(2, "7"), (3, "8")], Path("t.csv"), "leave_out")


def test_pairs_join_patients_over_chains() -> None:
    paths = [Path(name) for name in "abcde"]
    patients = {path: path.name for path in paths}
    joined = join_patients(patients, [(paths[0], paths[1]), (paths[2], paths[3]), (paths[1], paths[3])])
    assert len({joined[path] for path in paths[:4]}) == 1
    assert joined[paths[4]] == "e"


def test_lines_are_those_of_the_file_also_after_blank_ones(tmp_path: Path) -> None:
    frame = read_table(_touch(tmp_path / "t.csv", b"image,grade\n\na,1\n,\nb,2\n"))
    assert frame.index.tolist() == [3, 5]
