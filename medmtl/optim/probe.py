"""A look at the tasks' gradients during training that leaves no trace in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medmtl.errors import ConfigError
from medmtl.optim.analysis import Conflict, Layer, UpdateShares, conflicts, module_of, spread
from medmtl.optim.base import Batch, Gradients, Problem, StepReport, Window
from medmtl.optim.buffers import cuda_devices
from medmtl.optim.checks import LossUnusable, check_number, check_seed
from medmtl.optim.gradients import norm_of
from medmtl.optim.method import Method
from medmtl.optim.services import Services

Row = dict[str, str | int | float]
"""One number for a log: ``step``, ``measure``, ``layer``, ``tasks``, ``statistic``, ``value``."""


class Probe:
    """Measures who moves what, and who pulls where, every ``interval`` updates.

    Before a due update, `look` takes the tasks' gradients on the window that is about to be used, with frozen buffers,
    a forked random state and nothing written to ``.grad``; after it, `settle` shares the update out. They give rows with

    - ``gradient_norm`` of each task's mean loss,
    - ``cosine``, ``magnitude`` and ``opposed`` (see `Conflict`): mean, sd, 2.5 and 97.5 % over pairs, ``inter_task`` (two
      tasks on the same sample) and ``inter_sample`` (two samples of the same task), over at most ``max_samples`` samples
      and tasks drawn at random,
    - ``update_share``: rAU of each task in each shared layer (see `UpdateShares`), from what the method attributes, with
      the weights of this very update, of gradients as `clip_task_norm` left them to a method that takes them one by one.

    It costs a forward and K backward passes on the window, and twice as many for each of the samples; it holds as many
    gradients as there are samples or tasks, those of the tasks through the update. When it is off, or not due, it costs
    nothing. In several processes all must look, since norms and shares are of all samples; the pairs are those of each
    process's own. Losses that cannot be learned from are not its business: it gives no rows, and the update says so.

    Args:
        interval: Updates from look to look; 0 is off.
        max_samples: Largest number of samples, and of tasks, that are compared; below 2 nothing is.
        seed: Seed of the drawing; with the step it decides the draw, so there is no random state to save.
        decay: Decay of the accumulated updates, in [0, 1).
        layer: Names the layer of a parameter.
        split: Cuts a micro-batch into its samples.

    Raises:
        ConfigError: A number out of range.
    """

    def __init__(
        self,
        interval: int = 0,
        max_samples: int = 8,
        seed: int = 0,
        *,
        decay: float = 0.9,
        layer: Layer = module_of,
        split: Callable[[Batch], Sequence[Batch]] | None = None,
    ) -> None:
        for name, value in (("interval", interval), ("max_samples", max_samples)):
            check_number(f"probe.{name}", value, least=0, whole=True)
        check_seed("probe.seed", seed)
        check_number("probe.decay", decay, least=0.0)
        if decay >= 1:
            raise ConfigError("out of range", where="probe.decay", found=repr(decay), remedy="use a number in [0, 1)")
        self.interval, self.max_samples, self.seed = interval, max_samples, seed
        self.split = split or samples_of
        self.shares = UpdateShares(decay, layer)
        self._held: tuple[int, dict[str, Gradients], float | None] | None = None  # update, its gradients, their limit

    def due(self, step: int) -> bool:
        """Whether update number ``step`` (from 0) is to be looked at."""
        return self.interval > 0 and step % self.interval == 0

    def look(self, step: int, problem: Problem, window: Window, services: Services) -> list[Row]:
        """Looks before an update, if it is due.

        Args:
            step: Number of the update that comes next.
            problem: What is minimized.
            window: The micro-batches of that update.
            services: The services of the training; only their processes, loss scale and `clip_task_norm` are used.

        Returns:
            Rows for a log; none when it is not due, nothing is labelled, or a loss or gradient is not finite.
        """
        self._held = None
        if not self.due(step):
            return []
        with torch.random.fork_rng(devices=cuda_devices()):
            found = self._whole(problem, window, services)
            rows = [_row("gradient_norm", task, "value", norm_of(row.values())) for task, row in found.items()]
            rows += self._pair_rows(step, problem, window, services) if found else []
        self._held = (step, found, services.clip_task_norm) if found else None
        return [{"step": step, **row} for row in rows]

    def settle(self, method: Method, report: StepReport) -> list[Row]:
        """Shares out the update that followed a look, if there was one.

        Args:
            method: The built method, which attributes its last update to tasks.
            report: What that update did; its weights are the tasks' factors. A task that it gives none, because it is
                not its turn, has factor 1.

        Returns:
            Rows for a log; none when there was no look or the update was skipped.
        """
        held, self._held = self._held, None
        if held is None or report.skipped:
            return []
        step, found, limit = held
        clipped = None if method.info.clipping == "direction" else limit
        factors = {t: report.weights.get(t, 1.0) * _clip_factor(row, clipped) for t, row in found.items()}
        return [{"step": step, **row} for row in self._share_rows(found, method, factors)]

    def state_dict(self) -> dict[str, Any]:
        """The accumulated updates."""
        return {"accumulated": {layer: dict(known) for layer, known in self.shares.accumulated.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a saved state up again."""
        self.shares.accumulated = {layer: dict(known) for layer, known in state["accumulated"].items()}

    def _whole(self, problem: Problem, window: Window, services: Services) -> dict[str, Gradients]:
        unclipped = Services(problem, reducer=services.reducer, scale=services.scale)
        return _gradients(unclipped, window, problem.tasks)

    def _share_rows(self, found: dict[str, Gradients], method: Method, factors: Mapping[str, float]) -> list[Row]:
        weighted = {
            t: {n: g * by for n, g in row.items()} if (by := factors[t]) != 1 else row for t, row in found.items()
        }
        self.shares.observe(method.attributed_updates(weighted, taken=True))
        shares = self.shares.shares()
        network_order = dict.fromkeys(map(self.shares.layer, method.parameters))  # optimizers keep another one
        return [
            _row("update_share", task, "value", share, layer)
            for layer in network_order
            for task, share in shares.get(layer, {}).items()
        ]

    def _pair_rows(self, step: int, problem: Problem, window: Window, services: Services) -> list[Row]:
        random = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        samples = self._drawn([sample for batch in window for sample in self.split(batch)], random)
        tasks = tuple(self._drawn(list(problem.tasks), random))
        own = Services(problem, scale=services.scale)
        rows: list[Row] = []
        by_sample = [c for sample in samples for c in conflicts(list(_gradients(own, [sample], tasks).values()))]
        rows += _spread_rows(by_sample, "inter_task", "|".join(tasks))
        for task in tasks:
            alone = [_gradients(own, [sample], (task,)) for sample in samples]
            rows += _spread_rows(conflicts([row[task] for row in alone if task in row]), "inter_sample", task)
        return rows

    def _drawn(self, items: list[Any], random: torch.Generator) -> list[Any]:
        if self.max_samples < 2:
            return []
        order = torch.randperm(len(items), generator=random).tolist()[: self.max_samples]
        return [items[index] for index in sorted(order)]


