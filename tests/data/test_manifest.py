from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.data.columns import Column, parse_column
from medmtl.data.manifest import Manifest, MaskReference, find_leaks, write_manifest
from medmtl.errors import ConfigError, ManifestError, OutputError


def table(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


GOOD = (
    "image,id,patient,dataset,site,laterality,split,fov,label:grade,label:sign.ex,labels:found,mask:av,mask:les.he\n"
    "i/a.png,A,p1,set,clinic,left,train,f/a.png,2,1,ex=1;he=0,m/a.png,absent\n"
    'i/b.png,,,,,R,test,,,,"ma; se = 0",m/b.png#>=189,x_*_plain.xml#Haemorrhages:any\n'
)


def test_reads_all_that_a_row_says(tmp_path: Path):
    manifest = Manifest.read(table(tmp_path, GOOD, "name.csv"))
    first, second = manifest.samples
    assert (first.id, first.patient, first.dataset, first.site) == ("A", "p1", "set", "clinic")
    assert (first.laterality, first.split, first.row) == ("L", "train", 2)
    assert first.image == tmp_path / "i/a.png"
    assert first.fov == tmp_path / "f/a.png"
    assert first.labels == {"grade": "2", "sign.ex": "1", "found.ex": "1", "found.he": "0"}
    assert first.masks == {"av": MaskReference(tmp_path / "m/a.png"), "les.he": MaskReference(None, None, absent=True)}
    assert (second.id, second.patient, second.dataset, second.site) == ("b", "b", "name", None)
    assert (second.laterality, second.split, second.row, second.fov) == ("R", "test", 3, None)
    assert second.labels == {"found.ma": "1", "found.se": "0"}
    assert second.masks["av"] == MaskReference(tmp_path / "m/b.png", ">=189")
    assert second.masks["les.he"] == MaskReference(tmp_path / "x_*_plain.xml", "Haemorrhages:any")
    assert manifest.select("train") == (first,)
    assert manifest.select("val") == ()
    assert manifest.select(None) == (first, second)
    assert manifest.tasks("mask") == ("av", "les")
    assert manifest.members("labels", "found") == ("ex", "he", "ma", "se")
    assert manifest.members("mask", "les") == ("he",)
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        manifest.select("trian")


def test_empty_is_unknown_and_never_zero(tmp_path: Path):
    (sample,) = Manifest.read(table(tmp_path, "image,label:g,labels:s,mask:v,label:c.x\na.png,,,,\n")).samples
    assert sample.labels == {}
    assert sample.masks == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: data + b"\n\n",
        lambda data: data + b",,,,,,,,,,,,\n",
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"image,id", b" image , id "),
        lambda data: data.replace(b"p1,set", b" p1 ,\tset"),
    ],
)
def test_dialects_say_the_same(tmp_path: Path, change):
    plain = Manifest.read(table(tmp_path, GOOD))
    other = Manifest.read(table(tmp_path, change(GOOD.encode())))
    assert other.samples == plain.samples
    assert other.content_hash == plain.content_hash


def test_hash_follows_content_and_not_form(tmp_path: Path):
    base = Manifest.read(table(tmp_path, "image,label:g\na.png,1\nb.png,0\n")).content_hash
    turned = Manifest.read(table(tmp_path, "label:g,image\n1,a.png\n0,b.png\n")).content_hash
    frame = pd.DataFrame({"image": ["a.png", "b.png"], "label:g": [1, 0]})
    write_manifest(frame, tmp_path / "m.parquet")
    assert turned == base == Manifest.read(tmp_path / "m.parquet").content_hash
    for text in ("image,label:g\na.png,1\nb.png,1\n", "image,label:g\nb.png,0\na.png,1\n", "image,label:g\na.png,1\n"):
        assert Manifest.read(table(tmp_path, text)).content_hash != base


