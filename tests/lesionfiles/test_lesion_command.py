"""medmtl lesions: figures known by hand, whatever form candidates and truth come in, and what is written."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from lesion_world import BOXES, CANDIDATES, HEIGHT, IMAGES, WIDTH, LesionWorld, heat, mask
from PIL import Image

import medmtl
from medmtl.cli import run
from medmtl.evaluation import LENIENT, Candidates, EvaluationResult, Outcome, lesion_targets, match, pooled_froc
from medmtl.explanation.rawmap import write_map
from medmtl.explanation.scale import ClassScale
from medmtl.lesionfiles.saved import read_matches

# By hand, one candidate a lesion, four images: falling scores .9 hit, .8 further hit, .7 false, .6 hit, .5 false,
# .4 hit, .3 false. So at 0 false positives per image 1 of 3; at 1/4 2 of 3; at 1/2 3 of 3.
BY_HAND = {0.1: 1 / 3, 0.25: 2 / 3, 0.5: 1.0, 1.0: 1.0}
RATES = tuple(BY_HAND)
PEAKS = {"extract": "peaks", "min_distance": 1.0, "threshold": 0.0}


@pytest.fixture
def world(tmp_path: Path) -> LesionWorld:
    made = LesionWorld.make(tmp_path / "world")
    made.write()
    return made


def figures(result: medmtl.lesionapi.LesionResult, label: str = "ex", task: int = 0) -> dict[float, float]:
    values = {metric.name: metric.interval.value for metric in result.result.tasks[task].metrics}
    return {rate: values[f"sensitivity_at_{rate:g}.{label}"] for rate in RATES}


def score(world: LesionWorld, candidates: str = "candidates.csv", truth: str = "manifest.csv", **more):
    options = {"rates": RATES, "draws": 50, "sanity": False} | more
    return medmtl.lesions(world.path(candidates), world.path(truth), **options)


def test_figures_by_hand(world):
    result = score(world)
    assert figures(result) == pytest.approx(BY_HAND)
    (one,) = [task for task in result.result.tasks if task.task == "he"]
    assert one.metrics[0].n == 2
    outcomes = result.matches["ex", "peak_in_lesion"][0].outcome.tolist()
    assert outcomes == [Outcome.TRUE_POSITIVE, Outcome.DUPLICATE, Outcome.FALSE_POSITIVE, Outcome.TRUE_POSITIVE]


TRUTHS = {
    "manifest": ("manifest.csv", {}),
    "boxes": ("boxes.csv", {"images": "images.csv"}),
    "circles": ("circles.csv", {"images": "images.csv"}),
    "COCO": ("coco.json", {}),
    "JSON": ("boxes.json", {"images": "images.csv"}),
    "Parquet": ("boxes.parquet", {"images": "images.csv"}),
    "folder": ("masks", {}),
    "folder, images named": ("masks", {"images": "images.csv"}),
    "manifest as images": ("boxes.csv", {"images": "manifest.csv"}),
}


@pytest.mark.parametrize("form", TRUTHS)
def test_every_form_of_truth_gives_the_same_figures(form, world):
    (world.folder / "coco.json").write_text(json.dumps(world.coco()))
    (world.folder / "boxes.json").write_text(json.dumps({"lesions": world.boxes}))
    pd.DataFrame(world.boxes).to_parquet(world.folder / "boxes.parquet")
    circles = [  # smaller than the boxes, and still under every hit: the centers' discs hold the peaks
        {"image": image, "class": label, "x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "radius": 1.6}
        for (image, label), boxes in BOXES.items()
        for x0, y0, x1, y1 in boxes
    ]
    pd.DataFrame(circles).to_csv(world.folder / "circles.csv", index=False)
    name, options = TRUTHS[form]
    result = score(world, truth=name, **{key: world.path(value) for key, value in options.items()})
    assert figures(result) == pytest.approx(BY_HAND)
    assert figures(result, "he", 1) == pytest.approx(dict.fromkeys(RATES, 0.5))


def write_maps(world: LesionWorld, form: str) -> str:
    folder = world.folder / f"maps-{form}"
    for image in IMAGES:
        for label in ("ex", "he"):
            values = heat(image, label).astype(np.float32)
            place = {"class first": folder / label / image, "flat": folder / f"{image}_{label}"}.get(
                form, folder / image / label
            )
            place.parent.mkdir(parents=True, exist_ok=True)
            if form == "tiff":
                tifffile.imwrite(place.with_suffix(".tif"), values)
            elif form in {"mha", "nii.gz"}:
                sitk.WriteImage(sitk.GetImageFromArray(values), f"{place}.{form}")
            elif form == "png":
                write_map(place.with_name(f"{label}.map.png"), values, ClassScale(label, 0.0, 1.0))
                Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(place.with_name("original.png"))
            else:
                np.save(place.with_suffix(".npy"), values)
    return folder.name


@pytest.mark.parametrize("form", ["npy", "tiff", "mha", "nii.gz", "png", "class first", "flat"])
def test_every_form_of_heat_map_gives_the_same_figures(form, world):
    result = score(world, candidates=write_maps(world, form), **PEAKS)
    assert figures(result) == pytest.approx(BY_HAND)
    found = result.matches["ex", "peak_in_lesion"][0]
    # The candidate of 0.8 is a neighbor of the one of 0.9: no maximum of its own. A code of the PNG is 1/1024.
    assert found.score == pytest.approx([0.9, 0.7, 0.6], abs=1e-3)


@pytest.mark.parametrize("form", ["csv", "parquet", "json", "json object"])
def test_every_form_of_candidate_table_gives_the_same_figures(form, world):
    path = world.folder / f"found.{form.split()[0]}"
    frame = pd.DataFrame(world.candidates)
    if form == "csv":
        frame.to_csv(path, index=False)
    elif form == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text(json.dumps(world.candidates if form == "json" else {"candidates": world.candidates}))
    assert figures(score(world, candidates=path.name)) == pytest.approx(BY_HAND)


def test_the_same_as_direct_calls(world):
    result = score(world)
    for label in ("ex", "he"):
        matches = []
        for image in IMAGES:
            rows = [row for row in CANDIDATES if row[:2] == (image, label)]
            values = np.zeros((HEIGHT, WIDTH), np.uint8)
            for x0, y0, x1, y1 in BOXES.get((image, label), []):
                values[y0 : y1 + 1, x0 : x1 + 1] = 1
            columns = [np.array([row[k] for row in rows], dtype=float) for k in (2, 3, 4)]
            matches.append(match(Candidates.points(*columns), lesion_targets(values)))
        direct = pooled_froc(matches)
        for rate in RATES:
            value = figures(result, label, int(label == "he"))[rate]
            assert value == pytest.approx(direct.sensitivity_at(rate).sensitivity)
        for mine, theirs in zip(result.matches[label, "peak_in_lesion"], matches, strict=True):
            np.testing.assert_array_equal(mine.outcome, theirs.outcome)
            np.testing.assert_array_equal(mine.score, theirs.score)


def test_the_order_of_rows_changes_nothing(world):
    expected = score(world, rules=["peak_in_lesion", "peak_in_lesion:tolerance=2"])
    random.Random(3).shuffle(world.candidates)
    random.Random(4).shuffle(world.manifest)
    world.write()
    found = score(world, rules=["peak_in_lesion", "peak_in_lesion:tolerance=2"])
    for first, second in zip(expected.result.tasks, found.result.tasks, strict=True):
        assert [(m.name, m.interval.value, m.n) for m in first.metrics] == [
            (m.name, m.interval.value, m.n) for m in second.metrics
        ]


def test_images_without_lesions_and_candidates_count(world):
    """Only the truth's own images: d is not named, so false positives are shared by three images."""
    world.candidates = [row for row in world.candidates if row["image"] != "d"]
    world.write()
    few = score(world, truth="boxes.csv")
    many = score(world, truth="boxes.csv", images=world.path("images.csv"))
    assert (few.result.samples, many.result.samples) == (3, 4)
    assert figures(few)[0.25] == pytest.approx(1 / 3)  # one false positive in three images is more than a quarter
    assert figures(many)[0.25] == pytest.approx(2 / 3)
    assert any("--images" in note for note in few.notes)


