"""Several looks at an image become one map, whose pooled value is the image's logit; other tasks see no difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from medmtl.config import DataConfig, parse_config
from medmtl.data.manifest import Manifest
from medmtl.errors import ConfigError
from medmtl.inference.looks import looked, merged_scales, scaled_images, task_outputs
from medmtl.inference.network import build_network, build_tasks
from medmtl.inference.predict import evaluation_batches, fine_side, predict
from medmtl.inference.tiles import Evidence
from medmtl.progress import Progress
from medmtl.tasks.inference_config import InferenceConfig
from medmtl.workflows.setup import Setup, view_data


def config_with(inference: dict[str, object], **keys: object):
    tasks = {
        "les": {"type": "localization", "classes": ["he"], "stride": 8, "inference": inference, **keys},
        "grade": {"type": "classification", "classes": ["g"]},
    }
    views = {"field": {"size": 64, "batch_size": 2}}
    model = {"encoder": {"weights": "none"}}
    return parse_config({"tasks": tasks, "views": views, "model": model, "data": {"workers": 0}})


def samples_of(folder: Path):
    rng = np.random.default_rng(0)
    rows, (y, x) = ["image,id"], np.mgrid[:200, :200]
    disc = (y - 100) ** 2 + (x - 100) ** 2 < 95**2
    for name in "abc":
        pixels = rng.integers(60, 200, (200, 200, 3)) * disc[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")
        rows.append(f"{name}.png,{name}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return Manifest.read(folder / "m.csv").samples


def predictions(config, samples):
    torch.manual_seed(0)
    tasks = build_tasks(config)
    network = build_network(config, tasks)
    torch.nn.init.normal_(network.heads["les"].output.weight, std=0.3)
    batches = evaluation_batches(samples, "field", tasks, config, targets=False)
    return network, tasks, list(predict(network, tasks, batches, samples, torch.device("cpu"), config))


LOOKS = [
    {"scales": [1, 2]},
    {"scales": [0.5, 1, 1.5], "merge": "max"},
    {"scales": [0.5]},
    {"scales": [2], "tile": 64, "overlap": 0.5},
    {"removal": {"threshold": -5, "radius": 6}},
    {"scales": [1, 2], "tile": 96, "removal": {"threshold": -5, "fill": "mean", "rounds": 2}},
]


@pytest.mark.parametrize("inference", LOOKS, ids=str)
@pytest.mark.parametrize("pooling", ["topk", "attention"])
def test_the_pooled_map_is_still_the_image_logit_and_other_tasks_see_no_difference(tmp_path, inference, pooling):
    samples = samples_of(tmp_path)
    _, _, plain = predictions(config_with({}, pooling=pooling), samples)
    config = config_with(inference, pooling=pooling)
    again, tasks, several = predictions(config, samples)
    side = round(64 * max(inference.get("scales", [1])))
    for before, after in zip(plain, several, strict=True):
        np.testing.assert_array_equal(before.predictions["grade"], after.predictions["grade"])
        np.testing.assert_array_equal(before.image, after.image)
        assert before.geometry == after.geometry
        assert after.predictions["les"].maps.shape == (1, 64, 64)
        assert abs(before.predictions["les"].maps - after.predictions["les"].maps).max() > 1e-4
    # the invariant on the network's own output, by the head's pooling over the field
    (batch,) = list(evaluation_batches(samples[:2], "field", tasks, config, targets=False))
    assert (batch.fine is None) == (side <= 64)
    with torch.no_grad():
        output = looked(again.eval(), "les", batch, tasks[0].inference)
        assert output.maps.shape[-2:] == (side // 8, side // 8)
        field = F.interpolate(batch.field.float(), (side, side), mode="nearest-exact")
        pooled = again.heads["les"].pooled(output.maps, field, output.attention)
    torch.testing.assert_close(output.logits, pooled, atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        output.logits.numpy(), [item.predictions["les"].logits for item in several[:2]], atol=1e-5
    )


def test_one_look_is_the_forward_pass_that_it_was(tmp_path):
    config = config_with({})
    tasks = build_tasks(config)
    assert tasks[0].inference is None
    assert fine_side(tasks, 64) is None
    network, tasks, plain = predictions(config, samples_of(tmp_path))
    batch = next(iter(evaluation_batches(samples_of(tmp_path), "field", tasks, config, targets=False)))
    with torch.no_grad():
        expected = network.eval()(batch.image, valid=batch.field)["les"]
    np.testing.assert_array_equal(plain[0].predictions["les"].logits, expected.logits[0].numpy())


def test_validation_reads_the_finer_image_and_training_does_not(tmp_path):
    samples_of(tmp_path)
    rows = ["a.png,a,1,0,train", "b.png,b,0,1,train", "c.png,c,1,1,val"]
    (tmp_path / "m.csv").write_text("\n".join(["image,id,label:les.he,label:grade.g,split", *rows]) + "\n")
    data = {"manifests": [str(tmp_path / "m.csv")], "workers": 0, "cache": "none"}
    setup = Setup(config_with({"scales": [2]}).model_copy(update={"data": DataConfig.model_validate(data)}))
    for training in (False, True):
        side = setup.cohort.training if training else setup.cohort.validation
        found = view_data(setup, side, ("none", None), Progress(quiet=True), training=training)
        item = found["field"].dataset[0]
        assert item["image"].shape == (3, 64, 64)
        assert ("image.fine" in item) is not training
    assert item.keys() >= {"les", "grade"}


def test_the_finer_image_holds_detail_that_the_view_has_lost(tmp_path):
    (y, x) = np.mgrid[:256, :256]
    stripes = np.where((x // 2) % 2, 250, 50) * ((y - 128) ** 2 + (x - 128) ** 2 < 126**2)
    Image.fromarray(np.repeat(stripes[..., None], 3, 2).astype(np.uint8)).save(tmp_path / "s.png")
    (tmp_path / "m.csv").write_text("image,id\ns.png,s\n")
    samples = Manifest.read(tmp_path / "m.csv").samples
    config = config_with({"scales": [1, 4]})
    (batch,) = evaluation_batches(samples, "field", build_tasks(config), config, targets=False)
    assert batch.fine is not None
    assert batch.fine.shape == (1, 3, 256, 256)
    assert batch.fine[..., 100:150, 100:150].std() > 0.3
    assert batch.image[..., 25:38, 25:38].std() < 0.02
    assert abs(batch.fine[..., 64:192, 64:192].mean() - batch.image[..., 16:48, 16:48].mean()) < 0.01


def test_merging_is_the_mean_or_maximum_of_what_each_scale_says():
    image = torch.rand(2, 3, 64, 64)
    images = scaled_images(image, F.interpolate(image, (128, 128)), InferenceConfig(scales=[0.5, 1, 2]))
    assert {scale: item.shape[-1] for scale, item in images.items()} == {0.5: 32, 1: 64, 2: 128}
    assert images[1] is image
    torch.testing.assert_close(images[2], F.interpolate(image, (128, 128)))
    calls = iter([1.0, 5.0, 3.0] * 2)

    def look(item: torch.Tensor) -> Evidence:
        maps = torch.full((2, 1, item.shape[-1] // 8, item.shape[-1] // 8), next(calls))
        return Evidence(maps, -maps)

    mean, highest = merged_scales(look, images), merged_scales(look, images, "max")
    torch.testing.assert_close(mean.maps, torch.full((2, 1, 16, 16), 3.0))
    torch.testing.assert_close(highest.maps, torch.full((2, 1, 16, 16), 5.0))
    torch.testing.assert_close(highest.attention, torch.full((2, 1, 16, 16), -3.0))


@pytest.mark.parametrize(
    ("inference", "said"),
    [
        ({"scales": []}, "tasks.les.inference.scales"),
        ({"scales": [1, 1]}, "stands twice"),
        ({"scales": [9]}, "tasks.les.inference.scales"),
        ({"tile": 100}, "a multiple of 32; found 100; write 96"),
        ({"tile": 32}, "tasks.les.inference.tile"),
        ({"overlap": 0.9}, "tasks.les.inference.overlap"),
        ({"blend": "gauss"}, "did you mean 'gaussian'"),
        ({"tiles": 3}, "did you mean 'tile'"),
        ({"removal": {"rounds": 0}}, "tasks.les.inference.removal.rounds"),
        ({"removal": {"fill": "black"}}, "tasks.les.inference.removal.fill"),
    ],
)
def test_contradictions_are_said(inference, said):
    with pytest.raises(ConfigError) as caught:
        build_tasks(config_with(inference))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("second", "passes"), [({"flips": True}, 4), ({"scales": [0.5, 1]}, 4 + 2), ({"flips": True, "tile": 64}, None)]
)
def test_tasks_that_look_in_the_same_way_share_forward_passes(tmp_path, second, passes):
    keys = {"type": "localization", "classes": ["he"], "stride": 8}
    tasks = {"one": {**keys, "inference": {"flips": True}}, "two": {**keys, "stride": 16, "inference": second}}
    config = parse_config({"tasks": tasks, "views": {"field": {"size": 64}}, "model": {"encoder": {"weights": "none"}}})
    built = build_tasks(config)
    network = build_network(config, built).eval()
    (batch,) = list(evaluation_batches(samples_of(tmp_path), "field", built, config, targets=False))
    calls = []
    network.register_forward_pre_hook(lambda _, given: calls.append(tuple(given[1])))
    with torch.no_grad():
        together = task_outputs(network, built, batch)
        made = sum(bool(names) for names in calls)
        alone = {task.name: looked(network, task.name, batch, task.inference) for task in built}
    for name, output in alone.items():
        torch.testing.assert_close(together[name].maps, output.maps, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(together[name].logits, output.logits, atol=1e-6, rtol=1e-5)
    assert made == (passes or made)
    assert passes != 4 or ("one", "two") in calls
