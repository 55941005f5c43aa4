"""Every export, opened again with a library that did not write it; regions against brute force."""

from __future__ import annotations

import csv
import json
import math
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import measure

from medmtl.errors import ConfigError
from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.candidates import candidate_table
from medmtl.explanation.exports import EXPORTS, open_exports
from medmtl.explanation.exports.coco import run_lengths
from medmtl.explanation.regions import map_regions, signed_area
from medmtl.explanation.scale import ClassScale
from medmtl.explanation.shown import ShownClass, ShownImage

HARD = ClassScale("hard exudates", 0.5, 3.0)
BLOOD = ClassScale("blood/dots", 0.0, 2.0)


def evidence():
    """(40, 60): a region with a hole, one pixel, two pixels that touch by a corner; unknown at the left."""
    values = np.full((40, 60), -2.0, np.float32)
    values[:, :3] = np.nan
    values[10:20, 20:35] = 1.5
    values[13:16, 25:28] = -1.0
    values[30, 50] = 0.75
    values[5, 40] = values[6, 41] = 2.0
    return values


def shown(name="eye"):
    eye = Anatomy("R", (50.0, 20.0), 10.0, (30.0, 22.0))
    hard = candidate_table(name, HARD, x=[21.25, 50, 3], y=[11.0, 30, 3], score=[1.5, 0.75, 0.6], anatomy=eye)
    none = candidate_table(name, BLOOD, x=[], y=[], score=[])
    classes = [ShownClass(HARD, evidence(), hard), ShownClass(BLOOD, np.full((40, 60), -1.0, np.float32), none)]
    return ShownImage(name, np.zeros((40, 60, 3), np.uint8), classes, f"{name} ü.tif", eye)


def written(name, tmp_path, images=("eye",)):
    (exporter,) = open_exports([name], tmp_path)
    return [path for image in images for path in exporter.add(shown(image))] + exporter.finish()


def visible():
    return np.nan_to_num(evidence(), nan=-9) >= 0.5


def test_the_registry_holds_the_formats_and_a_wrong_name_gets_a_suggestion(tmp_path):
    assert list(EXPORTS) == ["coco", "csv", "geojson", "mha", "nifti", "png16"]
    assert len(open_exports(["geojson,CSV", "csv"], tmp_path)) == 2
    with pytest.raises(ConfigError, match="unknown export; found 'geojsn'; did you mean 'geojson'"):
        open_exports(["geojsn"], tmp_path)
    with pytest.raises(ConfigError, match="known: coco, csv"):
        open_exports(["dicom"], tmp_path)