def test_an_image_may_be_told_of_without_a_lesion(world):
    world.boxes.append({"image": "d", "class": ""})
    world.write()
    assert figures(score(world, truth="boxes.csv")) == pytest.approx(BY_HAND)


def test_a_class_of_several(world):
    result = score(world, classes=["any:ex+he=ex"])
    assert result.result.tasks[0].metrics[0].n == 5  # three of ex, two of he
    hits = result.matches["any", "peak_in_lesion"][0].outcome.tolist()
    assert hits[2] == Outcome.TRUE_POSITIVE  # 0.7 lies on a lesion of he


def test_no_candidates_of_a_class_as_said(world):
    world.candidates = [row for row in world.candidates if row["class"] == "ex"]
    world.write()
    result = score(world, classes=["ex", "he="])
    assert figures(result, "he", 1) == dict.fromkeys(RATES, 0.0)
    assert any("every lesion is missed" in note for note in result.notes)


def test_unknown_masks_are_left_out_and_absent_ones_count(world):
    world.manifest[1]["mask:ex"] = ""
    world.manifest[3]["mask:ex"] = "absent"
    world.write()
    result = score(world)
    assert result.images["ex"] == ("a", "c", "d")
    task = result.result.tasks[0]
    assert (task.labelled, task.unlabelled, task.metrics[0].n) == (3, 1, 2)
    assert any("not known in 1 of 4" in note for note in result.notes)


def test_missing_masks_of_a_folder(world):
    (world.folder / "masks" / "ex" / "d.png").unlink()
    (world.folder / "masks" / "he" / "d.png").unlink()
    absent = score(world, truth="masks", images=world.path("images.csv"), missing_masks="absent")
    unknown = score(world, truth="masks", images=world.path("images.csv"), missing_masks="unknown")
    assert absent.images["ex"] == IMAGES
    assert unknown.images["ex"] == IMAGES[:3]
    assert figures(absent) == pytest.approx(BY_HAND)


def test_candidates_of_another_split_are_passed_over(world):
    world.manifest[3] |= {"split": "train", "patient": "p9"}
    world.write()
    result = score(world, split="test")
    assert result.result.samples == 3
    assert any("1 candidates are of images that are not evaluated" in note for note in result.notes)


@pytest.mark.parametrize("choice", ["drop", "count"])
def test_candidates_outside_the_field(choice, world):
    field = np.ones((HEIGHT, WIDTH), np.uint8)
    field[:2, :2] = 0
    Image.fromarray(field).save(world.folder / "fov.png")
    for row in world.manifest:
        row["fov"] = "fov.png"
    world.write()
    world.candidates += [{"image": "b", "class": "he", "x": 1, "y": place, "score": 0.1} for place in (0, 1)]
    world.write()
    result = score(world, outside_field=choice, out=world.out)
    dropped = choice == "drop"
    assert len(result.matches["ex", "peak_in_lesion"][1].score) == (1 if dropped else 2)
    note = "candidates outside the field of view were left out: ex 1, he 2"
    assert (note in result.notes) == dropped
    images = pd.read_csv(world.out / "images.csv").set_index(["image", "class"])["outside_field"]
    assert images[images > 0].to_dict() == ({("b", "ex"): 1, ("b", "he"): 2} if dropped else {})


