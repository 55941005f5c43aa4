"""Heat maps from a run folder on: blank where nothing was learned or nothing is to be seen, refused without a scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medmtl.config import RunConfig
from medmtl.data.manifest import Manifest
from medmtl.errors import RunError
from medmtl.explanation.rawmap import NO_VALUE
from medmtl.explanation.scale import ClassScale
from medmtl.inference.network import Network
from medmtl.progress import Progress
from medmtl.run import RunFolder
from medmtl.training.checkpoint import save_checkpoint
from medmtl.workflows.explaining import Explained, explain
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


@pytest.mark.parametrize(
    "content", ["{", '{"thresholds": {}}', '{"thresholds": {}, "scales": {"lesions": {"x": {}}}, "missing": {}}']
)
def test_damaged_scales_are_one_clear_line(content: str, convinced: Path, setup: Setup, tmp_path: Path):
    run = make_run(tmp_path / "run", setup, setup.network(), None)
    (run / "operating.json").write_text(content)
    with pytest.raises(RunError, match="cannot be read"):
        explain(run, [first_image(setup)], out=tmp_path / "maps", progress=QUIET)


def test_one_scale_for_all_images(convinced: Path, setup: Setup, tmp_path: Path):
    """The scale of the run is what every class is drawn on, to the last digit."""
    done = explain(convinced, [first_image(setup)], out=tmp_path / "maps", progress=QUIET)
    scale = asdict(load_operating(RunFolder.open(convinced)).scales["lesions"][CLASSES[0]])
    sidecar = (done.index.parent / first_image(setup).stem / f"{CLASSES[0]}.map.json").read_text()
    assert f'"threshold": {scale["threshold"]}' in sidecar
    assert f'"top": {scale["top"]}' in sidecar
