"""Files: 16-bit maps to half a step, coordinates stated, names safe, the page offline, escaped and without script."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from medmtl.errors import EvaluationError, ImageError, OutputError
from medmtl.explanation import writing
from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.candidates import COORDINATES, candidate_table
from medmtl.explanation.exports import EXPORTS, open_exports
from medmtl.explanation.page import NOT_THIS, PageFacts, render_page, write_page
from medmtl.explanation.rawmap import NO_VALUE, USUAL_STEP, decode_map, encode_map, read_map, write_map
from medmtl.explanation.scale import ClassScale
from medmtl.explanation.shown import ShownClass, ShownImage, safe_names
from medmtl.explanation.writing import finish_exports, write_candidates, write_image

SCALE = ClassScale("hard exudates", 0.5, 3.0, "validation: 5 lesion-free images, 7 with the lesion")
VALUES = hnp.arrays(np.float32, (4, 5), elements=st.floats(-1e4, 1e4, width=32) | st.floats(-3, 3, width=32))


@given(VALUES)
def test_codes_are_at_most_half_a_step_away(values):
    codes, mapping = encode_map(values)
    assert np.abs(decode_map(codes, mapping) - values).max() <= mapping.step / 2
    assert (codes != NO_VALUE).all()


@given(hnp.arrays(np.float32, (3, 3), elements=st.floats(-31, 31, width=32)))
def test_usual_maps_share_one_mapping_so_that_a_code_means_one_value(values):
    assert encode_map(values)[1] == encode_map(np.zeros((1, 1)))[1]
    assert encode_map(values)[1].step == USUAL_STEP


def test_unknown_pixels_stay_unknown_and_zero_is_exact():
    values = np.array([[np.nan, -np.inf, 0.0, 1.5]])
    codes, mapping = encode_map(values)
    np.testing.assert_array_equal(decode_map(codes, mapping), [[np.nan, np.nan, 0.0, 1.5]])


def test_map_file_is_16_bit_and_its_sidecar_is_enough_to_read_it(tmp_path):
    values = np.random.default_rng(0).normal(0, 5, (30, 40)).astype(np.float32)
    write_map(tmp_path / "m.map.png", values, SCALE)
    sidecar = json.loads((tmp_path / "m.map.json").read_text())
    codes = np.asarray(Image.open(tmp_path / "m.map.png"))
    assert codes.dtype == np.uint16
    assert np.abs(sidecar["offset"] + sidecar["step"] * codes.astype(float) - values).max() <= sidecar["step"] / 2
    assert np.abs(read_map(tmp_path / "m.map.png") - values).max() <= USUAL_STEP / 2
    assert (sidecar["width"], sidecar["height"], sidecar["unit"]) == (40, 30, "logit")
    assert "0-based" in sidecar["coordinates"]
    assert sidecar["scale"]["threshold"] == 0.5


def test_a_map_without_its_meaning_is_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "m.png")
    with pytest.raises(ImageError, match=r"m\.png"):
        read_map(tmp_path / "m.png")


@given(st.lists(st.text(max_size=12) | st.sampled_from(["a", "A", "a-2", "../x", "x", ""]), max_size=12))
def test_names_are_safe_and_different_without_regard_to_case(names):
    safe = safe_names(names)
    assert len({name.lower() for name in safe}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in safe)


RED = ClassScale("<b>red</b>", 0.5, 3.0, SCALE.origin)
EYE = Anatomy("R", (200.0, 30.0), 20.0, (120.0, 28.0), "eyes.csv")
MEASURED = ("idrid, test images: sensitivity 0.41 <i>",)


def write(out, name="eye", size=(60, 400), evidence=None, source="", anatomy=None, **options):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    values = np.full(size, -4.0, np.float32)
    values[20:30, 100:120] = 2.0
    found = candidate_table(name, SCALE, x=[110.25], y=[24.0], score=[2.0], area_px=[200], anatomy=anatomy)
    classes = [ShownClass(SCALE, values, found, MEASURED), ShownClass(RED, np.full(size, -4.0, np.float32))]
    if evidence is not None:
        classes = [ShownClass(SCALE, evidence)]
    shown = ShownImage(name, image, classes, source, anatomy or Anatomy())
    return image, values, found, write_image(out, shown, **options)


def test_written_files_hold_the_picture_the_overlay_and_the_map(tmp_path):
    image, values, _, done = write(tmp_path, npy=True)
    first = done.classes[0]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / done.original)), image)
    overlay = np.asarray(Image.open(tmp_path / first.overlay))
    assert (overlay[25, 110] != image[25, 110]).any()
    np.testing.assert_array_equal(overlay[40:60, :80], image[40:60, :80])
    np.testing.assert_array_equal(np.load(tmp_path / first.array), values)
    assert np.abs(read_map(tmp_path / first.raw_map) - values).max() <= USUAL_STEP / 2
    assert not list(tmp_path.rglob("*.tmp*"))
    assert (done.width, done.height) == (400, 60)


def test_npy_is_an_option_and_large_pictures_are_jpeg(tmp_path, monkeypatch):
    assert write(tmp_path)[-1].classes[0].array is None
    monkeypatch.setattr(writing, "PNG_PIXELS", 60 * 400 - 1)
    done = write(tmp_path, name="large")[-1]
    assert done.original.endswith("original.jpg")
    assert done.classes[0].overlay.endswith(".jpg")
    assert done.classes[0].raw_map.endswith(".png")


def test_image_of_one_pixel_is_written(tmp_path):
    assert write(tmp_path, size=(1, 1), evidence=np.zeros((1, 1)))[-1].width == 1


def test_a_map_of_another_size_is_refused():
    with pytest.raises(EvaluationError, match=r"eye: map and image differ in size; found image \(4, 5\), map \(5, 4\)"):
        ShownImage("eye", np.zeros((4, 5, 3), np.uint8), [ShownClass(SCALE, np.zeros((5, 4)))])


def test_all_classes_are_one_picture_where_there_are_several(tmp_path):
    done = write(tmp_path)[-1]
    assert [layer.name for layer in done.layers] == ["all classes", "hard exudates", "<b>red</b>"]
    assert done.layers[0].count == 1
    one = write(tmp_path / "one", evidence=np.zeros((60, 400)))[-1]
    assert [layer.name for layer in one.layers] == ["hard exudates"]


def test_exports_are_listed_relative_to_the_page(tmp_path):
    exporters = open_exports(["geojson,png16,coco"], tmp_path)
    done = write(tmp_path, exporters=exporters)[-1]
    assert done.exports[:2] == ("exports/geojson/eye.geojson", "exports/png16/eye/hard_exudates.png")
    assert finish_exports(tmp_path, exporters) == ("exports/coco/candidates.coco.json",)
    assert all((tmp_path / path).is_file() for path in done.exports)


def test_an_output_in_the_way_is_one_clear_line(tmp_path):
    (tmp_path / "eye").write_text("a file")
    with pytest.raises(OutputError, match="not a folder"):
        write(tmp_path)


def test_candidates_files_say_where_in_which_coordinates(tmp_path):
    found = candidate_table(
        "eye, left", SCALE, x=[1234567.5, 3], y=[24.0, 4], score=[2.0, 1.0], area_px=[12345678, np.nan]
    )
    write_candidates(tmp_path, [found, candidate_table("b", SCALE, x=[], y=[], score=[])])
    content = json.loads((tmp_path / "candidates.json").read_text())
    assert "0-based" in content["coordinates"]
    assert "original" in content["coordinates"]
    expected = {"image": "eye, left", "class": "hard exudates", "number": 1, "x": 1234567.5, "y": 24.0, "score": 2.0}
    place = {
        "quadrant": "",
        "quadrant_about": "",
        "fovea_distance_dd": None,
        "disc_distance_dd": None,
        "laterality": "",
    }
    assert content["candidates"][0] == expected | {"probability": 0.880797, "area_px": 12345678} | place
    assert content["candidates"][1]["area_px"] is None
    rows = pd.read_csv(tmp_path / "candidates.csv")
    assert rows["x"].tolist() == [1234567.5, 3]
    assert rows["area_px"].iloc[0] == 12345678
    assert set(rows["coordinates"]) == {COORDINATES}


def test_no_candidates_at_all_gives_files_with_a_header(tmp_path):
    write_candidates(tmp_path, [])
    assert json.loads((tmp_path / "candidates.json").read_text())["candidates"] == []
    assert pd.read_csv(tmp_path / "candidates.csv").empty


class Links(HTMLParser):
    """All addresses, tags and checked inputs of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.inputs, self.ids = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "input":
            self.inputs.append(attributes)