def test_radius_and_mask_make_regions(world):
    for row in world.candidates:
        row["radius"] = 2
    world.write()
    by_radius = score(world, rules=["any_overlap", "iou:threshold=0.3"])
    for number, row in enumerate(world.candidates):
        yy, xx = np.mgrid[:HEIGHT, :WIDTH]
        disc = (xx - row["x"]) ** 2 + (yy - row["y"]) ** 2 <= 4
        Image.fromarray(disc.astype(np.uint8)).save(world.folder / f"region{number}.png")
        row["mask"] = f"region{number}.png"
        del row["radius"]
    world.write()
    by_mask = score(world, rules=["any_overlap", "iou:threshold=0.3"])
    for key, matches in by_radius.matches.items():
        for first, second in zip(matches, by_mask.matches[key], strict=True):
            np.testing.assert_array_equal(first.outcome, second.outcome)
    # By hand: the disc of radius 2 at (5, 5) has 13 pixels, 11 of them in the box of 16: 11 / 18 = 0.61.
    assert by_radius.matches["ex", "iou:threshold=0.3"][0].outcome[0] == Outcome.TRUE_POSITIVE


def test_components_of_maps_have_regions(world):
    options = {"extract": "components", "threshold": 0.0, "rules": ["iou:threshold=0.05"]}
    result = score(world, candidates="maps", **options)
    # (5, 5) and (6, 6) touch at a corner and are one region of two pixels: 2 of 16 pixels of the lesion.
    first = result.matches["ex", "iou:threshold=0.05"][0]
    assert len(first.score) == 3
    assert first.outcome.tolist() == [Outcome.TRUE_POSITIVE, Outcome.FALSE_POSITIVE, Outcome.TRUE_POSITIVE]


