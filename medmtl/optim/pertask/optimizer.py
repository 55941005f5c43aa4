"""An ordinary PyTorch optimizer that keeps the moments of every task apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from medmtl.errors import TrainingError
from medmtl.optim.base import Gradients
from medmtl.optim.checks import check_number
from medmtl.optim.gradients import gradients_of, unaliased
from medmtl.optim.pertask import updates
from medmtl.optim.pertask.groups import check_betas, check_group, check_rule, named_groups
from medmtl.optim.pertask.pieces import Packing, Piece
from medmtl.optim.pertask.staging import Row, Staged, check_differentiable, check_unset, checked, rows_of


class MultiAdaptiveOptimizer(Optimizer):
    """MAO: every task's gradient is normalized by its own moments, parameter by parameter, before the steps are added.

    For every parameter i, task k and step t of that task, with g the gradient of the task's mean loss::

        m_ki ← b₁ m_ki + (1-b₁) g_ki          v_ki ← b₂ v_ki + (1-b₂) g_ki²
        θ_i ← θ_i - lr · Σ_k m̂_ki / (√v̂_ki + eps)

    m̂ and v̂ are freed from their bias by the step counter of (task, parameter). A task that brings no gradient for a
    parameter leaves its moments and counter there untouched. With one task, and on parameters that one task reaches,
    this is `torch.optim.Adam` (`AdamW`) bit for bit on the CPU: the same operations in the same order.

    Use it on any module::

        optimizer = MultiAdaptiveOptimizer(model.named_parameters(), lr=1e-3)
        optimizer.backward({"a": loss_a, "b": loss_b})  # or accumulate(task, gradients, count) for each
        optimizer.commit()

    After Hervella, Rouco, Novo, Ortega, Neural Networks 170:254-265, 2024: a reconstruction from the abstract and a
    third party's code; the equations were not checked against the paper.

    Args:
        params: ``model.named_parameters()``, or groups whose ``params`` are such pairs.
        lr: Learning rate.
        form: ``adam``; ``adamw``, with decoupled decay; ``rmsprop``, with neither first moment nor correction of
            the bias, as `torch.optim.RMSprop` with alpha b₂; ``normalized_sgd``, θ ← θ - lr · Σ_k m̂_k / (‖m̂_k‖ +
            eps) with the norm of each whole parameter tensor.
        momentum: ``per_task``, the equations above; ``shared``, the other reading: one m of each parameter over the
            balanced gradient, m_i ← b₁ m_i + (1-b₁) Σ_k g_ki / (√v̂_ki + eps), θ_i ← θ_i - lr · m̂_i. That form is
            as indifferent to the scale of a loss, keeps K + 1 buffers, and equals Adam for one task only if b₁ is 0.
        combine: ``sum`` or ``mean`` over the tasks that reach a parameter in this step.
        betas: b₁ and b₂, each in [0, 1).
        eps: Added outside the root.
        weight_decay: Decoupled, once a step, on parameters that any task reached. The ``adam`` form takes none:
            inside the gradient it would be normalized away once a task.
        clip_task_norm: Largest norm of each task's gradient, before the moments; clipping the normalized step
            would mean nothing.
        chunk: Numbers updated together; bounds the memory beside gradients and moments. None picks by device.
        fused: Adam's steps by PyTorch's fused kernel: faster, and to the bit what ``fused=True`` gives for one task.

    Raises:
        ConfigError: An argument out of range, or parameters without names.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        form: str = "adamw",
        momentum: str = "per_task",
        combine: str = "sum",
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_task_norm: float | None = None,
        chunk: int | None = None,
        fused: bool = False,
    ) -> None:
        check_rule("optimizer", form, momentum, combine)
        for name, limit in (("clip_task_norm", clip_task_norm), ("chunk", chunk)):
            if limit is not None:
                check_number(f"optimizer.{name}", limit, above=0.0, whole=name == "chunk")
        self.rule = updates.Rule(form, momentum, combine, fused)
        self.clip_task_norm, self.chunk = clip_task_norm, chunk
        betas = check_betas("optimizer.betas", betas)
        super().__init__(named_groups(params), {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        for group in self.param_groups:
            check_group("optimizer", group, form)
        self._packing = Packing()
        self._staged: dict[str, Staged] = {}
        self._known_tasks: set[str] = set()
        self._update: Gradients = {}
        self._reached: Counter[str] = Counter()

    def accumulate(
        self, task: str, gradients: Mapping[str, Tensor | None], count: int = 1, *, norm: float | None = None
    ) -> None:
        """Stages a gradient; nothing is written before `commit`.

        Args:
            task: The task; one that is absent from the batch is left out.
            gradients: By parameter name, of the task's mean loss over ``count`` samples; None or no entry for a
                parameter that it does not reach. They must not be changed before the commit.
            count: Labelled samples; several calls for one task are joined as one mean over all samples.
            norm: Their Euclidean norm where the caller knows it, and that no two of them share memory; else it is
                measured, and those that share some are copied.

        Raises:
            TrainingError: No sample, an unknown parameter, or a gradient of another shape.
        """
        parameters = dict(self._named())
        found = checked(task, gradients, count, parameters)
        if norm is None:
            found = unaliased(found, parameters)  # `fold` writes into them
        known = self._staged.get(task)
        self._staged[task] = known.joined(found, count) if known else Staged(found, count, norm=norm)

    def backward(self, losses: Mapping[str, Tensor], counts: Mapping[str, int] | None = None) -> None:
        """Stages the gradients of mean losses with a common graph: one backward pass a task.

        Args:
            losses: Scalar tensors of the tasks that are present.
            counts: Labelled samples of each; 1 when left out. They matter only over several micro-batches.

        Raises:
            TrainingError: A loss that is no scalar or has no graph, or a re-entrant activation checkpoint.
        """
        check_differentiable(losses, self._known_tasks)
        trained = {name: parameter for name, parameter in self._named() if parameter.requires_grad}
        for left, (task, loss) in zip(reversed(range(len(losses))), losses.items(), strict=True):
            found = gradients_of(loss, trained, keep_graph=left > 0)
            self.accumulate(task, found, (counts or {}).get(task, 1))

    def commit(self) -> bool:
        """Advances moments, counters and parameters by all that was staged or folded; all or nothing.

        Returns:
            False when a staged gradient was not finite: then nothing was changed, and what was staged is dropped.

        Raises:
            TrainingError: The same after `fold`: the folded tasks have to be unfolded.
        """
        rows = rows_of(self._staged, self.clip_task_norm)
        self._staged = {}
        if rows is None:
            if self._update:
                raise TrainingError("a gradient is not finite after others were folded", remedy="unfold them")
            return False
        self._run(rows, write=True)
        self._drop()
        return True

    def fold(self) -> None:
        """Advances the moments by all that is staged and keeps only the sum of the steps, for a later `commit`.

        This is the way without K gradients: the memory of the first gradient of each parameter is taken over for
        the sum, the others can be freed. The parameters stay until the commit, so that more gradients of the same
        graph can be taken. The result is the same bits as without folding.

        Raises:
            TrainingError: A gradient is not finite; what was staged is dropped.
        """
        rows = rows_of(self._staged, self.clip_task_norm)
        self._staged = {}
        if rows is None:
            raise TrainingError("a gradient that is not finite cannot be folded")
        self._run(rows, write=False)

    @torch.no_grad()
    def unfold(self, task: str, gradients: Mapping[str, Tensor | None]) -> None:
        """Takes the moments and counters of a folded task back; to be called for every folded task.

        A state that the fold created is removed, counters are exact; moments are exact but for rounding relative to
        the larger of moment and gradient. The sum of the steps is dropped.

        Args:
            task: The folded task.
            gradients: The gradient that was staged, once more.
        """
        self._drop()
        found = checked(task, gradients, 1, dict(self._named()))
        rows = rows_of({task: Staged(found, 1)}, self.clip_task_norm)
        if rows is None:
            raise TrainingError("the gradient was finite when it was folded", where=f"task '{task}'")
        for group in self.param_groups:
            for chunk in self._chunks(group, found):
                updates.take_step_back(group, self.state, chunk, task, rows[task])
        for name, parameter in self._named():
            if name in found:
                updates.uncount_step(self.state, parameter, task)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Commits, so that this is an ordinary optimizer to whoever steps it.

        Raises:
            TrainingError: Nothing is staged or folded, although ``.grad`` is set.
        """
        if not self._staged and not self._update:
            check_unset(self._named())
        self.commit()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops what was staged, and the sum of what was folded, too."""
        self._staged = {}
        self._drop()
        super().zero_grad(set_to_none)

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for group in self.param_groups:
            yield from zip(group["param_names"], group["params"], strict=True)

    def _drop(self) -> None:
        self._update, self._reached = {}, Counter()

    @torch.no_grad()
    def _run(self, rows: Mapping[str, Row], *, write: bool) -> None:
        for row in rows.values():
            self._reached.update(row.gradients.keys())
        names = set(self._reached) if write else {name for row in rows.values() for name in row.gradients}
        self._count(rows, write=write)
        made: Gradients = {}
        for group in self.param_groups:
            for chunk in self._chunks(group, names):
                totals = updates.sums_so_far(self._update, chunk)
                for task, row in rows.items():
                    updates.add_step(self.rule, group, self.state, chunk, task, row, totals)
                if write:
                    updates.write_step(self.rule, group, self.state, chunk, totals, self._reached)
                else:
                    made |= updates.keep_sums(self._update, chunk, rows, totals)
        self._update |= made

    def _count(self, rows: Mapping[str, Row], *, write: bool) -> None:
        for name, parameter in self._named():
            for task, row in rows.items():
                if name in row.gradients:
                    updates.count_step(self.rule, self.state[parameter], parameter, task)
            if write and self.rule.shared and name in self._reached:
                updates.count_shared_step(self.state[parameter], parameter)

    def _chunks(self, group: Mapping[str, Any], names: Container[str]) -> list[list[Piece]]:
        named = [pair for pair in zip(group["param_names"], group["params"], strict=True) if pair[0] in names]
        return self._packing.chunks(named, self.chunk, whole=not self.rule.kind.second, fused=self.rule.one_kernel)
