"""Class activation maps: closed forms, absolute scale, agreement with the library, and nothing left behind."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from medmtl.errors import ConfigError, EvaluationError
from medmtl.explanation.cam import CAM_METHODS, cam_classes, cam_map, cam_maps, cam_method, eigen_projection
from medmtl.explanation.cam.eigen import MOST_CELLS, kernel_projection

LIBRARY = {
    "ablationcam": "AblationCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "fem": "FEM",
    "finercam": "FinerCAM",
    "fullgrad": "FullGrad",
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "gradcamelementwise": "GradCAMElementWise",
    "hirescam": "HiResCAM",
    "kpcacam": "KPCA_CAM",
    "layercam": "LayerCAM",
    "randomcam": "RandomCAM",
    "refinecam": "RefineCAM",
    "scorecam": "ScoreCAM",
    "segeigencam": "SegEigenCAM",
    "sess": "SESS",
    "shapleycam": "ShapleyCAM",
    "xgradcam": "XGradCAM",
}
METHODS = list(LIBRARY)
STRONGEST = 0
"""The class of the small network below whose logit is the highest: less the others', it is still positive."""


class Tiny(nn.Module):
    """Features, pooling, three logits."""

    def __init__(self, *, bias=-1.0, pooling="mean", classes=3):
        super().__init__()
        torch.manual_seed(3)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(6, 6, 1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, classes)
        nn.init.uniform_(self.head.weight, -0.5, 1.0)  # of both signs, and maps that are not all cut
        nn.init.constant_(self.head.bias, bias)
        self.pooling = pooling

    def forward(self, x):
        self.maps = self.act(self.last(self.features(x)))
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
        nn.init.uniform_(self.head.weight, 0.1, 1.0)

    def forward(self, x):
        return self.head(self.scaled(self.act(self.last(self.features(x)))).mean((2, 3)))


@pytest.fixture
def image():
    return torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 40, generator=torch.Generator().manual_seed(6))


def one_class(net, channel):
    """The linear head's weights of a class."""
    return net.head.weight[channel].detach().numpy()


def stretched(values):
    return (values - values.min()) / (values.max() - values.min())


def enlarged(cells, size=(40, 32)):
    return cv2.resize(np.maximum(cells, 0).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)


def test_every_method_of_the_library_is_there_and_nothing_else():
    import pytorch_grad_cam as library

    assert [name for name in CAM_METHODS if not name.startswith("monai-")] == METHODS
    own = {
        name
        for name, value in vars(library).items()
        if isinstance(value, type) and (issubclass(value, library.base_cam.BaseCAM) or name.endswith(("CAM", "SESS")))
    }
    assert own - {"BaseCAM"} == set(LIBRARY.values())


@pytest.mark.parametrize(("name", "title"), [("KPCA_CAM", "kpcacam"), ("GradCAMPlusPlus", "gradcam++")])
def test_the_librarys_spelling_is_understood(name, title):
    assert cam_method(name) is CAM_METHODS.get(title)


@pytest.mark.parametrize(("name", "words"), [("gradcamm", "did you mean 'gradcam'"), ("shap", "known: ablationcam")])
def test_a_wrong_name_is_answered_with_a_suggestion(name, words):
    with pytest.raises(ConfigError, match=words):
        cam_map(Tiny(), torch.zeros(3, 8, 8), name, [nn.ReLU()])


def test_the_table_says_what_is_normalized_and_what_the_values_are():
    assert {name for name in CAM_METHODS if CAM_METHODS.get(name).normalized} == {"scorecam", "sess", "fem", "kpcacam"}
    blind = {name for name in CAM_METHODS if not CAM_METHODS.get(name).by_class}
    assert blind == {"eigencam", "kpcacam", "fem", "randomcam"}
    assert all(entry.source and entry.cost and entry.unit for entry in map(CAM_METHODS.get, CAM_METHODS))


