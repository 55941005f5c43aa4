"""A sub-model for each task that reads the others' features: the tracer of the cooperative methods.

An MTCL-style reconstruction after Wu et al., arXiv 2309.12090, from its abstract; nothing here was checked against the
paper's own equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmtl.errors import ConfigError
from medmtl.models.encoders import Encoder
from medmtl.models.heads import Head
from medmtl.models.normalization import ImageNetNormalization
from medmtl.models.shared import known_tasks, task_modules


class BottleneckFusion(nn.Module):
    """Adds a linear image of the other tasks' pooled features to every cell of one's own deepest feature.

    Args:
        own: Channels of the own deepest feature.
        others: Channels of the others' deepest features, by task.
    """

    def __init__(self, own: int, others: Mapping[str, int]) -> None:
        super().__init__()
        layers = {task: nn.Linear(channels, own, bias=False) for task, channels in others.items()}
        for layer in layers.values():
            nn.init.normal_(layer.weight, std=0.01)
        self.project = nn.ModuleDict(layers)

    def forward(self, features: Sequence[Tensor], others: Mapping[str, Tensor]) -> list[Tensor]:
        """Gives the features with the deepest replaced; ``others`` holds exchanged vectors (B, channels)."""
        deepest = features[-1]
        for task, vector in others.items():
            deepest = deepest + self.project[task](vector)[:, :, None, None]
        return [*features[:-1], deepest]


class CooperativeNetwork(nn.Module):
    """Own encoder and head per task; head i reads own features and, held fixed, those of the others.

    Args:
        encoders: Task name to encoder; no module may be used twice.
        heads: Task name to head, for the same tasks.

    Raises:
        ConfigError: The tasks of encoders and heads differ, or a name cannot be held.
    """

    def __init__(self, encoders: Mapping[str, Encoder], heads: Mapping[str, Head]) -> None:
        super().__init__()
        if set(encoders) != set(heads):
            found = f"encoders for {sorted(encoders)}, heads for {sorted(heads)}"
            raise ConfigError("every task needs an encoder and a head of its own", found=found)
        self.normalize = ImageNetNormalization()
        self.encoders = task_modules(encoders)
        self.heads = task_modules(heads)
        depth = {task: encoders[task].channels[heads[task].levels - 1] for task in heads}
        self.fusion = task_modules({task: BottleneckFusion(depth[task], _without(depth, task)) for task in heads})

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names, in the order in which the heads were given."""
        return tuple(self.heads)

    def encode(self, image: Tensor, task: str) -> list[Tensor]:
        """Features of one task's own encoder, finest first, from RGB in [0, 1], (B, 3, H, W)."""
        known_tasks(self.heads, [task])
        return self.encoders[task](self.normalize(image), self.levels_of(task))  # type: ignore[no-any-return]

    def exchange(self, features: Sequence[Tensor]) -> Tensor:
        """What a task lets the others see: its deepest feature, averaged, normalized and without gradient.

        Layer normalization without learned scale gives a radius of perturbation one meaning for all tasks. The result
        is a leaf: a method may perturb it or ask for the loss's gradient in it.

        Args:
            features: As ``encode`` gives them.

        Returns:
            (B, channels).
        """
        vector = features[-1].detach().float().mean((2, 3))
        return F.layer_norm(vector, vector.shape[1:])

    def predict(
        self,
        task: str,
        own: Sequence[Tensor],
        others: Mapping[str, Tensor | Sequence[Tensor]],
        size: tuple[int, int] | None = None,
        *,
        valid: Tensor | None = None,
    ) -> Any:
        """One task's output from own features and the others'.

        Args:
            task: The task.
            own: As ``encode(image, task)`` gives them.
            others: By task, either features as ``encode`` gives them, or the vector that ``exchange`` makes of them,
                perturbed or not (its gradient is kept). A task that is left out adds nothing.
            size: Height and width of the image; None takes twice the finest feature's.
            valid: Field of view (B, 1, H, W), boolean or 0/1.
        """
        known_tasks(self.heads, [task, *others])
        vectors = {name: z if isinstance(z, Tensor) else self.exchange(z) for name, z in others.items()}
        fused = self.fusion[task](own, vectors)
        extent = size or (2 * own[0].shape[-2], 2 * own[0].shape[-1])
        return self.heads[task](fused, extent, valid)

    def forward(
        self, image: Tensor, tasks: Sequence[str] | None = None, *, valid: Tensor | None = None
    ) -> dict[str, Any]:
        """Outputs of the tasks asked for; the encoders of the others run too, without gradient.

        Args:
            image: RGB in [0, 1], (B, 3, H, W), any size.
            tasks: Task names; None for all.
            valid: Field of view (B, 1, H, W), boolean or 0/1.

        Raises:
            ConfigError: A task is not known.
        """
        asked = known_tasks(self.heads, tasks)
        if not asked:
            return {}
        features = {task: self._encode(image, task, gradient=task in asked) for task in self.tasks}
        vectors = {task: self.exchange(own) for task, own in features.items()}
        size = (image.shape[-2], image.shape[-1])
        return {task: self.predict(task, features[task], _without(vectors, task), size, valid=valid) for task in asked}

    def encoder_of(self, task: str) -> Encoder:
        """The task's own encoder."""
        known_tasks(self.heads, [task])
        return self.encoders[task]  # type: ignore[return-value]

    def levels_of(self, task: str) -> int:
        """How many encoder levels a task needs."""
        return int(self.heads[task].levels)  # type: ignore[arg-type]

    def parameters_of(self, task: str) -> list[nn.Parameter]:
        """The parameters of one sub-model: encoder, fusion and head."""
        known_tasks(self.heads, [task])
        parts = (self.encoders[task], self.fusion[task], self.heads[task])
        return [parameter for part in parts for parameter in part.parameters()]

    def _encode(self, image: Tensor, task: str, *, gradient: bool) -> list[Tensor]:
        with torch.set_grad_enabled(gradient and torch.is_grad_enabled()):
            return self.encode(image, task)


def _without(table: Mapping[str, Any], task: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != task}