def test_rows_are_named_as_an_editor_counts(tmp_path: Path):
    text = 'image,note:n\n\na.png,"two\nlines"\n\nb.png,x\n'
    assert [sample.row for sample in Manifest.read(table(tmp_path, text)).samples] == [3, 6]


def test_numbers_as_pandas_writes_them(tmp_path: Path):
    (tmp_path / "m.csv").write_text("image,label:g,label:s.x,label:t.x\na.png,2.0,1.0,True\nb.png,,,\n")
    assert Manifest.read(tmp_path / "m.csv").samples[0].labels == {"g": "2", "s.x": "1", "t.x": "1"}


BAD: list[tuple[str, str | bytes, str]] = [
    ("empty", b"", "is empty"),
    ("blank", b"\n \n", "is empty"),
    ("header only", "image,label:g\n", "no samples"),
    ("no image column", "img,label:g\na.png,1\n", "unknown column"),
    ("no image column, else right", "id,label:g\na,1\n", "no column 'image'"),
    ("typing error in kind", "image,lable:x\na.png,1\n", "did you mean 'label:x'"),
    ("typing error in kind", "image,lables:x\na.png,a=1\n", "did you mean 'labels:x'"),
    ("typing error in kind", "image,msk:vessels\na.png,m.png\n", "did you mean 'mask:vessels'"),
    ("space for colon", "image,mask vessels\na.png,m.png\n", "did you mean 'mask:vessels'"),
    ("dot for colon", "image,label.grade\na.png,1\n", "did you mean 'label:grade'"),
    ("underscore for colon", "image,masks_av\na.png,1\n", "did you mean 'mask:av'"),
    ("capital", "Image\na.png\n", "did you mean 'image'"),
    ("typing error", "image,patinet\na.png,1\n", "did you mean 'patient'"),
    ("foreign column", "image,age\na.png,60\n", "note:age"),
    ("unnamed column", "image,\na.png,1\n", "name every column"),
    ("no task name", "image,label:\na.png,1\n", "not a task's name"),
    ("two dots", "image,label:a.b.c\na.png,1\n", "not a task's name"),
    ("dotted set", "image,labels:a.b\na.png,1\n", "not a task's name"),
    ("same header", "image,label:g,label:g\na.png,1,0\n", "same column twice"),
    ("same header, image", "image,image\na.png,b.png\n", "same column twice"),
    ("two ways", "image,label:g,labels:g\na.png,1,x=1\n", "told in two ways"),
    ("two ways", "image,mask:g,mask:g.a\na.png,m.png,m.png\n", "told in two ways"),
    ("semicolons", "image;label:g\na.png;1\n", "not separated by commas"),
    ("tabs", "image\tlabel:g\na.png\t1\n", "not separated by commas"),
    ("short row", "image,label:g\na.png,1\nb.png\n", "line 3.*1 instead of 2"),
    ("long row", "image,label:g\na.png,1,2\n", "line 2.*3 instead of 2"),
    ("open quote", 'image,label:g\n"a.png,1\n', "not a valid CSV row"),
    ("text after quote", 'image,label:g\n"a"b.png,1\n', "line 2.*not a valid CSV row"),
    ("Latin-1", "image,site\na.png,x\nb.png,Genève\n".encode("latin-1"), "line 3.*not UTF-8.*Windows-1252"),
    ("Windows-1252", "image,site\r\na.png,“x”\r\n".encode("cp1252"), "line 2.*not UTF-8"),
    ("UTF-16", "image\na.png\n".encode("utf-16"), "UTF-16"),
    ("UTF-16 big", b"\xfe\xff" + "image\na.png\n".encode("utf-16-be"), "UTF-16"),
    ("UTF-16 without mark", "image\na.png\n".encode("utf-16-le"), "NUL byte"),
    ("NUL", b"image,id\na.png,1\nb.png,\0\n", "line 3.*NUL byte"),
    ("binary", b"\x89PNG\r\n\x1a\n\0\0\0", "NUL byte"),
    ("empty image", "image,label:g\n,1\n", "line 2.*image cell is empty"),
    ("same id", "image,id\na.png,x\nb.png,x\n", "line 3.*same id twice.*lines 2, 3"),
    ("same stem", "image\na/1.png\nb/1.png\n", "line 3.*same id twice.*column 'id'"),
    ("same image", "image,id,split\na.png,1,train\n./a.png,2,test\n", "same image in two splits.*lines 2, 3"),
    ("patient", "image,patient,split\na.png,p,train\nb.png,p,val\n", "line 3.*patient in two splits.*train and val"),
    ("split", "image,split\na.png,trian\n", "line 2.*unknown split.*did you mean 'train'"),
    ("split", "image,split\na.png,Train\n", "did you mean 'train'"),
    ("split", "image,split\na.png,validation\n", "did you mean 'val'"),
    ("split", "image,split\na.png,holdout\n", "known: test, train, val"),
    ("laterality", "image,laterality\na.png,OD\n", "unknown laterality.*did you mean 'R'"),
    ("laterality", "image,laterality\na.png,both\n", "write L or R"),
    ("nan label", "image,label:g\na.png,1\nb.png,nan\n", "line 3.*'label:g'.*missing value.*leave the cell empty"),
    ("NaN label", "image,label:g\na.png,NaN\n", "leave the cell empty"),
    ("NA patient", "image,patient\na.png,NA\n", "leave the cell empty"),
    ("nan mask", "image,mask:v\na.png,nan\n", "leave the cell empty"),
    ("nan set", "image,labels:v\na.png,NaN\n", "leave the cell empty"),
    ("null image", "image,label:g\nnull,1\n", "leave the cell empty"),
    ("class label", "image,label:s.ex\na.png,yes\n", "takes 1 or 0.*'yes'"),
    ("class label", "image,label:s.ex\na.png,2\n", "takes 1 or 0.*'2'"),
    ("class label", "image,label:s.ex\na.png,0.5\n", "takes 1 or 0"),
    ("set", "image,labels:s\na.png,ex=maybe\n", "takes 1 or 0"),
    ("set", "image,labels:s\na.png,=1\n", "not a class"),
    ("set", "image,labels:s\na.png,ex=\n", "takes 1 or 0"),
    ("set", "image,labels:s\na.png,ex=1;ex=0\n", "contradicts itself"),
    ("set", "image,labels:s\na.png,a.b=1\n", "not a class"),
    ("fragment", "image,mask:v\na.png,m.png#>189\n", "not a mask reference"),
    ("fragment", "image,mask:v\na.png,m.png#red\n", "not a mask reference"),
    ("fragment", "image,mask:v\na.png,m.png#\n", "not a mask reference"),
    ("fragment", "image,mask:v\na.png,#any\n", "not a mask reference"),
    ("fragment", "image,mask:v\na.png,m.xml\n", "not a mask reference"),
    ("parquet", b"PAR1 and then nothing", "not a readable Parquet"),
]