class Links(HTMLParser):
    """All targets of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.found += [value for key, value in attrs if key in {"href", "src"} and value]


def test_everything_is_written_and_every_link_leads_somewhere(world, capfd):
    assert run([*world.command("--rule", "peak_in_lesion", "--rule", "center_distance:r_min=3"), "--rate", "1"]) == 0
    assert "page " in capfd.readouterr().out
    out = world.out
    assert {
        "index.html",
        "metrics.json",
        "candidates.csv",
        "lesions.csv",
        "images.csv",
        "froc.csv",
        "tables",
        "curves",
        "images",
    } <= {path.name for path in out.iterdir()}
    for page in [out / "index.html", *(out / "images").glob("*.html")]:
        for link in Links(page).found:
            assert not link.startswith(("http:", "https:", "//"))
            if not link.startswith(("data:", "#")):
                assert (page.parent / link.split("#")[0]).exists(), link
    for path in out.glob("froc-*.png"):
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert np.asarray(image.convert("L")).std() > 5
    assert len(list(out.glob("froc-*.png"))) == 4
    content = json.loads((out / "metrics.json").read_text())
    assert content["provenance"]["candidates"]["sha256"]
    assert content["provenance"]["images"] == list(IMAGES)
    result = EvaluationResult.from_dict(content["results"][0])
    lesions = [metric for task in result.tasks for metric in task.metrics if not metric.label.startswith("Image level")]
    assert len(lesions) == 4 * 3  # two classes, two rules; one rate, CPM, average precision
    assert all("hit: the candidate" in metric.unit_note for metric in lesions)


def test_a_page_of_pictures_leaves_the_pixels_and_marks_the_lesions(world):
    score(world, out=world.out)
    page = (world.out / "images" / "a.html").read_text()
    assert "2 of 2 lesions found" in page
    assert 'rel="next" href="b.html"' in page
    with Image.open(world.out / "images" / "a.ex.jpg") as image:
        assert image.width >= 700


def test_no_pictures_no_pages(world):
    for name in IMAGES:
        (world.folder / f"{name}.png").unlink()
    score(world, truth="masks", out=world.out, sanity=True)
    assert not (world.out / "images").exists()
    assert (world.out / "index.html").exists()


def test_pictures_of_a_folder_are_found(world):
    score(world, truth="masks", out=world.out, pictures=world.folder)
    assert len(list((world.out / "images").glob("*.html"))) == 4


def test_a_saved_report_scored_again_on_a_part_is_that_part_evaluated(world):
    rules = ["peak_in_lesion", "peak_in_lesion:tolerance=30"]
    score(world, out=world.out, rules=rules)
    world.manifest = world.manifest[:2]
    world.candidates = [row for row in world.candidates if row["image"] in "ab"]
    world.write()
    part = score(world, rules=rules)
    for (label, rule), matches in part.matches.items():
        saved = read_matches(world.out, label, rule)
        assert saved.images == IMAGES
        again = pooled_froc(saved.matches[:2])
        direct = pooled_froc(matches)
        for name in ("thresholds", "sensitivity", "fppi"):
            np.testing.assert_array_equal(getattr(again, name), getattr(direct, name))
        for mine, theirs in zip(saved.matches[:2], matches, strict=True):
            np.testing.assert_array_equal(mine.gains, theirs.gains)


def test_random_rows_and_figures_are_the_same_every_time(world):
    first, second = (score(world, sanity=True, seed=5) for _ in range(2))
    for one, two in zip(first.result.tasks, second.result.tasks, strict=True):
        assert dataclasses.replace(one, tables=(), curves=()) == dataclasses.replace(two, tables=(), curves=())
        pd.testing.assert_frame_equal(one.tables[0].frame, two.tables[0].frame)
    names = list(first.result.tasks[0].tables[0].frame["candidates"])
    assert {"random points", "constant map", "center of the field", "dark blobs (LoG, green)"} <= set(names)


def test_tricks_stand_beside_rules_of_overlap_only(world):
    for row in world.candidates:
        row["radius"] = 2
    world.write()
    rules = ["peak_in_lesion", "any_overlap", "any_overlap:guard=inf"]
    result = score(world, sanity=True, rules=rules)
    rows = [set(table(result, "lesions.", task)["candidates"]) for task in range(3)]
    assert not any("trick" in name for name in rows[0])
    assert [sum("trick" in name for name in row) for row in rows] == [0, 2, 2]
    assert all({"random points", "center of the field", "constant map"} <= row for row in rows)
    free = table(result, "lesions.", 2).set_index("candidates")
    assert free.loc["trick: its points as discs of 2 % of the field", "all_candidates"] >= 2 / 3


def whole_field(world: LesionWorld) -> None:
    """All of each image as its field: none is looked for in pictures of noise."""
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(world.folder / "fov.png")
    for row in world.manifest:
        row["fov"] = "fov.png"
    world.write()


def test_the_protocol_of_diaretdb1(world):
    from sklearn.metrics import roc_curve

    from medmtl.evaluation import image_roc

    whole_field(world)
    options = {"extract": "components", "threshold": 0.0, "diaretdb1": True}
    result = score(world, candidates="maps", rules=["peak_in_lesion", "peak_in_lesion:tolerance=2"], **options)
    frame = table(result, "diaretdb1").set_index("by")
    # Flagged pixels of class ex: a 4 of 1,200, b 2, c 0, d 1; lesions in a and b.
    image = image_roc([True, True, False, False], np.array([4, 2, 0, 1]) / (WIDTH * HEIGHT))
    assert frame.loc["image", "eer"] == image.equal_error_rate == 0.0
    masks = [world_mask(name) for name in IMAGES]
    false, true, _ = roc_curve(
        np.ravel(masks), np.ravel([heat(name, "ex") for name in IMAGES]), drop_intermediate=False
    )
    misses = 1 - true
    assert frame.loc["pixel", "eer"] == pytest.approx(np.interp(0, (misses - false)[::-1], misses[::-1]))
    assert frame.loc["pixel", "wer_1"] == pytest.approx(((misses + false)[:-1] / 2).min())
    assert frame.loc["pixel", "ill"] == sum(mask.sum() for mask in masks)
    assert not [one for one in result.result.tasks[1].tables if one.name.startswith("diaretdb1")]  # once a class


def test_pixels_that_count_neither_way_are_no_cases_of_the_protocol(world):
    whole_field(world)
    options = {"extract": "components", "threshold": 0.0, "diaretdb1": True}
    every = table(score(world, candidates="maps", **options), "diaretdb1").set_index("by")
    large = table(score(world, candidates="maps", min_area=10, **options), "diaretdb1").set_index("by")
    assert large.loc["pixel", "ill"] == every.loc["pixel", "ill"] - 9  # the lesion of b has 9 pixels
    assert large.loc["pixel", "healthy"] == every.loc["pixel", "healthy"]


@pytest.mark.parametrize("why", ["too small", "outside the field"])
@pytest.mark.parametrize("truth", ["manifest.csv", "boxes.csv"])
def test_the_protocol_calls_an_image_ill_whatever_was_dropped(why, truth, world):
    """Of class ex, image a has lesions of 16 and 15 pixels, and b has one of 9 at (10, 20)."""
    whole_field(world)
    rows = world.manifest if truth == "manifest.csv" else world.images
    if why == "outside the field":
        field = np.ones((HEIGHT, WIDTH), np.uint8)
        field[18:, :14] = 0
        Image.fromarray(field).save(world.folder / "half.png")
        rows[1]["fov"] = "half.png"
    world.write()
    options = {
        "extract": "components",
        "threshold": 0.0,
        "diaretdb1": True,
        "min_area": 10 if why == "too small" else 1,
    }
    images = world.path("images.csv") if truth == "boxes.csv" else None
    result = score(world, candidates="maps", truth=truth, images=images, classes=["ex"], **options)
    assert [one.lesions for one in result.matches["ex", "peak_in_lesion"]] == [2, 0, 0, 0]
    found = next(one for one in result.result.tasks[0].tables if one.name.startswith("diaretdb1"))
    assert found.frame.set_index("by").loc["image", ["ill", "healthy"]].tolist() == [2, 2]
    assert "also of lesions that count neither way" in found.note


def world_mask(name: str) -> np.ndarray:
    return mask(name, "ex", 1)


def test_explain_s_table_is_a_candidate_table(world):
    from medmtl.explanation.candidates import candidate_table
    from medmtl.explanation.writing import write_candidates

    tables = []
    for image in IMAGES:
        for label in ("ex", "he"):
            rows = [row for row in CANDIDATES if row[:2] == (image, label)]
            columns = {key: [row[k] for row in rows] for key, k in (("x", 2), ("y", 3), ("score", 4))}
            tables.append(candidate_table(image, ClassScale(label, 0.0, 1.0), **columns))
    write_candidates(world.folder / "explained", tables)
    for name in ("explained/candidates.csv", "explained/candidates.json"):
        result = score(world, candidates=name)
        assert figures(result) == pytest.approx(BY_HAND)
        assert not any("not read" in note for note in result.notes)


def test_columns_that_are_not_read_are_told(world):
    for row in world.candidates:
        row |= {"quadrant": "upper", "qadrant": "upper", "reader": 2}  # explain writes the first
    for row in world.boxes:
        row["remark"] = "soft border"
    world.write()
    notes = score(world, truth="boxes.csv", images=world.path("images.csv")).notes
    assert "columns of candidates.csv that are not read: qadrant, reader" in notes
    assert "columns of boxes.csv that are not read: remark" in notes


def test_no_torch_is_imported(world):
    code = (
        "import sys, medmtl; "
        f"medmtl.lesions({world.path('candidates.csv')!r}, {world.path('manifest.csv')!r}, out={str(world.out)!r}, draws=10); "
        "sys.exit(bool({'torch', 'monai', 'ignite'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (world.out / "metrics.json").exists()


def table(result, name: str, task: int = 0) -> pd.DataFrame:
    (found,) = [table for table in result.result.tasks[task].tables if table.name.startswith(name)]
    return found.frame


def test_further_hits_may_count_as_false_positives(world):
    # By hand: .9 hit, .8 false, .7 false, .6 hit, .5 false, .4 hit: 1 of 3 at 1/4, 2 of 3 at 1/2, all at 3/4.
    result = score(world, duplicates="false_positive")
    assert figures(result) == pytest.approx({0.1: 1 / 3, 0.25: 1 / 3, 0.5: 2 / 3, 1.0: 1.0})


def test_lenient_counting(world):
    """A candidate between two lesions, ten pixels from both: one by strict counting, two by lenient."""
    world.boxes = [{"image": "a", "class": "ex", "x0": x, "y0": 10, "x1": x, "y1": 10} for x in (5, 25)]
    world.boxes.append({"image": "d", "class": ""})
    world.candidates = [{"image": "a", "class": "ex", "x": 15, "y": 10, "score": 1}]
    world.write()
    options = {"truth": "boxes.csv", "rules": ["peak_in_lesion:tolerance=10"], "classes": ["ex"]}
    assert figures(score(world, **options))[1.0] == 0.5
    assert figures(score(world, lenient=True, **options))[1.0] == 1.0


def test_sensitivity_by_size_and_by_site(world):
    for number, row in enumerate(world.manifest):
        row["site"] = "north" if number < 2 else "south"
    world.write()
    result = score(world, sizes=(0, 10, 20))
    sizes, sites = table(result, "lesion_sizes"), table(result, "lesion_sites")
    assert sizes["lesions"].tolist() == [1, 2]  # 9 pixels; 15 and 16
    assert sizes["at_0.25"].tolist() == [0.0, 1.0]  # the small one is the last to be found
    assert sites.set_index("site")["lesions"].to_dict() == {"north": 3, "south": 0}


def test_the_image_level_is_the_highest_candidate(world):
    from sklearn.metrics import roc_auc_score

    result = score(world, image_threshold=0.45)
    values = {metric.name: metric.interval.value for metric in result.result.tasks[0].metrics}
    # a .9, b .5, c nothing, d .3; lesions in a and b.
    assert values["auc.ex"] == roc_auc_score([1, 1, 0, 0], [0.9, 0.5, -1, 0.3])
    assert (values["sensitivity.ex"], values["specificity.ex"]) == (1.0, 1.0)


def test_the_difference_to_other_candidates(world):
    from medmtl.evaluation import paired_froc_difference

    other = [row for row in world.candidates if row["score"] != 0.6]
    pd.DataFrame(other).to_csv(world.folder / "other.csv", index=False)
    result = score(world, against=world.path("other.csv"), rates=[0.25, 0.5], draws=200, seed=3)
    frame = table(result, "difference")
    # Without the hit of .6: 1 of 3 at 1/4 (not 2), 2 of 3 at 1/2 (not 3).
    assert frame["difference"].tolist() == pytest.approx([1 / 3, 1 / 3])
    mine = result.matches["ex", "peak_in_lesion"]
    theirs = score(world, candidates="other.csv").matches["ex", "peak_in_lesion"]
    direct = paired_froc_difference(mine, theirs, [0.25, 0.5], ["p0", "p0", "p1", "p1"], draws=200, seed=3)
    assert frame["low"].tolist() == pytest.approx([one.low for one in direct])
    assert frame["high"].tolist() == pytest.approx([one.high for one in direct])
    areas = table(result, "auc_difference")
    assert (areas["auc"][0], areas["of_the_others"][0], areas["difference"][0]) == (1.0, 1.0, 0.0)  # .6 is no highest
    assert "compared with" in table(result, "lesions")["candidates"].tolist()


def test_every_option_of_the_command_reaches_the_call(world):
    """The command and the call agree on a run in which no option has its default."""
    world.boxes.append({"image": "d", "class": ""})
    for row in world.candidates:
        row["radius"] = 1
    for row in world.images:
        row["disc"] = "masks/ex/a.png"
    world.write()
    (world.folder / "eyes.csv").write_text("image,disc_x,disc_y,disc_diameter\nb,3,3,2\n")
    more = [
        "--diaretdb1",
        "--class",
        "bad:he=he",
        "--images",
        world.path("images.csv"),
        "--exclude",
        "disc",
        "--anatomy",
        world.path("eyes.csv"),
        "--beside",
        f"again={world.path('candidates.csv')}",
        "--min-area",
        "2",
        "--other-class",
        "ignored",
    ]
    more += [
        "--duplicates",
        "false_positive",
        "--lenient",
        "--rate",
        "3",
        "--size-edge",
        "0",
        "--size-edge",
        "inf",
        "--seed",
        "4",
    ]
    more += ["--image-threshold", "0.5", "--no-sanity", "--no-overlays", "--rule", "center_distance:factor=2"]
    assert run(world.command(*more, truth="boxes.csv")) == 0
    options = {"classes": ["bad:he=he"], "images": world.path("images.csv"), "min_area": 2, "other_class": "ignored"}
    options |= {"duplicates": "false_positive", "lenient": True, "rates": [3], "sizes": [0, float("inf")], "seed": 4}
    options |= {
        "exclude": ["disc"],
        "anatomy": world.path("eyes.csv"),
        "beside": {"again": world.path("candidates.csv")},
        "diaretdb1": True,
        "image_threshold": 0.5,
        "sanity": False,
        "overlays": False,
        "rules": ["center_distance:factor=2"],
    }
    medmtl.lesions(
        world.path("candidates.csv"), world.path("boxes.csv"), out=world.folder / "called", draws=50, **options
    )
    for name in ("candidates.csv", "lesions.csv", "images.csv", "tables/metrics.csv"):
        assert (world.out / name).read_bytes() == (world.folder / "called" / name).read_bytes()
    contents = [
        json.loads((folder / "metrics.json").read_text())["provenance"]
        for folder in (world.out, world.folder / "called")
    ]
    assert contents[0]["options"] == contents[1]["options"]
    assert not (world.out / "images").exists()


def test_ignored_findings_count_neither_way(world):
    """By hand, class ex: without the lesion under .6 two lesions; hits .9 and .4; false .7, .5 and .3; .6 and .8 neither."""
    for row in world.boxes:
        row["ignore"] = int((row["image"], row["x0"]) == ("a", 20))
    content = world.coco()
    content["annotations"][0]["ignore"], content["annotations"][1]["ignore"] = 0, 1
    world.boxes.append({"image": "d"})  # no lesion; an empty cell is no mark
    world.write()
    (world.folder / "coco.json").write_text(json.dumps(content))
    records = [{**row, "ignore": bool(row.get("ignore"))} for row in world.boxes]
    (world.folder / "boxes.json").write_text(json.dumps(records))
    for truth in ("boxes.csv", "boxes.json", "coco.json"):
        result = score(world, truth=truth)
        assert figures(result) == pytest.approx({0.1: 1 / 2, 0.25: 1 / 2, 0.5: 1.0, 1.0: 1.0})
        found = result.matches["ex", "peak_in_lesion"][0].outcome.tolist()
        assert found == [Outcome.TRUE_POSITIVE, Outcome.DUPLICATE, Outcome.FALSE_POSITIVE, Outcome.IGNORED]
        assert any(note.startswith("1 findings are to be ignored") for note in result.notes)


def luna16(nodules: pd.DataFrame, marks: pd.DataFrame) -> list[tuple[bool, float]]:
    """LUNA16's loop over nodules: marks closer than the radius belong to them; those of excluded nodules are taken away."""
    rows, left = [], dict(marks["score"])
    for nodule in nodules.itertuples():
        mine = marks[marks["image"] == nodule.image]
        hits = mine[np.hypot(mine["x"] - nodule.x, mine["y"] - nodule.y) < nodule.radius]
        for number in hits.index:
            left.pop(number, None)
        if not nodule.ignore:
            rows.append((True, hits["score"].max() if len(hits) else -np.inf))
    return rows + [(False, mark) for mark in left.values()]


