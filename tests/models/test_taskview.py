from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from medmtl.errors import ConfigError
from medmtl.models import (
    ClassificationHead,
    ClassMapHead,
    CooperativeNetwork,
    SegmentationHead,
    SharedEncoderNetwork,
    TaskView,
    build_encoder,
)


def shared() -> SharedEncoderNetwork:
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none")
    heads = {
        "lesions": ClassMapHead(encoder.channels, 3, 16, "mean"),
        "mask": SegmentationHead(encoder.channels, 2, (16, 16, 8, 8, 8)),
        "grade": ClassificationHead(encoder.channels, 5),
    }
    return SharedEncoderNetwork(encoder, heads).eval()


def cooperative() -> CooperativeNetwork:
    torch.manual_seed(0)
    encoders = {task: build_encoder("efficientnet-lite0", "none") for task in ("grade", "mask")}
    channels = encoders["grade"].channels
    heads = {"grade": ClassificationHead(channels, 5), "mask": SegmentationHead(channels, 2, (16, 16, 8, 8, 8))}
    return CooperativeNetwork(encoders, heads).eval()


def image(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("task", "classes"), [("lesions", 3), ("mask", 2), ("grade", 5)])
def test_one_tensor_of_image_logits(task, classes):
    network = shared()
    with torch.no_grad():
        output = network(image())[task]
        logits = TaskView(network, task)(image())
        one = TaskView(network, task, channel=1)(image())
    expected = {"lesions": lambda: output.logits, "mask": lambda: output.flatten(2).mean(2), "grade": lambda: output}
    assert logits.shape == (2, classes)
    torch.testing.assert_close(logits, expected[task](), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one, logits[:, 1:2])


@pytest.mark.parametrize("network", [shared(), cooperative()], ids=["shared", "cooperative"])
@pytest.mark.parametrize("task", ["grade", "mask"])
def test_grad_cam_runs_on_every_network(network, task):
    view = TaskView(network, task)
    with GradCAM(view, view.target_layers()) as cam:
        maps = cam(image(), [ClassifierOutputTarget(1)] * 2)
    assert maps.shape == (2, 64, 96)
    assert np.isfinite(maps).all()


def test_grad_cam_of_class_maps_is_the_class_map():
    """With mean pooling of a 1×1 convolution, Grad-CAM's weights are the convolution's own (up to a positive factor)."""
    network = shared()
    view = TaskView(network, "lesions", channel=2)
    layers = view.target_layers()
    with GradCAM(view, layers) as cam:
        cam(image(1), [ClassifierOutputTarget(0)])
        activations, gradients = cam.activations_and_grads.activations[0], cam.activations_and_grads.gradients[0]
    weights = gradients.mean((2, 3), keepdim=True)
    found = (weights * activations).sum(1)
    head = network.heads["lesions"]
    maps = network(image(1), ["lesions"])["lesions"].maps[:, 2] - head.output.bias[2]
    cells = maps.shape[-1] * maps.shape[-2]
    torch.testing.assert_close(found * cells, maps, atol=1e-4, rtol=1e-3)


def test_target_layers_follow_the_task_or_the_level_asked_for():
    network = shared()
    stages = network.encoder.stages()
    assert TaskView(network, "lesions").target_layers() == [stages[3][-1]]
    assert TaskView(network, "grade").target_layers() == [stages[4][-1]]
    assert TaskView(network, "grade").target_layers(level=2) == [stages[1][-1]]


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("kind", [shared, cooperative], ids=["shared", "cooperative"])
def test_a_head_that_fuses_levels_is_looked_at_where_it_has_fused_them(kind, stride):
    network = kind()
    task = network.tasks[0]
    network.heads[task] = head = ClassMapHead(network.encoder_of(task).channels, 3, stride, fuse=8)
    assert TaskView(network, task).target_layers() == [head.merge]
    assert TaskView(network, task).target_layers(level=5) == [network.encoder_of(task).stages()[4][-1]]


def test_missing_channel_is_refused():
    with pytest.raises(ConfigError, match="channel 5 of 5"):
        TaskView(shared(), "grade", channel=5)(image())


@pytest.mark.parametrize("task", ["lesions", "mask", "grade"])
def test_with_a_field_the_logits_are_those_of_a_prediction(task):
    """What lies outside the field changes the maps there, but not the image's logit, whatever the way of pooling."""
    network, field = shared(), torch.zeros(1, 1, 64, 96)
    field[..., :64] = 1
    with torch.no_grad():
        output = network(image(), valid=field.expand(2, -1, -1, -1))[task]
        logits = TaskView(network, task, field=field)(image())
        whole = TaskView(network, task)(image())
        window = TaskView(network, task, field=field)(image()[..., :64])  # of another size: no field of it is known
        same = TaskView(network, task)(image()[..., :64])
    expected = {
        "lesions": lambda: output.maps[..., :4].mean((2, 3)),
        "mask": lambda: output[..., :64].mean((2, 3)),
        "grade": lambda: output,
    }
    torch.testing.assert_close(logits, expected[task](), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits, whole)
    torch.testing.assert_close(window, same)
