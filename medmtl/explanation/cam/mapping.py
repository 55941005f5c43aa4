"""The call: maps of a batch, or of one image, by a method's name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from medmtl.errors import EvaluationError
from medmtl.explanation.cam.layered import Floats, Request
from medmtl.explanation.cam.methods import cam_method
from medmtl.explanation.cam.recording import evaluating


def cam_maps(
    view: nn.Module,
    images: Tensor,
    method: str,
    target_layers: Sequence[nn.Module],
    *,
    channel: int | None = None,
) -> Floats:
    """Maps where in images a class's logit comes from; a batch gives what its images give one by one.

    Methods whose unit is ``logit`` do not depend on the layer's resolution: behind the target layer, average pooling
    and a linear layer, the mean of ``hirescam`` before its negative part is cut is the logit less its bias, and
    ``gradcam`` is the local logit for every pooling whose gradient sums to one. What is normalized by a method's own
    definition is said in ``CAM_METHODS``; the result never is. Several layers are fused by their maximum.

    The network's mode, gradients and hooks are afterwards as they were, also after an error.

    Args:
        view: A network that gives logits (B, K), such as ``TaskView(network, task)``.
        images: (B, 3, H, W).
        method: A name in ``CAM_METHODS``.
        target_layers: Layers of ``view`` whose output is (B, C, h, w).
        channel: The class; None where the view gives one logit.

    Returns:
        (B, H, W), float32, zero or more; up means more evidence; not scaled to the image.

    Raises:
        ConfigError: The method is not known.
        EvaluationError: The view gives no logits or no such class, or a layer is not a part of it or is not used once.
    """
    return np.asarray(_mapped(view, images, method, target_layers, (channel,))[0])


def cam_classes(
    view: nn.Module, images: Tensor, method: str, target_layers: Sequence[nn.Module], channels: Sequence[int]
) -> Floats:
    """Maps several classes, as :func:`cam_maps` one after the other; what a method can share is computed once.

    Args:
        view: A network that gives logits (B, K).
        images: (B, 3, H, W).
        method: A name in ``CAM_METHODS``.
        target_layers: Layers of ``view``.
        channels: The classes, at least one.

    Returns:
        (classes, B, H, W), float32, zero or more.

    Raises:
        ConfigError: As :func:`cam_maps`.
        EvaluationError: As :func:`cam_maps`, or no class is asked for.
    """
    if not channels:
        raise EvaluationError("maps need a class", found="none")
    return _mapped(view, images, method, target_layers, channels)


def cam_map(
    view: nn.Module,
    image: Tensor,
    method: str,
    target_layers: Sequence[nn.Module],
    *,
    channel: int | None = None,
) -> Floats:
    """Maps one image; see :func:`cam_maps`.

    Args:
        view: A network that gives logits (1, K).
        image: (3, H, W) or (1, 3, H, W).
        method: A name in ``CAM_METHODS``.
        target_layers: Layers of ``view``.
        channel: The class; None where the view gives one logit.

    Returns:
        (H, W), float32, zero or more.

    Raises:
        ConfigError: As :func:`cam_maps`.
        EvaluationError: As :func:`cam_maps`.
    """
    batch = image.reshape(-1, *image.shape[-3:])
    if len(batch) != 1:
        raise EvaluationError("one image at a time", found=f"{len(batch)} images", remedy="use cam_maps")
    return np.asarray(cam_maps(view, batch, method, target_layers, channel=channel)[0])


def _mapped(
    view: nn.Module,
    images: Tensor,
    method: str,
    target_layers: Sequence[nn.Module],
    channels: Sequence[int | None],
) -> Floats:
    chosen = cam_method(method)
    layers = _checked(view, target_layers)
    if images.ndim != 4 or not len(images):
        raise EvaluationError("maps need images (B, 3, H, W)", found=tuple(images.shape))
    # Outside of inference mode, because its tensors cannot have a gradient.
    with torch.inference_mode(mode=False), evaluating(view):
        given = images.detach().to(_device(view, images)).clone()
        maps = chosen.maps(Request(view, given, layers, tuple(channels)))
    return np.ascontiguousarray(maps, dtype=np.float32)


def _checked(view: nn.Module, target_layers: Sequence[nn.Module]) -> tuple[nn.Module, ...]:
    parts = set(map(id, view.modules()))
    if not target_layers or any(id(layer) not in parts for layer in target_layers):
        raise EvaluationError("target layers must be modules of the network", found=f"{len(target_layers)} layers")
    return tuple(target_layers)


def _device(view: nn.Module, images: Tensor) -> torch.device:
    parameter = next(view.parameters(), None)
    return images.device if parameter is None else parameter.device
