"""A forward pass whose layers are looked at: activations, gradients, and a network that is afterwards as it was.

The library's own recorder is not used: it pairs activations and gradients by their order alone, keeps growing while a
method calls the network again, runs the backward pass to the input and into the parameters' gradients, and its `with`
block swallows IndexError. Here hooks live for one forward pass, and gradients end at the layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from medmtl.errors import EvaluationError

Score = Callable[[Tensor, int], Tensor]
"""From logits (B, K) and a class to what is mapped, (B,)."""


def class_logit(logits: Tensor, channel: int) -> Tensor:
    """The class's logit, (B,), from logits (B, K)."""
    return logits[:, channel]


@dataclass(frozen=True, eq=False)
class Recorded:
    """One forward pass of a batch.

    Attributes:
        view: The network as logits.
        images: (B, 3, H, W).
        channel: The class that is looked at.
        layers: The layers.
        outputs: Each layer's output (B, C, h, w), in the graph; None for a layer that did not run.
        logits: (B, K), in the graph.
    """

    view: nn.Module
    images: Tensor
    channel: int
    layers: tuple[nn.Module, ...]
    outputs: tuple[Tensor | None, ...]
    logits: Tensor

    def of(self, channel: int | None) -> Recorded:
        """The same forward pass, for another class.

        Args:
            channel: The class; None where there is one logit.

        Raises:
            EvaluationError: There is no such class.
        """
        return replace(self, channel=_channel(self.logits, len(self.images), channel))

    def gradients(self, score: Score = class_logit, *, graph: bool = False, again: bool = False) -> list[Tensor | None]:
        """Gradients of the score by each layer's output, image by image; None where it does not act on the score.

        Args:
            score: What is mapped.
            graph: Give the gradients a graph, for second derivatives.
            again: Keep the pass's own graph, for the gradients of another class.
        """
        known = [output for output in self.outputs if output is not None]
        total = score(self.logits, self.channel).sum()  # images do not see each other: each gets its own gradient
        if not known or not total.requires_grad:
            return [None] * len(self.outputs)
        with torch.enable_grad():
            found = torch.autograd.grad(
                total, known, create_graph=graph, retain_graph=graph or again, allow_unused=True
            )
        gradients = iter(found)
        return [None if output is None else next(gradients) for output in self.outputs]


def record(
    view: nn.Module, images: Tensor, layers: Sequence[nn.Module], channel: int | None, *, all_layers: bool = True
) -> Recorded:
    """Runs the network once and keeps what the layers gave; the hooks are gone when it returns, also by an error.

    Args:
        view: A network that gives logits (B, K).
        images: (B, 3, H, W).
        layers: Modules of it.
        channel: The class; None where there is one logit.
        all_layers: Whether every layer must run.

    Raises:
        EvaluationError: The output is not logits, there is no such class, or a layer ran twice, not at all, or gives no
            (B, C, h, w).
    """
    kept: dict[int, Tensor] = {}
    handles = [layer.register_forward_hook(_keeper(kept, number)) for number, layer in enumerate(layers)]
    try:
        with torch.enable_grad():
            logits = view(images)
    finally:
        _remove(handles)
    chosen = _channel(logits, len(images), channel)
    if all_layers and len(kept) < len(layers):
        found = f"{len(layers)} layers, {len(kept)} outputs"
        raise EvaluationError("each target layer must act on the logit, once", found=found)
    outputs = tuple(kept.get(number) for number in range(len(layers)))
    return Recorded(view, images, chosen, tuple(layers), outputs, logits)


def _keeper(kept: dict[int, Tensor], number: int) -> Callable[[nn.Module, Any, Any], Tensor]:
    def keep(module: nn.Module, inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise EvaluationError("a target layer must give features (B, C, h, w)", found=found)
        if number in kept:
            raise EvaluationError("each target layer must act on the logit, once", found="a layer that runs twice")
        # Frozen parameters leave no graph before the layer: it begins here.
        kept[number] = output if output.requires_grad else output.detach().requires_grad_()
        return kept[number].clone()  # an in-place activation that follows must not change what was kept

    return keep


def _channel(logits: Any, images: int, channel: int | None) -> int:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != images:
        found = str(tuple(logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise EvaluationError("a map needs logits (B, classes)", found=found, remedy="take a one-task view")
    if channel is None and logits.shape[1] != 1:
        found = f"{logits.shape[1]} logits"
        raise EvaluationError("a map needs one logit an image", found=found, remedy="say which class (channel)")
    if not 0 <= (channel or 0) < logits.shape[1]:
        raise EvaluationError("the view has no such class", found=f"channel {channel} of {logits.shape[1]}")
    return channel or 0


def _remove(handles: Sequence[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


@contextmanager
def hooked(layer: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Holds a forward hook for as long as the block lasts, however it ends."""
    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def evaluating(view: nn.Module) -> Iterator[None]:
    """Puts all modules into evaluation mode, and each back into its own, however the block ends."""
    modes = {module: module.training for module in view.modules()}
    try:
        view.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