@pytest.mark.parametrize("seed", range(3))
def test_luna16_with_irrelevant_findings(seed, tmp_path):
    rng = np.random.default_rng(seed)
    images = pd.DataFrame({"image": [f"s{k}" for k in range(5)], "width": 100, "height": 80})

    def scattered(size: int) -> pd.DataFrame:
        places = {"x": rng.uniform(0, 99, size), "y": rng.uniform(0, 79, size)}
        return pd.DataFrame({"image": rng.choice(images["image"][:4], size), "class": "nodule", **places})

    nodules = scattered(20).assign(radius=rng.uniform(2, 15, 20), ignore=rng.integers(0, 2, 20))
    marks = scattered(60).assign(score=rng.integers(1, 30, 60))
    for name, frame in (("images", images), ("nodules", nodules), ("marks", marks)):
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    expected = luna16(nodules, marks)
    result = medmtl.lesions(
        tmp_path / "marks.csv",
        tmp_path / "nodules.csv",
        images=tmp_path / "images.csv",
        rules=["center_distance"],
        lenient=True,
        sanity=False,
        draws=5,
    )
    curve = pooled_froc(result.matches["nodule", "center_distance"], LENIENT)
    assert curve.lesions == sum(lesion for lesion, _ in expected) == (nodules["ignore"] == 0).sum()
    assert curve.images == 5
    for threshold, found, false in zip(curve.thresholds, curve.found, curve.false, strict=True):
        assert found == sum(lesion and score >= threshold for lesion, score in expected)
        assert false == sum(not lesion and score >= threshold for lesion, score in expected)


