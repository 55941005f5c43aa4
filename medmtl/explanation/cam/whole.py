"""The methods that are no map of a layer: all biases together, and windows at many scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medmtl.explanation.cam.layered import Floats, Maps, Request, each_class, resized
from medmtl.explanation.cam.recording import record

WINDOWS_AT_ONCE = 4


def full_gradient(request: Request, channel: int | None) -> Floats:
    """FullGrad, Srinivas and Fleuret 2019, arXiv 1905.00780: the input's and every bias's share of the logit.

    The absolute shares, as densities: the mean over the image is the sum of the shares' sizes. The paper stretches each
    share to 0 to 1 before it adds them up, and the library each channel of it; here they keep their size. What the
    network's own color normalization subtracts is not counted, and the target layers are not asked.
    """
    from pytorch_grad_cam import FullGrad

    images = request.images.detach().clone().requires_grad_()
    layers = [layer for layer in request.view.modules() if _biased(layer)]
    seen = record(request.view, images, layers, channel, all_layers=False)
    inputs = torch.autograd.grad(_logit(seen.logits, seen.channel), images, retain_graph=True, allow_unused=True)[0]
    total = np.zeros((len(images), *images.shape[-2:]), dtype=np.float32)
    if inputs is not None:
        total += _density((inputs * images).abs())
    for layer, gradient in zip(layers, seen.gradients(), strict=True):
        if gradient is not None:
            bias = FullGrad.get_bias_data(None, layer)[None, :, None, None]
            total += resized(_density((gradient * bias).abs()), images)
    return total


def _biased(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | nn.BatchNorm2d) and layer.bias is not None


def _logit(logits: Tensor, channel: int) -> Tensor:
    return logits[:, channel].sum()


def _density(shares: Tensor) -> Floats:
    """Shares by place (B, C, h, w) as maps (B, h, w) whose mean is the shares' sum."""
    return np.asarray(shares.detach().sum(1).cpu().numpy() * (shares.shape[-2] * shares.shape[-1]), dtype=np.float32)


class _Patches:
    """What SESS takes for a method: maps of patches, here on their absolute scale."""

    def __init__(self, maps: Maps, request: Request, channel: int) -> None:
        self.maps, self.request = maps, replace(request, channels=(channel,))
        self.model = request.view
        self.device = request.images.device
        self.activations_and_grads = self

    def release(self) -> None:
        """Nothing to release: hooks do not outlive a forward pass."""

    def __call__(self, patches: Tensor, targets: Sequence[Any], *, eigen_smooth: bool = False) -> Floats:
        return self.maps(replace(self.request, images=patches))[0]


def enhanced(maps: Maps) -> Maps:
    """SESS, arXiv 2207.01769: a method on windows of the image at twelve scales, averaged where they see something.

    A window's weight is the sigmoid of its logit relative to the image's highest: that belongs to the method. The
    windows' maps keep their absolute scale, which the library stretches to 0 to 1.

    Args:
        maps: The method.
    """

    def whole(request: Request, channel: int | None) -> Floats:
        from pytorch_grad_cam import SESS

        known = channel or 0
        sess = SESS(
            request.view,
            [],
            base_method=lambda view, layers, reshape: _Patches(maps, request, known),
            use_softmax_scores=False,  # a task's classes need not exclude each other
            batch_size=WINDOWS_AT_ONCE,
        )
        found = [sess.forward_single_image(one[None], lambda out: out[:, known].sigmoid()) for one in request.images]
        return np.stack([np.asarray(one, dtype=np.float32) for one in found])

    return each_class(whole)