@pytest.mark.parametrize("method", METHODS)
def test_shape_type_sign_and_batch(method, images):
    """A batch gives what its images give one by one."""
    net = Tiny(pooling="logsumexp")
    out = cam_maps(net, images, method, [net.act], channel=STRONGEST)
    assert out.shape == (3, 32, 40)
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() > 0
    singles = np.stack([cam_map(net, one, method, [net.act], channel=STRONGEST) for one in images])
    np.testing.assert_allclose(out, singles, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layers", [["act"], ["features", "act"]], ids=["one_layer", "two_layers"])
def test_classes_together_are_the_classes_one_by_one(method, layers, images):
    net = Tiny(pooling="logsumexp")
    chosen, asked = [getattr(net, name) for name in layers], [2, 0, 1, 0]
    together = cam_classes(net, images, method, chosen, asked)
    one_by_one = np.stack([cam_maps(net, images, method, chosen, channel=channel) for channel in asked])
    assert together.shape == (4, 3, 32, 40)
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)


@pytest.mark.parametrize(("method", "passes"), [("gradcam", 1), ("eigencam", 1), ("shapleycam", 1), ("fullgrad", 3)])
def test_classes_share_a_forward_pass_where_the_method_looks_at_layers(method, passes, images):
    net, seen = Tiny(), []
    handle = net.features.register_forward_hook(lambda *call: seen.append(call))
    cam_classes(net, images, method, [net.act], [0, 1, 2])
    handle.remove()
    assert len(seen) == passes


@pytest.mark.parametrize(("asked", "words"), [([], "maps need a class"), ([0, 3], "channel 3 of 3")])
def test_classes_that_do_not_exist_are_refused(asked, words, images):
    net = Tiny()
    with pytest.raises(EvaluationError, match=words):
        cam_classes(net, images, "gradcam", [net.act], asked)
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("pooling", ["mean", "logsumexp"])
def test_gradcam_is_the_local_logit_of_a_linear_head(pooling, image):
    """Closed form: pooling whose gradient sums to one gives w . A at each cell (Zhou et al. 2016)."""
    net = Tiny(pooling=pooling).eval()
    out = cam_map(net, image, "gradcam", [net.act], channel=2)
    local = np.einsum("c,chw->hw", one_class(net, 2), net.maps[0].detach().numpy())
    np.testing.assert_allclose(out, enlarged(local), atol=1e-5)


def test_hirescam_mean_is_the_logit_less_the_bias(image):
    net = Tiny()
    nn.init.uniform_(net.head.weight, 0.1, 1.0)  # nothing negative to cut
    out = cam_map(net, image[:, :, :32], "hirescam", [net.act], channel=0)
    with torch.no_grad():
        logit = float(net.eval()(image[None, :, :, :32])[0, 0])
    assert out.mean() == pytest.approx(logit + 1.0, rel=0.05)  # resizing keeps the mean but for the border


@pytest.mark.parametrize("side", [8, 64])
def test_gradcam_plus_plus_is_the_papers_equation_whatever_the_number_of_cells(side):
    """Equation 19 for a linear head behind average pooling: w / (2 + mean(A) w), where w is positive."""
    net = Tiny().eval()
    image = torch.rand(3, 2 * side, 2 * side, generator=torch.Generator().manual_seed(1))
    out = cam_map(net, image, "gradcam++", [net.act], channel=1)
    features, weights = net.maps[0].detach().numpy(), one_class(net, 1)
    positive = np.maximum(weights, 0)
    by_channel = positive / (2 + features.mean((1, 2)) * weights)
    expected = enlarged(np.einsum("c,chw->hw", by_channel, features), (2 * side, 2 * side))
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-5)