def test_geojson_in_shapely_has_the_regions_and_the_points(tmp_path):
    geometry = pytest.importorskip("shapely.geometry")
    (path,) = written("geojson", tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert "0-based" in content["coordinates"]
    assert "original" in content["coordinates"]
    assert content["image"] == {"file": "eye ü.tif", "width": 60, "height": 40}
    shapes = [(geometry.shape(item["geometry"]), item["properties"]) for item in content["features"]]
    polygons = [(one, told) for one, told in shapes if told["kind"] == "region"]
    points = [(one, told) for one, told in shapes if told["kind"] == "candidate"]
    assert all(one.is_valid and one.geom_type == "Polygon" for one, _ in polygons)
    assert sorted(told["area_px"] for _, told in polygons) == [1, 2, 141]
    inside = {tuple(place) for place in np.argwhere(visible())}
    for row in range(40):
        for column in range(60):
            held = any(one.contains(geometry.Point(column, row)) for one, _ in polygons)
            assert held == ((row, column) in inside), (row, column)
    assert [(one.x, one.y) for one, _ in points] == [(21.25, 11.0), (50.0, 30.0), (3.0, 3.0)]
    assert [told["number"] for _, told in points] == [1, 2, 3]
    assert points[0][1]["quadrant"] == "superior temporal"
    assert [told["candidates"] for _, told in polygons if told["area_px"] == 141] == [[1]]


def test_geojson_of_nothing_is_a_collection_without_features(tmp_path):
    (exporter,) = open_exports(["geojson"], tmp_path)
    blank = ShownImage("b", np.zeros((5, 5, 3), np.uint8), [ShownClass(HARD, np.full((5, 5), np.nan))])
    (path,) = exporter.add(blank)
    assert json.loads(path.read_text())["features"] == []


def test_coco_in_pycocotools_has_the_masks(tmp_path, capsys):
    coco_module = pytest.importorskip("pycocotools.coco")
    paths = written("coco", tmp_path, ["eye", "other"])
    assert len(paths) == 1
    coco = coco_module.COCO(str(paths[0]))
    capsys.readouterr()
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["eye ü.tif", "other ü.tif"]
    assert {one["name"] for one in coco.loadCats(coco.getCatIds())} == {"hard exudates", "blood/dots"}
    assert not coco.getAnnIds(catIds=coco.getCatIds(catNms=["blood/dots"]))
    found = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
    masks = [coco.annToMask(one).astype(bool) for one in found]
    alone = np.zeros((40, 60), bool)
    alone[3, 3] = True  # the candidate that lies in no region: its own pixel
    np.testing.assert_array_equal(np.any(masks, axis=0), visible() | alone)
    for one, mask in zip(found, masks, strict=True):
        rows, columns = np.nonzero(mask)
        size = [columns.max() - columns.min() + 1, rows.max() - rows.min() + 1]
        assert one["bbox"] == [columns.min(), rows.min(), *size]
        assert one["area"] == mask.sum()
    peaks = [peak for one in found for peak in one["peaks"]]
    assert sorted((peak["x"], peak["y"]) for peak in peaks) == [(3.0, 3.0), (21.25, 11.0), (50.0, 30.0)]
    assert "0-based" in coco.dataset["info"]["coordinates"]


@pytest.mark.parametrize("x", [2.25, 2.5, 2.75, 3.5, 0.0, 0.5, -0.5, -0.75, 58.5, 59.49, 59.5, 60.0])
@pytest.mark.parametrize("y", [4.5, 5.5, 6.0])
def test_coco_s_pixel_of_a_lone_peak_is_the_one_that_holds_it(tmp_path, x, y):
    """A pixel reaches from half before its center up to half behind it, that end excluded: 2.5 lies in pixel 3."""
    (exporter,) = open_exports(["coco"], tmp_path)
    found = candidate_table("eye", HARD, x=[x], y=[y], score=[0.9])
    blank = np.full((40, 60), -2.0, np.float32)
    exporter.add(ShownImage("eye", np.zeros((40, 60, 3), np.uint8), [ShownClass(HARD, blank, found)]))
    (one,) = json.loads(exporter.finish()[0].read_text(encoding="utf-8"))["annotations"]
    place = [
        next((center for center in range(side) if center - 0.5 <= value < center + 0.5), 0 if value < 0 else side - 1)
        for value, side in ((x, 60), (y, 40))
    ]
    assert one["bbox"] == [*place, 1, 1]
    assert one["area"] == 1
    before = place[0] * 40 + place[1]  # pixels of the columns before, and of its own above it
    assert one["segmentation"]["counts"] == [before, 1, 60 * 40 - 1 - before]
    assert [(peak["x"], peak["y"]) for peak in one["peaks"]] == [(x, y)]


def test_csv_in_the_csv_module(tmp_path):
    """pandas wrote it; here it is read as text."""
    (exporter,) = open_exports(["csv"], tmp_path)
    image = replace(shown(), source='eye "1", ü.tif')
    (path,) = exporter.add(image)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(float(row["x"]), float(row["y"])) for row in rows] == [(21.25, 11.0), (50.0, 30.0), (3.0, 3.0)]
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert [float(row["score"]) for row in rows] == [1.5, 0.75, 0.6]
    assert [float(row["probability"]) for row in rows] == pytest.approx(
        [1 / (1 + math.exp(-s)) for s in (1.5, 0.75, 0.6)]
    )
    assert {row["class"] for row in rows} == {"hard exudates"}
    assert {row["image"] for row in rows} == {"eye"}
    assert {row["file"] for row in rows} == {'eye "1", ü.tif'}
    assert {row["area_px"] for row in rows} == {""}  # not known, and not 0
    assert all("0-based" in row["coordinates"] for row in rows)
    away = [math.dist((float(row["x"]), float(row["y"])), (50, 20)) / 10 for row in rows]
    assert [float(row["disc_distance_dd"]) for row in rows] == pytest.approx(away)
    assert not any(None in row or None in row.values() for row in rows)  # no cell too many or too few


def test_png16_in_opencv(tmp_path):
    """Pillow wrote it; scikit-image would only have called Pillow again."""
    paths = written("png16", tmp_path)
    path = next(path for path in paths if path.name == "hard_exudates.png")
    codes, told = cv2.imread(str(path), cv2.IMREAD_UNCHANGED), json.loads(path.with_suffix(".json").read_text())
    assert codes.dtype == np.uint16
    assert codes.shape == (40, 60)
    np.testing.assert_array_equal(codes == told["no_value_code"], np.isnan(evidence()))
    values = np.where(codes == told["no_value_code"], np.nan, told["offset"] + told["step"] * codes.astype(float))
    np.testing.assert_allclose(values, evidence(), atol=told["step"] / 2)


