"""Every method on every kind of medmtl network and task."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from medmtl.evaluation.mapquality import rank_correlation
from medmtl.explanation.cam import CAM_METHODS, cam_classes, cam_maps
from medmtl.explanation.cam.faithfulness import forgotten
from medmtl.models import (
    ClassificationHead,
    ClassMapHead,
    CooperativeNetwork,
    SegmentationHead,
    SharedEncoderNetwork,
    TaskView,
    build_encoder,
)

FAST = [name for name in CAM_METHODS if name not in {"sess", "scorecam", "ablationcam", "monai-cam", "monai-occlusion"}]


def heads(channels):
    return {
        "lesions": ClassMapHead(channels, 3, 4, "lse", fuse=8),
        "mask": SegmentationHead(channels, 2, (8, 8, 8, 8, 8)),
        "grade": ClassificationHead(channels, 5),
    }


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none")
    encoders = {task: build_encoder("efficientnet-lite0", "none") for task in ("lesions", "mask", "grade")}
    return {
        "shared": SharedEncoderNetwork(encoder, heads(encoder.channels)).eval(),
        "cooperative": CooperativeNetwork(encoders, heads(encoder.channels)).eval(),
    }


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("task", ["lesions", "mask", "grade"])
@pytest.mark.parametrize("name", ["shared", "cooperative"])
def test_every_method_maps_every_task_and_a_batch_is_its_images(networks, images, name, task):
    view = TaskView(networks[name], task)
    before = {key: value.clone() for key, value in networks[name].state_dict().items()}
    for method in FAST:
        maps = cam_maps(view, images, method, view.target_layers(), channel=1)
        assert maps.shape == (2, 64, 96), method
        assert np.isfinite(maps).all(), method
        one = cam_maps(view, images[1:], method, view.target_layers(), channel=1)
        # XGrad-CAM divides by a sum of features that may be near zero: it is given what that makes of the last bit.
        relative = 1e-2 if method == "xgradcam" else 0
        np.testing.assert_allclose(maps[1:], one, relative, 1e-5 * max(1.0, float(one.max())), err_msg=method)
    assert all(torch.equal(value, before[key]) for key, value in networks[name].state_dict().items())
    assert not any(module._forward_hooks for module in networks[name].modules())


@pytest.mark.parametrize("method", ["scorecam", "ablationcam", "sess"])
def test_methods_of_many_passes_run_on_the_shared_network(networks, images, method):
    """At a level of few channels: they take a pass each."""
    view = TaskView(networks["shared"], "lesions")
    maps = cam_maps(view, images[:1, :, :64, :64], method, view.target_layers(level=2), channel=0)
    assert maps.shape == (1, 64, 64)
    assert np.isfinite(maps).all()


@pytest.mark.parametrize("task", ["lesions", "grade"])
def test_classes_of_a_task_together_are_the_classes_one_by_one(networks, images, task):
    view = TaskView(networks["shared"], task)
    for method in ("gradcam", "gradcam++", "hirescam", "finercam", "fullgrad", "shapleycam", "monai-gradcam"):
        together = cam_classes(view, images, method, view.target_layers(), [0, 1, 2])
        one_by_one = [cam_maps(view, images, method, view.target_layers(), channel=channel) for channel in range(3)]
        np.testing.assert_allclose(together, np.stack(one_by_one), atol=1e-5 * max(1.0, together.max()), err_msg=method)


def fused(stride=4, pooling="lse"):
    """A network whose one head fuses the levels, with weights of both signs."""
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none")
    head = ClassMapHead(encoder.channels, 3, stride, pooling, fuse=8)
    torch.nn.init.uniform_(head.output.weight, -0.5, 1.0)
    return SharedEncoderNetwork(encoder, {"lesions": head}).eval()


def by_hand(network, images, channel):
    """Features and gradient of a class's logit by them where the head has fused its levels, and Grad-CAM of the two."""
    head, size = network.heads["lesions"], images.shape[-2:]
    with torch.no_grad():
        features = head.merge(network.features(images, ["lesions"]))
    features.requires_grad_()
    logits = head.pooled(head.output(features))[:, channel]
    assert size[0] // features.shape[-2] == head.stride
    gradient = torch.autograd.grad(logits.sum(), features)[0]
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1).detach().clamp(min=0).numpy()


@pytest.mark.parametrize("pooling", ["mean", "lse", "topk"])
@pytest.mark.parametrize("stride", [4, 8])
def test_gradcam_of_a_fusing_head_is_gradient_times_features_where_they_are_fused(images, stride, pooling):
    network = fused(stride, pooling)
    view = TaskView(network, "lesions")
    cells = by_hand(network, images, 2)
    expected = np.stack([cv2.resize(one, (96, 64)) for one in cells]) * cells[0].size
    found = cam_maps(view, images, "gradcam", view.target_layers(), channel=2)
    assert found.max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, float(expected.max())))


def test_gradcam_of_the_library_at_that_layer_is_the_same_but_for_its_stretching(images):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = fused()
    view = TaskView(network, "lesions")
    with GradCAM(view, view.target_layers()) as cam:
        librarys = cam(images, [ClassifierOutputTarget(2)] * 2)
    for one, cells in zip(librarys, by_hand(network, images, 2), strict=True):
        enlarged = cv2.resize(cells, (96, 64))
        np.testing.assert_allclose(one, (enlarged - enlarged.min()) / np.ptp(enlarged), atol=1e-4)


def test_a_fusing_head_that_forgets_its_weights_has_another_map(images):
    """Only its own layers are drawn anew, over the same encoder: the map must not survive that."""

    def gradcam():
        view = TaskView(network, "lesions")
        return cam_maps(view, images, "gradcam", view.target_layers(), channel=2)

    network = fused()
    own, alike = gradcam(), []
    for seed in range(8):
        network.heads["lesions"] = forgotten(network.heads["lesions"], seed)
        torch.nn.init.uniform_(network.heads["lesions"].output.weight, -0.5, 1.0)
        alike += [rank_correlation(*pair) for pair in zip(own, gradcam(), strict=True)]
    assert max(alike) < 0.5
    assert abs(np.mean(alike)) < 0.25


@pytest.mark.parametrize("fuse", [0, 8])
@pytest.mark.parametrize("pooling", ["mean", "lse"])
def test_gradcam_at_the_heads_own_features_is_its_class_map(images, pooling, fuse):
    """Class map and Grad-CAM are the same thing for a 1×1 head: pixel for pixel, in logits, but for the bias."""
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none")
    head = ClassMapHead(encoder.channels, 3, 8, pooling, fuse=fuse)
    network = SharedEncoderNetwork(encoder, {"lesions": head}).eval()
    torch.nn.init.normal_(network.heads["lesions"].output.weight, std=2.0)
    view = TaskView(network, "lesions")
    with torch.no_grad():
        maps = network(images)["lesions"].maps[:, 2] - network.heads["lesions"].output.bias[2]
    found = cam_maps(view, images, "gradcam", view.target_layers(), channel=2)
    for own, cam in zip(maps.clamp(min=0).numpy(), found, strict=True):
        np.testing.assert_allclose(cam, cv2.resize(own, (96, 64)), atol=1e-4 * max(1.0, float(own.max())))
