"""Methods that change the tasks' gradients where they disagree, and add them up."""

from __future__ import annotations

from collections.abc import Mapping

from torchjd.aggregation import ConFIG, GradDrop, PCGradWeighting

from medmtl.optim.aggregation.arguments import check_mapping, check_share, preference_vector
from medmtl.optim.aggregation.by_task import VaccineByTask
from medmtl.optim.aggregation.coordinate_method import CoordinateMethod
from medmtl.optim.aggregation.rule import ByTask, Kept, Rule
from medmtl.optim.aggregation.square_root import OnRoot
from medmtl.optim.aggregation.table import aggregation
from medmtl.optim.checks import check_number, check_seed


@aggregation("pcgrad", paper="Yu et al., NeurIPS 2020, arXiv 2001.06782, Algorithm 1", state="random state")
def pcgrad(*, seed: int = 0) -> Rule:
    """Projects each task's gradient off those it conflicts with, in random order, and adds.

    For each task i, over the other tasks j in random order: where ⟨g_i', g_j⟩ < 0, g_i' loses its part along g_j,
    g_i' ← g_i' - ⟨g_i', g_j⟩/|g_j|² g_j (g_j is never changed). The direction is Σ g_i'. Without conflict it is the
    plain sum. With three and more tasks it may still conflict with one of them.

    The surgery sees the parameters that at least two present tasks reach; others get their plain gradient.

    Args:
        seed: Seed of the random order; the same on every process. Default 0.
    """
    check_seed("pcgrad.seed", seed)
    return Rule(PCGradWeighting(), seed=seed)


@aggregation("gradvac", paper="Wang et al., ICLR 2021, arXiv 2010.05874", state="K² target cosines and random state")
def gradvac(*, beta: float = 0.5, eps: float = 1e-8, seed: int = 0) -> Rule:
    """Turns each task's gradient towards the others until their cosines are as large as they used to be.

    For each task i, over the others j in random order: with c the cosine of g_i' and g_j, and φ the target of the pair,
    where c < φ: g_i' ← g_i' + |g_i'| (φ √(1-c²) - c √(1-φ²)) / (|g_j| √(1-φ²)) g_j; then φ ← (1-β) φ + β c. The
    direction is Σ g_i'. Targets begin at 0, so that the first step is near PCGrad. A pair keeps its target while one
    of its tasks is absent.

    Args:
        beta: Weight β of the new cosine in the target, 0 to 1. Default 0.5.
        eps: Added to denominators (the Gramian is scaled to trace 1), at least 0. Default 1e-8.
        seed: Seed of the random order; the same on every process. Default 0.
    """
    check_share("gradvac.beta", beta)
    check_number("gradvac.eps", eps, least=0.0)
    check_seed("gradvac.seed", seed)
    return Rule(VaccineByTask(beta, eps), seed=seed, kept=(Kept("_phi_t", order=2),))


@aggregation(
    "graddrop",
    paper="Chen et al., NeurIPS 2020, arXiv 2010.06808, Algorithm 1, lines 10 to 15",
    frame=CoordinateMethod,
    state="random state",
)
def graddrop(*, leak: float | Mapping[str, float] = 0.0, seed: int = 0) -> Rule:
    """Picks one sign for every coordinate at random, and drops what has the other.

    For each coordinate P = ½ (1 + Σ g_k / Σ |g_k|) is the purity of the positive sign; one U ~ U(0, 1): where P > U
    the positive entries are kept, where P < U the negative ones; they are added. A coordinate without conflict keeps
    the plain sum. The draws are made from the method's own state; a GPU draws other numbers than a CPU.

    Args:
        leak: How much of a dropped entry passes, 0 to 1: for all tasks, or by task (0 for those not named). Default 0.
        seed: Seed of the draws; the same on every process. Default 0.
    """
    check_seed("graddrop.seed", seed)
    by_task = isinstance(leak, Mapping)
    values = dict(leak) if isinstance(leak, Mapping) else {}
    if not by_task and not isinstance(leak, int | float):
        check_mapping("graddrop.leak", leak)
    for where, value in {f"graddrop.leak.{task}": v for task, v in values.items()}.items():
        check_share(where, value)
    common = 0.0 if isinstance(leak, Mapping) else leak
    check_share("graddrop.leak", common)
    return Rule(GradDrop(), seed=seed, by_task={"leak": ByTask("graddrop.leak", values, default=common)})


@aggregation("config", paper="Liu, Chu, Thuerey, arXiv 2408.11104, Equation 2")
def config(*, preference: Mapping[str, float] | None = None) -> Rule:
    """ConFIG: the direction with the same cosine to every task's gradient.

    With u_k = g_k/|g_k| the rows of U: v = U⁺ 1 scaled to length one; the direction is (Σ ⟨g_k, v⟩) v. Its cosine is
    the same for all tasks where the gradients do not depend on each other. A common factor on all losses scales it;
    a factor on one changes its length alone.

    Args:
        preference: Positive number by task (1 for those not named): cosines in these proportions. Default equal.
    """
    return Rule(OnRoot(ConFIG()), by_task=preference_vector("config.preference", preference))
