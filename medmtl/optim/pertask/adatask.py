"""AdaTask: one Adam for each task on shared parameters, one for all on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.optim import Optimizer

from medmtl.errors import ConfigError
from medmtl.optim.base import Gradients, MethodInfo, OptimizerFactory, Problem, StepReport, Window
from medmtl.optim.gradients import add_gradients
from medmtl.optim.method import Method, methods, trainable
from medmtl.optim.pertask.attribution import attributed
from medmtl.optim.pertask.groups import is_fused, take_over
from medmtl.optim.pertask.optimizer import MultiAdaptiveOptimizer
from medmtl.optim.services import Services

ALL = "all tasks"


@methods.register("adatask")
class AdaTask(Method):
    """One Adam for each task on shared parameters, their steps added; one Adam on the sum of the losses elsewhere.

    On a shared parameter: θ ← θ - lr · Σ_k m̂_k / (√v̂_k + eps), m_k and v_k from the gradient of task k alone. On the
    others: θ ← θ - lr · m̂ / (√v̂ + eps), m and v from the gradient of Σ_k L_k.

    Against `mao`: where every parameter outside ``shared`` belongs to one task, the two are the same. They differ on a
    parameter that several tasks reach and that is not called shared (a common decoder), on which `mao` still keeps the
    tasks apart. The published code knows no absent task and counts steps once a parameter; here an absent task keeps
    its moments and counter, as in `mao`. Its fixed task weights are left out: they cancel but for eps. Learning rate,
    betas and eps are those of the run's optimizer, which must be an Adam.

    Args:
        shared: Beginnings of the names of shared parameters, such as ``["encoder."]``; all parameters when left out,
            which is the same thing wherever heads belong to one task.
        decay: Whether the optimizer's decoupled weight decay acts, once a step (default true). The published code
            accepts a weight decay and never applies it: false.
    """

    info = MethodInfo(
        name="adatask",
        family="per-task optimizer",
        backward_passes="K",
        extra_memory="K gradients; 2 K moments of a shared parameter",
        state="moments and step counters per task and parameter",
        needs_split=False,
        own_optimizer=True,
        clipping="tasks",
        mixed_precision="bf16; fp16 with a loss scale, unscaled before the moments",
        processes="losses, counts and each task's gradient are summed before the moments",
        paper="Yang et al., AdaTask, AAAI 2023, arXiv 2211.15055",
        evidence="paper (abstract) and the authors' code",
    )

    def __init__(self, *, shared: Sequence[str] | None = None, decay: bool = True) -> None:
        if shared is not None and (isinstance(shared, str) or not all(isinstance(part, str) for part in shared)):
            raise ConfigError(
                "a list of beginnings of names is needed",
                where="adatask.shared",
                found=repr(shared),
                remedy='for example ["encoder."]',
            )
        if not isinstance(decay, bool):
            raise ConfigError("not a truth value", where="adatask.decay", found=repr(decay), remedy="use true or false")
        self.shared = None if shared is None else tuple(shared)
        self.decay = decay

    def attributed_updates(
        self, gradients_by_task: Mapping[str, Gradients], *, taken: bool = False
    ) -> dict[str, Gradients]:
        """The step lr · g_k / (√v̂_k + eps) on shared parameters, with the one v̂ elsewhere."""
        steps = attributed(self.optimizer, self._shared_rows(gradients_by_task), taken=taken)
        for task, row in gradients_by_task.items():
            rest = {name: gradient for name, gradient in row.items() if not self._is_shared(name)}
            steps[task] |= attributed(self.optimizer, {ALL: rest}, taken=taken)[ALL]
        return steps

    def _build(self, problem: Problem, optimizer_factory: OptimizerFactory) -> list[Optimizer]:
        named = trainable(problem)
        self._check_shared([name for name, _ in named])
        ordinary = optimizer_factory(named)
        groups = take_over(ordinary, named, "method 'adatask'", "adamw")
        for group in groups if not self.decay else ():
            group["weight_decay"] = 0.0
        self.optimizer = MultiAdaptiveOptimizer(groups, fused=is_fused(ordinary))
        return [self.optimizer]

    def _update(self, window: Window, counts: dict[str, int], services: Services) -> StepReport:
        found = list(services.task_gradients(window, counts, "collect"))
        losses = {result.task: result.loss for result in found}
        norms = {result.task: result.norm for result in found}
        finite = all(result.finite for result in found)
        if finite:
            self._stage({result.task: result.gradients for result in found})
        done = services.commit(self.optimizers, finite=finite)
        return StepReport(losses=losses, gradient_norms=norms, skipped=done.skipped)

    def _stage(self, rows: Mapping[str, Gradients]) -> None:
        rest: Gradients = {}
        for row in rows.values():
            add_gradients(rest, {name: gradient for name, gradient in row.items() if not self._is_shared(name)})
        for task, row in {**self._shared_rows(rows), ALL: rest}.items():
            if row:
                self.optimizer.accumulate(task, row, norm=0.0)  # known to be finite

    def _shared_rows(self, rows: Mapping[str, Gradients]) -> dict[str, Gradients]:
        return {task: {name: g for name, g in row.items() if self._is_shared(name)} for task, row in rows.items()}

    def _is_shared(self, name: str) -> bool:
        return self.shared is None or name.startswith(self.shared)

    def _check_shared(self, names: Sequence[str]) -> None:
        for part in self.shared or ():
            if not any(name.startswith(part) for name in names):
                raise ConfigError(
                    "no trainable parameter's name begins so",
                    where="adatask.shared",
                    found=repr(part),
                    remedy=f"the first name is '{names[0]}'",
                )