def doubtful(world: LesionWorld) -> None:
    """The second lesion of image a stands in masks of its own: doubt, absent in the others but d, where it is not known."""
    (world.folder / "masks" / "doubt").mkdir()
    values = mask("a", "ex")
    certain, doubt = values.copy(), values.copy()
    certain[10:13], doubt[:10] = 0, 0
    Image.fromarray(certain).save(world.folder / "masks" / "ex" / "a.png")
    Image.fromarray(doubt).save(world.folder / "masks" / "doubt" / "a.png")
    for row, name in zip(world.manifest, IMAGES, strict=True):
        row["mask:other.doubt"] = {"a": "masks/doubt/a.png", "d": ""}.get(name, "absent")
    world.write()


@pytest.mark.parametrize("said", ["doubt", "ex=doubt", "ex = doubt"])
@pytest.mark.parametrize("truth", ["manifest.csv", "masks"])
def test_findings_to_be_ignored_may_be_masks(world, truth, said):
    """By hand as above: hits .9 and .4 of two lesions; false .7, .5 and .3; .8 a further hit, .6 ignored."""
    doubtful(world)
    options = {"missing_masks": "absent"} if truth == "masks" else {}
    result = score(world, truth=truth, ignore=[said], **options)
    assert figures(result) == pytest.approx({0.1: 1 / 2, 0.25: 1 / 2, 0.5: 1.0, 1.0: 1.0})
    found = result.matches["ex", "peak_in_lesion"][0].outcome.tolist()
    assert found == [Outcome.TRUE_POSITIVE, Outcome.DUPLICATE, Outcome.FALSE_POSITIVE, Outcome.IGNORED]
    assert [task.task for task in result.result.tasks] == ["ex", "he"]
    unknown = 3 if truth == "masks" else 1
    assert f"doubt: not known in {unknown} of 4 images; nothing is ignored there" in result.notes


