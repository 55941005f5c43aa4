from __future__ import annotations

import pytest
import torch

from medmtl.errors import CheckpointError, ConfigError
from medmtl.models import (
    ClassificationHead,
    ClassMapHead,
    ClassMaps,
    CooperativeNetwork,
    ImageNetNormalization,
    SegmentationHead,
    SharedEncoderNetwork,
    build_encoder,
    load_parts,
)


def make(seed: int = 0) -> SharedEncoderNetwork:
    torch.manual_seed(seed)
    encoder = build_encoder("efficientnet-lite0", "none")
    heads = {
        "lesions": ClassMapHead(encoder.channels, 3, 16),
        "vessels": SegmentationHead(encoder.channels, 2, (16, 16, 8, 8, 8)),
        "grade": ClassificationHead(encoder.channels, 5),
        "fine": ClassMapHead(encoder.channels, 1, 4),
    }
    return SharedEncoderNetwork(encoder, heads)


@pytest.fixture(scope="module")
def network() -> SharedEncoderNetwork:
    return make().eval()


def image(*size: int) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))


def total(output) -> torch.Tensor:
    return (output.logits if isinstance(output, ClassMaps) else output).pow(2).sum()


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 64), (50, 71)])
def test_all_tasks_at_any_size(network, size):
    with torch.no_grad():
        output = network(image(*size))
    assert list(output) == ["lesions", "vessels", "grade", "fine"] == list(network.tasks)
    assert output["vessels"].shape == (2, 2, *size)
    assert output["grade"].shape == (2, 5)
    assert output["lesions"].maps.shape == (2, 3, *(-(-side // 16) for side in size))


def test_a_subset_gives_the_same_numbers_with_fewer_levels(network, monkeypatch):
    levels = []
    forward = network.encoder.forward
    monkeypatch.setattr(network.encoder, "forward", lambda x, n=5: levels.append(n) or forward(x, n))
    with torch.no_grad():
        every = network(image(64, 64))
        for tasks in (["fine"], ["lesions"], ["fine", "lesions"], ["grade"], []):
            part = network(image(64, 64), tasks)
            assert list(part) == tasks
            for task in tasks:
                torch.testing.assert_close(part[task], every[task], atol=1e-5, rtol=1e-5)
    assert levels == [5, 2, 4, 4, 5]


def test_normalization_is_the_published_one():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = image(3, 4)
    torch.testing.assert_close(ImageNetNormalization()(x), ((x.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2))
    assert ImageNetNormalization().state_dict() == {}


def test_state_dict_round_trip(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "w.pt")
    other = make(seed=5).eval()
    with torch.no_grad():
        assert not torch.equal(other(image(64, 64))["grade"], network(image(64, 64))["grade"])
        other.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
        for task, output in network(image(64, 64)).items():
            torch.testing.assert_close(other(image(64, 64))[task], output, atol=0, rtol=0)


@pytest.mark.parametrize("task", ["lesions", "vessels", "grade", "fine"])
def test_gradient_of_a_task_leaves_the_other_heads_alone(task):
    network = make().train()
    total(network(image(64, 64))[task]).backward()
    for other in network.tasks:
        touched = [p.grad is not None for p in network.task_parameters(other)]
        assert all(touched) if other == task else not any(touched)
    assert any(p.grad is not None and p.grad.any() for p in network.shared_parameters())


def test_shared_and_task_parameters_are_all_and_disjoint(network):
    parts = [network.shared_parameters(), *(network.task_parameters(task) for task in network.tasks)]
    names = [id(p) for part in parts for p in part]
    assert sorted(names) == sorted(id(p) for p in network.parameters())


def test_valid_mask_reaches_the_heads(network):
    valid = torch.zeros(2, 1, 64, 64)
    valid[..., :32, :32] = 1
    with torch.no_grad():
        whole, part = network(image(64, 64)), network(image(64, 64), valid=valid)
    torch.testing.assert_close(part["lesions"].maps, whole["lesions"].maps)
    assert not torch.equal(part["lesions"].logits, whole["lesions"].logits)


def test_unknown_and_impossible_task_names(network):
    with pytest.raises(ConfigError, match="did you mean 'grade'"):
        network(image(32, 32), ["grad"])
    encoder = build_encoder("efficientnet-lite0", "none")
    for name in ("a.b", "keys", ""):
        with pytest.raises(ConfigError, match="another name"):
            SharedEncoderNetwork(encoder, {name: ClassificationHead(encoder.channels, 1)})
    with pytest.raises(ConfigError, match="at least one"):
        SharedEncoderNetwork(encoder, {})


def test_channels_last_gives_the_same_numbers(network):
    with torch.no_grad():
        expected = network(image(64, 96))
        other = make().eval().to(memory_format=torch.channels_last)
        result = other(image(64, 96).contiguous(memory_format=torch.channels_last))
    for task in expected:
        torch.testing.assert_close(result[task], expected[task], atol=1e-4, rtol=1e-4)


def test_the_forward_is_one_graph(network):
    """No break in what torch.compile sees, so no data-dependent Python."""
    explained = torch._dynamo.explain(lambda x: network(x, ["lesions", "grade"]))(image(64, 64))
    assert explained.graph_break_count == 0
    torch._dynamo.reset()


def test_the_parts_of_another_network_that_fit_are_taken_and_the_others_stay(tmp_path):
    source, target = make(1), make(2)
    target.heads["grade"] = ClassificationHead(target.encoder.channels, 3)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    torch.save({"network": source.state_dict(), "step": 3}, tmp_path / "best.pt")
    taken, left = load_parts(target, tmp_path / "best.pt")
    assert left == ["heads.grade"]
    assert taken == ["encoder.network", "heads.lesions", "heads.vessels", "heads.fine"]
    for name, value in target.state_dict().items():
        expected = before[name] if name.startswith("heads.grade") else source.state_dict()[name]
        assert torch.equal(value, expected), name


def test_a_network_with_no_part_in_common_is_refused(tmp_path):
    torch.save({"encoder.network.other": torch.zeros(2)}, tmp_path / "best.pt")
    with pytest.raises(CheckpointError, match="no part of this network"):
        load_parts(make(), tmp_path / "best.pt")


def test_sub_models_start_from_the_encoder_that_a_shared_network_has_learned(tmp_path):
    source = make(1)
    torch.save({"network": source.state_dict()}, tmp_path / "best.pt")
    torch.manual_seed(2)
    encoders = {task: build_encoder("efficientnet-lite0", "none") for task in ("grade", "other")}
    channels = encoders["grade"].channels
    heads = {task: ClassificationHead(channels, 5) for task in encoders}
    target = CooperativeNetwork(encoders, heads)
    load_parts(target, tmp_path / "best.pt")
    for task in encoders:
        for name, value in target.encoder_of(task).state_dict().items():
            assert torch.equal(value, source.encoder.state_dict()[name]), (task, name)
