"""The methods that run the network again: once a feature channel, with the image masked or the channel removed.

Own code, because the library holds all channels at the image's size at once (gigabytes at 1024 pixels), replaces the
target layer inside the network and leaves it there after an error, and draws progress bars. Tests hold both against it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from medmtl.explanation.cam.recording import Recorded, hooked

AT_ONCE = 8
"""Images of one forward pass."""


@torch.no_grad()
def score_weights(record: Recorded, number: int) -> Tensor:
    """Softmax over channels of the logits of the image seen through each channel (Wang et al. 2020, arXiv 1910.01279).

    The mask is the channel at the image's size, stretched to 0 to 1: that belongs to the method.

    Args:
        record: The forward pass.
        number: Which of its layers.

    Returns:
        (B, C), each row's sum 1.
    """
    features = _features(record, number)
    size = record.images.shape[-2:]
    rows = []
    for image, channels in zip(record.images, features, strict=True):
        logits = []
        for part in channels.split(AT_ONCE):
            masks = F.interpolate(part[:, None], size=size, mode="bilinear", align_corners=True)
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            logits.append(record.view(image * (masks - low) / (high - low + 1e-8))[:, record.channel])
        rows.append(torch.cat(logits).softmax(0))
    return torch.stack(rows)


@torch.no_grad()
def ablation_weights(record: Recorded, number: int) -> Tensor:
    """How much the logit falls when a channel is set to zero (Desai and Ramaswamy 2020, WACV, section 3).

    The paper divides by the logit, which turns the map over where the logit is negative; the library further replaces
    features that are nowhere zero by -10^7. Neither is done here: the weight is the fall in logits.

    Args:
        record: The forward pass.
        number: Which of its layers.

    Returns:
        (B, C), logits.
    """
    features = _features(record, number)
    rows = []
    for image, channels, logits in zip(record.images, features, record.logits, strict=True):
        left = [_without(record, number, image, channels, part) for part in torch.arange(len(channels)).split(AT_ONCE)]
        rows.append(logits[record.channel] - torch.cat(left))
    return torch.stack(rows)


def _without(record: Recorded, number: int, image: Tensor, channels: Tensor, removed: Tensor) -> Tensor:
    replaced = channels.repeat(len(removed), 1, 1, 1)
    replaced[torch.arange(len(removed)), removed] = 0.0
    with hooked(record.layers[number], _giving(replaced)):
        logits: Tensor = record.view(image.expand(len(removed), *image.shape))
    return logits[:, record.channel]


def _giving(output: Tensor) -> Callable[[Any, Any, Any], Tensor]:
    return lambda module, inputs, given: output.clone()


def _features(record: Recorded, number: int) -> Tensor:
    output = record.outputs[number]
    assert output is not None  # noqa: S101  record() refuses a layer that did not run
    return output.detach()