def test_findings_are_ignored_for_the_class_that_is_named(world):
    doubtful(world)
    result = score(world, ignore=["he=other.doubt"])  # the column's whole name
    found = result.matches["ex", "peak_in_lesion"][0].outcome.tolist()
    assert found[3] == Outcome.FALSE_POSITIVE
    with pytest.raises(medmtl.MedmtlError, match=r"--ignore: no such mask; found 'exx'; did you mean 'ex'"):
        score(world, ignore=["exx=doubt"])
    with pytest.raises(medmtl.MedmtlError, match=r"--ignore: no such mask; found 'dubt'"):
        score(world, ignore=["dubt"])
    with pytest.raises(medmtl.MedmtlError, match=r"need a truth of masks.*a column ignore of the table"):
        score(world, truth="boxes.csv", images=world.path("images.csv"), ignore=["doubt"])


def test_the_disc_may_be_told_by_center_and_diameter(world):
    """By hand: .7 at (31, 22) lies 1.4 pixels from (30, 21), .9 of class he at (31, 21) one pixel; both are in 3 pixels."""
    eyes = world.folder / "eyes.csv"
    eyes.write_text("image,disc_x,disc_y,disc_diameter\na.png,30,21,3\nb,1,1,\nelsewhere,9,9,9\n")
    for truth, more in (("manifest.csv", {}), ("boxes.csv", {"images": world.path("images.csv")})):
        result = score(world, truth=truth, exclude=["disc"], anatomy=eyes, **more)
        assert figures(result) == pytest.approx({0.1: 2 / 3, 0.25: 1.0, 0.5: 1.0, 1.0: 1.0})
        assert any("candidates on disc were left out: ex 1, he 1" in note for note in result.notes)
        assert any("disc: not known in 3 of 4 images" in note for note in result.notes)
    disc(world, (0, 0))  # where a mask is told too, it counts
    assert figures(score(world, exclude=["disc"], anatomy=eyes)) == pytest.approx(BY_HAND)


def test_a_table_of_eyes_that_tells_nothing_is_refused(world):
    eyes = world.folder / "eyes.csv"
    eyes.write_text("image,disc_x,disc_y,disc_diameter\na.png,30,21,3\n")
    with pytest.raises(medmtl.MedmtlError, match=r"--anatomy: nothing of these eyes is excluded.*--exclude disc"):
        score(world, anatomy=eyes)
    for text in ("image,disc_x,disc_y,disc_diameter\nz,30,21,3\n", "image,disc_x,disc_y\na,30,21\n"):
        eyes.write_text(text)
        with pytest.raises(medmtl.MedmtlError, match=r"eyes.csv: the table tells of no disc of these images"):
            score(world, anatomy=eyes, exclude=["disc"])
    eyes.write_text("image,disc_x,disc_y,disc_diameter\na,30,21,0\n")
    with pytest.raises(medmtl.MedmtlError, match="diameter is above 0"):
        score(world, anatomy=eyes, exclude=["disc"])


def test_what_it_wrote_is_read_as_candidates_once(world):
    """A row a candidate and rule stands there; each candidate counts once, and figures are the same again."""
    first = score(world, rules=["center_distance", "peak_in_lesion"], out=world.out)
    again = score(world, candidates="out/candidates.csv")
    assert figures(again) == pytest.approx(BY_HAND)
    assert (
        first.matches["ex", "peak_in_lesion"][0].score.tolist()
        == again.matches["ex", "peak_in_lesion"][0].score.tolist()
    )
    assert (
        "candidates.csv holds each candidate once for each of 2 rules: those of center_distance were read"
        in again.notes
    )
    alone = score(world, candidates="out/candidates.csv", rules=["center_distance"])
    assert not any("columns" in note for note in alone.notes)


def test_rules_of_area_say_how_much_of_the_field_is_covered(world):
    """Discs of 5 pixels: in image a two of four share 2, in b one lies in the corner, c has none: 18 + 8 + 0 + 5 of 4 x 1200."""
    for row in world.candidates:
        row["radius"] = 1
    whole_field(world)
    result = score(world, rules=["peak_in_lesion", "iou:threshold=0.1"])
    told = [{metric.name: metric.interval.value for metric in task.metrics} for task in result.result.tasks[:2]]
    assert "covered_field.ex" not in told[0]
    assert told[1]["covered_field.ex"] == pytest.approx(31 / 4800)


