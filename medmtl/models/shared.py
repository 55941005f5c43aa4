"""One encoder, a head for each task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from medmtl.errors import ConfigError, suggestion
from medmtl.models.encoders import Encoder
from medmtl.models.heads import Head
from medmtl.models.normalization import ImageNetNormalization


class SharedEncoderNetwork(nn.Module):
    """Hard parameter sharing: all tasks read one feature pyramid.

    Args:
        encoder: The shared encoder.
        heads: Task name to head.

    Raises:
        ConfigError: No head, or a task name that torch cannot hold.
    """

    def __init__(self, encoder: Encoder, heads: Mapping[str, Head]) -> None:
        super().__init__()
        self.normalize = ImageNetNormalization()
        self.encoder = encoder
        self.heads = task_modules(heads)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names, in the order in which they were given."""
        return tuple(self.heads)

    def forward(
        self, image: Tensor, tasks: Sequence[str] | None = None, *, valid: Tensor | None = None
    ) -> dict[str, Any]:
        """Computes the outputs of the tasks asked for, and only the encoder levels that these need.

        Args:
            image: RGB in [0, 1], (B, 3, H, W), any size.
            tasks: Task names; None for all.
            valid: Field of view (B, 1, H, W), boolean or 0/1; None where all pixels count.

        Returns:
            Each task's output: logits (B, C), logits (B, C, H, W), or ``ClassMaps``.

        Raises:
            ConfigError: A task is not known.
        """
        asked = known_tasks(self.heads, tasks)
        if not asked:
            return {}
        size = (image.shape[-2], image.shape[-1])
        return self.outputs(self.features(image, asked), asked, size, valid=valid)

    def features(self, image: Tensor, tasks: Sequence[str] | None = None) -> list[Tensor]:
        """Computes the encoder levels that the tasks asked for need, finest first: the first half of `forward`.

        Args:
            image: RGB in [0, 1], (B, 3, H, W), any size.
            tasks: Task names, at least one; None for all.

        Raises:
            ConfigError: A task is not known.
        """
        levels = max(self.levels_of(task) for task in known_tasks(self.heads, tasks))
        features: list[Tensor] = self.encoder(self.normalize(image), levels)
        return features

    def outputs(
        self, features: Sequence[Tensor], tasks: Sequence[str], size: tuple[int, int], *, valid: Tensor | None = None
    ) -> dict[str, Any]:
        """Computes the outputs of the tasks from features of `features`: the second half of `forward`.

        Args:
            features: The encoder levels.
            tasks: Task names.
            size: Height and width of the image.
            valid: As in `forward`.
        """
        return {task: self.heads[task](features, size, valid) for task in tasks}

    def encoder_of(self, task: str) -> Encoder:
        """The encoder that a task reads: the shared one for each."""
        known_tasks(self.heads, [task])
        return self.encoder

    def levels_of(self, task: str) -> int:
        """How many encoder levels a task needs."""
        return int(self.heads[task].levels)  # type: ignore[arg-type]

    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters that every task moves."""
        return list(self.encoder.parameters())

    def task_parameters(self, task: str) -> list[nn.Parameter]:
        """The parameters that one task alone moves."""
        known_tasks(self.heads, [task])
        return list(self.heads[task].parameters())


def task_modules(modules: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """Modules by task name.

    Raises:
        ConfigError: There is none, or torch cannot hold a module of that name.
    """
    if not modules:
        raise ConfigError("a network needs at least one task")
    held = nn.ModuleDict()
    for task, module in modules.items():
        try:
            held.add_module(task, module)
        except KeyError as error:
            remedy = "choose another name, of letters, digits and underscores"
            raise ConfigError("a task cannot have this name", found=f"'{task}'", remedy=remedy) from error
    return held


def known_tasks(known: Iterable[str], asked: Sequence[str] | None) -> tuple[str, ...]:
    """The tasks asked for, or all; refuses one that is not known.

    Raises:
        ConfigError: A task is not known.
    """
    names = tuple(known)
    for task in asked or ():
        if task not in names:
            raise ConfigError("unknown task", found=f"'{task}'", remedy=suggestion(task, names))
    return names if asked is None else tuple(asked)
