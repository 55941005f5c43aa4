"""Methods that carry weights or scales from step to step, or draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torchjd.aggregation import RandomWeighting

from medmtl.optim.aggregation.arguments import check_share, preference_vector
from medmtl.optim.aggregation.balance import aligned_mtl, fairgrad, imtl_g
from medmtl.optim.aggregation.by_task import MoDoByTask, PriorityByTask, SDMGradByTask, SmoothedByTask
from medmtl.optim.aggregation.cone import cagrad, dual_proj, mgda, upgrad
from medmtl.optim.aggregation.rule import Kept, Rule, as_it_is
from medmtl.optim.aggregation.surgery import pcgrad
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.checks import check_choice, check_number, check_seed

SMOOTHABLE: dict[str, Callable[[], Rule]] = {
    "aligned_mtl": aligned_mtl,
    "cagrad": cagrad,
    "dual_proj": dual_proj,
    "fairgrad": fairgrad,
    "imtl_g": imtl_g,
    "mgda": mgda,
    "pcgrad": pcgrad,
    "upgrad": upgrad,
}
"""Methods without a state of their own, whose weights can be smoothed."""

_ONE_BATCH = "library (TorchJD); products within one batch, where the paper takes two: its guarantee is lost"


@aggregation("random", paper="Lin et al., arXiv 2111.10603, Algorithm 2", state="random state")
def random(*, seed: int = 0) -> Rule:
    """Random weights at every step: the softmax of K standard normal numbers, on the gradients of shared parameters.

    A floor for all others. The cheaper form with one backward pass weighs the losses instead.

    Args:
        seed: Seed of the draws; the same on every process. Default 0.
    """
    check_seed("random.seed", seed)
    return Rule(RandomWeighting(), seed=seed)


@aggregation(
    "crmogm",
    paper="Zhou et al., NeurIPS 2022 (CR-MOGM)",
    state="K smoothed weights, the random state of the inner rule",
)
def crmogm(*, inner: str = "mgda", alpha: float = 0.9, seed: int = 0) -> Rule:
    """Smooths another method's weights over the steps: λ ← α λ + (1 - α) λ', λ' the weights of this step.

    A task starts at its first weight; that of an absent task rests.

    Args:
        inner: The method whose weights are smoothed, with its default arguments: aligned_mtl, cagrad, dual_proj,
            fairgrad, imtl_g, mgda, pcgrad or upgrad. Default ``mgda``.
        alpha: Share of the former weights, 0 to 1. Default 0.9; the paper raises it as the learning rate falls.
        seed: Seed of the inner method, where it draws. Default 0.
    """
    check_choice("crmogm.inner", inner, tuple(SMOOTHABLE))
    check_share("crmogm.alpha", alpha)
    check_seed("crmogm.seed", seed)
    rule = SMOOTHABLE[inner]()
    kept = (Kept("_lambda", start=float("nan")),)
    draws = None if rule.seed is None else seed
    return Rule(SmoothedByTask(rule.library, alpha), prepare=rule.prepare, seed=draws, kept=kept)


@aggregation("modo", paper="Chen et al., JMLR 25 (23-1287), 2024", state="K weights", evidence=_ONE_BATCH)
def modo(*, gamma: float = 0.1, rho: float = 0.1) -> Rule:
    """One projected step a update towards the weights of the shortest weighted mean: λ ← Π(λ - γ (G λ + ρ λ)).

    Π projects onto the simplex; the direction is Σ λ_k g_k. The paper's G is the product of the gradients of two
    *independent* batches; here it is the Gramian of the one window of this update, so that its guarantee does not
    carry over. The step is not invariant: γ is to be chosen with the scale of the squared gradients in mind.

    Args:
        gamma: Step size γ, above 0. Default 0.1.
        rho: Strength ρ of the pull towards equal weights, at least 0. Default 0.1.
    """
    check_number("modo.gamma", gamma, above=0.0)
    check_number("modo.rho", rho, least=0.0)
    return Rule(MoDoByTask(gamma, rho), prepare=as_it_is, kept=(Kept("_lambda", start="share"),))


@aggregation("sdmgrad", paper="Xiao, Ban, Ji, NeurIPS 2023, arXiv 2305.18409", state="K weights", evidence=_ONE_BATCH)
def sdmgrad(
    *,
    lr: float = 10.0,
    momentum: float = 0.5,
    n_iter: int = 20,
    lambda_: float = 0.3,
    preference: Mapping[str, float] | None = None,
) -> Rule:
    """A common descent direction that is drawn towards the mean gradient.

    A few projected gradient steps with momentum on w, min |Σ (w_k + λ w̃_k) g_k|² over the simplex, from the weights
    of the last update; the direction has the weights (w + λ w̃)/(1 + λ). λ = 0 is near MGDA, a large λ near the mean
    gradient. The paper's products are those of two *independent* batches; here they are the Gramian of the one window
    of this update, so that its guarantee does not carry over.

    Args:
        lr: Step size of the inner steps, above 0 (the Gramian is scaled to gradients of about length 1). Default 10.
        momentum: Their momentum, 0 to below 1. Default 0.5.
        n_iter: Their number, at least 1. Default 20.
        lambda_: λ, at least 0. Default 0.3, as TorchJD.
        preference: w̃, positive weight by task (1 for those not named), scaled to the sum 1. Default equal.
    """
    check_number("sdmgrad.lr", lr, above=0.0)
    check_share("sdmgrad.momentum", momentum, below=True)
    check_number("sdmgrad.n_iter", n_iter, least=1, whole=True)
    check_number("sdmgrad.lambda_", lambda_, least=0.0)
    by_task = preference_vector("sdmgrad.preference", preference)
    weighting = SDMGradByTask(lr, momentum, n_iter, lambda_)
    return Rule(weighting, prepare=as_it_is, kept=(Kept("_w", start="share"),), by_task=by_task)


@aggregation("pcd", paper="TMLR 2026, arXiv 2606.29521 (Priority-Constrained Descent)", state="K mean squared norms")
def pcd(*, tau: float = 0.02, beta: float = 0.999, eps: float = 1e-8, primary: str | None = None) -> Rule:
    """Follows one primary task, and guarantees the others a share of the progress they would make alone.

    With g̃_k = g_k / √(moving average of |g_k|² + eps): the d nearest to g̃_1 with ⟨g̃_j, d⟩ >= τ |g̃_j|² for all others,
    scaled to the length of g_1; where no d obeys all, g_1. The primary task is followed at its own scale; a constant
    factor on another loss changes nothing (but for eps). A moving average rests while its task is absent.

    Args:
        tau: Share τ of their own progress that secondary tasks get, 0 to 1. Default 0.02.
        beta: Decay of the moving average, 0 to below 1. Default 0.999.
        eps: Added under the root, at least 0. Default 1e-8.
        primary: The primary task. While it is absent, or when left out, the first of the present tasks by name.
    """
    check_share("pcd.tau", tau)
    check_share("pcd.beta", beta, below=True)
    check_number("pcd.eps", eps, least=0.0)
    kept = (Kept("_sq_norm_ema"), Kept("_n_steps"))
    first = None if primary is None else ("pcd.primary", primary)
    return Rule(PriorityByTask(tau, beta, eps), prepare=as_it_is, kept=kept, first=first)
