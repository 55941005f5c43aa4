"""One task of a network as a plain classifier, which is all that class-activation libraries understand."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from medmtl.errors import ConfigError
from medmtl.models.heads import ClassMaps


class TaskView(nn.Module):
    """Image in, one tensor of logits out.

    The logits of a segmentation are averaged over the image, those of class maps are the pooled ones.

    Example:
        ``GradCAM(view, view.target_layers())(image, [ClassifierOutputTarget(0)])`` with pytorch-grad-cam.

    Args:
        network: A medmtl network: ``forward(image, tasks)`` gives a dict.
        task: The task.
        channel: One class of it; None for all.
    """

    def __init__(self, network: nn.Module, task: str, channel: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.channel = channel

    def forward(self, image: Tensor) -> Tensor:
        """From RGB in [0, 1], (B, 3, H, W), to logits (B, C), or (B, 1) for one channel.

        Raises:
            ConfigError: The task has no such channel.
        """
        logits = image_logits(self.network(image, [self.task])[self.task])
        if self.channel is None:
            return logits
        if not 0 <= self.channel < logits.shape[1]:
            found = f"channel {self.channel} of {logits.shape[1]}"
            raise ConfigError("the task has no such channel", where=self.task, found=found)
        return logits[:, self.channel : self.channel + 1]

    def target_layers(self, level: int | None = None) -> list[nn.Module]:
        """The module whose output a class-activation method looks at, for its ``target_layers``.

        Args:
            level: The encoder level, from 1; None for what the task's head reads: the levels that it fuses, where it
                fuses some (the deepest level alone is a part of them), else the deepest level.
        """
        merged = None if level else self.network.heads[self.task].merged()  # type: ignore[index, union-attr]
        if merged is not None:
            return [merged]
        chosen = level or self.network.levels_of(self.task)  # type: ignore[operator]
        stages = self.network.encoder_of(self.task).stages()  # type: ignore[operator]
        return [stages[chosen - 1][-1]]


def image_logits(output: Any) -> Tensor:
    """One logit a class and image, (B, C), from any task's output."""
    if isinstance(output, ClassMaps):
        return output.logits
    tensor: Tensor = output
    return tensor.mean((2, 3)) if tensor.ndim == 4 else tensor
