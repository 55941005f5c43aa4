from __future__ import annotations

import copy

import pytest
import torch

from medmtl.errors import ConfigError
from medmtl.models import ClassificationHead, ClassMapHead, CooperativeNetwork, SegmentationHead, build_encoder

TASKS = ("mask", "grade", "lesions")


def make(tasks=TASKS, **kind) -> CooperativeNetwork:
    torch.manual_seed(0)
    encoders = {task: build_encoder("efficientnet-lite0", "none") for task in tasks}
    channels = encoders[tasks[0]].channels
    heads = {
        "mask": SegmentationHead(channels, 2, (16, 16, 8, 8, 8)),
        "grade": ClassificationHead(channels, 5),
        "lesions": ClassMapHead(channels, 3, 16),
    }
    return CooperativeNetwork(encoders, {task: heads[task] for task in tasks}, **kind)


@pytest.fixture(scope="module")
def network() -> CooperativeNetwork:
    return make().eval()


def image(*size: int) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(33, 47), (64, 64)])
def test_all_tasks_at_any_size(network, size):
    with torch.no_grad():
        output = network(image(*size))
    assert output["mask"].shape == (2, 2, *size)
    assert output["grade"].shape == (2, 5)
    assert output["lesions"].maps.shape == (2, 3, *(-(-side // 16) for side in size))


KINDS = [("bottleneck", "map"), ("all", "map"), ("bottleneck", "vector"), ("all", "vector")]


@pytest.mark.parametrize(("scales", "form"), KINDS)
def test_forward_is_encode_lend_predict(scales, form):
    network, x = make(scales=scales, form=form).eval(), image(45, 64)
    with torch.no_grad():
        features = {task: network.encode(x, task) for task in TASKS}
        for task in TASKS:
            expected = network(x, [task])[task]
            shown = {name: network.exchange(f) for name, f in features.items() if name != task}
            lent = {name: network.lend(x, name) for name in shown}
            for others in (shown, lent):
                torch.testing.assert_close(network.predict(task, features[task], others, (45, 64)), expected)


@pytest.mark.parametrize(("scales", "form"), KINDS)
def test_what_is_exchanged_is_normalized_and_keeps_its_graph(scales, form):
    network = make(scales=scales, form=form)
    features = network.encode(image(64, 64), "grade")
    shown = network.exchange(features)
    assert len(shown) == (1 if scales == "bottleneck" else 5)
    for level, feature in zip(shown, features[-len(shown) :], strict=True):
        assert level.shape == (feature.shape if form == "map" else (*feature.shape[:2], 1, 1))
        assert level.requires_grad
        torch.testing.assert_close(level.flatten(1).mean(1), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(level.flatten(1).var(1, unbiased=False), torch.ones(2), atol=2e-2, rtol=0)


def test_others_are_read_and_their_gradient_is_had_where_asked_for(network):
    x = image(64, 64)
    own = network.encode(x, "grade")
    other = [level.requires_grad_() for level in network.lend(x, "mask")]
    with_other = network.predict("grade", own, {"mask": other})
    assert not torch.allclose(with_other, network.predict("grade", own, {}))
    (gradient,) = torch.autograd.grad(with_other.sum(), other)
    step = torch.zeros_like(other[0])
    step[0, 3, 1, 0] = 1.0
    moved = network.predict("grade", own, {"mask": [other[0] + step]})  # linear up to the head's linear layer
    torch.testing.assert_close((moved - with_other).sum(), gradient[0, 3, 1, 0], atol=1e-4, rtol=1e-3)


def test_a_vector_is_the_mean_of_the_map(network):
    """Segmentation to classification pools, the reverse spreads: both are one 1x1 convolution."""
    x = image(64, 64)
    own = [torch.zeros_like(level) for level in network.encode(x, "mask")]
    shown = network.lend(x, "grade")
    spread = network.fusion["mask"](own, {"grade": [shown[0].mean((2, 3), keepdim=True)]})[-1]
    placed = network.fusion["mask"](own, {"grade": shown})[-1]
    assert spread.shape == placed.shape
    torch.testing.assert_close(spread, placed.mean((2, 3), keepdim=True).expand_as(placed))


def test_other_weights_lend_other_features_and_leave_the_network_alone(network):
    x, before = image(64, 64), copy.deepcopy(network.state_dict())
    weights = {name: value.detach() * 1.1 for name, value in network.encoders["mask"].named_parameters()}
    moved = network.lend_with(x, "mask", weights)
    assert not torch.allclose(moved[0], network.lend(x, "mask")[0])
    torch.testing.assert_close(network.lend_with(x, "mask", {}), network.lend(x, "mask"))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_controls_of_what_is_lent():
    x = image(64, 64)
    untrained = make(lenders="untrained").eval()
    first = untrained.lend(x, "mask")[0]
    with torch.no_grad():
        for parameter in untrained.encoders["mask"].parameters():
            parameter.mul_(1.5)
    assert torch.equal(untrained.lend(x, "mask")[0], first)
    assert not any(p.requires_grad for p in untrained.untrained.parameters())
    random = make(lenders="random").eval()
    lent = {task: random.lend(x, task)[0] for task in TASKS}
    spread = {task: float(features.std(dim=(0, 2, 3)).mean()) for task, features in lent.items()}
    assert min(spread.values()) > 0.01  # it depends on the image, and does not vanish on its way down
    assert not any(torch.allclose(lent[task], untrained.lend(x, task)[0], atol=0.1) for task in TASKS)
    assert not torch.allclose(*[lent[task] for task in TASKS][:2], atol=0.1)
    own = {name for name, _ in random.named_parameters() if not name.startswith("untrained")}
    torch.testing.assert_close({n: random.get_parameter(n) for n in own}, {n: make().get_parameter(n) for n in own})
    assert not any(p.requires_grad for p in random.untrained.parameters())
    shuffled, plain = make(lenders="shuffled").eval(), make().eval()
    torch.testing.assert_close(shuffled.lend(x, "mask")[0], plain.lend(x, "mask")[0].flip(0))  # two images: exchanged
    assert not shuffled.lend(x[:1], "mask")[0].any()
    assert not torch.allclose(shuffled(x)["grade"], plain(x)["grade"])


def reached(network, outputs, task):
    """Whether a task's output gives a gradient to the encoder, the fusion and the head of each task."""
    output = outputs[task]
    (output.logits if task == "lesions" else output).pow(2).sum().backward()
    parts = {"encoder": network.encoders, "fusion": network.fusion, "head": network.heads}
    return {
        (part, other): any(p.grad is not None and bool(p.grad.any()) for p in modules[other].parameters())
        for part, modules in parts.items()
        for other in TASKS
    }


@pytest.mark.parametrize("lenders", ["trained", "untrained", "random", "shuffled"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("asked", ["all", "one"])
def test_a_forward_pass_keeps_the_graph_into_the_encoders_that_lend(task, lenders, asked):
    network = make(lenders=lenders).train()
    with_graph = reached(network, network(image(64, 64), TASKS if asked == "all" else [task]), task)
    for other in TASKS:
        assert with_graph["encoder", other] == (other == task or lenders in ("trained", "shuffled"))
        assert with_graph["fusion", other] == with_graph["head", other] == (other == task)


@pytest.mark.parametrize("task", TASKS)
def test_lent_features_hold_the_others_fixed(task):
    network = make().train()
    x = image(64, 64)
    others = {other: network.lend(x, other) for other in TASKS if other != task}
    own = network.predict(task, network.encode(x, task), others, (64, 64))
    alone = reached(network, {task: own}, task)
    assert {other for (_, other), found in alone.items() if found} == {task}
    assert all(alone[part, task] for part in ("encoder", "fusion", "head"))


def test_parameters_are_all_and_disjoint(network):
    names = [id(p) for task in TASKS for p in network.parameters_of(task)]
    assert sorted(names) == sorted(id(p) for p in network.parameters())


def test_one_task_alone_is_its_encoder_and_head():
    network = make(("grade",)).eval()
    x = image(64, 64)
    with torch.no_grad():
        features = network.encoders["grade"](network.normalize(x))
        torch.testing.assert_close(network(x)["grade"], network.heads["grade"](features, (64, 64)))


def test_asking_for_nothing_and_for_the_unknown(network):
    assert network(image(32, 32), []) == {}
    with pytest.raises(ConfigError, match="did you mean 'grade'"):
        network(image(32, 32), ["grades"])
    with pytest.raises(ConfigError, match="unknown task"):
        network.predict("grade", network.encode(image(32, 32), "grade"), {"nobody": [torch.zeros(2, 320, 1, 1)]})
    encoder = build_encoder("efficientnet-lite0", "none")
    with pytest.raises(ConfigError, match="of its own"):
        CooperativeNetwork({"a": encoder}, {"b": ClassificationHead(encoder.channels, 1)})
