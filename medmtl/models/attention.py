"""Attention pooling: cells are weighted by what the features say of their importance, for each class on its own.

Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning", ICML 2018, arXiv 1802.04712, equation 9
(gated). There the weights pool features; here they pool the map of logits, so that the map keeps its unit and its
weighted mean is the image's logit. A cell with little weight is hardly trained: its logit says little.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medmtl.models.pooling import counting_cells


class GatedAttention(nn.Module):
    """Scores of the cells, w_c · (tanh(V h) ⊙ sigmoid(U h)) for class c; an untrained one is nearly the mean.

    Args:
        channels: Channels of the features h.
        classes: Number of classes.
        width: Rows of V and U.
    """

    def __init__(self, channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.value = nn.Conv2d(channels, width, 1)
        self.gate = nn.Conv2d(channels, width, 1)
        self.output = nn.Conv2d(width, classes, 1, bias=False)
        nn.init.normal_(self.output.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """From features (B, channels, h, w) to scores (B, classes, h, w), of any sign."""
        return self.output(torch.tanh(self.value(features)) * torch.sigmoid(self.gate(features)))  # type: ignore[no-any-return]


def attention_weights(scores: Tensor, valid: Tensor | None = None) -> Tensor:
    """Softmax of scores (B, C, h, w) over the cells that count: (B, C, h, w), 0 outside, summing to 1 in float32.

    Args:
        scores: Of any sign.
        valid: Cells that count (B, 1, h, w), boolean; an image without any is weighted over all its cells.
    """
    flat = scores.float().flatten(2)
    if valid is not None:
        flat = flat.masked_fill(~counting_cells(valid), -torch.inf)
    return flat.softmax(2).view(scores.shape)


def attend(maps: Tensor, scores: Tensor, valid: Tensor | None = None) -> Tensor:
    """Weighted mean of maps (B, C, h, w), (B, C), with the weights of `attention_weights`."""
    return (attention_weights(scores, valid) * maps.float()).flatten(2).sum(2)
