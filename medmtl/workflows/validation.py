"""What a run looks at on its validation samples: figures that select, and records that operating points come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medmtl.data.loading import Batch
from medmtl.inference.network import Network
from medmtl.inference.predict import dataset_batches, predict, view_records
from medmtl.progress import Progress
from medmtl.workflows.setup import Setup, ViewData


class Validation:
    """Validation figures of the network as it stands.

    Args:
        setup: The run.
        network: The network, looked at each time as it is then.
        data: By view, the validation samples.
        progress: Where to say how far it is.
    """

    def __init__(self, setup: Setup, network: Network, data: Mapping[str, ViewData], progress: Progress) -> None:
        self.setup = setup
        self.network = network
        self.data = data
        self.progress = progress

    def __call__(self) -> dict[str, float]:
        """Each task's validation figures, as ``task/name``."""
        records = self.records(flips=False)
        return {
            f"{task.name}/{name}": value
            for task in self.setup.tasks
            for name, value in task.selection(records[task.name]).items()
        }

    @property
    def names(self) -> list[str]:
        """The names of the figures, in their order."""
        return [f"{task.name}/{name}" for task in self.setup.tasks for name in task.selection([])]

    def records(self, *, flips: bool = True) -> dict[str, list[Any]]:
        """Records in the pixels of the views, by task.

        Args:
            flips: Whether mirror images are looked at where tasks ask for them; too much work for every look in training.
        """
        records: dict[str, list[Any]] = {}
        for view, data in self.data.items():
            batches, samples = self._batches(view, data), data.dataset.samples
            setup = self.setup
            predicted = predict(self.network, data.tasks, batches, samples, setup.device, setup.config, flips=flips)
            records |= view_records(self.progress.track(predicted, "validating", len(samples)), data.tasks)
        return records

    def _batches(self, view: str, data: ViewData) -> Iterable[Batch]:
        config = self.setup.config
        workers = 0 if config.data.cache == "memory" else config.data.workers  # starting processes would cost more
        return dataset_batches(data.dataset, view, config, workers=workers) if data.dataset.samples else []
