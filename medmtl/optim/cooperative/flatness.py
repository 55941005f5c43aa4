"""Perturbations of features or weights under which a loss should stay flat: pure functions on lists of tensors.

A *reconstruction* (`methods.md`-style section names in brackets): Wu et al., arXiv 2309.12090, say that flat minima are
sought with regard to the features of the other tasks; the noise law and the ball are ours. Ascent follows SAM (Foret
et al., ICLR 2021) and ASAM (Kwon et al., ICML 2021), carried over from weights to features.

Every tensor is (n, ...); a sample is a row, and all tensors of one call hold the same samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_SIZE = 0.01
"""Smallest root mean square that a tensor counts with in a box: one of zeros, as biases begin, could never move."""

_TINY = 1e-12


def ascent(tensors: Sequence[Tensor], gradients: Sequence[Tensor], radius: float, *, relative: bool) -> list[Tensor]:
    """The ascent step on the ball Σ_j ‖ε_j‖²/c_j² ≤ radius², per sample: ε_j = ρ c_j² g_j / √(Σ_k c_k² ‖g_k‖²).

    Args:
        tensors: Features z_j.
        gradients: Gradients g_j of the sum of the per-sample losses, of the same shapes.
        radius: ρ; with ``relative`` a share of each feature's own norm.
        relative: c_j = ‖z_j‖ of the sample, else 1.

    Returns:
        ε_j, detached; zero for a sample without gradient.
    """
    wide = [_wide(g) for g in gradients]
    lengths = [_norms(z) if relative else g.new_ones(len(g)) for z, g in zip(tensors, wide, strict=True)]
    total = torch.stack([(c * _norms(g)) ** 2 for c, g in zip(lengths, wide, strict=True)]).sum(0).sqrt()
    factor = radius / (total + _TINY)
    steps = [g * _rows(factor * c**2, g) for c, g in zip(lengths, wide, strict=True)]
    return [step.to(z.dtype) for step, z in zip(steps, tensors, strict=True)]


def adaptive_ascent(tensors: Sequence[Tensor], gradients: Sequence[Tensor], radius: float) -> list[Tensor]:
    """The element-wise scaled ascent step, per sample: ε = ρ z² g / ‖ |z| g ‖ over all tensors (after ASAM).

    Args:
        tensors: Features z_j.
        gradients: Gradients g_j, of the same shapes.
        radius: ρ.
    """
    sizes = [_wide(z).abs() for z in tensors]
    scaled = [size * _wide(g) for size, g in zip(sizes, gradients, strict=True)]
    total = torch.stack([_norms(s) ** 2 for s in scaled]).sum(0).sqrt()
    factor = radius / (total + _TINY)
    steps = [size * s * _rows(factor, s) for size, s in zip(sizes, scaled, strict=True)]
    return [step.to(z.dtype) for step, z in zip(steps, tensors, strict=True)]


def noise_scale(tensor: Tensor, strength: float, *, relative: bool) -> Tensor:
    """Standard deviation of the noise on each sample: ``strength`` times the sample's root mean square, or as it is.

    Returns:
        (n, 1, ...), to be multiplied with noise of unit variance.
    """
    wide = _wide(tensor)
    rows = wide.flatten(1) if tensor.ndim > 1 else wide[:, None]
    deviation = rows.square().mean(1).sqrt() * strength if relative else torch.full_like(rows[:, 0], strength)
    return _rows(deviation, tensor)


def clamp_to_box(parameters: Sequence[Tensor], origins: Sequence[Tensor], share: float) -> None:
    """Holds each entry within ``share`` times its tensor's root mean square around the origin, in place.

    A root mean square below `LEAST_SIZE` counts as that.

    Args:
        parameters: What is moved back.
        origins: The middle of the box, of the same shapes.
        share: Half width of the box.
    """
    with torch.no_grad():
        for parameter, origin in zip(parameters, origins, strict=True):
            width = share * origin.square().mean().sqrt().clamp_min(LEAST_SIZE)
            parameter.copy_(torch.minimum(torch.maximum(parameter, origin - width), origin + width))


def _norms(tensor: Tensor) -> Tensor:
    """Norm of each row, (n,), in at least float32."""
    return _wide(tensor).reshape(len(tensor), -1).norm(dim=1)  # type: ignore[no-any-return]


def _wide(tensor: Tensor) -> Tensor:
    """In at least float32: squares and the factor of a sample without gradient (0 times 1e11) leave fp16's range."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
