"""Heat maps from a run folder on: blank where nothing was learned or nothing is to be seen, refused without a scale."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from medmtl.config import RunConfig
from medmtl.data.manifest import Manifest
from medmtl.data.samples import Sample
from medmtl.errors import ConfigError, EvaluationError, ImageError, MedmtlError, RunError
from medmtl.explanation.anatomy import Anatomy
from medmtl.explanation.cam import CAM_METHODS
from medmtl.explanation.rawmap import NO_VALUE
from medmtl.explanation.scale import ClassScale
from medmtl.geometry import Geometry
from medmtl.inference.network import Network
from medmtl.inference.predict import Predicted
from medmtl.progress import Progress
from medmtl.run import RunFolder
from medmtl.tasks.segmentation import Segmentation
from medmtl.tasks.segmentation_config import LayerConfig, SegmentationConfig
from medmtl.training.checkpoint import save_checkpoint
from medmtl.workflows.evaluating import evaluate
from medmtl.workflows.explaining import Explained, explain, find_images
from medmtl.workflows.eyes import Eyes
from medmtl.workflows.operating import Operating, choose_operating, load_operating, save_operating
from medmtl.workflows.setup import Setup, view_data
from medmtl.workflows.validation import Validation

QUIET = Progress(quiet=True)
CLASSES = ("hard_exudates", "haemorrhages")
Config = Callable[..., RunConfig]


def make_run(path: Path, setup: Setup, network: Network, operating: Operating | None) -> Path:
    run = RunFolder.create(path, setup.config)
    save_checkpoint(run.last, {"network": network.state_dict()})
    if operating is not None:
        save_operating(run, operating)
    run.update_record(status="trained", minutes=0.0, run_hash="0" * 12)
    return path


@pytest.fixture(scope="module")
def setup(small_config: Config) -> Setup:
    return Setup(small_config(tasks={"vessels": None, "referable": None}))


@pytest.fixture(scope="module")
def untrained(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network learned nothing, with the scales that its own validation chose."""
    network = setup.network()
    data = view_data(setup, setup.cohort.validation, ("none", None), QUIET, training=False)
    operating = choose_operating(setup.tasks, Validation(setup, network, data, QUIET).records())
    return make_run(tmp_path_factory.mktemp("untrained") / "run", setup, network, operating)