def test_further_candidates_are_rows_in_all_tables(world):
    other = [row for row in world.candidates if row["score"] != 0.6]
    pd.DataFrame(other).to_csv(world.folder / "other.csv", index=False)
    result = score(
        world, beside={"before training": world.path("other.csv")}, against=world.path("candidates.csv"), out=world.out
    )
    rows = table(result, "lesions").set_index("candidates")
    assert list(rows.index) == ["model", "compared with", "before training"]
    assert rows["at_0.5"].tolist() == pytest.approx([1.0, 1.0, 2 / 3])
    told = json.loads((world.out / "metrics.json").read_text())["provenance"]
    assert told["beside"]["before training"]["name"] == "other.csv"
    assert told["against"]["name"] == "candidates.csv"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("other.csv", "not a name and a file"),
        ("x=", "not a name and a file"),
        ("random points=other.csv", "of its own"),
    ],
)
def test_a_row_needs_a_name_and_a_file(world, capsys, given, said):
    assert run(world.command("--beside", given)) == 2
    assert said in capsys.readouterr().err


def disc(world: LesionWorld, *points: tuple[int, int], image: str = "a") -> None:
    """Masks of a disc: some pixels of one image; absent in c, not known in the others."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y in points:
        values[y, x] = 255
    (world.folder / "masks" / "disc").mkdir(exist_ok=True)
    Image.fromarray(values).save(world.folder / "masks" / "disc" / f"{image}.png")
    for name, manifest, row in zip(IMAGES, world.manifest, world.images, strict=True):
        cell = {image: f"masks/disc/{image}.png", "c": "absent"}.get(name, "")
        manifest["mask:anatomy.disc"] = row["disc"] = cell
    world.write()


PLACES = {
    "manifest": ("manifest.csv", {}),
    "folder": ("masks", {"missing_masks": "absent"}),
    "folder and images": ("masks", {"images": "images.csv"}),
    "boxes and images": ("boxes.csv", {"images": "images.csv"}),
    "boxes and manifest": ("boxes.csv", {"images": "manifest.csv"}),
}


@pytest.mark.parametrize("candidates", ["candidates.csv", "maps"])
@pytest.mark.parametrize("form", PLACES)
def test_candidates_on_an_excluded_place_are_left_out(form, candidates, world):
    """By hand, class ex: without .7, the pixel at (31, 22): .9 hit, .8 further hit, .6 hit, .5 false, .4 hit, .3 false."""
    world.candidates[3] |= {"x": 30.6, "y": 22.4}
    disc(world, (31, 22))
    truth, options = PLACES[form]
    options = {key: world.path(value) if key == "images" else value for key, value in options.items()}
    more = options | (PEAKS if candidates == "maps" else {})
    result = score(world, candidates, truth, exclude=["disc"], out=world.out, **more)
    assert figures(result) == pytest.approx({0.1: 2 / 3, 0.25: 1.0, 0.5: 1.0, 1.0: 1.0})
    assert figures(result, "he", 1) == pytest.approx(dict.fromkeys(RATES, 0.5))  # .9 lies one pixel above
    assert [task.task for task in result.result.tasks] == ["ex", "he"]
    assert any("candidates on disc were left out: ex 1, he 0" in note for note in result.notes)
    unknown = 3 if truth == "masks" and "images" not in options else 2
    assert any(f"disc: not known in {unknown} of 4 images" in note for note in result.notes)
    images = pd.read_csv(world.out / "images.csv")
    assert images.set_index(["image", "class"])["excluded"].to_dict() == {
        (image, label): int((image, label) == ("a", "ex")) for image in IMAGES for label in ("ex", "he")
    }


def test_lesions_on_an_excluded_place_are_missed(world):
    disc(world, (22, 11))
    result = score(world, exclude=["anatomy.disc"])  # the column's whole name
    assert result.result.tasks[0].metrics[0].n == 3
    assert figures(result)[1.0] == pytest.approx(2 / 3)


def test_places_are_excluded_for_every_row(world):
    disc(world)
    for row in world.manifest:
        row["mask:anatomy.disc"] = "everywhere.png"
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(world.folder / "everywhere.png")
    for row in world.candidates:
        row["radius"] = 2
    world.write()
    options = {"exclude": ["disc"], "sanity": True, "rules": ["peak_in_lesion", "any_overlap"]}
    result = score(world, against=world.path("candidates.csv"), **options)
    for task in range(2):
        rows = table(result, "lesions.", task)
        assert len(rows) >= 4
        assert (rows["fppi_of_all"] == 0).all()
        assert (rows["all_candidates"] == 0).all()


def test_what_is_excluded_is_part_of_the_inputs(world):
    disc(world, (31, 22))
    for name in ("one", "two"):
        score(world, truth="boxes.csv", images=world.path("images.csv"), exclude=["disc"], out=world.folder / name)
        disc(world, (31, 22), (2, 2))
    digests = [
        json.loads((world.folder / name / "metrics.json").read_text())["provenance"]["truth"]["sha256"]
        for name in ("one", "two")
    ]
    assert digests[0] != digests[1]


@pytest.mark.parametrize("factor", [1e308, -1e308])
def test_scores_near_the_end_of_numbers_are_scores(factor, world):
    """Rows that know nothing follow the highest score of the image, and must not overflow where it does not."""
    for row in world.candidates:
        row["score"] *= factor
    world.write()
    result = medmtl.lesions(world.path("candidates.csv"), world.path("manifest.csv"), draws=20)
    order = (-world_scores(world)).argsort()
    assert result.matches["ex", "peak_in_lesion"][0].score.tolist() == world_scores(world)[order].tolist()


def world_scores(world: LesionWorld) -> np.ndarray:
    rows = [row for row in world.candidates if (row["image"], row["class"]) == ("a", "ex")]
    return np.array([row["score"] for row in rows])
