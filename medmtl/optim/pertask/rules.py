"""The arithmetic of one task's update on lists of tensors: moments, their inverse, normalization. All in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Form:
    """What a form of the update keeps for each (task, parameter).

    Attributes:
        first: A moving mean of the gradient, with decay ``betas[0]``.
        second: A moving mean of the squared gradient of every coordinate, with decay ``betas[1]``.
        corrected: The means are freed from their bias towards zero.
    """

    first: bool
    second: bool
    corrected: bool


FORMS = {
    "adam": Form(first=True, second=True, corrected=True),
    "adamw": Form(first=True, second=True, corrected=True),
    "rmsprop": Form(first=False, second=True, corrected=False),
    "normalized_sgd": Form(first=True, second=False, corrected=True),
}

Betas = tuple[float, float]


def advance(
    gradients: Sequence[Tensor], first: Sequence[Tensor] | None, second: Sequence[Tensor] | None, betas: Betas
) -> None:
    """Moves the moments of one task on by its gradients, with the operations and rounding of torch's Adam."""
    if first is not None:
        torch._foreach_lerp_(list(first), list(gradients), 1 - betas[0])
    if second is not None:
        torch._foreach_mul_(list(second), betas[1])
        torch._foreach_addcmul_(list(second), list(gradients), list(gradients), 1 - betas[1])


def retreat(
    gradients: Sequence[Tensor], first: Sequence[Tensor] | None, second: Sequence[Tensor] | None, betas: Betas
) -> None:
    """Takes `advance` back: m ← (m - (1-b₁) g) / b₁ and v ← max(0, (v - (1-b₂) g²) / b₂).

    Exact but for rounding relative to the larger of old moment and gradient. A moment whose decay is 0 forgets its
    past at the next step anyway and stays.
    """
    if first is not None and betas[0]:
        torch._foreach_add_(list(first), list(gradients), alpha=betas[0] - 1)
        torch._foreach_div_(list(first), betas[0])
    if second is not None and betas[1]:
        torch._foreach_addcmul_(list(second), list(gradients), list(gradients), betas[1] - 1)
        torch._foreach_div_(list(second), betas[1])
        torch._foreach_clamp_min_(list(second), 0.0)


def correction(beta: float, step: int, *, corrected: bool) -> float:
    """1 - betaᵗ, or 1 for a form without correction."""
    return 1 - beta**step if corrected else 1.0


def denominators(
    form: Form,
    numerators: Sequence[Tensor],
    second: Sequence[Tensor] | None,
    steps: Sequence[int],
    biases: Sequence[float],
    beta: float,
    eps: float,
) -> list[Tensor]:
    """What a task's numerators are divided by: √v̂ + eps of every coordinate, or a parameter's norm + eps.

    Args:
        form: The form.
        numerators: Gradients or first moments, whole parameters for a form without second moments.
        second: Second moments, where the form has them.
        steps: Step counters.
        biases: What the numerators are divided by to free them from their bias.
        beta: Decay of the second moments.
        eps: Added outside the root.

    Returns:
        New tensors; of one number each for a form without second moments.
    """
    if second is None:
        norms = [torch.linalg.vector_norm(numerator) for numerator in numerators]
        return [norm / bias + eps for norm, bias in zip(norms, biases, strict=True)]
    roots = list(torch._foreach_sqrt(list(second)))
    if form.corrected:
        torch._foreach_div_(roots, [correction(beta, step, corrected=True) ** 0.5 for step in steps])
    torch._foreach_add_(roots, eps)
    return roots
