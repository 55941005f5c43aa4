from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medmtl.config import ViewConfig
from medmtl.data.inspect import SelfTest, cache_bytes, inspect_manifest
from medmtl.data.manifest import Manifest
from medmtl.data.masks import file_values
from medmtl.data.samples import MaskReference
from medmtl.data.targets import MaskLayer, MaskTarget
from medmtl.data.transforms import fixed_transforms
from medmtl.errors import ConfigError, ManifestError

RNG = np.random.default_rng(2)


def image(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)).save(path)


def mask(path: Path, *values: int, size: tuple[int, int] = (40, 30)) -> None:
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels.flat[: len(values)] = values
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abcd":
        image(tmp_path / f"{name}.png")
    mask(tmp_path / "m1.png", 1, 1, 2)
    mask(tmp_path / "m0.png")
    mask(tmp_path / "fov.png", *[255] * 600)
    (tmp_path / "m.csv").write_text(
        "image,patient,split,fov,label:g,labels:s,mask:v,mask:l.ex\n"
        "a.png,p,train,fov.png,0,ex=1,m1.png,absent\n"
        "b.png,q,train,,1,ex=0;he=1,m0.png,\n"
        "c.png,r,test,,1,,,m1.png#=2\n"
        "d.png,s,,,,,,\n"
    )
    return tmp_path


def problems(folder: Path, **options) -> list[str]:
    return [str(problem) for problem in inspect_manifest(folder / "m.csv", **options).problems]


def test_counts(folder: Path):
    found = inspect_manifest(folder / "m.csv", expected={"v": {0, 1, 2}}, size=128)
    assert found.ok
    assert (found.samples, found.patients) == (4, 4)
    assert found.splits == {"train": 2, "test": 1, "no split": 1}
    assert found.sizes == {"40x30": 4}
    assert found.depths == {"3 channels of 8 bits": 4}
    assert found.formats == {"PNG": 4}
    assert found.counts["label:g"] == {
        "0": {"train": 1}, "1": {"train": 1, "test": 1}, "unlabeled": {"no split": 1},
    }  # fmt: skip
    assert found.counts["labels:s.ex"] == {
        "1": {"train": 1}, "0": {"train": 1}, "unlabeled": {"test": 1, "no split": 1},
    }  # fmt: skip
    assert found.count("labels:s.he", "unlabeled") == 3
    assert found.counts["mask:v"] == {
        "present": {"train": 1}, "empty": {"train": 1}, "unlabeled": {"test": 1, "no split": 1},
    }  # fmt: skip
    assert found.count("mask:l.ex", "absent", "train") == 1
    assert found.count("mask:l.ex", "present") == 1
    assert found.mask_values["v"] == {0: 1197 + 1200, 1: 2, 2: 1}
    assert found.cache_bytes == 4 * 128 * 128 * (3 + 1 + 2)
    assert [note.what for note in found.notes] == ["mask 'v' is empty"]


def test_text_and_dictionary(folder: Path):
    found = inspect_manifest(folder / "m.csv")
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["ok"]
    assert plain["mask_values"]["v"]["2"] == 1
    text = found.to_text()
    assert "no problems found" in text
    assert "4 samples, 4 patients" in text


