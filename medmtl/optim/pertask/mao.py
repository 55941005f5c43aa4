"""Multi-adaptive optimization as a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.optim import Optimizer

from medmtl.optim.base import Gradients, MethodInfo, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.checks import check_choice, check_number
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.pertask.attribution import attributed
from medmtl.optim.pertask.groups import check_betas, check_rule, is_fused, take_over
from medmtl.optim.pertask.optimizer import MultiAdaptiveOptimizer
from medmtl.optim.pertask.streaming import Streamer
from medmtl.optim.services import Services


@methods.register("mao")
class Mao(Method):
    """Every task's gradient is normalized by its own moments, parameter by parameter, before the steps are added.

    For every parameter i, task k and step t of that task, with g the gradient of the task's mean loss::

        m_ki ← b₁ m_ki + (1-b₁) g_ki          v_ki ← b₂ v_ki + (1-b₂) g_ki²
        θ_i ← θ_i - lr · Σ_k m̂_ki / (√v̂_ki + eps)

    A constant factor on a loss changes nothing (but for eps), so that no task starves another by its scale. An absent
    task keeps its moments and step counters. With one task, and on parameters that one task reaches, this is Adam bit
    for bit. With ``sum`` a step of shared parameters is up to K times as long as Adam's: tune the learning rate
    before comparing. Learning rate, decay and, unless given here, betas and eps are those of the run's optimizer.
    ``clip_task_norm`` clips before the moments; ``clip_norm`` has no effect: clipping a normalized step means nothing.

    Args:
        form: ``adamw`` (default), with decoupled decay once a step; ``adam``, which takes no decay; ``rmsprop``,
            with neither first moment nor correction of the bias; ``normalized_sgd``, first moments divided by their
            norm over each parameter tensor.
        momentum: ``per_task`` (default), the equations above; ``shared``, the other reading: one first moment over
            the balanced gradient Σ_k g_ki / (√v̂_ki + eps). That one equals Adam for one task only if b₁ is 0.
        combine: ``sum`` (default) or ``mean`` over the tasks that reach a parameter in this step.
        betas: b₁ and b₂, each in [0, 1); those of the optimizer when left out.
        eps: Added outside the root; that of the optimizer when left out.
        gradients: ``collect`` holds the gradients of all tasks, and a step with an overflow leaves every bit as it
            was. ``stream`` holds one gradient and the sum of the steps, with the same result to the bit; after an
            overflow in the third task or later, second and first moments of the tasks before it come back to
            rounding, everything else to the bit. ``exact`` is ``stream`` without that exception: it looks at the
            later gradients before it begins, which costs K - 2 further backward passes a step. ``auto`` (default)
            streams, and collects under a loss scale and in several processes. Several micro-batches are always
            collected.
    """

    info = MethodInfo(
        name="mao",
        family="per-task optimizer",
        backward_passes="K",
        extra_memory="2 K moments of a parameter that K tasks reach; stream: one sum; collect: K gradients",
        state="moments and step counters per task and parameter",
        needs_split=False,
        own_optimizer=True,
        clipping="tasks",
        mixed_precision="bf16; fp16 with a loss scale, unscaled before the moments",
        processes="losses, counts and each task's gradient are summed before the moments",
        paper="Hervella, Rouco, Novo, Ortega, Neural Networks 170:254-265, 2024",
        evidence="second-hand (a third party's code) and reconstruction; equations not checked against the paper",
    )

    def __init__(
        self,
        *,
        form: str = "adamw",
        momentum: str = "per_task",
        combine: str = "sum",
        betas: Sequence[float] | None = None,
        eps: float | None = None,
        gradients: str = "auto",
    ) -> None:
        check_rule("mao", form, momentum, combine)
        check_choice("mao.gradients", gradients, ("auto", "stream", "exact", "collect"))
        if eps is not None:
            check_number("mao.eps", eps, least=0.0)
        self.form, self.momentum, self.combine, self.gradients = form, momentum, combine, gradients
        self.betas = None if betas is None else check_betas("mao.betas", betas)
        self.eps = eps

    def attributed_updates(
        self, gradients_by_task: Mapping[str, Gradients], *, taken: bool = False
    ) -> dict[str, Gradients]:
        """The step lr · g_k / (√v̂_k + eps) with the task's own second moments."""
        return attributed(self.optimizer, gradients_by_task, taken=taken)

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        named = trainable(problem)
        ordinary = optimizer_factory(named)
        groups = take_over(ordinary, named, "method 'mao'", self.form, betas=self.betas, eps=self.eps)
        self.optimizer = MultiAdaptiveOptimizer(
            groups, form=self.form, momentum=self.momentum, combine=self.combine, fused=is_fused(ordinary)
        )
        self._streamer = Streamer(self.optimizer, exact=self.gradients == "exact")
        return [self.optimizer]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        if self._streams(window, services):
            losses, norms, finite = self._streamer.run(services.gradient_stream(window, counts))
        else:
            losses, norms, finite = self._collect(window, counts, services)
        done = services.commit(self.optimizers, finite=finite)
        return StepReport(losses=losses, gradient_norms=norms, skipped=done.skipped)

    def _streams(self, window: Window, services: Services) -> bool:
        if len(window) > 1 or self.gradients == "collect":
            return False
        return self.gradients != "auto" or (services.scale is None and services.reducer.world == 1)

    def _collect(
        self, window: Window, counts: dict[str, int], services: Services
    ) -> tuple[dict[str, float], dict[str, float], bool]:
        found = list(services.task_gradients(window, counts, "collect"))
        for result in found:
            self.optimizer.accumulate(result.task, result.gradients, result.count, norm=result.norm)
        losses = {result.task: result.loss for result in found}
        norms = {result.task: result.norm for result in found}
        return losses, norms, all(result.finite for result in found)
