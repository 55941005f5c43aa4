"""MONAI's visualizers with the right sign, on an absolute scale, and without what they leave behind.

MONAI turns maps over by default (Project-MONAI/tutorials#1796), never removes its hooks, overwrites the parameters'
gradients and takes no dictionary. Here they run on a copy of the network, which is thrown away, and give their raw maps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medmtl.errors import EvaluationError
from medmtl.explanation.cam.layered import Floats, Maps, Request, each_class, resized, strongest
from medmtl.explanation.cam.recording import record

PATCHES_A_SIDE = 16
SMALLEST_PATCH = 8
Visualizer = Callable[[nn.Module, str, Request, int], Tensor]
"""From a copy of the view, the name of a layer, what is asked and the class to maps (B, 1, H, W)."""


def visualizer(make: Visualizer) -> Maps:
    """Makes a method of one of MONAI's.

    Args:
        make: Calls it.
    """

    def maps(request: Request, channel: int | None) -> Floats:
        seen = record(request.view, request.images, request.layers, channel)  # refuses what cannot be mapped
        names = {id(module): name for name, module in request.view.named_modules()}
        view = _copied(request.view)
        found = []
        for layer in request.layers:
            with torch.enable_grad():
                raw = make(view, names[id(layer)], request, seen.channel)
            found.append(resized(raw[:, 0].detach().float().cpu().numpy(), request.images))
        return strongest(found)

    return each_class(maps)


def gradcam(view: nn.Module, layer: str, request: Request, channel: int) -> Tensor:
    """Grad-CAM; times the layer's cells, as those of pytorch-grad-cam are here."""
    from monai.visualize import GradCAM

    cam = GradCAM(nn_module=view, target_layers=layer, postprocessing=_raw)
    maps: Tensor = cam(request.images, class_idx=channel)
    return maps * _cells(cam)


def gradcam_plus_plus(view: nn.Module, layer: str, request: Request, channel: int) -> Tensor:
    """Grad-CAM++ of the exponential of the logit, as MONAI has it: an image's map grows with its odds."""
    from monai.visualize import GradCAMpp

    found = GradCAMpp(nn_module=view, target_layers=layer, postprocessing=_raw)
    # One by one: it multiplies an image's score along a map's columns.
    return torch.cat([found(image[None], class_idx=channel) for image in request.images])


def cam(view: nn.Module, layer: str, request: Request, channel: int) -> Tensor:
    """CAM (Zhou et al. 2016): the linear layer behind average pooling, applied at each place; with its bias."""
    from monai.visualize import CAM

    with torch.no_grad():
        found = CAM(nn_module=view, target_layers=layer, fc_layers=_linear(view), postprocessing=_raw)
        # It fails on one number, and takes a class an image.
        return found(request.images, class_idx=[channel] * len(request.images))  # type: ignore[no-any-return]


def occlusion(view: nn.Module, layer: str, request: Request, channel: int) -> Tensor:
    """How far the logit falls when a patch is hidden; MONAI gives the logit that is left, which is low where it matters.

    A patch has a sixteenth of the shorter side, and patches overlap by half. The target layers are not asked.
    """
    from monai.visualize import OcclusionSensitivity

    side = max(SMALLEST_PATCH, min(request.images.shape[-2:]) // PATCHES_A_SIDE)
    hide = OcclusionSensitivity(view, mask_size=side, overlap=0.5, n_batch=8, verbose=False, activate=False)
    falls = []
    with torch.no_grad():
        for image in request.images:
            left = torch.as_tensor(hide(image[None])[0])[:, channel : channel + 1]
            falls.append(view(image[None])[:, channel].reshape(1, 1, 1, 1) - left)
    return torch.cat(falls)


def _raw(maps: Any) -> Any:
    return maps


def _cells(cam: Any) -> int:
    output = cam.nn_module.activations[cam.nn_module.target_layers[0]]
    return int(np.prod(output.shape[2:]))


def _copied(view: nn.Module) -> nn.Module:
    """A copy for hooks and gradients; without in-place activations, which backward hooks do not go with."""
    try:
        copied = copy.deepcopy(view)
    except RuntimeError as error:
        remedy = "choose a method of pytorch-grad-cam"
        raise EvaluationError("the network cannot be copied for MONAI", found=error, remedy=remedy) from None
    for module in copied.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
    return copied.requires_grad_().eval()


def _linear(view: nn.Module) -> str:
    names = [name for name, module in view.named_modules() if isinstance(module, nn.Linear)]
    task = getattr(view, "task", None)
    names = [name for name in names if task is None or f".{task}." in f".{name}."]
    if not names:
        remedy = "choose gradcam, which is the same and asks for no such layer"
        raise EvaluationError("CAM needs a linear layer behind average pooling", found="none", remedy=remedy)
    return str(names[-1])
