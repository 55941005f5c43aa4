"""From a spec to a table: tune on validation, choose, train the other seeds, look at the test data once, tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medmtl.comparison.collecting import evaluated
from medmtl.comparison.executors import Executor, Job, Outcome, make_executor
from medmtl.comparison.planning import Cell, Plan, Series, make_plan
from medmtl.comparison.scheduling import Estimate, Scheduler, Task
from medmtl.comparison.selection import Choice, Selection, choose, fix, read_selection, write_selection
from medmtl.comparison.spec import EvaluateBlock, read_spec
from medmtl.comparison.state import Facts, Journal, Places, cell_state, read_facts, write_config
from medmtl.errors import RunError
from medmtl.files import made_folder, remove_litter
from medmtl.locks import folder_lock
from medmtl.progress import Bar, Progress
from medmtl.training.interruption import StopWish


@dataclass(frozen=True)
class Outcomes:
    """Where a comparison stands after its processes ended.

    Attributes:
        selection: The choices.
        facts: What every finished cell says of itself, by name.
        evaluated: The chosen cells that were evaluated on everything.
        journal: What became of every cell.
    """

    selection: Selection
    facts: dict[str, Facts]
    evaluated: tuple[Cell, ...]
    journal: Journal


def run_cells(plan: Plan, places: Places, executor: Executor, progress: Progress) -> Outcomes:
    """Trains and evaluates whatever of a comparison is not done yet.

    Args:
        plan: The comparison.
        places: Where its files lie.
        executor: Where its processes run.
        progress: Where to say how far it is.

    Raises:
        RunError: A cell's folder is of another configuration, or the selection cannot be made any more.
        InterruptedComparison: SIGINT or SIGTERM; all cells saved themselves.
    """
    before = read_selection(places.selection, plan)
    wish = StopWish()
    stages = _Stages(plan, places, executor, progress, wish)
    stages.check(before)
    with wish.watched(), progress.bar("cells", stages.total) as bar:
        selection = stages.select(before, bar)
        trained = stages.train(list(plan.chosen(selection.chosen)), stages.evaluations_ahead, bar)
        selection = stages.evaluate(trained, selection, bar)
    done = tuple(cell for cell in trained if stages.fully_evaluated(cell))
    return Outcomes(selection, stages.facts, done, stages.journal)


@contextmanager
def held(places: Places) -> Iterator[None]:
    """Holds the folder of a comparison while the block works in it.

    Raises:
        RunError: Another process works in it.
        OutputError: It cannot be made.
    """
    with made_folder(places.cells):
        try:
            # Not the folder itself: the ledger's writers ask for that one.
            with folder_lock(places.cells, wait=False):
                remove_litter(places.root)
                yield
        except BlockingIOError:
            what, remedy = "another comparison works in this folder", "wait until it ends, or choose another --out"
            raise RunError(what, where=places.root, remedy=remedy) from None


class _Stages:
    """The stages of a comparison, and what they share.

    Args:
        plan: The comparison.
        places: Where its files lie.
        executor: Where its processes run.
        progress: Where to say how far it is.
        wish: Whether somebody asked to stop.
    """

    def __init__(self, plan: Plan, places: Places, executor: Executor, progress: Progress, wish: StopWish) -> None:
        self.plan = plan
        self.places = places
        self.journal = Journal(places.journal)
        self.facts: dict[str, Facts] = {}
        self.estimate = Estimate(executor.workers)
        self.total = self._total()
        self.scheduler = Scheduler(executor, progress, wish, self._ended, total=self.total, estimate=self.estimate)

    def check(self, before: Selection | None) -> None:
        """Refuses folders of other configurations before anything is started."""
        cells = [*self.plan.tuning(), *self.plan.chosen(before.chosen if before else {})]
        cells += [series.cell(name, seed) for series in self.plan.series if len(series.configs) == 1
                  for name in series.configs for seed in self._seeds(series)]  # fmt: skip
        for cell in cells:
            cell_state(cell, self.places)

    def select(self, before: Selection | None, bar: Bar) -> Selection:
        """Tunes on validation and chooses; a choice that stands is kept."""
        kept = dict(before.choices) if before else {}
        tuning = [cell for cell in self.plan.tuning() if cell.series not in kept]
        for cell in self.plan.tuning():
            if cell.series in kept and cell_state(cell, self.places) == "done":  # what was tried is told all the same
                self._learn(cell)
        later = [f"train {series.name}" for series in self.plan.series for _ in self._seeds(series)[1:]]
        self.train(tuning, [*later, *self.evaluations_ahead], bar)
        choices = {series.name: kept.get(series.name) or self._choose(series.name) for series in self.plan.series}
        selection = Selection(choices, fixed=before.fixed if before else False)
        write_selection(self.places.selection, selection)
        return selection

    def train(self, cells: Sequence[Cell], later: Sequence[str], bar: Bar) -> list[Cell]:
        """Trains what is not trained yet, and gives the cells that are."""
        waiting = []
        for cell in cells:
            if cell.name in self.facts:
                continue
            if cell_state(cell, self.places) == "done":
                self._learn(cell)
                self.scheduler.skip(1, bar)
            else:
                write_config(cell, self.places)
                waiting.append(Task(self._training(cell), f"train {cell.series}"))
        self.scheduler.run(waiting, later, bar)
        for cell in cells:
            if cell.name not in self.facts and cell_state(cell, self.places) == "done":
                self._learn(cell)
        return [cell for cell in cells if cell.name in self.facts]

    def evaluate(self, cells: Sequence[Cell], selection: Selection, bar: Bar) -> Selection:
        """Evaluates every cell once on everything; from the first look on, no choice is made anew."""
        pairs = [(cell, item) for cell in cells for item in self.plan.evaluations_of(cell.series)]
        waiting = [(cell, item) for cell, item in pairs if not self.was_evaluated(cell, item)]
        self.scheduler.skip(len(pairs) - len(waiting), bar)
        if waiting:
            selection = fix(self.places.selection, selection)
        tasks = [Task(self._evaluation(cell, item), f"evaluate {item.name}") for cell, item in waiting]
        self.scheduler.run(tasks, (), bar)
        return selection

    def was_evaluated(self, cell: Cell, item: EvaluateBlock) -> bool:
        """Whether a cell was looked at with this manifest and split."""
        return evaluated(self.places.run(cell.name), item.name, self.facts[cell.name].run_hash)

    def fully_evaluated(self, cell: Cell) -> bool:
        """Whether a cell was looked at with all that it can be."""
        return all(self.was_evaluated(cell, item) for item in self.plan.evaluations_of(cell.series))

    @property
    def evaluations_ahead(self) -> list[str]:
        """Kinds of the evaluations that are still to come."""
        looks = [(series, item) for series in self.plan.series for item in self.plan.evaluations_of(series.name)]
        return [f"evaluate {item.name}" for series, item in looks for _ in self._seeds(series)]

    def _seeds(self, series: Series) -> tuple[int, ...]:
        return self.plan.spec.seeds_of(series.row)

    def _choose(self, name: str) -> Choice:
        series = next(item for item in self.plan.series if item.name == name)
        cells = {candidate: series.cell(candidate, self.plan.spec.tuned_on).name for candidate in series.configs}
        scores = {candidate: self.facts[cell].score for candidate, cell in cells.items() if cell in self.facts}
        entries = self.journal.entries
        reasons = {candidate: entries[cell].reason for candidate, cell in cells.items() if cell in entries}
        return choose(series, scores, {candidate: reason for candidate, reason in reasons.items() if reason})

    def _learn(self, cell: Cell) -> None:
        self.facts[cell.name] = read_facts(self.places.run(cell.name))
        self.estimate.learn(f"train {cell.series}", 60 * self.facts[cell.name].minutes)

    def _training(self, cell: Cell) -> Job:
        run = self.places.run(cell.name)
        resume = ("--resume",) if (run / "config.yaml").exists() else ()
        arguments = ("train", str(self.places.config(cell.name)), "--out", str(run), *resume)
        return Job(cell.name, arguments, self.places.log(cell.name))

    def _evaluation(self, cell: Cell, item: EvaluateBlock) -> Job:
        run, name = self.places.run(cell.name), evaluation_name(cell, item)
        where = ("--manifest", str(item.manifest), "--split", item.split, "--out", str(run / "evaluation" / item.name))
        arguments = ("evaluate", str(run), *where, "--ledger", str(self.places.ledger), "--quiet")
        return Job(name, arguments, self.places.log(f"{cell.name}.{item.name}"))

    def _ended(self, outcome: Outcome) -> None:
        status = "done" if outcome.code == 0 else "interrupted" if outcome.stopped else "failed"
        self.journal.note(
            outcome.job.name, status, outcome.reason if status == "failed" else "", outcome.peak_memory_mb
        )

    def _total(self) -> int:
        tuned = [series for series in self.plan.series if len(series.configs) > 1]
        again = sum(self.plan.spec.tuned_on in self._seeds(series) for series in tuned)
        cells = sum(len(self._seeds(series)) for series in self.plan.series)
        return sum(len(series.configs) for series in tuned) + cells - again + len(self.evaluations_ahead)


def evaluation_name(cell: Cell, item: EvaluateBlock) -> str:
    """How an evaluation is called in the journal and in what is said."""
    return f"{cell.name} on {item.name}"


def opened(spec: Path, executor: str, workers: int) -> tuple[Plan, Executor]:
    """Reads and checks everything that can be checked before a folder is made.

    Args:
        spec: The comparison's file.
        executor: ``local`` or ``ray``.
        workers: Processes at a time.

    Raises:
        MedmtlError: What is wrong.
    """
    plan = make_plan(read_spec(spec), spec)
    return plan, make_executor(executor, workers)
