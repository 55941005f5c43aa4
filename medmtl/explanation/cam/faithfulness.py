"""Whether a map shows what the network uses: remove and predict, and a network that has forgotten everything."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from medmtl.explanation.cam.recording import evaluating

SHARES = (0.02, 0.1)
"""Shares of the field that are removed: lesions fill about a hundredth of it."""


def road(
    view: nn.Module,
    image: Tensor,
    evidence: npt.NDArray[np.floating],
    field: npt.NDArray[np.bool_],
    *,
    channel: int,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> float:
    """ROAD, remove and debias (Rong et al. 2022, arXiv 2202.00449), of one map: higher is better.

    The pixels of the field that the map ranks highest, and as many of the lowest, are each replaced by
    pytorch-grad-cam's noisy linear imputation. The figure is half of how much more the logit falls by the former, its
    mean over the shares. Ranks break ties at random: the library's percentiles remove the whole image from a map that
    is mostly zero, and count the black around the field.

    Args:
        view: A network that gives logits (B, K).
        image: (3, H, W).
        evidence: (H, W), finite in the field.
        field: (H, W), the field of view.
        channel: The class.
        shares: Shares of the field to remove, each above 0 and below a half.
        seed: Of ties and of the imputation's noise; torch's own generator stays as it was.

    Returns:
        Logits; near 0 for a map that says nothing, below 0 for one that is upside down.
    """
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    order = _ranked(evidence, field, seed)
    impute, given = NoisyLinearImputer(), image.detach().float().cpu()
    changed = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for share in shares:
            count = max(1, round(share * len(order)))
            changed += [impute(given, _kept(field.shape, places)) for places in (order[:count], order[-count:])]
    with torch.no_grad(), evaluating(view):
        logits = torch.cat([view(one[None].to(image.device))[:, channel] for one in changed]).cpu().numpy()
    highest, lowest = logits[0::2], logits[1::2]
    return float(np.mean(lowest - highest) / 2)


def forgotten(network: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a network with all its layers drawn anew: maps of it should have nothing in common with the network's.

    Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv 1810.03292, the model parameter randomization test with
    all layers at once.

    Args:
        network: The network; it stays as it is.
        seed: Of the new weights; torch's own generator stays as it was.
    """
    fresh = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh


def _ranked(evidence: npt.NDArray[np.floating], field: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """The field's pixels by falling evidence, ties at random, as places in the flat image."""
    places = np.flatnonzero(field)
    ties = np.random.default_rng(seed).random(len(places))
    return places[np.lexsort((ties, -evidence.ravel()[places]))]


def _kept(shape: tuple[int, ...], removed: npt.NDArray[np.int64]) -> Tensor:
    mask = np.ones(shape, dtype=np.float32)
    mask.ravel()[removed] = 0
    return torch.from_numpy(mask)
