from __future__ import annotations

import pytest
import torch
from torch import nn

from medmtl.models import ClassificationHead, SegmentationHead, SharedEncoderNetwork, build_encoder, frozen_buffers


def make() -> SharedEncoderNetwork:
    torch.manual_seed(0)
    encoder = build_encoder("efficientnet-lite0", "none", batch_norm_momentum=0.1)
    heads = {"grade": ClassificationHead(encoder.channels, 2), "mask": SegmentationHead(encoder.channels, 1)}
    return SharedEncoderNetwork(encoder, heads)


def buffers(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.named_buffers()}


def unchanged(module: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, before[name]) for name, tensor in module.named_buffers())


def image(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_no_buffer_changes_by_a_bit(scale):
    network = make().train()
    before = buffers(network)
    assert any(name.endswith("num_batches_tracked") for name in before)
    with frozen_buffers(network):
        network(image(scale))
    assert unchanged(network, before)


def test_outside_the_buffers_move_again():
    network = make().train()
    with pytest.raises(RuntimeError, match="inside"), frozen_buffers(network):
        raise RuntimeError("inside")
    before = buffers(network)
    network(image())
    moved = [n for n, t in network.named_buffers() if n.endswith("num_batches_tracked") and t == before[n] + 1]
    assert len(moved) == sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert not unchanged(network, before)


@pytest.mark.parametrize("training", [True, False])
def test_the_output_and_gradient_are_those_of_the_mode(training):
    results = []
    for frozen in (False, True):
        network = make().train(training)
        torch.manual_seed(7)  # the same stochastic depth
        if frozen:
            with frozen_buffers(network):
                output = network(image())["grade"]
        else:
            output = network(image())["grade"]
        output.sum().backward()
        results.append((output, network.encoder.network._conv_stem.weight.grad))
    for plain, frozen in zip(*results, strict=True):
        assert torch.equal(plain, frozen)


def test_evaluation_mode_still_uses_the_running_statistics():
    layer = nn.BatchNorm2d(3)
    layer.running_mean.fill_(5.0)
    layer.eval()
    x = image()
    with frozen_buffers(layer):
        assert torch.equal(
            layer(x), nn.functional.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)
        )


def test_instance_norm_that_tracks_is_held_too():
    layer = nn.InstanceNorm2d(3, track_running_stats=True).train()
    before = buffers(layer)
    with frozen_buffers(layer):
        layer(image())
    assert unchanged(layer, before)
    layer(image())
    assert not unchanged(layer, before)
