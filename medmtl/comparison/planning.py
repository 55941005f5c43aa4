"""From a spec to its cells: which configurations are trained, under which names, checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from medmtl.comparison.spec import SINGLE_TASK, EvaluateBlock, RowBlock, Spec
from medmtl.config import RunConfig, load_config, merge, parse_config, parse_override, read_yaml
from medmtl.data.cohort import read_cohort
from medmtl.data.manifest import Manifest
from medmtl.errors import ConfigError, suggestion
from medmtl.inference.network import build_tasks
from medmtl.optim import make_method
from medmtl.tasks import Settings

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One training: an ordinary run.

    Attributes:
        series: What its learning rate is chosen for: a row, or ``single_task/TASK``.
        candidate: Variant and learning rate.
        seed: The run's seed.
        config: Its configuration.
    """

    series: str
    candidate: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """The run folder below ``cells``."""
        return f"{self.series}/{self.candidate}/seed{self.seed}"

    @property
    def row(self) -> str:
        """The row that it belongs to."""
        return self.series.split("/", 1)[0]


@dataclass(frozen=True)
class Series:
    """What is tuned together: all candidates of a row, or of one task trained alone.

    Attributes:
        name: Its name, a path below ``cells``.
        configs: Configurations by candidate, in the order of the spec; all have the tuning seed.
    """

    name: str
    configs: Mapping[str, RunConfig]

    @property
    def row(self) -> str:
        """The row that it belongs to."""
        return self.name.split("/", 1)[0]

    def cell(self, candidate: str, seed: int) -> Cell:
        """The cell of a candidate and a seed."""
        return Cell(self.name, candidate, seed, self.configs[candidate].model_copy(update={"seed": seed}))


@dataclass(frozen=True)
class Plan:
    """All that a comparison may train and evaluate.

    Attributes:
        spec: What was asked for.
        path: Its file.
        base: The configuration that all rows lie over.
        series: What is tuned, in the order of the rows.
        known: By the name of an evaluation, the tasks of the base of which its samples say anything.
    """

    spec: Spec
    path: Path
    base: RunConfig
    series: tuple[Series, ...]
    known: Mapping[str, frozenset[str]]

    def tuning(self) -> Iterator[Cell]:
        """The cells that choose; a series of one candidate has nothing to choose."""
        for series in self.series:
            if len(series.configs) > 1:
                yield from (series.cell(candidate, self.spec.tuned_on) for candidate in series.configs)

    def chosen(self, choices: Mapping[str, str]) -> Iterator[Cell]:
        """The cells of the chosen candidates, every seed, seeds before rows: what a short night leaves is whole seeds."""
        for seed in self.spec.seeds:
            having = (series for series in self.series if seed in self.spec.seeds_of(series.row))
            yield from (series.cell(choices[series.name], seed) for series in having if series.name in choices)

    @property
    def evaluations(self) -> tuple[EvaluateBlock, ...]:
        """What the chosen cells are evaluated on."""
        return tuple(self.spec.evaluate)

    def evaluations_of(self, series: str) -> tuple[EvaluateBlock, ...]:
        """What the cells of a series are evaluated on: a task of its own only where its labels are known."""
        row, _, task = series.partition("/")
        return tuple(item for item in self.spec.evaluate if row != SINGLE_TASK or task in self.known[item.name])


def make_plan(spec: Spec, path: Path) -> Plan:
    """Works out and checks every configuration of a comparison; nothing is written.

    Args:
        spec: What is asked for.
        path: Its file: the base's paths are relative to it, and errors name it.

    Raises:
        MedmtlError: A configuration, a method, a task's name or a manifest that cannot be used.
    """
    files = [path.parent / file for file in spec.base]
    base = load_config(files, spec.set)
    data: dict[str, Any] = {}
    for layer in [*map(read_yaml, files), *map(parse_override, spec.set)]:
        data = merge(data, layer)
    _check_base(base)
    _check_tasks(spec, base, path)
    known = _check_manifests(spec, base)
    series = (*_single_tasks(spec, base, data, path), *(_row(spec, name, data, path) for name in spec.rows))
    return Plan(spec, path, base, series, known)


def _check_base(base: RunConfig) -> None:
    build_tasks(base)
    read_cohort(base.data)


def _check_tasks(spec: Spec, base: RunConfig, path: Path) -> None:
    named = {f"rows.{name}.grid": list(row.grid) for name, row in spec.rows.items()}
    named |= {"metrics": list(spec.metrics), "alone": list(spec.alone)}
    named |= {f"exclude_tasks.{name}": tasks for name, tasks in spec.exclude_tasks.items()}
    for key, tasks in named.items():
        for task in tasks:
            if task not in base.tasks:
                remedy = suggestion(task, base.tasks)
                raise ConfigError("unknown task", where=f"{path}: {key}", found=f"'{task}'", remedy=remedy)
    _check_metrics(spec, base, path)
    for name, tasks in spec.exclude_tasks.items():
        if set(base.tasks) <= set(tasks):
            raise ConfigError("no task is left", where=f"{path}: exclude_tasks.{name}", remedy="leave one out of it")


