from __future__ import annotations

import pytest
import torch

from medmtl.errors import ConfigError
from medmtl.models import ClassificationHead, ClassMapHead, CooperativeNetwork, SegmentationHead, build_encoder

TASKS = ("mask", "grade", "lesions")


def make(tasks=TASKS) -> CooperativeNetwork:
    torch.manual_seed(0)
    encoders = {task: build_encoder("efficientnet-lite0", "none") for task in tasks}
    channels = encoders[tasks[0]].channels
    heads = {
        "mask": SegmentationHead(channels, 2, (16, 16, 8, 8, 8)),
        "grade": ClassificationHead(channels, 5),
        "lesions": ClassMapHead(channels, 3, 16),
    }
    return CooperativeNetwork(encoders, {task: heads[task] for task in tasks})


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


def test_forward_is_encode_exchange_predict(network):
    x = image(45, 64)
    with torch.no_grad():
        features = {task: network.encode(x, task) for task in TASKS}
        for task in TASKS:
            lists = {name: f for name, f in features.items() if name != task}
            vectors = {name: network.exchange(f) for name, f in lists.items()}
            expected = network(x, [task])[task]
            for others in (lists, vectors):
                torch.testing.assert_close(network.predict(task, features[task], others, (45, 64)), expected)


def test_exchanged_vectors_are_normalized_leaves(network):
    vector = network.exchange(network.encode(image(64, 64), "grade"))
    assert vector.shape == (2, 320)
    assert not vector.requires_grad
    torch.testing.assert_close(vector.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(vector.var(1, unbiased=False), torch.ones(2), atol=1e-2, rtol=0)


def test_others_are_read_and_their_gradient_is_had_where_asked_for(network):
    x = image(64, 64)
    own = network.encode(x, "grade")
    other = network.exchange(network.encode(x, "mask")).requires_grad_()
    with_other = network.predict("grade", own, {"mask": other})
    assert not torch.allclose(with_other, network.predict("grade", own, {}))
    (gradient,) = torch.autograd.grad(with_other.sum(), other)
    step = torch.zeros_like(other)
    step[0, 3] = 1.0
    moved = network.predict("grade", own, {"mask": other + step})  # linear up to the head's linear layer
    torch.testing.assert_close((moved - with_other).sum(), gradient[0, 3], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_moves_only_its_own_sub_model(task):
    network = make().train()
    output = network(image(64, 64))[task]
    (output.logits if task == "lesions" else output).pow(2).sum().backward()
    for other in TASKS:
        touched = [p.grad is not None for p in network.parameters_of(other)]
        assert any(touched) if other == task else not any(touched)
    fusion = list(network.fusion[task].parameters())
    assert all(p.grad is not None and p.grad.any() for p in fusion)


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
        network.predict("grade", network.encode(image(32, 32), "grade"), {"nobody": torch.zeros(2, 320)})
    encoder = build_encoder("efficientnet-lite0", "none")
    with pytest.raises(ConfigError, match="of its own"):
        CooperativeNetwork({"a": encoder}, {"b": ClassificationHead(encoder.channels, 1)})
