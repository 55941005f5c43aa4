"""Image normalization inside the network, so that no caller can forget or double it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageNetNormalization(nn.Module):
    """From RGB in [0, 1] to zero mean and unit variance over ImageNet, (B, 3, H, W) to the same shape."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        # constants of the code: they move with the module, and are no part of a checkpoint
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Normalizes a batch."""
        return (image - self.mean) / self.std