def _check_metrics(spec: Spec, base: RunConfig, path: Path) -> None:
    for task in build_tasks(base):
        wanted = spec.metrics.get(task.name, [])
        if not wanted or task.kind == "localization":  # whose metrics depend on the lesions that the data have
            continue
        known = [metric.name for metric in task.findings([], Settings(bootstrap=100)).metrics]
        for name in wanted:
            if name not in known:
                where, remedy = f"{path}: metrics.{task.name}", suggestion(name, known)
                raise ConfigError("the task has no such metric", where=where, found=f"'{name}'", remedy=remedy)


def _check_manifests(spec: Spec, base: RunConfig) -> dict[str, frozenset[str]]:
    tasks, known = build_tasks(base), {}
    for item in spec.evaluate:
        table = Manifest.read(item.manifest)
        samples = tuple(table.select(None if item.split == "all" else item.split))
        if not samples:
            splits = ", ".join(sorted({str(sample.split) for sample in table.samples}))
            what = f"the manifest has no sample in the split '{item.split}'"
            raise ConfigError(what, where=item.manifest, found=splits, remedy="name another split under evaluate")
        known[item.name] = frozenset(
            task.name
            for task in tasks
            if any(target.labelled(sample) for target in task.truth_targets for sample in samples)
        )
    return known


def _row(spec: Spec, name: str, data: Data, path: Path) -> Series:
    row = spec.rows[name]
    layers = [lay_over(lay_over(data, row.overrides), variant) for variant in _variants(row, data)]
    return Series(name, dict(_candidates(spec, name, layers, f"{path}: rows.{name}")))


def _variants(row: RowBlock, data: Data) -> list[Data]:
    if row.grid:
        ones = dict.fromkeys(data["tasks"], 1.0)
        weights = [ones | dict(zip(row.grid, choice, strict=True)) for choice in product(*row.grid.values())]
        return [{"method": {"name": "fixed", "weights": choice}} for choice in weights]
    return list(row.variants) or [{}]


def _single_tasks(spec: Spec, base: RunConfig, data: Data, path: Path) -> Iterator[Series]:
    for task in base.tasks if spec.single_task else ():
        alone = {key: value for key, value in data.items() if key != "method"}
        alone["tasks"] = {task: data["tasks"][task]}
        alone["training"] = {**data.get("training", {}), "select_by": []}  # those that select may be among the others
        if base.model.architecture != "shared":  # one sub-model has nobody to read from
            alone = merge(alone, {"model": {"architecture": "shared"}})
        name = f"{SINGLE_TASK}/{task}"
        layer = merge(alone, spec.alone.get(task, {}))
        yield Series(name, dict(_candidates(spec, name, [layer], f"{path}: {name}")))


def _candidates(spec: Spec, series: str, layers: Sequence[Data], where: str) -> Iterator[tuple[str, RunConfig]]:
    rates: Sequence[float | None] = spec.learning_rates or [None]
    for number, layer in enumerate(layers):
        for rate in rates:
            place = f"{where}.variants.{number}" if len(layers) > 1 else where
            config = _checked(_complete(layer, spec, series, rate), place)
            variant = f"v{number}_" if len(layers) > 1 else ""
            yield f"{variant}lr{config.training.lr!r}", config


def _complete(layer: Data, spec: Spec, series: str, rate: float | None) -> dict[str, Any]:
    fixed: dict[str, Any] = {"name": f"{spec.name}: {series}", "seed": spec.tuned_on}
    return merge(layer, fixed if rate is None else {**fixed, "training": {"lr": rate}})


def _checked(data: Data, where: str) -> RunConfig:
    try:
        config = parse_config(data)
        make_method(config.method.name, **config.method.arguments)
        build_tasks(config)
    except ConfigError as error:
        place = f"{where}: {error.where}" if error.where else where
        raise ConfigError(error.what, where=place, found=error.found, remedy=error.remedy) from None
    return config


def lay_over(data: Data, over: Data) -> dict[str, Any]:
    """Lays a row over a configuration; another method replaces the block, so that no argument of the first stays.

    Args:
        data: The configuration as read.
        over: The row's keys.
    """
    method, before = over.get("method"), data.get("method")
    if isinstance(method, Mapping) and isinstance(before, Mapping) and _another(method, before):
        data = {key: value for key, value in data.items() if key != "method"}
    return merge(data, over)


def _another(method: Data, before: Data) -> bool:
    return "name" in method and method["name"] != before.get("name")
