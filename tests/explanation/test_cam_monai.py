"""MONAI's visualizers: the right sign and scale where the closed form is known, and nothing left behind."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medmtl.errors import EvaluationError
from medmtl.explanation.cam import CAM_METHODS, cam_maps
from medmtl.models import ClassificationHead, ClassMapHead, SharedEncoderNetwork, TaskView, build_encoder

METHODS = [name for name in CAM_METHODS if name.startswith("monai-")]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none")
    heads = {"grade": ClassificationHead(encoder.channels, 5), "lesions": ClassMapHead(encoder.channels, 2, 16, "mean")}
    network = SharedEncoderNetwork(encoder, heads).eval()
    for layer in (heads["grade"].output, heads["lesions"].output):
        nn.init.normal_(layer.weight, std=1.0)
    return network


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def raw(network, images, channel):
    """The class's weights at each place of the deepest features, without bias: what all of them should show."""
    with torch.no_grad():
        features = network.features(images, ["grade"])[-1]
        return torch.einsum("c,bchw->bhw", network.heads["grade"].output.weight[channel], features)


def enlarged(cells):
    return F.interpolate(cells[:, None].clamp(min=0), size=(64, 96), mode="bilinear", align_corners=False)[:, 0].numpy()


def correlation(one, other):
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def test_the_defaults_of_monai_are_upside_down(network, images):
    """Why this file exists; if it fails, MONAI has mended it."""
    from monai.visualize import GradCAM

    view = TaskView(network, "grade")
    names = {id(module): name for name, module in view.named_modules()}
    cam = GradCAM(nn_module=copy.deepcopy(view), target_layers=names[id(view.target_layers()[0])])
    found = cam(images[:1], class_idx=3).detach()
    assert correlation(found.numpy(), enlarged(raw(network, images[:1], 3))) == pytest.approx(-1, abs=1e-4)


@pytest.mark.parametrize("method", ["monai-gradcam", "monai-cam"])
def test_correlation_with_the_raw_map_is_one(network, images, method):
    view = TaskView(network, "grade")
    found = cam_maps(view, images, method, view.target_layers(), channel=3)
    expected = raw(network, images, 3)
    if method == "monai-cam":
        expected = expected + network.heads["grade"].output.bias[3].detach()
    closed = enlarged(expected)
    if method == "monai-cam":  # it has negative values, too: they are cut after enlarging
        closed = np.maximum(F.interpolate(expected[:, None], size=(64, 96), mode="bilinear")[:, 0].numpy(), 0)
    for one, other in zip(found, closed, strict=True):
        assert correlation(one, other) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(found, closed, rtol=1e-3, atol=1e-3 * float(expected.max()))


def test_grad_cam_plus_plus_is_its_own_formula_image_by_image(network, images):
    """Of the exponential of the logit: odds times relu(w) alpha A, alpha as in equation 19 with MONAI's addition."""
    view = TaskView(network, "grade")
    found = cam_maps(view, images, "monai-gradcam++", view.target_layers(), channel=3)
    with torch.no_grad():
        features, odds = network.features(images, ["grade"])[-1], view(images)[:, 3].exp()
    cells = features.shape[-1] * features.shape[-2]
    slope = network.heads["grade"].output.weight[3].detach() / cells
    alpha = slope**2 / (2 * slope**2 + features.sum((2, 3)) * slope**3 + 1e-7)
    weights = odds[:, None] * slope.clamp(min=0) * alpha * cells
    np.testing.assert_allclose(found, enlarged(torch.einsum("bc,bchw->bhw", weights, features)), rtol=1e-2, atol=1e-4)


def test_grad_cam_of_both_libraries_is_the_same(network, images):
    for task in ("grade", "lesions"):
        view = TaskView(network, task)
        one, other = (
            cam_maps(view, images, name, view.target_layers(), channel=1) for name in ("gradcam", "monai-gradcam")
        )
        np.testing.assert_allclose(one, other, atol=1e-3 * float(one.max()))


def test_occlusion_falls_where_the_evidence_is():
    """A network that averages: hiding a patch takes away what lies in it."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(net[0].weight, 1.0)
    image = torch.zeros(1, 3, 64, 64)
    image[..., 40:48, 16:24] = 1
    found = cam_maps(net, image, "monai-occlusion", [net[0]], channel=1)[0]
    assert 38 <= np.unravel_index(found.argmax(), found.shape)[0] < 50
    assert 14 <= np.unravel_index(found.argmax(), found.shape)[1] < 26
    assert found[5, 50] == pytest.approx(0, abs=1e-6)
    total = 3 * 64 / 64**2  # the logit: all of it is in one patch's reach
    assert 0.3 * total < found.max() <= total * 1.01


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind_and_a_batch_is_its_images(network, images, method):
    view = TaskView(network.train(), "grade")
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    small = images[..., :32, :32]
    found = cam_maps(view, small, method, view.target_layers(), channel=1)
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert all(module.training for module in network.modules())
    assert all((parameter.grad == 1).all() for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    alone = cam_maps(view, small[1:], method, view.target_layers(), channel=1)
    np.testing.assert_allclose(found[1:], alone, atol=1e-4 * max(1.0, float(alone.max())))
    network.eval()


def test_cam_needs_a_linear_layer(network, images):
    view = TaskView(network, "lesions")
    with pytest.raises(EvaluationError, match=r"CAM needs a linear layer.*choose gradcam"):
        cam_maps(view, images, "monai-cam", view.target_layers(), channel=1)
    assert not any(module._forward_hooks for module in network.modules())


def test_enlarging_is_what_opencv_does():
    """MONAI interpolates with torch, this project with OpenCV: the same, half a pixel included."""
    cells = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    np.testing.assert_allclose(enlarged(torch.from_numpy(cells)[None])[0], cv2.resize(cells, (96, 64)), atol=1e-5)
