"""Datasets, caches and batches: every batch is a pure function of the seed and its number, so that resume is exact."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.data import get_track_meta, set_track_meta
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from medmtl.config import ViewConfig
from medmtl.data.caching import cached, mendable
from medmtl.data.samples import Sample
from medmtl.data.sampling import Draw
from medmtl.data.targets import AnyTarget
from medmtl.data.transforms import FINE, random_transforms
from medmtl.data.workers import StartWorker, checked
from medmtl.errors import MedmtlError
from medmtl.progress import Progress


@dataclass(frozen=True)
class Batch:
    """Samples of one view.

    Attributes:
        view: Name of the view.
        image: (B, 3, h, w) float32 in [0, 1].
        field: (B, 1, h, w) uint8, 1 inside the field of view.
        targets: Per task: mask layers (B, C, h, w) uint8 with 255 for unknown, or labels (B, C) float32 with NaN.
        geometry: (B, 6) int64, see :class:`medmtl.geometry.Geometry`.
        index: (B,) int64, position of the sample in its list.
        fine: (B, 3, f, f) float32 in [0, 1], the view with more pixels, where it was asked for.
    """

    view: str
    image: Tensor
    field: Tensor
    targets: Mapping[str, Tensor]
    geometry: Tensor
    index: Tensor
    fine: Tensor | None = None

    def to(self, device: torch.device, *, channels_last: bool = False) -> Batch:
        """The batch on a device."""
        memory = torch.channels_last if channels_last else torch.contiguous_format
        move = partial(Tensor.to, device=device, non_blocking=True)
        return self._moved(partial(move, memory_format=memory), move)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, for faster copies to a GPU."""
        return self._moved(Tensor.pin_memory, Tensor.pin_memory)

    def _moved(self, image: Callable[[Tensor], Tensor], rest: Callable[[Tensor], Tensor]) -> Batch:
        targets = {name: rest(value) for name, value in self.targets.items()}
        fine = None if self.fine is None else image(self.fine)
        return replace(self, image=image(self.image), field=rest(self.field), targets=targets, fine=fine)


class ViewDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Samples as a view shows them: a MONAI cache of what is fixed, then the random transforms of one draw.

    Args:
        samples: The samples.
        view: The view.
        targets: Targets of the view's tasks.
        training: Whether random transforms apply.
        cache: ``none``, ``disk`` or ``memory``.
        cache_dir: Folder of the disk cache.
        progress: Where a bar is shown while the memory cache fills; nowhere by default.
        blank: Accept images that are all black, for which no field of view can be found.
        fine: Side of a second image of the view, with more pixels, that each item brings besides; evaluation only.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        view: ViewConfig,
        targets: Sequence[AnyTarget],
        *,
        training: bool,
        cache: str = "none",
        cache_dir: Path | None = None,
        progress: Progress | None = None,
        blank: bool = False,
        fine: int | None = None,
    ) -> None:
        self.samples = list(samples)
        self.random = random_transforms(view, targets, training=training)
        with _plain_tensors():
            shown = progress or Progress(quiet=True)
            self.fixed = cached(self.samples, view, targets, cache, cache_dir, progress=shown, blank=blank, fine=fine)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        """A sample's tensors and its ``index``; or the ``error`` that a user can mend, as a value."""
        index, seed = (draw, 0) if isinstance(draw, int) else draw
        self.random.set_random_state(seed=seed % 2**32)
        try:
            with _plain_tensors():
                item = self.random(dict(self.fixed[index]))
        except (RuntimeError, MedmtlError) as error:  # MONAI wraps what a transform raises
            return {"error": mendable(error)}
        return {**item, "index": index}


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Geometry is carried by our own six numbers and MetaTensors would only cost time; others' pipelines keep theirs."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def collate(view: str, items: Sequence[Mapping[str, Any]]) -> Batch:
    """Stacks items into a batch; what is unknown stays marked as unknown."""
    reserved = {"image", "field", "geometry", "index", FINE}
    targets = {key: torch.stack([item[key] for item in items]) for key in items[0] if key not in reserved}
    index = torch.tensor([item["index"] for item in items])
    stacked = {key: torch.stack([item[key] for item in items]) for key in ("image", "field", "geometry")}
    fine = torch.stack([item[FINE] for item in items]) if FINE in items[0] else None
    return Batch(view=view, targets=targets, index=index, fine=fine, **stacked)


class _Collate:
    """A picklable :func:`collate` of one view; an error travels as a value, because torch would garble it."""

    def __init__(self, view: str) -> None:
        self.view = view

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> Batch | MedmtlError:
        failed = next((item["error"] for item in items if "error" in item), None)
        return failed if failed is not None else collate(self.view, items)


class _StreamSampler(Sampler[list[Draw]]):
    """The draws of batches, made anew for each iteration."""

    def __init__(self, draws: Callable[[], Iterator[list[Draw]]]) -> None:
        self.draws = draws

    def __iter__(self) -> Iterator[list[Draw]]:
        return self.draws()


def training_loader(
    dataset: ViewDataset,
    draws: Callable[[], Iterator[list[Draw]]],
    view: str,
    *,
    workers: int,
    pin: bool,
) -> Generator[Batch, None, None]:
    """A loader of batches of draws, over the whole training.

    One loader serves all epochs, so that workers start once and an epoch's end costs nothing.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=_StreamSampler(draws),
        collate_fn=_Collate(view),
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),  # or starting workers would draw from the global stream and resume would differ
        worker_init_fn=StartWorker(os.getpid()),
    )
    return checked(loader)


def evaluation_loader(
    dataset: ViewDataset, view: str, *, batch_size: int, workers: int
) -> Generator[Batch, None, None]:
    """A loader of every sample once, in order."""
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        collate_fn=_Collate(view),
        num_workers=workers,
        generator=torch.Generator(),
        worker_init_fn=StartWorker(os.getpid()),
    )
    return checked(loader)