FACTS = PageFacts("run <7>", "ab" * 32, "0.1.0", "2025-01-01 00:00 UTC")


def test_page_is_offline_escaped_without_script_and_every_link_leads_somewhere(tmp_path):
    exporters = open_exports(list(EXPORTS), tmp_path)
    options = {"npy": True, "anatomy": EYE, "exporters": exporters}
    images = [write(tmp_path, name=name, source=f"{name} <i>&", **options)[-1] for name in ("eye", "other")]
    facts = replace(FACTS, exports=finish_exports(tmp_path, exporters), anatomy="table <i>")
    write_candidates(tmp_path, [entry.candidates for image in images for entry in image.classes])
    text = write_page(tmp_path, images, facts).read_text(encoding="utf-8")
    page = Links(text)
    assert not page.tags & {"script", "link", "iframe", "b", "i"}
    assert "://" not in text
    assert "url(" not in text
    for link in page.links:
        assert (link[1:] in page.ids) if link.startswith("#") else (tmp_path / link).is_file(), link
    assert len(page.ids) == len(set(page.ids))


def test_page_has_the_overlay_off_and_says_what_must_be_said(tmp_path):
    image = write(tmp_path)[-1]
    text = render_page([image], FACTS)
    checked = [entry["id"] for entry in Links(text).inputs if "checked" in entry]
    assert checked == ["view-1-0"]
    flat = " ".join(text.split())
    for needed in [
        "Research use only",
        "Nothing above threshold",
        "0.50, 62.2 %",
        SCALE.origin,
        FACTS.model_hash,
        "110.2",
    ]:
        assert needed in flat
    assert all(sentence.split(".")[0] in flat for sentence in NOT_THIS)
    assert flat.index(image.original) < flat.index(image.classes[0].overlay)


def test_page_says_where_a_candidate_lies_and_what_was_measured(tmp_path):
    text = " ".join(render_page([write(tmp_path, anatomy=EYE)[-1]], FACTS).split())
    for needed in [
        "right eye, optic disc at (200, 30), fovea at (120, 28), disc diameter 20 pixels",
        "<td>superior temporal</td>",
        "idrid, test images: sensitivity 0.41 &lt;i&gt;",
        "not measured",
        "about the fovea",
    ]:
        assert needed.lower() in text.lower(), needed
    bare = " ".join(render_page([write(tmp_path / "bare")[-1]], FACTS).split())
    assert "side of this eye are not known: no candidate has a place in it" in bare
    assert "<th>Quadrant</th>" not in bare
    mirrored = Anatomy("L", (200.0, 30.0), 20.0, (120.0, 28.0))
    assert "is the picture mirrored?" in render_page([write(tmp_path / "mirrored", anatomy=mirrored)[-1]], FACTS)


def test_page_without_images_is_a_page(tmp_path):
    assert "<h1>Heat maps</h1>" in render_page([], FACTS)
