"""Mirror images: the mean of four looks, for masks and maps, where the operating points are chosen and ever after."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medmtl.config import RunConfig, parse_config
from medmtl.data.manifest import Manifest
from medmtl.inference.looks import mirrored
from medmtl.inference.network import build_network, build_tasks
from medmtl.inference.predict import evaluation_batches, predict
from medmtl.inference.tiles import Evidence


def config_with(**inference: object) -> RunConfig:
    tasks = {
        "seg": {"type": "segmentation", "column": "m", "classes": {"v": {}}, "inference": inference},
        "les": {"type": "localization", "classes": ["he"], "stride": 8, "inference": inference},
    }
    views = {"field": {"size": 64, "batch_size": 2}}
    return parse_config(
        {"tasks": tasks, "views": views, "model": {"encoder": {"weights": "none"}}, "data": {"workers": 0}}
    )


def samples_of(folder: Path):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:100, :100]
    pixels = rng.integers(60, 200, (100, 100, 3)) * ((y - 50) ** 2 + (x - 50) ** 2 < 48**2)[..., None]
    Image.fromarray(pixels.astype(np.uint8)).save(folder / "a.png")
    (folder / "m.csv").write_text("image,id\na.png,a\n")
    return Manifest.read(folder / "m.csv").samples


def predicted(config: RunConfig, folder: Path, flips: bool = True):
    torch.manual_seed(0)
    tasks = build_tasks(config)
    network = build_network(config, tasks)
    for name, spread in (("seg", 10.0), ("les", 0.3)):
        torch.nn.init.normal_(network.heads[name].output.weight, std=spread)
    samples = samples_of(folder)
    batches = evaluation_batches(samples, "field", tasks, config, targets=False)
    (item,) = predict(network, tasks, batches, samples, torch.device("cpu"), config, flips=flips)
    return network, item


def test_masks_and_maps_are_the_mean_of_four_looks_by_hand(tmp_path: Path):
    network, item = predicted(config_with(flips=True), tmp_path)
    image = torch.from_numpy(item.image.transpose(2, 0, 1).copy()).float()[None] / 255
    logits, maps = [], []
    with torch.no_grad():
        for axes in ([], [3], [2], [2, 3]):
            output = network.eval()(image.flip(axes), ["seg", "les"])
            logits.append(output["seg"].flip(axes))
            maps.append(output["les"].maps.flip(axes))
    want = torch.stack(logits).mean(0)[0].sigmoid().numpy() * item.field
    np.testing.assert_allclose(item.predictions["seg"], want, atol=4e-3)  # the image was rounded to 8 bits
    assert np.ptp([float(one.std()) for one in logits]) > 0
    _, plain = predicted(config_with(), tmp_path)
    assert np.abs(plain.predictions["seg"] - item.predictions["seg"]).max() > 0.03
    assert np.abs(plain.predictions["les"].maps - item.predictions["les"].maps).max() > 0.01


def test_a_look_during_training_does_without_them(tmp_path: Path):
    _, plain = predicted(config_with(), tmp_path)
    _, quick = predicted(config_with(flips=True), tmp_path, flips=False)
    np.testing.assert_array_equal(plain.predictions["seg"], quick.predictions["seg"])


def test_the_mean_of_mirrored_looks_does_not_care_about_the_side():
    rng = torch.Generator().manual_seed(0)
    image, kernel = torch.rand(1, 1, 8, 8, generator=rng), torch.rand(1, 1, 3, 3, generator=rng)

    def look(pixels: torch.Tensor) -> Evidence:
        found = torch.nn.functional.conv2d(pixels, kernel, padding=1)
        return Evidence(found, 2 * found)

    once, again = mirrored(look)(image), mirrored(look)(image.flip(-1))
    torch.testing.assert_close(once.maps, again.maps.flip(-1))
    torch.testing.assert_close(once.attention, again.attention.flip(-1))


@pytest.mark.parametrize("inference", [{"tile": 64}, {"scales": [2]}, {"scales": [1, 2], "tile": 64}])
def test_masks_from_scales_and_tiles_are_in_the_pixels_of_the_view(tmp_path: Path, inference: dict[str, object]):
    _, item = predicted(config_with(**inference), tmp_path)
    assert item.predictions["seg"].shape == (1, 64, 64)
    assert np.isfinite(item.predictions["seg"]).all()


def test_thresholds_of_masks_come_from_validation_and_hold_in_the_evaluation(trained_masks: Path, tmp_path: Path):
    """At another threshold in the run, the table says so, and masks are larger or smaller."""
    import pandas as pd

    from medmtl import evaluate

    run, manifest = trained_masks, trained_masks.parent / "m.csv"
    operating = json.loads((run / "operating.json").read_text())
    chosen = operating["thresholds"]["seg"]["v"]
    assert 0.05 <= chosen <= 0.95
    shares = []
    for threshold in (0.05, chosen, 0.95):
        operating["thresholds"]["seg"]["v"] = threshold
        (run / "operating.json").write_text(json.dumps(operating))
        folder = evaluate(run, manifest, split="val", out=tmp_path / str(threshold)).folder
        (table,) = (pd.read_csv(path) for path in folder.rglob("*segmentation-seg.csv"))
        assert table["threshold"].tolist() == [threshold]
        shares.append(float(table["sensitivity"][0]))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2]


@pytest.fixture
def trained_masks(tmp_path: Path) -> Path:
    """A run of a few updates on images whose left half is the class."""
    from medmtl import train

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    rows = ["image,id,mask:m,split"]
    for index in range(4):
        bright = (60 + 90 * (x < 32))[..., None] + rng.integers(0, 40, (64, 64, 3))
        pixels = bright * ((y - 32) ** 2 + (x - 32) ** 2 < 31**2)[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{index}.png")
        Image.fromarray(((x < 32) * 255).astype(np.uint8)).save(tmp_path / f"{index}_m.png")
        rows.append(f"{index}.png,{index},{index}_m.png,{'val' if index > 2 else 'train'}")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    seg = {"type": "segmentation", "column": "m", "classes": {"v": {}}, "inference": {"flips": True}}
    config = {
        "tasks": {"seg": seg},
        "views": {"field": {"size": 64, "batch_size": 2}},
        "model": {"encoder": {"weights": "none"}},
        "data": {"manifests": [str(tmp_path / "m.csv")], "workers": 0},
        "training": {"epochs": 2},
    }
    return Path(train(parse_config(config), out=tmp_path / "run").run)
