"""Class activation maps: closed forms, absolute scale, agreement with the library, and nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medmtl.errors import ConfigError, EvaluationError
from medmtl.explanation.cam import CAM_METHODS, cam_map, eigen_projection

METHODS = ["eigencam", "gradcam", "gradcam++", "hirescam", "layercam", "xgradcam"]
GRADIENT = [name for name in METHODS if name != "eigencam"]


class Tiny(nn.Module):
    """Features, average pooling, one logit; ``strength`` scales the features."""

    def __init__(self, strength=1.0, bias=-1.0, pooling="mean"):
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(6, 6, 1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 1)
        nn.init.constant_(self.head.bias, bias)
        self.strength, self.pooling = strength, pooling

    def forward(self, x):
        maps = self.act(self.last(self.features(x)))
        self.maps = maps * self.strength
        if self.pooling == "mean":
            return self.head(self.maps.mean((2, 3)))
        local = nn.functional.conv2d(self.maps, self.head.weight[:, :, None, None])
        return torch.logsumexp(local.flatten(2), 2) + self.head.bias


class Scaled(nn.Module):
    """A module that only multiplies, to have a layer whose output is the scaled features."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Faint(Tiny):
    def __init__(self, factor):
        super().__init__()
        self.scaled = Scaled(factor)

    def forward(self, x):
        return self.head(self.scaled(self.act(self.last(self.features(x)))).mean((2, 3)))


@pytest.fixture
def image():
    return torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(5))


def test_registry_holds_the_methods():
    assert list(CAM_METHODS) == METHODS
    with pytest.raises(ConfigError, match="gradcam"):
        cam_map(Tiny(), torch.zeros(3, 8, 8), "gradcamm", [nn.ReLU()])


@pytest.mark.parametrize("method", METHODS)
def test_shape_type_and_sign(method, image):
    net = Tiny()
    out = cam_map(net, image, method, [net.act])
    assert out.shape == (32, 40)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= 0


@pytest.mark.parametrize("pooling", ["mean", "logsumexp"])
def test_gradcam_is_the_local_logit_of_a_linear_head(pooling, image):
    """Closed form: pooling whose gradient sums to one gives w . A at each cell (Zhou et al. 2016)."""
    net = Tiny(pooling=pooling).eval()
    out = cam_map(net, nn.functional.interpolate(image[None], (32, 32)), "gradcam", [net.act])
    local = torch.einsum("c,chw->hw", net.head.weight[0], net.maps[0]).detach().clamp(min=0).numpy()
    import cv2

    np.testing.assert_allclose(out, cv2.resize(local, (32, 32), interpolation=cv2.INTER_LINEAR), atol=1e-5)


def test_hirescam_mean_is_the_logit_less_the_bias(image):
    net = Tiny()
    nn.init.uniform_(net.head.weight, 0.1, 1.0)  # nothing negative to cut
    out = cam_map(net, image[:, :, :32], "hirescam", [net.act])
    with torch.no_grad():
        logit = float(net.eval()(image[None, :, :, :32]))
    assert out.mean() == pytest.approx(logit + 1.0, rel=0.05)  # resizing keeps the mean but for the border


@pytest.mark.parametrize("method", METHODS)
def test_faint_features_give_a_faint_map(method, image):
    strong, faint = Faint(1.0), Faint(1e-6)
    for net in (strong, faint):
        nn.init.uniform_(net.head.weight, 0.1, 1.0)
    faint.load_state_dict(strong.state_dict())
    top = cam_map(strong, image, method, [strong.scaled]).max()
    low = cam_map(faint, image, method, [faint.scaled]).max()
    assert top > 0.01
    assert 0 < low < 3e-6 * top


@pytest.mark.parametrize("method", GRADIENT)
def test_stretched_it_is_the_librarys_own_map(method, image):
    import pytorch_grad_cam as library

    names = {
        "gradcam": "GradCAM",
        "hirescam": "HiResCAM",
        "gradcam++": "GradCAMPlusPlus",
        "xgradcam": "XGradCAM",
        "layercam": "LayerCAM",
    }
    net = Tiny()
    ours = cam_map(net, image, method, [net.act])
    with getattr(library, names[method])(net, [net.act]) as cam:
        theirs = cam(image[None], [lambda output: output.sum()])[0]
    # The library stretches before it resizes, and again after.
    np.testing.assert_allclose((ours - ours.min()) / (ours.max() - ours.min()), theirs, atol=1e-4)