def test_shapleycam_subtracts_half_of_the_hessian_times_the_features(image):
    """Against a Hessian made column by column; log-sum-exp pooling has one."""
    net = Tiny(pooling="logsumexp").eval().double()
    with torch.no_grad():
        net(image[None, :, :8, :8].double())
    features, weights = net.maps[0], torch.tensor(one_class(net, 0))

    def logit(flat):
        return torch.logsumexp(torch.einsum("c,chw->hw", weights, flat.reshape(features.shape)).flatten(), 0)

    flat = features.detach().flatten()
    gradient = torch.autograd.functional.jacobian(logit, flat)
    curved = torch.autograd.functional.hessian(logit, flat) @ flat
    by_channel = (gradient - 0.5 * curved).reshape(6, -1).sum(1)
    expected = torch.einsum("c,chw->hw", by_channel, features.detach()).numpy()
    assert float(curved.abs().max()) > 1e-4
    out = cam_map(net.float(), image[:, :8, :8], "shapleycam", [net.act], channel=0)
    np.testing.assert_allclose(out, enlarged(expected, (8, 8)), atol=1e-5)


def test_ablationcam_is_the_fall_of_the_logit_times_the_feature(image):
    net = Tiny().eval()
    out = cam_map(net, image, "ablationcam", [net.act], channel=1)
    with torch.no_grad():
        net(image[None])
    features = net.maps[0].detach().numpy()
    falls = one_class(net, 1) * features.mean((1, 2))
    np.testing.assert_allclose(out, enlarged(np.einsum("c,chw->hw", falls, features)), atol=1e-5)