@pytest.mark.parametrize(("kind", "text", "words"), BAD, ids=[f"{i}-{kind}" for i, (kind, _, _) in enumerate(BAD)])
def test_bad_tables_give_one_line(tmp_path: Path, kind: str, text: str | bytes, words: str):
    path = table(tmp_path, text)
    with pytest.raises(ManifestError, match=words) as caught:
        Manifest.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert caught.value.remedy, kind


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_no_file(tmp_path: Path, name: str):
    with pytest.raises(ManifestError, match=r"does not exist|not a folder"):
        Manifest.read(tmp_path / name)


def test_bad_parquet(tmp_path: Path):
    with pytest.raises(ManifestError, match="Parquet"):
        Manifest.read(table(tmp_path, "image\na.png\n", "m.parquet"))


def test_up_to_five_problems_in_one_line(tmp_path: Path):
    text = "image,split\n" + "".join(f"{i}.png,bad{i}\n" for i in range(8))
    with pytest.raises(ManifestError) as caught:
        Manifest.read(table(tmp_path, text))
    message = str(caught.value)
    assert "first of 8 problems" in message
    assert "line 2" in message
    assert "bad4" in message
    assert "bad5" not in message


def test_lenient_reading_lists_leaks(tmp_path: Path):
    text = "image,id,patient,split\na.png,x,p,train\nb.png,x,p,test\n./a.png,y,q,val\n"
    manifest = Manifest.read(table(tmp_path, text), strict=False)
    assert len(manifest.samples) == 3
    assert [p.what for p in manifest.problems] == [
        "the same id twice", "the same image in two splits", "a patient in two splits",
    ]  # fmt: skip
    with pytest.raises(ManifestError, match="first of 3"):
        Manifest.read(tmp_path / "m.csv")