def test_eigen_projection_is_the_librarys_but_for_its_sign():
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    features = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    ours, theirs = eigen_projection(features), get_2d_projection(features[None])[0]
    np.testing.assert_allclose(ours, theirs * np.sign((ours * theirs).sum()), atol=1e-4)
    strong = np.zeros((4, 6, 6), np.float32)
    strong[:, 2, 2] = 5
    assert np.unravel_index(eigen_projection(strong).argmax(), (6, 6)) == (2, 2)


def test_more_evidence_is_up():
    net = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(net[0].weight, 1.0)
    image = torch.zeros(3, 16, 16)
    image[:, 4:6, 10:12] = 1
    for method in METHODS:
        out = cam_map(net, image, method, [net[1]])
        assert out[4, 10] == out.max() > out[12, 3], method
        assert out[12, 3] == pytest.approx(0, abs=1e-6), method


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind(method, image):
    net = Tiny().train()
    net.last.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    cam_map(net, image, method, [net.act, net.last])
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())
    assert [module.training for module in net.modules()] == modes
    assert net.act.inplace
    assert all((parameter.grad == 1).all() for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_works_on_a_frozen_network_and_under_no_grad(image):
    free, frozen = Tiny(), Tiny().requires_grad_(requires_grad=False)
    expected = cam_map(free, image, "gradcam", [free.act])
    with torch.no_grad():
        out = cam_map(frozen, image, "gradcam", [frozen.act])
    np.testing.assert_array_equal(out, expected)
    assert out.max() > 0


def test_in_place_activation_behind_the_target_does_not_change_the_record(image):
    net = Tiny().eval()
    out = cam_map(net, image, "eigencam", [net.last])
    with torch.no_grad():
        before = net.last(net.features(image[None])).clone()[0].numpy()
    import cv2

    expected = cv2.resize(np.maximum(eigen_projection(before), 0), (40, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(out, expected, atol=1e-4)


def test_layers_are_fused_by_their_maximum(image):
    net = Tiny()
    one, two = (cam_map(net, image, "layercam", [layer]) for layer in (net.act, net.features))
    np.testing.assert_allclose(
        cam_map(net, image, "layercam", [net.features, net.act]), np.maximum(one, two), atol=1e-6
    )


class Two(Tiny):
    def forward(self, x):
        return torch.cat([super().forward(x)] * 2, dim=1)


class Unused(Tiny):
    def __init__(self):
        super().__init__()
        self.aside = nn.Conv2d(3, 2, 1)

    def forward(self, x):
        self.aside(x)
        return super().forward(x)


class Named(Tiny):
    def forward(self, x):
        return {"task": super().forward(x)}


@pytest.mark.parametrize(
    ("net", "layers", "words"),
    [
        (Two(), lambda net: [net.act], "one logit"),
        (Named(), lambda net: [net.act], "one-task view"),
        (Unused(), lambda net: [net.aside], "act on the logit"),
        (Tiny(), lambda net: [nn.ReLU()], "modules of the network"),
        (Tiny(), lambda net: [], "modules of the network"),
    ],
)
def test_what_cannot_be_mapped_is_refused_and_leaves_no_hook(net, layers, words, image):
    with pytest.raises(EvaluationError, match=words):
        cam_map(net, image, "gradcam", layers(net))
    assert not any(module._forward_hooks for module in net.modules())


def test_a_blank_or_faint_map_is_blank_on_a_fixed_scale(image):
    from medmtl.explanation.color import visible
    from medmtl.explanation.scale import ClassScale

    net = Faint(1e-6)
    assert not visible(cam_map(net, image, "gradcam", [net.scaled]), ClassScale("x", 0.1, 1.0)).any()