@pytest.fixture(scope="module")
def convinced(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network sees lesions wherever it looks."""
    network = setup.network()
    with torch.no_grad():
        network.heads["lesions"].output.weight.mul_(50)
        network.heads["lesions"].output.bias.fill_(20)
    scales = {label: ClassScale(label, 0.0, 4.0) for label in CLASSES}
    operating = Operating({}, {"lesions": scales}, {})
    return make_run(tmp_path_factory.mktemp("convinced") / "run", setup, network, operating)


def first_image(setup: Setup) -> Path:
    return Manifest.read(Path(setup.config.data.manifests[0])).samples[0].image


def picture(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def overlay(done: Explained, name: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    """The original, and as much of the overlay as lies on it."""
    folder = done.index.parent / name
    original = np.asarray(Image.open(folder / "original.png"))
    drawn = np.asarray(Image.open(folder / f"{label}.overlay.png"))
    return original, drawn[: original.shape[0], : original.shape[1]]


def test_an_untrained_network_gives_blank_maps(untrained: Path, setup: Setup, tmp_path: Path):
    scales = load_operating(RunFolder.open(untrained)).scales["lesions"]
    assert set(scales) == set(CLASSES)
    assert all(scale.threshold >= 0 for scale in scales.values())
    shown = [sample.image for sample in Manifest.read(Path(setup.config.data.manifests[0])).samples[:4]]
    done = explain(untrained, shown, out=tmp_path / "maps", progress=QUIET)
    assert (done.images, done.candidates) == (4, 0)
    for image in shown:
        for label in CLASSES:
            original, drawn = overlay(done, image.stem, label)
            np.testing.assert_array_equal(drawn, original)
            assert (np.asarray(Image.open(tmp_path / "maps" / image.stem / f"{label}.map.png")) != NO_VALUE).any()


def test_a_convinced_network_colors_an_image(convinced: Path, setup: Setup, tmp_path: Path):
    """Without this the test of blank images could not fail."""
    image = first_image(setup)
    done = explain(convinced, [image], out=tmp_path / "maps", progress=QUIET)
    assert done.candidates > 0
    original, drawn = overlay(done, image.stem, CLASSES[0])
    assert (original != drawn).mean() > 0.3


@pytest.mark.parametrize(
    "blank",
    [
        pytest.param(np.zeros((60, 80, 3)), id="black"),
        pytest.param(np.full((60, 80, 3), 130), id="grey"),
        pytest.param(np.full((60, 80, 3), 255), id="white"),
        pytest.param(100 + (np.indices((60, 80)).sum(0) % 2)[..., None].repeat(3, 2), id="nearly flat"),
    ],
)
def test_an_image_that_shows_nothing_gives_a_blank_map_whatever_the_network_says(
    blank: np.ndarray, convinced: Path, tmp_path: Path
):
    done = explain(convinced, [picture(tmp_path / "blank.png", blank)], out=tmp_path / "maps", progress=QUIET)
    assert (done.images, done.candidates) == (1, 0)
    for label in CLASSES:
        original, drawn = overlay(done, "blank", label)
        np.testing.assert_array_equal(drawn, original)
        assert (np.asarray(Image.open(tmp_path / "maps" / "blank" / f"{label}.map.png")) == NO_VALUE).all()


def test_a_run_without_thresholds_is_refused_and_nothing_is_written(setup: Setup, tmp_path: Path):
    run = make_run(tmp_path / "run", setup, setup.network(), None)
    with pytest.raises(RunError, match=r"no thresholds and no color scale.*train it with a validation set"):
        explain(run, [first_image(setup)], out=tmp_path / "maps", progress=QUIET)
    assert not (tmp_path / "maps").exists()


def test_a_run_without_any_scale_says_why(setup: Setup, tmp_path: Path):
    missing = {"lesions": dict.fromkeys(CLASSES, "no validation image is known to be with the class")}
    run = make_run(tmp_path / "run", setup, setup.network(), Operating({}, {}, missing))
    with pytest.raises(RunError, match=r"no color scale.*known to be with the class"):
        explain(run, [first_image(setup)], out=tmp_path / "maps", progress=QUIET)
    assert not (tmp_path / "maps").exists()


def operating_text(thresholds: object = None, missing: object = None, **scale: object) -> str:
    """An operating.json that is right but for what is given."""
    named = {"name": "x", "threshold": 0.0, "top": 1.0, "origin": "", **scale}
    return json.dumps({"thresholds": thresholds or {}, "scales": {"lesions": {"x": named}}, "missing": missing or {}})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "null",
        "{}",
        '{"thresholds": {}}',
        '{"thresholds": {}, "scales": {"lesions": {"x": {}}}, "missing": {}}',
        '{"thresholds": {}, "scales": {"lesions": [3]}, "missing": {}}',
        operating_text(threshold=float("nan")),
        operating_text(top=0.0),
        operating_text(top="1"),
        operating_text(top=None),
        operating_text(unknown=1),
        operating_text(thresholds=["referable"]),
        operating_text(thresholds={"referable": {"referable": "half"}}),
        operating_text(missing=3),
    ],
)
def test_damaged_scales_are_one_clear_line(content: str, convinced: Path, setup: Setup, tmp_path: Path):
    run = make_run(tmp_path / "run", setup, setup.network(), None)
    (run / "operating.json").write_text(content)
    with pytest.raises(RunError, match=r"operating\.json: .*cannot be read; found .*; restore the file"):
        explain(run, [first_image(setup)], out=tmp_path / "maps", progress=QUIET)


def test_one_scale_for_all_images(convinced: Path, setup: Setup, tmp_path: Path):
    """The scale of the run is what every class is drawn on, to the last digit."""
    done = explain(convinced, [first_image(setup)], out=tmp_path / "maps", progress=QUIET)
    scale = asdict(load_operating(RunFolder.open(convinced)).scales["lesions"][CLASSES[0]])
    sidecar = (done.index.parent / first_image(setup).stem / f"{CLASSES[0]}.map.json").read_text()
    assert f'"threshold": {scale["threshold"]}' in sidecar
    assert f'"top": {scale["top"]}' in sidecar


def test_exports_lie_beside_the_page_and_it_names_them(convinced: Path, setup: Setup, tmp_path: Path):
    image = first_image(setup)
    done = explain(convinced, [image], out=tmp_path / "maps", export=["geojson,csv", "coco"], progress=QUIET)
    content = json.loads((tmp_path / "maps" / "exports" / "geojson" / f"{image.stem}.geojson").read_text())
    points = [item for item in content["features"] if item["geometry"]["type"] == "Point"]
    assert (
        len(points) == done.candidates == len(pd.read_csv(tmp_path / "maps" / "exports" / "csv" / f"{image.stem}.csv"))
    )
    page = done.index.read_text()
    assert "exports/coco/candidates.coco.json" in page
    assert f"exports/geojson/{image.stem}.geojson" in page


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"export": ["geojsn"]}, "did you mean 'geojson'"),
        ({"method": "gradcan"}, r"--method: unknown class activation method.*did you mean 'gradcam'"),
        ({"anatomy": Path("nowhere.csv")}, "does not exist"),
        ({"evaluations": [Path("nowhere")]}, "the evaluation cannot be read"),
    ],
)
def test_a_wrong_wish_is_one_clear_line_and_nothing_is_written(
    wishes: dict[str, Any], words: str, convinced: Path, setup: Setup, tmp_path: Path
):
    with pytest.raises(MedmtlError, match=words):
        explain(convinced, [first_image(setup)], out=tmp_path / "maps", progress=QUIET, **wishes)
    assert not (tmp_path / "maps").exists()


def test_a_table_of_eyes_places_the_candidates(convinced: Path, setup: Setup, tmp_path: Path):
    image, table = first_image(setup), tmp_path / "eyes.csv"
    table.write_text(f"image,laterality,disc_x,disc_y,disc_diameter,fovea_x,fovea_y\n{image.name},R,50,36,8,30,37\n")
    done = explain(convinced, [image], out=tmp_path / "maps", anatomy=table, progress=QUIET)
    rows = pd.read_csv(done.table)
    np.testing.assert_allclose(rows["fovea_distance_dd"], np.hypot(rows["x"] - 30, rows["y"] - 37) / 8, atol=0.01)
    nasal = rows["x"] > 30
    assert (rows["quadrant"].str.endswith("nasal") == nasal).all()
    assert "table eyes.csv" in done.index.read_text()
    table.write_text("image,laterality\nelsewhere.png,R\n")
    with pytest.raises(ConfigError, match="of none of the images"):
        explain(convinced, [image], out=tmp_path / "more", anatomy=table, progress=QUIET)


def test_the_page_gives_what_evaluations_of_this_run_measured_and_no_others(
    convinced: Path, setup: Setup, tmp_path: Path
):
    image, manifest = first_image(setup), Path(setup.config.data.manifests[0])
    before = explain(convinced, [image], out=tmp_path / "before", progress=QUIET).index.read_text()
    assert "At this threshold: not measured." in before
    evaluated = evaluate(convinced, manifest, split="test", out=tmp_path / "evaluation", progress=QUIET)
    metrics = {metric.name: metric for metric in evaluated.results[0].tasks[0].metrics}
    value = metrics["lesion_sensitivity_at_threshold.hard_exudates"].interval.value
    folders = [tmp_path / "evaluation"]
    after = explain(convinced, [image], out=tmp_path / "after", evaluations=folders, progress=QUIET).index.read_text()
    assert f"test images: hard_exudates: sensitivity {value:.2f}" in after
    assert "not measured" not in after
    # A method's maps are not what was measured.
    other = {"method": "gradcam", "evaluations": folders}
    assert (
        "At this threshold: not measured."
        in explain(convinced, [image], out=tmp_path / "gradcam", progress=QUIET, **other).index.read_text()
    )
    content = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    content["results"][0]["run_hash"] = "f" * 12
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match="an evaluation of another run"):
        explain(convinced, [image], out=tmp_path / "more", evaluations=folders, progress=QUIET)


EIGEN = f"{CAM_METHODS.get('eigencam').title} ({CAM_METHODS.get('eigencam').source})"


def told_by(out: Path) -> dict[str, tuple[str, str, bool]]:
    """What each file of a folder says by itself: the method, the unit, whether a candidate has a probability."""
    import nibabel
    import SimpleITK

    place = out / "exports"
    (geo,), (nifti, *_), (mha, *_) = (sorted(place.rglob(f"*{end}")) for end in (".geojson", ".nii", ".mha"))
    table = pd.read_csv(out / "candidates.csv")
    content = json.loads((out / "candidates.json").read_text())
    features = json.loads(geo.read_text())
    coco = json.loads((place / "coco" / "candidates.coco.json").read_text())
    sidecar = json.loads(next(iter(out.glob("*/*.map.json"))).read_text())
    header = json.loads(nibabel.load(nifti).header.extensions[0].get_content())
    volume = SimpleITK.ReadImage(mha)
    points = [one["properties"] for one in features["features"] if one["properties"]["kind"] == "candidate"]
    peaks = [peak for one in coco["annotations"] for peak in one["peaks"]]
    probabilities = {
        "csv": table["probability"].notna().all(),
        "json": content["candidates"][0]["probability"] is not None,
        "geojson": points[0]["probability"] is not None,
        "coco": peaks[0]["probability"] is not None,
    }
    coco_maps = coco["info"]["maps"]["hard_exudates"]
    found = {
        "csv": (table["method"][0], table["score_unit"][0]),
        "json": (content["method"], content["units"]["score"]),
        "geojson": (features["scales"][0]["method"], features["scales"][0]["unit"]),
        "coco": (coco_maps["method"], coco_maps["score"]),
        "png": (sidecar["method"], sidecar["unit"]),
        "nifti": (header["method"], header["unit"].split(";")[0]),
        "mha": (volume.GetMetaData("method"), volume.GetMetaData("unit").split(";")[0]),
    }
    return {name: (*words, probabilities.get(name, True)) for name, words in found.items()}


@pytest.mark.parametrize(
    ("method", "words", "unit"),
    [
        (None, "class maps of the localization head", "logit"),
        ("gradcam", "Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)", "logit"),
        ("eigencam", EIGEN, "feature"),
    ],
)
def test_each_file_says_what_made_it_and_only_logits_have_a_probability(
    convinced: Path, setup: Setup, tmp_path: Path, method: str | None, words: str, unit: str
):
    run = shutil.copytree(convinced, tmp_path / "run")
    data = json.loads((run / "operating.json").read_text())
    for scale in data["scales"]["lesions"].values():
        scale["threshold"] = -1000.0  # so that there are candidates whatever the values mean
    (run / "operating.json").write_text(json.dumps(data))
    out = tmp_path / "maps"
    explain(run, [first_image(setup)], out=out, method=method, export="geojson,coco,nifti,mha", progress=QUIET)
    logits = unit == "logit"
    expected = dict.fromkeys(("csv", "json", "geojson", "coco"), (words, unit, logits))
    assert told_by(out) == expected | dict.fromkeys(("png", "nifti", "mha"), (words, unit, True))
    assert ("Probability</th>" in (out / "index.html").read_text()) == logits


def test_a_method_says_its_unit_on_the_page(convinced: Path, setup: Setup, tmp_path: Path):
    done = explain(convinced, [first_image(setup)], out=tmp_path / "maps", method="eigencam", progress=QUIET)
    page = done.index.read_text()
    assert "in units of feature, not logits" in page
    assert "it knows no class" in page
    assert "<th>Threshold (feature)</th>" in page


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_disc_comes_from_the_runs_own_segmentation_where_the_table_has_none(exclusive: bool):
    task = Segmentation(
        "anatomy",
        SegmentationConfig(
            type="segmentation",
            classes={
                "vessel": LayerConfig(column="v"),
                "Optic disc": LayerConfig(column="d"),
                "cup": LayerConfig(column="c"),
            },
            exclusive=exclusive,
        ),
    )
    probability = np.zeros((3, 32, 32), np.float32)
    probability[1, 8:16, 18:26] = 0.9
    if exclusive:  # the cup is cut out of the disc
        probability[2, 10:14, 20:24] = probability[1, 10:14, 20:24]
        probability[1, 10:14, 20:24] = 0
    geometry = Geometry(height=100, width=140, top=0, left=20, side=96, size=32)
    sample = Sample("a", Path("a.png"), 1, Path("m"), "x", "a")
    field = np.ones((32, 32), bool)
    seen = {
        "anatomy": Predicted(sample, geometry, field, np.zeros((32, 32, 3), np.uint8), {"anatomy": probability}, {})
    }
    eyes = Eyes({}, task)
    eye = eyes.of(sample.image, seen)
    # The square's center in the view is (21.5, 11.5), its area 64 pixels; a view pixel is 3 original ones.
    assert eye.disc == pytest.approx(((21.5 + 0.5) * 3 - 0.5 + 20, (11.5 + 0.5) * 3 - 0.5))
    assert eye.disc_diameter == pytest.approx(2 * np.sqrt(64 / np.pi) * 3)
    assert eye.fovea is None
    told = Eyes({"a": Anatomy("L", disc=(5.0, 6.0))}, task).of(sample.image, seen)
    assert (told.laterality, told.disc) == ("L", (5.0, 6.0))
    assert told.disc_diameter == eye.disc_diameter
    assert "segments it" in eyes.words
    probability[:] = 0
    assert eyes.of(sample.image, seen) == Anatomy()


def test_a_name_that_is_not_utf_8_is_refused_before_any_work(tmp_path: Path):
    name = os.fsdecode(b"eye\xff.png")
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / name)
    with pytest.raises(ImageError, match=r"not UTF-8; found 'eye\\xff\.png'; rename it"):
        find_images([tmp_path])


def test_an_image_named_twice_is_shown_once(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    assert find_images([tmp_path / "b.png", tmp_path]) == [tmp_path / "b.png", tmp_path / "a.png"]
