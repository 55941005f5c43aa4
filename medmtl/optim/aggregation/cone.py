"""Methods that look for a direction along which no task, or none much, gets worse."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchjd.aggregation import DualProjWeighting, MGDAWeighting, UPGradWeighting

from medmtl.optim.aggregation.arguments import needing, preference_vector
from medmtl.optim.aggregation.conflict_averse import ConeSolver, ExactlyConflictAverse
from medmtl.optim.aggregation.dual_cone import MinimumNorm, NonNegativeProjector
from medmtl.optim.aggregation.rule import Prepare, Rule, per_trace
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.checks import check_at_least, check_choice, check_number

NORMALIZATIONS = ("none", "l2", "loss", "loss+")


@aggregation(
    "mgda",
    paper="Désidéri, C. R. Math. 350, 2012; Sener, Koltun, NeurIPS 2018, Algorithm 2",
    evidence="definition (exact solver), library (TorchJD, Frank-Wolfe); the normalizations second-hand (LibMTL)",
)
def mgda(*, solver: str = "exact", normalization: str = "none", epsilon: float = 0.001, max_iters: int = 100) -> Rule:
    """The shortest vector among all weighted means of the tasks' gradients.

    Minimizes |Σ a_k g_k|² over a >= 0, Σ a_k = 1. Along the direction no loss grows (to first order), all by the same
    rate where a_k > 0; it vanishes where no common descent is left. It follows the *shortest* gradient most, hence a
    task with small losses. With two tasks a_1 = clip(⟨g_2 - g_1, g_2⟩ / |g_1 - g_2|², 0, 1).

    Args:
        solver: ``exact`` (non-negative least squares) or ``frank_wolfe`` (the library's, approximate with three and
            more tasks: the promise not to conflict then holds only about). Default ``exact``.
        normalization: The gradients are divided by 1 (``none``), their norm (``l2``), the loss (``loss``) or both
            (``loss+``) when the weights are sought; the weights then act on the plain gradients, and the promise not
            to conflict is lost. Default ``none``.
        epsilon: Frank-Wolfe stops at a smaller step than this. Default 0.001.
        max_iters: Largest number of Frank-Wolfe steps. Default 100.
    """
    return minimum_norm("mgda", solver, normalization, epsilon, max_iters)


def minimum_norm(name: str, solver: str, normalization: str, epsilon: float, max_iters: int) -> Rule:
    """The rule of MGDA from its arguments, for gradients of parameters or of features.

    Raises:
        ConfigError: An argument out of range.
    """
    check_choice(f"{name}.solver", solver, ("exact", "frank_wolfe"))
    check_choice(f"{name}.normalization", normalization, NORMALIZATIONS)
    check_number(f"{name}.epsilon", epsilon, above=0.0)
    check_number(f"{name}.max_iters", max_iters, least=1, whole=True)
    library = MinimumNorm() if solver == "exact" else MGDAWeighting(epsilon, max_iters)
    return Rule(library, prepare=_normalized(normalization))


def _normalized(kind: str) -> Prepare:
    def prepare(products: Tensor, losses: Mapping[str, float]) -> Tensor:
        lengths = torch.ones(len(losses), dtype=products.dtype)
        if kind in ("l2", "loss+"):
            lengths = lengths * products.diagonal().sqrt()
        if kind in ("loss", "loss+"):
            check_at_least(losses, torch.finfo(products.dtype).tiny)
            lengths = lengths * torch.tensor(list(losses.values()), dtype=products.dtype)
        return per_trace(products / torch.outer(lengths, lengths), losses)

    return prepare


@aggregation(
    "cagrad",
    paper="Liu et al., NeurIPS 2021, arXiv 2110.14048, Algorithm 1",
    evidence="derived (exact solver of the same problem); library (TorchJD, clarabel)",
)
def cagrad(*, c: float = 0.5, norm_eps: float = 1e-4, solver: str = "exact") -> Rule:
    """The direction near the mean gradient along which the worst-off task improves most.

    With g_0 the mean gradient and φ = c² |g_0|²: w minimizes ⟨g_w, g_0⟩ + √φ |g_w| over the simplex, g_w = Σ w_k g_k,
    and the direction is g_0 + √φ/|g_w| g_w. c = 0 is the mean gradient; no promise not to conflict for c < 1.

    That is the direction as the paper and TorchJD have it, LibMTL's ``rescale 0``: K equal gradients become 1 + c times one of
    them. LibMTL's default, ``rescale 1``, divides it by 1 + c² (1.25 at c = 0.5), ``rescale 2`` by 1 + c. Either is a factor
    on shared parameters alone: nothing to an Adam but for eps, a smaller learning rate there to SGD.

    Args:
        c: Radius of the ball around the mean gradient, relative to its length, at least 0. Default 0.5.
        norm_eps: Where |g_w|, relative to the length of all gradients together, is smaller, no direction is left and
            shared parameters rest. Default 1e-4.
        solver: ``exact`` (non-negative least squares and one root) or ``clarabel``, the library's, which needs
            ``pip install 'medmtl[cagrad]'`` and some milliseconds a step. Default ``exact``.
    """
    check_number("cagrad.c", c, least=0.0)
    check_number("cagrad.norm_eps", norm_eps, least=0.0)
    check_choice("cagrad.solver", solver, ("exact", "clarabel"))
    if solver == "exact":
        return Rule(ExactlyConflictAverse(c, norm_eps))
    return Rule(needing("cagrad.solver", "cagrad", lambda: ConeSolver(c, norm_eps)))


@aggregation("upgrad", paper="Quinton, Rey, arXiv 2406.16232", evidence="library (TorchJD) with our exact projector")
def upgrad(*, preference: Mapping[str, float] | None = None, regularization: float = 0.0) -> Rule:
    """Projects every task's gradient onto the directions that conflict with none, and takes the mean.

    With J the gradients as rows, each g_k/K is replaced by the nearest d with J d >= 0, and these are added: along
    the result no loss grows (to first order). Without conflict it is the mean gradient; with two conflicting tasks it
    is half of what PCGrad gives. Each task's share grows with its loss, alone: linear under scaling. Solved exactly by
    non-negative least squares.

    Args:
        preference: Positive weight by task (1 for those not named), scaled to the sum 1. Default equal.
        regularization: Times the trace of the Gramian, added to its diagonal; a positive number bounds the weights
            where gradients nearly cancel, and lets the direction conflict by about as much. Default 0.
    """
    check_number("upgrad.regularization", regularization, least=0.0)
    weighting = UPGradWeighting(projector=NonNegativeProjector(regularization))
    return Rule(weighting, by_task=preference_vector("upgrad.preference", preference))


@aggregation(
    "dual_proj",
    paper="Lopez-Paz, Ranzato, NeurIPS 2017, Equation 11; Quinton, Rey, arXiv 2406.16232",
    evidence="library (TorchJD) with our exact projector",
)
def dual_proj(*, preference: Mapping[str, float] | None = None, regularization: float = 0.0) -> Rule:
    """The direction nearest to the mean gradient that conflicts with no task.

    Minimizes |d - g_0| over J d >= 0, with J the gradients as rows and g_0 their mean: along it no loss grows (to first
    order). Where the mean gradient conflicts with none, it is the mean gradient. A task with a large loss rules it.
    Solved exactly by non-negative least squares.

    Args:
        preference: Positive weight by task in the mean (1 for those not named), scaled to the sum 1. Default equal.
        regularization: As in `upgrad`. Default 0.
    """
    check_number("dual_proj.regularization", regularization, least=0.0)
    weighting = DualProjWeighting(projector=NonNegativeProjector(regularization))
    return Rule(weighting, by_task=preference_vector("dual_proj.preference", preference))
