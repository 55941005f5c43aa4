"""The methods that are a formula of features and gradients: the library's own, called with both, without its scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from medmtl.errors import EvaluationError
from medmtl.explanation.cam.eigen import Projection
from medmtl.explanation.cam.layered import LayerMap
from medmtl.explanation.cam.perturbing import ablation_weights, score_weights
from medmtl.explanation.cam.recording import Recorded

Array = npt.NDArray[np.floating]
ALIKE = 3
"""Classes that FinerCAM compares with, the most alike first: the library's number."""


def library(name: str) -> LayerMap:
    """The formula of one of the library's classes.

    Args:
        name: The class.
    """

    def maps(record: Recorded, number: int, gradient: Tensor | None) -> Array:
        return _formula(name, record, _features(record, number), None if gradient is None else _array(gradient))

    return maps


def plus_plus(record: Recorded, number: int, gradient: Tensor | None) -> Array:
    """Grad-CAM++, Chattopadhay et al. 2018, arXiv 1710.11063, equation 19.

    The library adds 1e-6 to a denominator of the size of the squared gradient, which on a map of some thousand cells is
    larger than the rest. Features and gradient go in scaled by the number of cells, against each other: the formula
    gives the same, and the addition vanishes.
    """
    features, known = _features(record, number), _known(gradient)
    cells = features.shape[-2] * features.shape[-1]
    return _formula("GradCAMPlusPlus", record, features / cells, _array(known))


def shapley(record: Recorded, number: int, gradient: Tensor | None) -> Array:
    """ShapleyCAM, arXiv 2501.06261: the gradient less half of the Hessian times the features.

    It is Grad-CAM with that for a gradient; where the logit is linear in the features there is no Hessian. The library's
    own class frees the graph, and so could map neither a second layer nor a second class.
    """
    known, features = _known(gradient), record.outputs[number]
    assert features is not None  # noqa: S101  record() refuses a layer that did not run
    if known.requires_grad:
        product = torch.autograd.grad(known, features, features.detach(), retain_graph=True, allow_unused=True)[0]
        known = known if product is None else known - product / 2
    return _formula("GradCAM", record, _features(record, number), _array(known))


def random(record: Recorded, number: int, gradient: Tensor | None) -> Array:
    """RandomCAM: a random weight a channel, the same in every image; NumPy's global generator stays as it was."""
    state = np.random.get_state()  # noqa: NPY002  the library draws from the global generator
    rows = []
    try:
        for features, known in zip(_features(record, number), _array(_known(gradient)), strict=True):
            np.random.seed(0)  # noqa: NPY002
            rows.append(_formula("RandomCAM", record, features[None], known[None])[0])
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return np.stack(rows)


def projected(project: Projection, *, by_gradient: str = "") -> LayerMap:
    """Principal components of the features, or of features times gradient (``signed`` or ``absolute``).

    Args:
        project: From (C, h, w) to (h, w).
        by_gradient: What the features are multiplied by; empty for nothing.
    """

    def maps(record: Recorded, number: int, gradient: Tensor | None) -> Array:
        features = _features(record, number)
        if by_gradient:
            slope = _array(_known(gradient))
            features = features * (np.abs(slope) if by_gradient == "absolute" else slope)
        return np.stack([project(one) for one in features])

    return maps


def scored(record: Recorded, number: int, gradient: Tensor | None) -> Array:
    """ScoreCAM: features weighted by the softmax of what the network says of the image behind each of them."""
    return _weighted(record, number, score_weights(record, number))


def ablated(record: Recorded, number: int, gradient: Tensor | None) -> Array:
    """AblationCAM: features weighted by the fall of the logit without each of them."""
    return _weighted(record, number, ablation_weights(record, number))


def finer_score(logits: Tensor, channel: int) -> Tensor:
    """FinerCAM's target: the class's logit less those of the classes most alike, weighted by their softmax.

    Args:
        logits: (B, K), K at least 2.
        channel: The class.

    Raises:
        EvaluationError: There is one class only.
    """
    from pytorch_grad_cam.utils.model_targets import FinerWeightedTarget

    if logits.shape[1] < 2:
        remedy = "choose another method, or a task with several classes"
        raise EvaluationError("FinerCAM compares classes", found="a view of one logit", remedy=remedy)
    rows = []
    for row in logits:
        distance = (row.detach() - row.detach()[channel]).abs()
        distance[channel] = -1.0
        alike = distance.argsort(stable=True)[1 : ALIKE + 1].tolist()
        rows.append(FinerWeightedTarget(channel, alike, 1.0)(row))
    return torch.stack(rows)


def _formula(name: str, record: Recorded, features: Array, gradient: Array | None) -> Array:
    maps: Array = _instance(name, record.view).get_cam_image(None, None, None, features, gradient, False)
    return maps


def _instance(name: str, view: nn.Module) -> Any:
    import pytorch_grad_cam  # imported where it is used: it pulls in half a second of other packages

    return getattr(pytorch_grad_cam, name)(view, [])  # without layers it sets no hook


def _weighted(record: Recorded, number: int, weights: Tensor) -> Array:
    output = record.outputs[number]
    assert output is not None  # noqa: S101  record() refuses a layer that did not run
    return _array(torch.einsum("bc,bchw->bhw", weights, output.detach()))


def _features(record: Recorded, number: int) -> Array:
    output = record.outputs[number]
    assert output is not None  # noqa: S101  record() refuses a layer that did not run
    return _array(output)


def _known(gradient: Tensor | None) -> Tensor:
    assert gradient is not None  # noqa: S101  layered() gives it to every method that needs it
    return gradient


def _array(tensor: Tensor) -> Array:
    return tensor.detach().float().cpu().numpy()