def test_progress(folder: Path):
    seen = []
    inspect_manifest(folder / "m.csv", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_unknown_values(folder: Path):
    (found,) = problems(folder, expected={"mask:v": {0, 1}})
    assert "line 2: mask 'v' has unknown values (2 in" in found
    assert "known are 0, 1" in found


def test_another_size(folder: Path):
    mask(folder / "m1.png", 1, size=(30, 40))
    mask(folder / "fov.png", 1, size=(20, 20))
    found = problems(folder)
    assert len([p for p in found if "30x40 instead of 40x30" in p]) == 2
    assert len([p for p in found if "field of view has another size" in p]) == 1


def test_broken_files_do_not_end_the_walk(folder: Path):
    (folder / "a.png").unlink()
    (folder / "b.png").write_bytes(b"")
    (folder / "c.png").write_bytes((folder / "d.png").read_bytes()[:500])
    (folder / "m1.png").write_text("<html>")
    (folder / "fov.png").unlink()
    found = problems(folder)
    assert [p.split(":")[0] for p in found] == ["line 2", "line 2", "line 2", "line 3", "line 4", "line 4"]
    for word in ("does not exist", "empty (0 bytes)", "cannot be decoded", "not an image"):
        assert any(word in p for p in found)


def test_duplicates_by_content(folder: Path):
    (folder / "c.png").write_bytes((folder / "a.png").read_bytes())
    (found,) = problems(folder)
    assert found.startswith("line 4: the same image content twice, in different splits ('a.png' on lines 2, 4)")


def test_blank_images_and_wrong_names(folder: Path):
    Image.new("RGB", (40, 30)).save(folder / "a.png")
    Image.new("RGB", (40, 30), (9, 9, 9)).save(folder / "b.png")
    image(folder / "d.bmp")
    (folder / "d.bmp").replace(folder / "d.png")
    found = inspect_manifest(folder / "m.csv")
    assert [p.what for p in found.problems] == [
        "the image is all black: it has no field of view",
        "the image has one value everywhere",
    ]
    assert any("BMP file with another suffix" in note.what for note in found.notes)


def test_leaks_are_problems_and_not_errors(folder: Path):
    text = (folder / "m.csv").read_text().replace("c.png,r", "c.png,p")
    (folder / "m.csv").write_text(text)
    (found,) = problems(folder)
    assert "line 4: a patient in two splits ('p' in test and train on lines 2, 4)" in found


def test_color_mask_of_one_class_and_of_many(folder: Path):
    red = np.zeros((30, 40, 3), np.uint8)
    red[3, 4, 0] = 255
    Image.fromarray(red).save(folder / "m1.png")
    (folder / "m.csv").write_text("image,mask:v,mask:l.ex\na.png,m1.png,m1.png\n")
    found = inspect_manifest(folder / "m.csv")
    assert found.count("mask:l.ex", "present") == 1
    assert found.count("mask:v", "unreadable") == 1
    assert ["in color" in p.what for p in found.problems] == [True]


def test_published_counts(folder: Path):
    def check(found):
        yield SelfTest("graded 1", 2, found.count("label:g", "1"))
        yield SelfTest("graded 0 in train", 7, found.count("label:g", "0", "train"), note="published 6")

    found = inspect_manifest(folder / "m.csv", self_test=check)
    assert [test.passed for test in found.self_tests] == [True, False]
    assert not found.ok
    assert "graded 0 in train: 1 (expected 7; published 6)" in found.to_text()
    assert found.to_text().endswith("\n1 problem, 1 of them in published counts")


def test_a_manifest_that_cannot_be_read(folder: Path):
    (folder / "m.csv").write_text("image,lable:x\na.png,1\n")
    with pytest.raises(ManifestError, match="did you mean"):
        inspect_manifest(folder / "m.csv")


def test_cache_bytes_are_those_of_what_the_cache_keeps(folder: Path):
    sample = Manifest.read(folder / "m.csv").samples[0]
    target = MaskTarget("v", (MaskLayer("one", "v", (1,)), MaskLayer("two", "v", (2,))))
    kept = fixed_transforms(ViewConfig(size=64), [target])({"sample": sample})
    arrays = {key: value.nbytes for key, value in kept.items() if isinstance(value, np.ndarray)}
    assert cache_bytes(10, 64, layers=2) == 10 * (sum(arrays.values()) - arrays["geometry"])


def test_values_of_files_that_the_user_knows(folder: Path):
    """``#any`` gives 0 and 1 whatever is in the file, so the file itself is looked at."""
    text = (folder / "m.csv").read_text().replace("c.png,r,test,,1,,,m1.png#=2", "c.png,r,test,,1,,,m1.png#any")
    (folder / "m.csv").write_text(text)
    assert problems(folder, expected={"mask:l.ex": {0, 1}}) == []
    assert problems(folder, known={"mask:l.ex": {0, 1, 2}, "v": {0, 1, 2}}) == []
    (found,) = problems(folder, known={"l.ex": {0, 1}})
    assert "line 4: mask 'l.ex' has unknown values (2 in" in found
    assert found.endswith("known are 0, 1")
    with pytest.raises(ConfigError, match=r"no such mask column; found 'vv'; did you mean 'v'"):
        inspect_manifest(folder / "m.csv", known={"vv": {0}})


def test_what_has_no_values_of_its_own_is_no_problem(folder: Path):
    assert problems(folder, known={"l.ex": {7}})[0].startswith("line 4")  # line 2 is `absent`
    assert file_values(MaskReference(None)) is None
