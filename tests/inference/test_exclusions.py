"""No candidate on the optic disc, wherever the disc is known from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medmtl.config import RunConfig, parse_config
from medmtl.data.manifest import Manifest
from medmtl.errors import ConfigError, ImageError
from medmtl.inference.network import build_network, build_tasks
from medmtl.inference.predict import Predicted, evaluation_batches, predict

DISC = (slice(60, 120), slice(100, 160))
"""Rows and columns of the 200-pixel image."""


def run_config(disc: dict[str, object] | None, **tasks: object) -> RunConfig:
    localization = {
        "type": "localization",
        "classes": ["he"],
        "stride": 4,
        "candidates": {"min_distance": 1, "disc": disc},
    }
    structures = {"type": "segmentation", "classes": {"cup": {}, "disc": {}}, "decoder_channels": [8, 8, 8, 8, 8]}
    views = {"field": {"size": 64, "batch_size": 2, "crop": "none"}, "other": {"size": 64}}
    return parse_config(
        {
            "tasks": {"les": localization, "seg": structures, "grade": {"type": "classification", "classes": ["g"]}}
            | tasks,
            "views": views,
            "model": {"encoder": {"weights": "none"}},
            "data": {"workers": 0},
        }
    )


def manifest(folder: Path) -> tuple:
    mask = np.zeros((200, 200), np.uint8)
    mask[DISC] = 255
    Image.fromarray(mask).save(folder / "disc.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 200, (200, 200, 3)).astype(np.uint8)).save(folder / "i.png")
    rows = ["image,id,mask:od", "i.png,listed,disc.png", "i.png,absent,absent", "i.png,unknown,"]
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return tuple(Manifest.read(folder / "m.csv").samples)


def predicted(config: RunConfig, samples: tuple, names: tuple[str, ...] = ("les", "seg", "grade")) -> list[Predicted]:
    torch.manual_seed(0)
    every = build_tasks(config)
    network = build_network(config, every)
    torch.nn.init.normal_(network.heads["les"].output.weight, std=0.3)
    with torch.no_grad():  # a disc where the image is bright, in about half of the pixels
        network.heads["seg"].output.bias[1] = 0
    tasks = [task for task in every if task.name in names]
    batches = evaluation_batches(samples, "field", tasks, config, targets=False)
    return list(predict(network, tasks, batches, samples, torch.device("cpu"), config))


def test_the_manifests_disc_is_left_out_where_there_is_one(tmp_path):
    samples = manifest(tmp_path)
    plain = predicted(run_config(None), samples)
    listed, absent, unknown = predicted(run_config({"column": "od"}), samples)
    disc = np.zeros((200, 200), bool)
    disc[DISC] = True
    inside = [candidates_in(item, disc) for item in (plain[0], listed, absent, unknown)]
    assert inside[0] >= 2
    assert inside[1] == 0
    assert inside[2] == inside[3] == inside[0]
    np.testing.assert_array_equal(listed.predictions["les"].maps, plain[0].predictions["les"].maps)
    np.testing.assert_array_equal(listed.field, plain[0].field)
    assert len(listed.predictions["les"].candidates[0]) >= 2
    # 19.2 to 38.4 and 32 to 51.2 in the pixels of the view, which are 3.125 of the image's
    rows, columns = np.nonzero(listed.excluded["les"])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 37, 32, 50)
    assert not absent.excluded["les"].any()
    assert unknown.excluded == {}


def candidates_in(item: Predicted, mask: np.ndarray) -> int:
    found = item.predictions["les"].candidates[0]
    points = np.rint(item.geometry.to_original(np.stack([found.x, found.y], 1))).astype(int).clip(0, 199)
    return int(mask[points[:, 1], points[:, 0]].sum())


def test_a_margin_is_a_share_of_the_fields_width(tmp_path):
    samples = manifest(tmp_path)[:1]
    (narrow,), (wide,) = (predicted(run_config({"column": "od", "margin": share}), samples) for share in (0.0, 0.1))
    width = np.flatnonzero(narrow.field.any(0))
    reach = 0.1 * (width[-1] - width[0] + 1)
    columns = [np.flatnonzero(item.excluded["les"].any(0)) for item in (narrow, wide)]
    assert columns[1][-1] - columns[0][-1] == int(reach)


@pytest.mark.parametrize("names", [("les", "seg", "grade"), ("les",)], ids=["all tasks", "asked alone"])
def test_the_disc_that_another_task_sees_is_left_out(tmp_path, names):
    samples = manifest(tmp_path)[:2]
    plain = predicted(run_config(None), samples)
    several = predicted(run_config({"task": "seg"}), samples, names)
    for before, after in zip(plain, several, strict=True):
        disc = before.predictions["seg"][1] >= 0.5
        assert 0.02 < disc.mean() < 0.98
        np.testing.assert_array_equal(after.excluded["les"], disc)
        found = after.predictions["les"].candidates[0]
        assert len(found) > 0
        assert not disc[found.y.astype(int), found.x.astype(int)].any()
        assert set(after.predictions) == set(names)
        earlier = before.predictions["les"].candidates[0]
        assert disc[earlier.y.astype(int), earlier.x.astype(int)].any()


@pytest.mark.parametrize(
    ("disc", "tasks", "said"),
    [
        ({"task": "sg"}, {}, "no segmentation task of this name; found 'sg'; did you mean 'seg'"),
        ({"task": "grade"}, {}, "no segmentation task of this name"),
        ({"task": "seg", "label": "dsc"}, {}, "has no such class; found 'dsc'; did you mean 'disc'"),
        (
            {"task": "seg"},
            {"seg": {"type": "segmentation", "classes": {"disc": {}}, "view": "other"}},
            "sees another view; found 'other' instead of 'field'",
        ),
    ],
)
def test_a_disc_that_nobody_finds_is_refused(disc, tasks, said):
    with pytest.raises(ConfigError) as caught:
        build_tasks(run_config(disc, **tasks))
    assert "tasks.les.candidates.disc" in str(caught.value)
    assert said in str(caught.value)


def test_a_disc_mask_of_another_size_is_said(tmp_path):
    samples = manifest(tmp_path)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "disc.png")
    with pytest.raises(ImageError, match=r"disc.png.*another size"):
        predicted(run_config({"column": "od"}), samples)