def samples_of(batch: Batch) -> list[Batch]:
    """Cuts a micro-batch into samples: tensors along their first dimension, in mappings, data classes and tuples.

    A list or tuple of mappings or data classes is taken for several batches side by side, each cut for itself into
    lists of one. What is no tensor is left as it is.

    Raises:
        ConfigError: Nothing to cut, or tensors of different lengths.
    """
    if isinstance(batch, list | tuple) and batch and not any(isinstance(part, Tensor) for part in batch):
        return [[sample] for part in batch for sample in samples_of(part)]
    lengths = {length for length in _lengths(batch) if length is not None}
    if len(lengths) != 1:
        raise ConfigError(
            "the batch cannot be cut into samples",
            where="probe.split",
            found=f"lengths {sorted(lengths)}",
            remedy="give a function that returns the samples of a batch",
        )
    return [_sample(batch, index) for index in range(lengths.pop())]


def _lengths(part: Any) -> list[int | None]:
    if isinstance(part, Tensor):
        return [len(part) if part.ndim else None]
    return [length for child in _children(part) for length in _lengths(child)]


def _children(part: Any) -> list[Any]:
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return [getattr(part, field.name) for field in dataclasses.fields(part)]
    if isinstance(part, Mapping):
        return list(part.values())
    return list(part) if isinstance(part, list | tuple) else []


def _sample(part: Any, index: int) -> Any:
    if isinstance(part, Tensor):
        return part[index : index + 1] if part.ndim else part
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = {field.name: _sample(getattr(part, field.name), index) for field in dataclasses.fields(part)}
        return dataclasses.replace(part, **fields)
    if isinstance(part, Mapping):
        return {key: _sample(value, index) for key, value in part.items()}
    return type(part)(_sample(value, index) for value in part) if isinstance(part, list | tuple) else part


def _gradients(services: Services, window: Window, tasks: tuple[str, ...]) -> dict[str, Gradients]:
    """None at all where a loss cannot be learned from: means are those of all of a reducer's processes, and so is this."""
    counts = services.counts(window, tasks)
    try:
        found = list(services.task_gradients(window, counts, "collect", "frozen")) if counts else []
    except LossUnusable:  # the update that comes names it
        return {}
    return {result.task: result.gradients for result in found} if all(result.finite for result in found) else {}


def _clip_factor(row: Gradients, limit: float | None) -> float:
    """What a limit of its norm multiplies a task's gradient by."""
    return 1.0 if limit is None or (norm := norm_of(row.values())) <= limit else limit / norm


def _spread_rows(found: Sequence[Conflict], pairs: str, tasks: str) -> list[Row]:
    if not found:
        return []
    return [
        _row(f"{pairs}_{measure}", tasks, statistic, value)
        for measure in ("cosine", "magnitude", "opposed")
        for statistic, value in spread([getattr(one, measure) for one in found]).items()
    ]


def _row(measure: str, tasks: str, statistic: str, value: float, layer: str = "") -> Row:
    return {"measure": measure, "layer": layer, "tasks": tasks, "statistic": statistic, "value": value}
