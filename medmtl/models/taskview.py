"""One task of a network as a plain classifier, which is all that class-activation libraries understand."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from medmtl.errors import ConfigError
from medmtl.models.heads import ClassMaps
from medmtl.models.pooling import mean


class TaskView(nn.Module):
    """Image in, one tensor of logits out.

    The logits of a segmentation are averaged over the field of view, those of class maps are pooled over it. Without a
    field, and for images of another size than the field's (windows of the image), that is the whole image.

    Example:
        ``GradCAM(view, view.target_layers())(image, [ClassifierOutputTarget(0)])`` with pytorch-grad-cam.

    Args:
        network: A medmtl network: ``forward(image, tasks)`` gives a dict.
        task: The task.
        channel: One class of it; None for all.
        field: Field of view of the image, (1, 1, H, W), boolean or 0/1; with it the logits are those of a prediction.
    """

    def __init__(
        self, network: nn.Module, task: str, channel: int | None = None, *, field: Tensor | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.channel = channel
        self.field = field

    def forward(self, image: Tensor) -> Tensor:
        """From RGB in [0, 1], (B, 3, H, W), to logits (B, C), or (B, 1) for one channel.

        Raises:
            ConfigError: The task has no such channel.
        """
        valid = self._field_of(image)
        named = {} if valid is None else {"valid": valid}
        logits = image_logits(self.network(image, [self.task], **named)[self.task], valid)
        if self.channel is None:
            return logits
        if not 0 <= self.channel < logits.shape[1]:
            found = f"channel {self.channel} of {logits.shape[1]}"
            raise ConfigError("the task has no such channel", where=self.task, found=found)
        return logits[:, self.channel : self.channel + 1]

    def _field_of(self, image: Tensor) -> Tensor | None:
        if self.field is None or self.field.shape[-2:] != image.shape[-2:]:
            return None
        return self.field.to(image.device).expand(len(image), -1, -1, -1)

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


def image_logits(output: Any, valid: Tensor | None = None) -> Tensor:
    """One logit a class and image, (B, C), from any task's output.

    Args:
        output: What the network gives for the task.
        valid: Field of view (B, 1, H, W), boolean or 0/1, over which the logits of a segmentation are averaged; None,
            or empty, for the whole image.
    """
    if isinstance(output, ClassMaps):
        return output.logits
    tensor: Tensor = output
    if tensor.ndim < 4:
        return tensor
    return tensor.mean((2, 3)) if valid is None else mean(tensor, valid.bool())