def test_leaks_are_found_over_manifests_and_not_over_data_sets(tmp_path: Path):
    one = Manifest.read(table(tmp_path, "image,patient,split,dataset\na.png,p,train,s\n", "one.csv")).samples
    two = Manifest.read(table(tmp_path, "image,patient,split,dataset\nb.png,p,test,s\n", "two.csv")).samples
    other = tuple(dataclasses.replace(sample, dataset="t") for sample in two)
    assert len(find_leaks(one + two)) == 1
    assert find_leaks(one + other) == []


def test_written_paths_are_relative(tmp_path: Path):
    frame = pd.DataFrame(
        {
            "image": [tmp_path / "data" / "a.png", str(tmp_path / "b.png")],
            "fov": [tmp_path / "f.gif", None],
            "mask:v": [f"{tmp_path}/x_*_plain.xml#Disc", "absent"],
            "mask:w": ["rel/m.png#any", float("nan")],
            "label:g": [3.0, float("nan")],
            "note:n": ["é", pd.NA],
        }
    )
    for name in ("m.csv", "m.parquet"):
        write_manifest(frame, tmp_path / "out" / name)
        manifest = Manifest.read(tmp_path / "out" / name)
        first, second = manifest.samples
        assert first.image.resolve() == tmp_path / "data" / "a.png"
        assert first.masks["v"].fragment == "Disc"
        assert str(first.masks["v"].path) == str(tmp_path / "out" / "../x_*_plain.xml")
        assert first.masks["w"].path == tmp_path / "out" / "rel/m.png"
        assert first.labels == {"g": "3"}
        assert second.masks["v"].absent
        assert second.labels == {}
        assert second.fov is None
    assert str(tmp_path) not in (tmp_path / "out" / "m.csv").read_text()
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == ["m.csv", "m.parquet"]


def test_refuses_to_write_what_it_would_not_read(tmp_path: Path):
    with pytest.raises(ManifestError, match="did you mean 'label:x'"):
        write_manifest(pd.DataFrame({"image": ["a"], "lable:x": [1]}), tmp_path / "m.csv")
    assert list(tmp_path.iterdir()) == []


NAMES = st.text(st.characters(whitelist_categories=("L", "N"), max_codepoint=0x2FF), min_size=1, max_size=8)


@given(kind=st.sampled_from(["label", "mask", "note"]), name=NAMES, member=st.none() | NAMES)
def test_columns_round_trip(kind: str, name: str, member: str | None):
    header = f"{kind}:{name}" + (f".{member}" if member else "")
    column = parse_column(header)
    assert isinstance(column, Column)
    assert (column.kind, column.name, column.member) == (kind, name, member)


@pytest.mark.parametrize("name", ["m.xlsx", "m.JSON"])
def test_no_csv_is_written_under_the_name_of_another_table(tmp_path, name):
    with pytest.raises(OutputError, match="CSV or Parquet"):
        write_manifest(pd.DataFrame({"image": ["a.png"]}), tmp_path / name)
    assert not list(tmp_path.iterdir())
