"""Methods that ask for equal gains of the tasks, in one sense or another."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torchjd.aggregation import AlignedMTLWeighting, FairGradWeighting, IMTLGWeighting

from medmtl.optim.aggregation.arguments import preference_vector
from medmtl.optim.aggregation.bargaining import Bargaining
from medmtl.optim.aggregation.rule import Kept, Rule, as_it_is
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.checks import check_choice, check_number


@aggregation(
    "imtl_g",
    paper="Liu et al., ICLR 2021 (Towards Impartial Multi-task Learning); generalized in arXiv 2406.16232",
)
def imtl_g() -> Rule:
    """The weighted mean of the gradients whose projections on the tasks' unit gradients are equal.

    With G the Gramian and n the norms: v = G⁺ n, w = v / Σ v. With two tasks w_k ∝ 1/|g_k|. Weights may be negative.
    The direction does not depend on the scale of single losses.
    """
    return Rule(IMTLGWeighting())


@aggregation(
    "nash_mtl",
    paper="Navon et al., ICML 2022, arXiv 2202.01017, Algorithm 1",
    state="K weights and their age",
    evidence="derived (newton); library (TorchJD, ecos), which says that the official code it follows has flaws",
)
def nash_mtl(
    *, max_norm: float = 1.0, update_weights_every: int = 1, solver: str = "newton", optim_niter: int = 20
) -> Rule:
    """The Nash bargaining solution: every task's relative gain counts the same.

    Solves G a = 1/a, a > 0, G the Gramian; the direction Σ a_k g_k has the length √K whatever the losses, and is then
    cut to ``max_norm``. With two tasks it points along u_1 + u_2, the sum of the unit gradients. A factor on one loss
    changes nothing. The bargain is among the present tasks, so K may change from step to step; a task that
    is new since the last solution asks for another one.

    Args:
        max_norm: Largest norm of the direction on shared parameters; 0 for no bound. Default 1.
        update_weights_every: Updates that use one solution. It saves the solution, not the backward passes. Default 1.
        solver: ``newton`` solves the equation exactly; ``ecos`` is the library's convex-concave procedure, needs
            ``pip install 'medmtl[nash]'`` (ecos is under the GPL) and stops at a residual of 1e-3. Default ``newton``.
        optim_niter: Largest number of iterations of ``ecos``. Default 20.
    """
    check_number("nash_mtl.max_norm", max_norm, least=0.0)
    check_number("nash_mtl.update_weights_every", update_weights_every, least=1, whole=True)
    check_choice("nash_mtl.solver", solver, ("newton", "ecos"))
    check_number("nash_mtl.optim_niter", optim_niter, least=1, whole=True)
    game = Bargaining(max_norm, update_weights_every, solver, optim_niter)
    return Rule(game, prepare=as_it_is, kept=(Kept("alpha", start=1.0), Kept("age")))


@aggregation("aligned_mtl", paper="Senushkin et al., CVPR 2023, Algorithm 1")
def aligned_mtl(*, scale_mode: str = "min", preference: Mapping[str, float] | None = None) -> Rule:
    """Makes the gradients orthogonal and equally long, and takes their mean.

    With G = V Λ Vᵀ and B = √λ V Λ^(-1/2) Vᵀ the rows of B J are orthogonal with squared length λ; the weights are B w,
    w the preference (1/K each).

    Args:
        scale_mode: λ is the smallest positive eigenvalue of G (``min``), the ``median``, or the mean (``rmse``, as
            TorchJD names it). Default ``min``.
        preference: Positive weight by task (1 for those not named), scaled to the sum 1. Default equal.
    """
    check_choice("aligned_mtl.scale_mode", scale_mode, ("min", "median", "rmse"))
    by_task = preference_vector("aligned_mtl.preference", preference)
    return Rule(AlignedMTLWeighting(scale_mode=scale_mode), by_task=by_task)


@aggregation("fairgrad", paper="Ban, Ji, arXiv 2402.15638, Equation 4")
def fairgrad(*, alpha: float = 1.0, max_iters: int | None = None) -> Rule:
    """α-fair gains: solves (G a)^α = 1/a by non-negative least squares of the residual.

    α = 0 is the mean gradient, α = 1 Nash-MTL without its cut, a large α looks at the worst-off task. Weights grow
    where gradients shrink: all gradients times s, the direction times s^(1 - 2α/(1+α)).

    Args:
        alpha: Kind of fairness, at least 0; the library has no default. Default 1.
        max_iters: Largest number of evaluations; None for 100 a task. Default None.
    """
    check_number("fairgrad.alpha", alpha, least=0.0)
    if max_iters is not None:
        check_number("fairgrad.max_iters", max_iters, least=1, whole=True)
    return Rule(FairAtAnyScale(alpha, max_iters), prepare=as_it_is)


class FairAtAnyScale(FairGradWeighting):
    """The library's weighting, solved at trace 1 and scaled back: G → s G turns a into s^(-α/(1+α)) a."""

    def forward(self, gramian: Tensor, /) -> Tensor:
        """Weights (K,) from the Gramian (K, K)."""
        trace = float(gramian.diagonal().sum())
        weights = super().forward(gramian / trace)
        return weights * trace ** (-self.alpha / (1 + self.alpha))  # type: ignore[no-any-return]  # untyped library
