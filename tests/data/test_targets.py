"""What a sample says about a task: absent is zero, unknown is unknown, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medmtl.data.manifest import Manifest
from medmtl.data.samples import MaskReference, Sample
from medmtl.data.targets import UNKNOWN, IndexTarget, LabelClass, LabelTarget, MaskLayer, MaskTarget, canonical_label
from medmtl.errors import ImageError, ManifestError


def sample(labels: dict[str, str] | None = None, masks: dict[str, MaskReference] | None = None) -> Sample:
    return Sample("s", Path("s.png"), 4, Path("m.csv"), "d", "p", labels=labels or {}, masks=masks or {})


MASKS = st.lists(st.lists(st.sampled_from([0, 1, 2, 3, 9]), min_size=4, max_size=4), min_size=3, max_size=3)


@given(MASKS)
def test_layers_are_what_their_values_say(rows: list[list[int]]):
    mask = np.array(rows, np.uint8)
    layers = (MaskLayer("artery", "av", (1, 3)), MaskLayer("vein", "av", (2, 3)), MaskLayer("any", "av"))
    encoded = MaskTarget("t", layers).encode({"av": mask}, mask.shape)
    assert encoded.dtype == np.uint8
    for got, want in zip(encoded, [(mask == 1) | (mask == 3), (mask == 2) | (mask == 3), mask > 0], strict=True):
        np.testing.assert_array_equal(got, want)


@given(MASKS)
def test_ignored_values_are_unknown_in_every_layer_of_their_column(rows: list[list[int]]):
    mask = np.array(rows, np.uint8)
    target = MaskTarget(
        "t", (MaskLayer("a", "av", (1,)), MaskLayer("b", "av", (2,)), MaskLayer("o", "other")), ignore=(9,)
    )
    encoded = target.encode({"av": mask}, mask.shape)
    np.testing.assert_array_equal(encoded[:2] == UNKNOWN, np.stack([mask == 9] * 2))
    assert (encoded[2] == UNKNOWN).all()


def test_unlabelled_is_unknown_and_absent_is_zero():
    target = MaskTarget("t", (MaskLayer("a", "a"), MaskLayer("b", "b")))
    encoded = target.encode({"a": np.zeros((2, 3), np.uint8)}, (2, 3))
    assert (encoded[0] == 0).all()
    assert (encoded[1] == UNKNOWN).all()
    assert target.columns == ("a", "b")


@pytest.mark.parametrize(
    ("masks", "want"),
    [({}, False), ({"a": MaskReference(None, absent=True)}, True), ({"z": MaskReference(Path("x"))}, False)],
)
def test_mask_labelled(masks: dict[str, MaskReference], want: bool):
    assert MaskTarget("t", (MaskLayer("a", "a"), MaskLayer("b", "b"))).labelled(sample(masks=masks)) is want


def test_check_names_strange_values():
    target = MaskTarget("t", (MaskLayer("a", "a", (1,)),), known=(0, 1))
    target.check(np.array([[0, 1]], np.uint8), "here")
    with pytest.raises(ImageError, match=r"here: .*task 't'; found 2, 7; expected only 0, 1"):
        target.check(np.array([[0, 7, 2]], np.uint8), "here")
    MaskTarget("t", (MaskLayer("a", "a"),)).check(np.array([[200]], np.uint8), "here")


def test_binary_columns():
    target = MaskTarget("t", (MaskLayer("a", "a"), MaskLayer("b", "b", (1,)), MaskLayer("c", "b")))
    assert (target.binary("a"), target.binary("b")) == (True, False)


@pytest.mark.parametrize(
    ("positive", "text", "want"),
    [
        ((), "1", 1),
        ((), "0", 0),
        ((), "1.0", 1),
        (("2", "3"), "3.0", 1),
        (("2",), "1", 0),
        (("1",), "4", 0),
        (("yes",), "yes", 1),
        (("2.0",), "2", 1),
    ],
)
def test_label_values(positive: tuple[str, ...], text: str, want: int):
    target = LabelTarget("t", (LabelClass("c", "col", positive),))
    assert target.encode(sample({"col": text})).tolist() == [want]


@pytest.mark.parametrize(
    ("positive", "text", "want"),
    [(("2", "3"), "3.0", 1), (("2", "3"), "0", 0), (("2", "3"), "1", None), ((), "1", None)],
)
def test_a_text_that_is_neither_present_nor_absent_says_nothing(positive: tuple[str, ...], text: str, want: int | None):
    only = LabelClass("c", "grade", positive, negative=("0",))
    for one, column in ((only, "grade"), (LabelClass("c", "col", otherwise=only), "grade")):
        target, labelled = LabelTarget("t", (one,)), sample({column: text})
        np.testing.assert_array_equal(target.encode(labelled), [np.nan if want is None else want])
        assert target.labelled(labelled) == (want is not None)


def test_unknown_labels_are_nan():
    target = LabelTarget("t", (LabelClass("a", "t.a"), LabelClass("b", "t.b")))
    encoded = target.encode(sample({"t.b": "0"}))
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, [np.nan, 0])
    assert target.labelled(sample({"t.b": "0"}))
    assert not target.labelled(sample({"u": "1"}))
    assert target.columns == ("t.a", "t.b")


def test_index():
    target = IndexTarget("t", "grade", ("0", "1", "2"))
    assert target.encode(sample({"grade": "2.0"})).tolist() == [2]
    assert np.isnan(target.encode(sample())).all()
    assert (target.labelled(sample({"grade": "1"})), target.labelled(sample()), target.columns) == (
        True,
        False,
        ("grade",),
    )


@pytest.mark.parametrize("text", ["3", "mild", "-1", "0.5", "2 "])
def test_a_label_outside_its_classes_names_line_and_column(text: str):
    for target in (IndexTarget("t", "grade", ("0", "1")), LabelTarget("t", (LabelClass("c", "grade"),))):
        with pytest.raises(ManifestError, match=r"m\.csv, line 4, column label:grade: a label outside its classes"):
            target.encode(sample({"grade": text}))


@given(st.integers(-(10**6), 10**6))
def test_whole_numbers_have_one_spelling(number: int):
    assert (
        canonical_label(f"{number}.0") == canonical_label(f" {number} ") == canonical_label(str(number)) == str(number)
    )


@given(st.text())
def test_canonical_is_idempotent(text: str):
    assert canonical_label(canonical_label(text)) == canonical_label(text)


@pytest.mark.parametrize("text", ["nan", "inf", "1e400", "mild NPDR", ""])
def test_other_texts_stay(text: str):
    assert canonical_label(text) == text


def test_from_the_cell_to_the_layer(tmp_path: Path):
    """Empty, 0, 1 and `absent`, side by side in one file."""
    (tmp_path / "m.csv").write_text("image,label:x,mask:v\na.png,1,\nb.png,0,absent\nc.png,,c.png\n")
    one, two, three = Manifest.read(tmp_path / "m.csv").samples
    label, mask = LabelTarget("x", (LabelClass("x", "x"),)), MaskTarget("v", (MaskLayer("v", "v"),))
    np.testing.assert_array_equal(np.concatenate([label.encode(item) for item in (one, two, three)]), [1, 0, np.nan])
    assert [mask.labelled(item) for item in (one, two, three)] == [False, True, True]
