"""A sub-model for each task that reads the others' features.

An MTCL-style reconstruction after Wu et al., arXiv 2309.12090, from its abstract; nothing here was checked against the
paper's own equations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from medmtl.errors import ConfigError
from medmtl.models.encoders import Encoder
from medmtl.models.fusion import Exchanged, Fusion, exchanged
from medmtl.models.heads import Head
from medmtl.models.normalization import ImageNetNormalization
from medmtl.models.shared import known_tasks, task_modules

Lenders = Literal["trained", "untrained", "random", "shuffled", "none"]


class CooperativeNetwork(nn.Module):
    """Own encoder and head per task; head i reads own features and those of the others.

    A forward pass keeps the graph into the encoders that lend, so that its losses train all of it as one network. Whoever
    holds the others fixed takes their features by `lend`, as methods that take turns do.

    Args:
        encoders: Task name to encoder; no module may be used twice.
        heads: Task name to head, for the same tasks.
        scales: ``bottleneck``: the deepest level is exchanged; ``all``: every level.
        form: ``map``: features keep their place in the image; ``vector``: they are averaged over it.
        lenders: Whose features the others see: the ``trained`` encoders'; four controls: ``untrained`` copies of the
            first weights (those of a pretrained encoder are not random); copies with ``random`` weights; ``shuffled``,
            where evaluation lends each image the features of another one; and ``none``, a network for each task by
            itself.

    Raises:
        ConfigError: The tasks of encoders and heads differ, or a name cannot be held.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        heads: Mapping[str, Head],
        *,
        scales: str = "bottleneck",
        form: str = "map",
        lenders: Lenders = "trained",
    ) -> None:
        super().__init__()
        if set(encoders) != set(heads):
            found = f"encoders for {sorted(encoders)}, heads for {sorted(heads)}"
            raise ConfigError("every task needs an encoder and a head of its own", found=found)
        self.normalize = ImageNetNormalization()
        self.encoders = task_modules(encoders)
        self.heads = task_modules(heads)
        self.scales, self.form, self.lenders = scales, form, lenders
        shown = {task: encoders[task].channels[: heads[task].levels] for task in heads}
        others = {task: {} if lenders == "none" else _without(shown, task) for task in heads}
        self.fusion = task_modules({task: Fusion(shown[task], others[task], scales) for task in heads})
        copies = _frozen_copies(encoders) if lenders in ("untrained", "random") else {}
        self.untrained = nn.ModuleDict(copies)
        if lenders == "random":
            self.untrained.apply(_randomize)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names, in the order in which the heads were given."""
        return tuple(self.heads)

    def encode(self, image: Tensor, task: str) -> list[Tensor]:
        """Features of one task's own encoder, finest first, from RGB in [0, 1], (B, 3, H, W)."""
        known_tasks(self.heads, [task])
        return self.encoders[task](self.normalize(image), self.levels_of(task))  # type: ignore[no-any-return]

    def lend_with(self, image: Tensor, task: str, weights: Mapping[str, Tensor]) -> Exchanged:
        """What a task would show with some of its encoder's parameters replaced, with their graph.

        Args:
            image: RGB in [0, 1], (B, 3, H, W).
            task: The task.
            weights: By the encoder's own parameter names; the rest stays as it is.
        """
        call = (self.normalize(image), self.levels_of(task))
        return self.exchange(torch.func.functional_call(self.encoders[task], dict(weights), call))

    def exchange(self, features: Sequence[Tensor]) -> Exchanged:
        """What a task lets the others see: normalized features of the exchanged levels, with their graph.

        Args:
            features: As ``encode`` gives them.

        Returns:
            Per level, coarsest last: (B, channels, h, w), or (B, channels, 1, 1) for vectors; none without lenders.
        """
        return [] if self.lenders == "none" else exchanged(features, self.scales, self.form)

    def lend(self, image: Tensor, task: str) -> Exchanged:
        """What a task shows to the others for these images, without gradient."""
        with torch.no_grad():
            return self._shown(image, task, {})

    def predict(
        self,
        task: str,
        own: Sequence[Tensor],
        others: Mapping[str, Exchanged],
        size: tuple[int, int] | None = None,
        *,
        valid: Tensor | None = None,
    ) -> Any:
        """One task's output from own features and the others'.

        Args:
            task: The task.
            own: As ``encode(image, task)`` gives them.
            others: By task, what ``exchange`` makes of its features, perturbed or not (its gradient is kept). A task
                that is left out adds nothing.
            size: Height and width of the image; None takes twice the finest feature's.
            valid: Field of view (B, 1, H, W), boolean or 0/1.
        """
        known_tasks(self.heads, [task, *others])
        fused = self.fusion[task](own, {} if self.lenders == "none" else others)
        extent = size or (2 * own[0].shape[-2], 2 * own[0].shape[-1])
        return self.heads[task](fused, extent, valid)

    def forward(
        self, image: Tensor, tasks: Sequence[str] | None = None, *, valid: Tensor | None = None
    ) -> dict[str, Any]:
        """Outputs of the tasks asked for; the encoders of the others run too, and lend with their graph.

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
        features = {task: self.encode(image, task) for task in asked}
        shown = {task: self._shown(image, task, features) for task in self.tasks} if len(self.tasks) > 1 else {}
        size = (image.shape[-2], image.shape[-1])
        return {task: self.predict(task, features[task], _without(shown, task), size, valid=valid) for task in asked}

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

    def _shown(self, image: Tensor, task: str, features: Mapping[str, Sequence[Tensor]]) -> Exchanged:
        """What a task shows, from its features where they are there: the same encoder on the same image once is enough."""
        if self.lenders == "none":
            return []
        if task in self.untrained:
            with torch.no_grad():
                copy = self.untrained[task].eval()
                return self.exchange(copy(self.normalize(image), self.levels_of(task)))
        shown = self.exchange(features[task] if task in features else self.encode(image, task))
        return [_shuffled(level) for level in shown] if self.lenders == "shuffled" and not self.training else shown


def _frozen_copies(encoders: Mapping[str, Encoder]) -> dict[str, Encoder]:
    copies = {task: deepcopy(encoder) for task, encoder in encoders.items()}
    for copy in copies.values():
        copy.requires_grad_(requires_grad=False)
    return copies


def _randomize(module: nn.Module) -> None:
    """Draws the weights of one layer anew; running statistics start over, which nothing will move.

    He's initialization, not PyTorch's own: without statistics of its own to divide by, a deep encoder would lend zeros.
    """
    if callable(reset := getattr(module, "reset_parameters", None)):
        reset()
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _shuffled(level: Tensor) -> Tensor:
    """Each image gets the features of the one before it; one that is alone gets none."""
    return level.roll(1, 0) if len(level) > 1 else torch.zeros_like(level)


def _without(table: Mapping[str, Any], task: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != task}