def test_fullgrads_mean_is_the_logit_where_all_shares_are_positive(image):
    """Completeness, equation 4 of the paper: without a negative share, the sizes add up to the logit."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.1, 0.5)
    out = cam_map(net, image, "fullgrad", [net[0]], channel=1)
    with torch.no_grad():
        assert out.mean() == pytest.approx(float(net(image[None])[0, 1]), rel=1e-4)


def test_refinecam_is_high_only_where_all_layers_are(image):
    net = Tiny()
    parts = [cam_map(net, image, "gradcam++", [layer], channel=0) for layer in (net.act, net.features)]
    both = cam_map(net, image, "refinecam", [net.features, net.act], channel=0)
    np.testing.assert_allclose(both, np.sqrt(parts[0] * parts[1]), rtol=1e-4, atol=1e-6)


def test_sess_of_windows_that_are_the_image_is_gradcam_blurred(image):
    """One scale and a window of the whole image, which is what the first of twelve is."""
    from medmtl.explanation.cam import whole

    net = Tiny()
    gradcam = cam_map(net, image[:, :, :32], "gradcam", [net.act], channel=0)
    sess = pytest.importorskip("pytorch_grad_cam").SESS
    request = whole.Request(net.eval(), image[None, :, :, :32], (net.act,), (0,))
    patches = whole._Patches(CAM_METHODS.get("gradcam").maps, request, 0)
    found = sess(net, [], base_method=lambda *_: patches, num_scales=1, use_softmax_scores=False)
    out = found.forward_single_image(image[None, :, :, :32], lambda logits: logits[:, 0].sigmoid())
    np.testing.assert_allclose(out, cv2.GaussianBlur(gradcam, (11, 11), 5.0), atol=1e-5)
    assert 0 < cam_map(net, image, "sess", [net.act], channel=0).max() <= 2 * gradcam.max()


@pytest.mark.parametrize("method", METHODS)
def test_faint_features_give_a_faint_map(method, image):
    if method == "fullgrad":
        pytest.skip("it asks no layer")
    strong, faint = Faint(1.0), Faint(1e-6)
    faint.load_state_dict(strong.state_dict())
    top = cam_map(strong, image, method, [strong.scaled], channel=0).max()
    low = cam_map(faint, image, method, [faint.scaled], channel=0).max()
    assert top > 0.002
    assert 0 < low < 5e-6 * top


def librarys(method, net, image, channel):
    import pytorch_grad_cam as library

    np.random.seed(0)  # noqa: NPY002  the library draws its random weights there
    with getattr(library, LIBRARY[method])(net, [net.act]) as cam:
        if method == "finercam":
            return cam(image[None], target_idx=channel)[0]
        return cam(image[None], [lambda output: output[channel]])[0]


@pytest.mark.parametrize("pooling", ["mean", "logsumexp"])
@pytest.mark.parametrize(
    "method",
    sorted(set(METHODS) - {"gradcam++", "refinecam", "fullgrad", "sess", "eigencam", "eigengradcam"}),
)
def test_stretched_it_is_the_librarys_own_map(method, pooling, image):
    """What has no closed form above is held against the library; its features here are never negative."""
    net = Tiny(pooling=pooling, bias=3.0).eval()  # a positive logit: Ablation-CAM of the library divides by it
    ours = cam_map(net, image, method, [net.act], channel=STRONGEST)
    theirs = librarys(method, net, image, STRONGEST)
    assert ours.max() > 0
    # The library stretches before it resizes, and again after.
    np.testing.assert_allclose(stretched(ours), theirs, atol=5e-4)


def test_eigen_projection_is_the_librarys_but_for_its_sign():
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    features = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    ours, theirs = eigen_projection(features), get_2d_projection(features[None])[0]
    np.testing.assert_allclose(ours, theirs * np.sign((ours * theirs).sum()), atol=1e-4)
    strong = np.zeros((4, 6, 6), np.float32)
    strong[:, 2, 2] = 5
    assert np.unravel_index(eigen_projection(strong).argmax(), (6, 6)) == (2, 2)
    assert np.unravel_index(kernel_projection(strong).argmax(), (6, 6)) == (2, 2)


def test_eigengradcam_projects_features_times_gradient(image):
    net = Tiny(pooling="logsumexp").eval()
    out = cam_map(net, image, "eigengradcam", [net.act], channel=1)
    local = torch.einsum("c,chw->hw", net.head.weight[1], net.maps[0])
    gradient = net.head.weight[1][:, None, None] * local.flatten().softmax(0).reshape(local.shape)
    expected = eigen_projection((gradient * net.maps[0] * local.numel()).detach().numpy())
    np.testing.assert_allclose(out, enlarged(expected), atol=1e-5)


def test_a_kernel_too_large_is_refused_and_constant_features_are_blank():
    side = int(MOST_CELLS**0.5) + 1
    with pytest.raises(EvaluationError, match="kernel PCA takes at most 20736 cells; found 21025"):
        kernel_projection(np.zeros((2, side, side)))
    assert not kernel_projection(np.ones((2, 5, 5))).any()


@pytest.mark.parametrize("method", METHODS)
def test_more_evidence_is_up(method):
    net = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(net[0].weight, 1.0)
    image = torch.full((3, 16, 16), 0.01)
    image[:, 4:6, 10:12] = 1
    if method in {"finercam", "randomcam"}:
        pytest.skip("both classes are alike, or the weights are drawn")
    out = cam_map(net, image, method, [net[1]], channel=0)
    if method == "sess":  # blurred
        assert out[4, 10] > 2 * out[14, 2]
    else:
        assert out[4, 10] == out.max() > out[12, 3], method


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_behind(method, image):
    net = Tiny().train()
    net.last.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modules, modes = list(net.modules()), [module.training for module in net.modules()]
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    drawn = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002  what the library uses
    cam_map(net, image, method, [net.act, net.last], channel=0)
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())
    assert list(net.modules()) == modules
    assert [module.training for module in net.modules()] == modes
    assert net.act.inplace
    assert all((parameter.grad == 1).all() for parameter in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    np.testing.assert_array_equal(np.random.get_state()[1], drawn[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), drawn[1])


class Breaking(Tiny):
    """A network that gives up after some forward passes."""

    def __init__(self, last):
        super().__init__()
        self.calls, self.most = 0, last

    def forward(self, x):
        self.calls += 1
        out = super().forward(x)
        if self.calls > self.most:
            raise IndexError("broken")
        return out


@pytest.mark.parametrize(("method", "last"), [("gradcam", 0), ("scorecam", 1), ("ablationcam", 1), ("sess", 30)])
def test_an_error_on_the_way_is_raised_and_leaves_no_hook(method, last, image):
    net = Breaking(last).train()
    with pytest.raises(IndexError, match="broken"):
        cam_map(net, image, method, [net.act], channel=0)
    assert not any(module._forward_hooks for module in net.modules())
    assert net.training


@pytest.mark.parametrize("method", ["gradcam", "shapleycam", "fullgrad", "gradcam++"])
def test_works_on_a_frozen_network_under_no_grad_and_in_inference_mode(method, image):
    free, frozen = Tiny(), Tiny().requires_grad_(requires_grad=False)
    expected = cam_map(free, image, method, [free.act, free.features], channel=0)
    with torch.no_grad():
        out = cam_map(frozen, image, method, [frozen.act, frozen.features], channel=0)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    with torch.inference_mode():
        np.testing.assert_allclose(cam_map(frozen, image, method, [frozen.act], channel=0).max(), out.max(), rtol=2)
    assert out.max() > 0


def test_in_place_activation_behind_the_target_does_not_change_the_record(image):
    net = Tiny().eval()
    out = cam_map(net, image, "eigencam", [net.last], channel=0)
    with torch.no_grad():
        before = net.last(net.features(image[None])).clone()[0].numpy()
    np.testing.assert_allclose(out, enlarged(eigen_projection(before)), atol=1e-4)


def test_layers_are_fused_by_their_maximum(image):
    net = Tiny()
    one, two = (cam_map(net, image, "layercam", [layer], channel=0) for layer in (net.act, net.features))
    both = cam_map(net, image, "layercam", [net.features, net.act], channel=0)
    np.testing.assert_allclose(both, np.maximum(one, two), atol=1e-6)


class Unused(Tiny):
    def __init__(self):
        super().__init__()
        self.aside = nn.Conv2d(3, 2, 1)

    def forward(self, x):
        self.aside(x)
        return super().forward(x)


class Twice(Tiny):
    def forward(self, x):
        return self.head(self.act(self.last(self.act(self.features(x)))).mean((2, 3)))


class Named(Tiny):
    def forward(self, x):
        return {"task": super().forward(x)}


@pytest.mark.parametrize(
    ("net", "layers", "options", "words"),
    [
        (Tiny(), lambda net: [net.act], {}, "one logit an image; found 3 logits"),
        (Tiny(), lambda net: [net.act], {"channel": 3}, "channel 3 of 3"),
        (Tiny(), lambda net: [net.act], {"channel": -1}, "channel -1 of 3"),
        (Named(), lambda net: [net.act], {"channel": 0}, "one-task view"),
        (Unused(), lambda net: [net.aside], {"channel": 0}, "act on the logit"),
        (Twice(), lambda net: [net.act], {"channel": 0}, "runs twice"),
        (Tiny(), lambda net: [net.head], {"channel": 0}, r"features \(B, C, h, w\); found \(1, 3\)"),
        (Tiny(), lambda net: [nn.ReLU()], {"channel": 0}, "modules of the network"),
        (Tiny(), lambda net: [], {"channel": 0}, "modules of the network"),
    ],
)
def test_what_cannot_be_mapped_is_refused_and_leaves_no_hook(net, layers, options, words, image):
    with pytest.raises(EvaluationError, match=words):
        cam_map(net, image, "gradcam", layers(net), **options)
    assert not any(module._forward_hooks for module in net.modules())


def test_finercam_needs_a_class_to_compare_with(image):
    net = Tiny(classes=1)
    assert cam_map(net, image, "gradcam", [net.act]).shape == (32, 40)  # one logit needs no channel
    with pytest.raises(EvaluationError, match="FinerCAM compares classes"):
        cam_map(net, image, "finercam", [net.act])
    with pytest.raises(EvaluationError, match="one image at a time"):
        cam_map(net, torch.zeros(2, 3, 8, 8), "gradcam", [net.act])
    with pytest.raises(EvaluationError, match="maps need images"):
        cam_maps(net, image, "gradcam", [net.act])


def test_a_blank_or_faint_map_is_blank_on_a_fixed_scale(image):
    from medmtl.explanation.color import visible
    from medmtl.explanation.scale import ClassScale

    net = Faint(1e-6)
    out = cam_map(net, image, "gradcam", [net.scaled], channel=0)
    assert not visible(out, ClassScale("x", 0.1, 1.0)).any()
