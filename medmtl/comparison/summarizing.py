"""From arrays of results to what the tables and the page say: means, intervals, differences, Δm, ranks, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medmtl.comparison.collecting import Results
from medmtl.comparison.planning import Plan
from medmtl.comparison.spec import SINGLE_TASK
from medmtl.comparison.state import Entry, Facts
from medmtl.evaluation import Interval
from medmtl.evaluation.deltas import delta_m, delta_p, ranks
from medmtl.evaluation.intervals import BoolArray, FloatArray, undefined
from medmtl.evaluation.resampling import mean_and_sd, over_patients, over_seeds_and_patients, sign_flip_p


@dataclass(frozen=True)
class Score:
    """One figure of one row.

    Attributes:
        mean: Over seeds.
        sd: Over seeds, with n - 1; NaN for one seed.
        interval: Over seeds and patients.
        paired: Difference to the reference row, over the patients (these very networks).
        difference: The same over seeds and patients (another training, too).
        rank: Among the rows, 1 = best.
        seeds: How many seeds have it.
    """

    mean: float
    sd: float
    interval: Interval
    paired: Interval
    difference: Interval
    rank: float
    seeds: int


@dataclass(frozen=True)
class Delta:
    """Δ against the single-task networks of the same seeds, in percent.

    Attributes:
        mean: Over the seeds in which it is defined.
        sd: Over them, with n - 1; NaN for one seed.
        interval: Over them and patients.
        p: NaN with fewer than 6 seeds.
        undefined: By seed with every figure, the figures whose baseline is 0, of which nothing is a percentage.
        seeds: How many have every figure.
    """

    mean: float
    sd: float
    interval: Interval
    p: float
    undefined: Mapping[int, tuple[str, ...]]
    seeds: int


@dataclass(frozen=True)
class Cost:
    """What one training of a row costs; the networks of the single-task row are added up, their memory is not.

    Attributes:
        step_seconds: Median seconds of an update, of the seed that other work on the machine disturbed least: the shortest.
        minutes: Of training, mean over seeds.
        processor_minutes: The same of all processor cores together; NaN where nobody measured it.
        peak_memory_mb: Largest of all cells; NaN where nobody measured it.
    """

    step_seconds: float
    minutes: float
    processor_minutes: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: Its name.
        chosen: The candidate of each of its series.
        scores: By figure, in the order of the figures.
        delta_m: Δm by name: all tasks, and the forms that leave tasks out.
        delta_p: Δp by the same names.
        mean_rank: Mean of its ranks; NaN where one is missing.
        cost: What it costs.
    """

    name: str
    chosen: Mapping[str, str]
    scores: tuple[Score, ...]
    delta_m: Mapping[str, Delta]
    delta_p: Mapping[str, Delta]
    mean_rank: float
    cost: Cost


ALL_TASKS = "all tasks"


def summarize(
    plan: Plan,
    results: Results,
    chosen: Mapping[str, str],
    facts: Mapping[str, Facts],
    journal: Mapping[str, Entry],
) -> tuple[Row, ...]:
    """All rows of the table.

    Args:
        plan: The comparison.
        results: What the evaluated cells say.
        chosen: Candidate of each series.
        facts: What finished cells say of themselves, by name.
        journal: What else is known of cells, by name.
    """
    means = np.array([[mean_and_sd(column)[0] for column in row.T] for row in results.values])
    places = ranks(means, results.higher_is_better) if means.size else np.full(means.shape, np.nan)
    return tuple(
        Row(
            name,
            {series: candidate for series, candidate in chosen.items() if series.split("/", 1)[0] == name},
            tuple(_score(results, plan, row, figure, places) for figure in range(len(results.figures))),
            _deltas(plan, results, row, sign=1),
            _deltas(plan, results, row, sign=-1),
            float(places[row].mean()) if places.shape[1] else math.nan,
            _cost(plan, name, chosen, facts, journal),
        )
        for row, name in enumerate(results.rows)
    )


def _score(results: Results, plan: Plan, row: int, figure: int, places: FloatArray) -> Score:
    values, drawn = results.values[row, :, figure], results.drawn[row, :, figure]
    base = results.rows.index(plan.spec.compared_with)
    apart = values - results.values[base, :, figure]
    apart_drawn = drawn - results.drawn[base, :, figure]
    nothing = undefined("this is the row that the others are compared with")
    mean, sd = mean_and_sd(values)
    return Score(
        mean,
        sd,
        over_seeds_and_patients(values, drawn, seed=results.seed),
        nothing if row == base else over_patients(apart, apart_drawn),
        nothing if row == base else over_seeds_and_patients(apart, apart_drawn, seed=results.seed),
        float(places[row, figure]),
        int(np.isfinite(values).sum()),
    )


def _deltas(plan: Plan, results: Results, row: int, *, sign: int) -> dict[str, Delta]:
    """Δm (``sign`` 1) or Δp (-1) of all tasks, and of each form that leaves some out."""
    if SINGLE_TASK not in results.rows or results.rows[row] == SINGLE_TASK:
        return {}
    forms = {ALL_TASKS: [], **plan.spec.exclude_tasks}
    return {name: _delta(results, row, excluded, sign=sign) for name, excluded in forms.items()}


def _delta(results: Results, row: int, excluded: Sequence[str], *, sign: int) -> Delta:
    kept = [place for place, figure in enumerate(results.figures) if figure.task not in excluded]
    base = results.rows.index(SINGLE_TASK)
    upward = [results.higher_is_better[place] for place in kept]
    tasks = [results.figures[place].task for place in kept]

    def change(values: FloatArray, baseline: FloatArray) -> FloatArray:
        found = delta_m(values, baseline, upward) if sign == 1 else delta_p(values, baseline, upward, tasks)
        return 100 * found

    values = change(results.values[row][:, kept], results.values[base][:, kept])
    turned = np.moveaxis(results.drawn[:, :, kept], -1, -2)
    drawn = change(turned[row], turned[base])
    mean, sd = mean_and_sd(values)
    interval = over_seeds_and_patients(values, drawn, seed=results.seed)
    whole: BoolArray = np.asarray(np.isfinite(results.values[[row, base]][..., kept]).all(axis=(0, 2)))
    names = results.names()
    zeros = {
        seed: tuple(names[figure] for figure in kept if results.values[base, place, figure] == 0)
        for place, seed in enumerate(results.seeds)
        if whole[place] and not np.isfinite(values[place])
    }
    return Delta(mean, sd, interval, sign_flip_p(values), zeros, int(whole.sum()))


def _cost(
    plan: Plan, row: str, chosen: Mapping[str, str], facts: Mapping[str, Facts], journal: Mapping[str, Entry]
) -> Cost:
    series = [item for item in plan.series if item.row == row and item.name in chosen]
    names = {seed: [item.cell(chosen[item.name], seed).name for item in series] for seed in plan.spec.seeds}
    whole = [cells for cells in names.values() if cells and all(name in facts for name in cells)]
    memory = [journal[name].peak_memory_mb for cells in names.values() for name in cells if name in journal]
    return Cost(
        min((sum(facts[name].step_seconds for name in cells) for cells in whole), default=math.nan),
        _mean([sum(facts[name].minutes for name in cells) for cells in whole]),
        _mean([sum(facts[name].processor_minutes for name in cells) for cells in whole]),
        max((value for value in memory if math.isfinite(value)), default=math.nan),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
