"""Padding for strided convolutions: any input size, and a cell that always covers the same pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class StridePadding(nn.Module):
    """Zero padding before a convolution of stride 2, so that the output has ``ceil(size / 2)`` cells.

    For even sizes this is TensorFlow's 'same' padding, for which the public EfficientNet weights were trained. An odd
    size gets one more zero row or column at the bottom or right, where TensorFlow would shift the whole grid: so cell
    ``i`` of a level covers the same pixels whatever the size of the image.

    Args:
        kernel_size: Side of the square kernel.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        total = max(kernel_size - 2, 0)
        self.before = total // 2
        self.after = total - self.before

    def forward(self, x: Tensor) -> Tensor:
        """Pads (B, C, H, W) at all four sides."""
        height, width = x.shape[-2:]
        return F.pad(x, (self.before, self.after + width % 2, self.before, self.after + height % 2))


def pad_to(x: Tensor, height: int, width: int) -> Tensor:
    """Pads (B, C, h, w) with zeros at the bottom and right to (B, C, height, width)."""
    missing = (0, width - x.shape[-1], 0, height - x.shape[-2])
    return F.pad(x, missing) if any(missing) else x
