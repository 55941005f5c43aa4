"""Datasets, caches and batches: every batch is a pure function of the seed and its number, so that resume is exact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, Dataset, PersistentDataset, set_track_meta
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from medmtl.config import ViewConfig
from medmtl.data.markings import expert_files
from medmtl.data.samples import MaskReference, Sample
from medmtl.data.sampling import Draw, ViewStream
from medmtl.data.transforms import VERSION, AnyTarget, fixed_transforms, random_transforms
from medmtl.errors import MedmtlError
from medmtl.files import sha256_file


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
    """

    view: str
    image: Tensor
    field: Tensor
    targets: Mapping[str, Tensor]
    geometry: Tensor
    index: Tensor

    def to(self, device: torch.device, *, channels_last: bool = False) -> Batch:
        """The batch on a device."""
        memory = torch.channels_last if channels_last else torch.contiguous_format
        image = self.image.to(device, non_blocking=True, memory_format=memory)
        targets = {name: value.to(device, non_blocking=True) for name, value in self.targets.items()}
        return Batch(self.view, image, self.field.to(device, non_blocking=True), targets, self.geometry, self.index)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, for faster copies to a GPU."""
        targets = {name: value.pin_memory() for name, value in self.targets.items()}
        return Batch(self.view, self.image.pin_memory(), self.field.pin_memory(), targets, self.geometry, self.index)


class ViewDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """Samples as a view shows them: a MONAI cache of what is fixed, then the random transforms of one draw.

    Args:
        samples: The samples.
        view: The view.
        targets: Targets of the view's tasks.
        training: Whether random transforms apply.
        cache: ``none``, ``disk`` or ``memory``.
        cache_dir: Folder of the disk cache.
        progress: Show a progress bar while the memory cache fills.
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
        progress: bool = False,
    ) -> None:
        set_track_meta(False)  # geometry is carried by our own six numbers; MetaTensors would only cost time
        self.samples = list(samples)
        self.random = random_transforms(view, targets, training=training)
        self.fixed = _cached(self.samples, view, targets, cache, cache_dir, progress)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        index, seed = (draw, 0) if isinstance(draw, int) else draw
        self.random.set_random_state(seed=seed % 2**32)
        try:
            item = self.random(dict(self.fixed[index]))
        except RuntimeError as error:  # MONAI wraps what a transform raises
            return {"error": mendable(error)}
        return {**item, "index": index}


def _cached(
    samples: Sequence[Sample],
    view: ViewConfig,
    targets: Sequence[AnyTarget],
    cache: str,
    cache_dir: Path | None,
    progress: bool,
) -> Dataset:
    transform = fixed_transforms(view, targets)
    if cache == "disk" and cache_dir is not None:
        recipe = _recipe(view, targets)
        items = [{"sample": sample, "key": _content_key(sample, targets, recipe)} for sample in samples]
        cache_dir.mkdir(parents=True, exist_ok=True)
        return PersistentDataset(items, transform, cache_dir=cache_dir, hash_func=lambda item: item["key"].encode())
    items = [{"sample": sample} for sample in samples]
    if cache == "memory":
        # No random transform follows inside MONAI's dataset, and ours never write into what they are given.
        try:
            return CacheDataset(items, transform, num_workers=2, progress=progress, copy_cache=False)
        except RuntimeError as error:
            raise mendable(error) from None
    return Dataset(items, transform)


def mendable(error: BaseException) -> MedmtlError:
    """The error that a user can mend within a chain of causes.

    Raises:
        BaseException: There is none: the error itself.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MedmtlError):
            return cause
        cause = cause.__cause__ or cause.__context__
    raise error


def _recipe(view: ViewConfig, targets: Sequence[AnyTarget]) -> str:
    fixed = view.model_dump(include={"size", "crop", "contrast"})
    return json.dumps([VERSION, fixed, [repr(target) for target in targets]], sort_keys=True)


def _content_key(sample: Sample, targets: Sequence[AnyTarget], recipe: str) -> str:
    """Changes with the bytes of any file of the sample, its labels, and the fixed transforms: never stale."""
    files = [sample.image, *([sample.fov] if sample.fov else [])]
    for _, reference in sorted(sample.masks.items()):
        files += _mask_files(reference)
    labels = json.dumps([sorted(sample.labels.items()), sorted((name, str(mask)) for name, mask in sample.masks.items())])
    digest = hashlib.sha256(f"{recipe}\n{labels}".encode())
    for path in files:
        digest.update(sha256_file(path).encode())
    return digest.hexdigest()


def _mask_files(reference: MaskReference) -> list[Path]:
    if reference.path is None:
        return []
    return expert_files(reference.path) if "*" in reference.path.name else [reference.path]


def collate(view: str, items: Sequence[Mapping[str, Any]]) -> Batch:
    """Stacks items into a batch; what is unknown stays marked as unknown."""
    reserved = {"image", "field", "geometry", "index"}
    targets = {key: torch.stack([item[key] for item in items]) for key in items[0] if key not in reserved}
    index = torch.tensor([item["index"] for item in items])
    stacked = {key: torch.stack([item[key] for item in items]) for key in ("image", "field", "geometry")}
    return Batch(view=view, targets=targets, index=index, **stacked)


class _Collate:
    """A picklable :func:`collate` of one view; an error travels as a value, because torch would garble it."""

    def __init__(self, view: str) -> None:
        self.view = view

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> Batch | MedmtlError:
        failed = next((item["error"] for item in items if "error" in item), None)
        return failed if failed is not None else collate(self.view, items)


def checked(batches: Iterable[Batch | MedmtlError]) -> Iterator[Batch]:
    """Batches as a loader gives them.

    Raises:
        MedmtlError: What a worker ran into.
    """
    for batch in batches:
        if isinstance(batch, MedmtlError):
            raise batch
        yield batch


class _StreamSampler(Sampler[list[Draw]]):
    """The draws of a stream's batches with the given numbers."""

    def __init__(self, stream: ViewStream, numbers: Callable[[], Iterator[int]]) -> None:
        self.stream = stream
        self.numbers = numbers

    def __iter__(self) -> Iterator[list[Draw]]:
        return (self.stream.batch(number) for number in self.numbers())


def training_loader(
    dataset: ViewDataset, stream: ViewStream, view: str, numbers: Callable[[], Iterator[int]], *, workers: int, pin: bool
) -> Iterable[Batch]:
    """A loader of a stream's batches, in the order of ``numbers``, over the whole training.

    One loader serves all epochs, so that workers start once and an epoch's end costs nothing.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=_StreamSampler(stream, numbers),
        collate_fn=_Collate(view),
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),  # or starting workers would draw from the global stream and resume would differ
        worker_init_fn=_start_worker,
    )
    return checked(loader)


def evaluation_loader(dataset: ViewDataset, view: str, *, batch_size: int, workers: int) -> Iterable[Batch]:
    """A loader of every sample once, in order."""
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        collate_fn=_Collate(view),
        num_workers=workers,
        generator=torch.Generator(),
        worker_init_fn=_start_worker,
    )
    return checked(loader)


def _start_worker(_: int) -> None:
    """One thread a worker, because the step has the cores; to stop is the parent's business."""
    import signal

    import cv2

    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the parent saves first, then ends us
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    set_track_meta(False)

