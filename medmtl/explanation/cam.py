"""Class activation maps of pytorch-grad-cam's methods on an absolute scale, for any network seen as one logit.

The library stretches every map to its own minimum and maximum (jacobgil/pytorch-grad-cam#267): a healthy eye and a
network with features near zero look as "hot" as a disease. Here its methods give the map, and nothing is stretched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from medmtl.errors import EvaluationError
from medmtl.registry import Registry

Floats = npt.NDArray[np.float32]
Layers = list[nn.Module]
CAM_METHODS: Registry[Callable[[nn.Module, Layers], Any]] = Registry("class activation method")


@CAM_METHODS.register("gradcam")
def _gradcam(view: nn.Module, layers: Layers) -> Any:
    """Selvaraju et al. 2017, arXiv 1610.02391."""
    from pytorch_grad_cam import GradCAM  # imported where it is used: it pulls in half a second of other packages

    return GradCAM(view, layers)


@CAM_METHODS.register("hirescam")
def _hirescam(view: nn.Module, layers: Layers) -> Any:
    """Draelos and Carin 2020, arXiv 2011.08891."""
    from pytorch_grad_cam import HiResCAM

    return HiResCAM(view, layers)


@CAM_METHODS.register("gradcam++")
def _gradcam_plus_plus(view: nn.Module, layers: Layers) -> Any:
    """Chattopadhay et al. 2018, arXiv 1710.11063."""
    from pytorch_grad_cam import GradCAMPlusPlus

    return GradCAMPlusPlus(view, layers)


@CAM_METHODS.register("xgradcam")
def _xgradcam(view: nn.Module, layers: Layers) -> Any:
    """Fu et al. 2020, arXiv 2008.02312."""
    from pytorch_grad_cam import XGradCAM

    return XGradCAM(view, layers)


@CAM_METHODS.register("layercam")
def _layercam(view: nn.Module, layers: Layers) -> Any:
    """Jiang et al. 2021, IEEE Transactions on Image Processing 30."""
    from pytorch_grad_cam import LayerCAM

    return LayerCAM(view, layers)


@CAM_METHODS.register("eigencam")
def _eigencam(view: nn.Module, layers: Layers) -> Any:
    """Muhammad and Yeasin 2020, arXiv 2008.00299; it knows no class: the strongest pattern of the features."""
    from pytorch_grad_cam import EigenCAM

    return EigenCAM(view, layers)


def cam_map(view: nn.Module, image: Tensor, method: str, target_layers: Sequence[nn.Module]) -> Floats:
    """Maps where in an image a network's one logit comes from.

    Gradient methods are multiplied by the number of the layer's cells, which makes them independent of its resolution:
    behind the target layer, average pooling and a linear layer, the mean of ``hirescam`` before its negative part is
    cut is the logit less its bias, and ``gradcam`` is the local logit for every pooling whose gradient sums to one.
    ``eigencam`` is in units of the features. Several layers are fused by their maximum.

    The network's mode, gradients and hooks are afterwards as they were.

    Args:
        view: A network that gives one number (a logit) for one image.
        image: (3, h, w) or (1, 3, h, w).
        method: A name in ``CAM_METHODS``.
        target_layers: Layers of ``view`` whose output is (1, C, h', w').

    Returns:
        (h, w), float32, zero or more; up means more evidence; not scaled to the image.

    Raises:
        ConfigError: The method is not known.
        EvaluationError: The view gives more than one number, or a layer is not a part of it or is not used once.
    """
    make = CAM_METHODS.get(method)
    layers = _checked(view, target_layers)
    batch = image.detach().reshape(-1, *image.shape[-3:])
    with _undisturbed(view):
        cam = make(view, layers)
        try:
            maps = _layer_maps(cam, batch)
        finally:
            cam.activations_and_grads.release()  # the library's own `with` block swallows IndexError
    height, width = batch.shape[-2:]
    resized = [cv2.resize(cell_map, (width, height), interpolation=cv2.INTER_LINEAR) for cell_map in maps]
    return np.asarray(np.max(resized, axis=0), dtype=np.float32)


def eigen_projection(activations: npt.NDArray[np.floating]) -> Floats:
    """Projects features on their first principal component, in the direction in which they grow.

    The library decomposes the (cells, channels) matrix with all left vectors, which takes minutes and gigabytes for a
    128 by 128 map, and leaves the sign to chance; the eigenvector of the channels' covariance is the same component.

    Args:
        activations: (C, h, w).

    Returns:
        (h, w), positive where the mean feature is high.
    """
    channels = activations.shape[0]
    features = np.nan_to_num(activations.reshape(channels, -1).T.astype(np.float64))
    centered = features - features.mean(axis=0)
    component = np.linalg.eigh(centered.T @ centered)[1][:, -1]
    projection = centered @ component
    sign = -1.0 if projection @ features.mean(axis=1) < 0 else 1.0
    return np.asarray(sign * projection, dtype=np.float32).reshape(activations.shape[1:])


def _checked(view: nn.Module, target_layers: Sequence[nn.Module]) -> Layers:
    parts = set(map(id, view.modules()))
    if not target_layers or any(id(layer) not in parts for layer in target_layers):
        raise EvaluationError("target layers must be modules of the network", found=f"{len(target_layers)} layers")
    return list(target_layers)


def _layer_maps(cam: Any, batch: Tensor) -> list[Floats]:
    recorder = cam.activations_and_grads
    with torch.enable_grad():
        leaf = batch.to(cam.device).clone().requires_grad_(True)
        output = recorder(leaf)
        if not isinstance(output, Tensor) or output.numel() != 1:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise EvaluationError("a map needs one logit of one image", found=str(shape), remedy="take a one-task view")
        if cam.uses_gradients:  # with respect to the image only, so that no parameter's gradient is touched
            torch.autograd.grad(output.reshape(()), leaf, allow_unused=True)
    return [_cut(cam, *pair) for pair in _recorded(cam)]


def _recorded(cam: Any) -> list[tuple[npt.NDArray[np.floating], npt.NDArray[np.floating] | None]]:
    recorder, count = cam.activations_and_grads, len(cam.target_layers)
    found = (len(recorder.activations), len(recorder.gradients))
    if found[0] != count or (cam.uses_gradients and found[1] != count):
        # The library would pair the wrong activations and gradients without a word.
        text = f"{count} layers, {found[0]} outputs, {found[1]} gradients"
        raise EvaluationError("each target layer must act on the logit, once", found=text)
    activations = [activation.float().numpy() for activation in recorder.activations]
    if not cam.uses_gradients:
        return [(activation, None) for activation in activations]
    return list(zip(activations, [gradient.float().numpy() for gradient in recorder.gradients], strict=True))


def _cut(cam: Any, activations: npt.NDArray[np.floating], gradients: npt.NDArray[np.floating] | None) -> Floats:
    if gradients is None:
        cell_map = eigen_projection(activations[0])
    else:
        cells = activations.shape[-2] * activations.shape[-1]
        cell_map = cells * cam.get_cam_image(None, None, None, activations, gradients, eigen_smooth=False)[0]
    return np.maximum(np.asarray(cell_map, dtype=np.float32), 0)


@contextmanager
def _undisturbed(view: nn.Module) -> Iterator[None]:
    """Restores each module's mode, and keeps in-place activations from overwriting what the library recorded."""
    modes = {module: module.training for module in view.modules()}
    in_place = [module for module in modes if getattr(module, "inplace", False) is True]
    try:
        _set_in_place(in_place, value=False)
        yield
    finally:
        _set_in_place(in_place, value=True)
        for module, mode in modes.items():
            module.training = mode


def _set_in_place(modules: Iterable[Any], *, value: bool) -> None:
    for module in modules:
        module.inplace = value
