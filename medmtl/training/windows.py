"""Which batches make up which update: from a method's plan to the loaders of the views that it needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from medmtl.config import RunConfig, ViewConfig
from medmtl.data.loading import Batch, ViewDataset, training_loader
from medmtl.data.sampling import Draw, ViewStream
from medmtl.optim import Plan
from medmtl.tasks import AnyTask


@dataclass(frozen=True)
class ViewFeed:
    """A view's training samples and the stream of their batches."""

    dataset: ViewDataset
    stream: ViewStream


class WindowSource:
    """The windows of micro-batches of every update, as a pure function of its number.

    Args:
        feeds: By view.
        view_of: By task.
        plan: What update number n needs.
        accumulation: Micro-batches in one update.
        workers: Loader processes, shared between the views.
        pin: Copy batches to page-locked memory.
        rank: Of several processes, this one's number: it gets every ``world``-th sample of each batch.
        world: How many there are.
    """

    def __init__(
        self,
        feeds: Mapping[str, ViewFeed],
        view_of: Mapping[str, str],
        plan: Callable[[int], Plan],
        *,
        accumulation: int,
        workers: int,
        pin: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rank, self.world = rank, world
        self.feeds = dict(feeds)
        self.view_of = dict(view_of)
        self.plan = plan
        self.accumulation = accumulation
        self.workers = -(-workers // len(self.feeds)) if workers else 0
        self.pin = pin

    @property
    def steps_per_epoch(self) -> int:
        """Updates after which every sample of the largest view was shown."""
        batches = max(feed.stream.batches_per_epoch for feed in self.feeds.values())
        return -(-batches // self.accumulation)

    def image(self, view: str, index: int) -> Path:
        """The file of a sample, by its index in a batch of a view."""
        return self.feeds[view].dataset.samples[index].image

    def windows(self, start: int, stop: int) -> Generator[list[list[Batch]], None, None]:
        """The windows of updates ``start`` to ``stop - 1``."""
        needed = [self._views(step) for step in range(stop)]
        with ExitStack() as stack:  # the loaders' processes end with the windows
            loaders = {name: stack.enter_context(closing(self._loader(name, needed, start))) for name in self.feeds}
            for views in needed[start:]:
                yield [[next(loaders[name]) for name in views] for _ in range(self.accumulation)]

    def _views(self, step: int) -> tuple[str, ...]:
        wanted = {self.view_of[task] for task in self.plan(step).tasks}
        return tuple(name for name in self.feeds if name in wanted)

    def _loader(self, name: str, needed: Sequence[tuple[str, ...]], start: int) -> Generator[Batch, None, None]:
        before = sum(name in views for views in needed[:start]) * self.accumulation
        total = sum(name in views for views in needed[start:]) * self.accumulation
        feed = self.feeds[name]

        def numbers() -> Iterator[int]:
            return islice(count(before), total)

        def draws() -> Iterator[list[Draw]]:
            return (feed.stream.batch(number)[self.rank :: self.world] for number in numbers())

        return training_loader(feed.dataset, draws, name, workers=self.workers, pin=self.pin)


def make_feed(dataset: ViewDataset, view: str, config: RunConfig, tasks: Sequence[AnyTask]) -> ViewFeed:
    """The stream of a view's batches, with every task of the view present in each."""
    settings: ViewConfig = config.views[view]
    labelled = {task.name: [task.teaches(sample) for sample in dataset.samples] for task in tasks}
    quotas = {task.name: task.config.min_per_batch for task in tasks}
    repeats = settings.patches_per_image if settings.patch is not None else 1
    stream = ViewStream(labelled, settings.batch_size, quotas, seed=config.seed, view=view, repeats=repeats)
    return ViewFeed(dataset, stream)