def test_nifti_in_nibabel_and_simpleitk(tmp_path):
    import nibabel
    import SimpleITK

    paths = written("nifti", tmp_path)
    assert [path.name for path in paths] == ["hard_exudates.nii", "blood_dots.nii"]
    volume = nibabel.load(paths[0])
    np.testing.assert_array_equal(volume.affine, np.eye(4))
    assert volume.get_data_dtype() == np.float32
    expected = np.nan_to_num(evidence(), nan=-100)  # NaN would be 0, even odds, in every program on ITK
    np.testing.assert_array_equal(np.asarray(volume.dataobj)[:, :, 0].T, expected)
    told = json.loads(volume.header.extensions[0].get_content())
    assert (told["class"], told["unit"]) == ("hard exudates", "logit; -100: not known")
    assert "0-based" in told["coordinates"]
    other = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(paths[0])))  # which did not write it
    np.testing.assert_array_equal(other[0], expected)


def test_mha_in_simpleitk(tmp_path):
    import SimpleITK

    paths = written("mha", tmp_path)
    picture = SimpleITK.ReadImage(str(paths[0]))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(picture), evidence())
    assert picture.GetSpacing() == (1.0, 1.0)
    assert picture.GetOrigin() == (0.0, 0.0)
    assert picture.GetMetaData("class") == "hard exudates"
    assert "0-based" in picture.GetMetaData("coordinates")


def test_mha_by_hand(tmp_path):
    """SimpleITK wrote it: here header and pixels are read by the format's own definition."""
    paths = written("mha", tmp_path)
    assert [path.name for path in paths] == ["hard_exudates.mha", "blood_dots.mha"]
    for path, expected in zip(paths, (evidence(), np.full((40, 60), -1.0)), strict=True):
        head, payload = path.read_bytes().split(b"ElementDataFile = LOCAL\n", 1)
        told = dict(line.split(" = ", 1) for line in head.decode("utf-8").splitlines())
        assert (told["NDims"], told["DimSize"], told["ElementType"]) == ("2", "60 40", "MET_FLOAT")
        assert (told["ElementSpacing"], told["Offset"]) == ("1 1", "0 0")
        assert (told["image"], told["threshold"]) == ("eye ü.tif", "0.5" if path is paths[0] else "0.0")
        if told["CompressedData"] == "True":
            assert int(told["CompressedDataSize"]) == len(payload)
            payload = zlib.decompress(payload)
        order = ">f4" if told["BinaryDataByteOrderMSB"] == "True" else "<f4"
        width, height = map(int, told["DimSize"].split())
        values = np.frombuffer(payload, order).reshape(height, width)
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
        np.testing.assert_array_equal(values, expected)


@settings(deadline=None)
@given(hnp.arrays(np.bool_, (7, 9)))
def test_regions_and_their_codes_are_the_mask(mask):
    values = np.where(mask, 1.0, -1.0).astype(np.float32)
    regions, alone = map_regions(values, HARD, candidate_table("a", HARD, x=[], y=[], score=[]))
    assert alone.empty
    assert len(regions) == measure.label(mask, connectivity=2).max()
    total = np.zeros((7, 9), int)
    for region in regions:
        counts = run_lengths(region, (7, 9))
        assert sum(counts) == 63
        assert all(count > 0 for count in counts[1:-1])
        decoded = np.repeat(np.arange(len(counts)) % 2, counts).reshape(9, 7).T
        total += decoded
        assert decoded.sum() == region.area
        outer, *holes = region.rings()
        assert signed_area(outer) > 0
        assert all(signed_area(hole) < 0 for hole in holes)
        assert all((ring[0] == ring[-1]).all() for ring in (outer, *holes))
    np.testing.assert_array_equal(total, mask)


@settings(deadline=None)
@given(st.floats(-2, 11), st.floats(-2, 11))
def test_a_candidate_belongs_to_the_region_under_it_or_to_none(x, y):
    values = np.full((9, 9), -1.0, np.float32)
    values[2:5, 3:7] = 2.0
    regions, alone = map_regions(values, HARD, candidate_table("a", HARD, x=[x], y=[y], score=[2.0]))
    inside = 2.5 <= x < 6.5 and 1.5 <= y < 4.5
    assert (len(regions[0].candidates), len(alone)) == ((1, 0) if inside else (0, 1))
