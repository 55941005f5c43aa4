"""Where decoded, cropped and resized samples are kept: nowhere, in memory, or on disk under a key of their content."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.utils import convert_to_tensor

from medmtl.config import ViewConfig
from medmtl.data.markings import expert_files
from medmtl.data.samples import MaskReference, Sample
from medmtl.data.targets import AnyTarget
from medmtl.data.transforms import VERSION, fixed_transforms
from medmtl.errors import MedmtlError
from medmtl.files import atomic_write, sha256_file
from medmtl.progress import Progress


class DiskCache(PersistentDataset):
    """MONAI's persistent dataset, where a file is whole or not there, and a damaged one is made again.

    Args:
        items: Mappings with ``sample`` and ``key``.
        transform: The fixed transforms.
        folder: Where the files are; made when the first is written.
    """

    def __init__(self, items: Sequence[Mapping[str, Any]], transform: Any, folder: Path) -> None:
        super().__init__(items, transform, cache_dir=None)
        self.folder = folder

    def _cachecheck(self, item_transformed: Mapping[str, Any]) -> Any:
        path = self.folder / f"{item_transformed['key']}.pt"
        kept = _kept(path)
        if kept is not None:
            return kept
        made = convert_to_tensor(self._pre_transform(dict(item_transformed)), convert_numeric=False, track_meta=False)
        buffer = io.BytesIO()
        torch.save(made, buffer)
        with atomic_write(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        return made


class MemoryCache(CacheDataset):
    """MONAI's cache in memory, which waits for its threads when a sample cannot be read.

    MONAI leaves them running behind the error; a process that ends meanwhile aborts (SIGABRT) in place of its exit code.

    Args:
        items: Mappings with ``sample``.
        transform: The fixed transforms.
        progress: Where a bar is shown while the cache fills.
    """

    def __init__(self, items: Sequence[Mapping[str, Any]], transform: Any, progress: Progress) -> None:
        self.shown = progress
        # No random transform follows inside MONAI's dataset, and ours never write into what they are given.
        super().__init__(items, transform, num_workers=2, copy_cache=False)

    def _fill_cache(self, indices: Sequence[int] | None = None) -> list[Any]:
        chosen = range(self.cache_num) if indices is None else indices
        with ThreadPoolExecutor(self.num_workers) as threads:
            made = threads.map(self._load_cache_item, chosen)
            return list(self.shown.track(made, "reading", len(chosen)))


def _kept(path: Path) -> Any:
    try:
        return torch.load(path, weights_only=True)
    except Exception:  # noqa: BLE001  missing, or damaged in whatever way: the sample is made from its files
        return None


def cached(
    samples: Sequence[Sample],
    view: ViewConfig,
    targets: Sequence[AnyTarget],
    cache: str,
    folder: Path | None,
    *,
    progress: Progress,
    blank: bool = False,
    fine: int | None = None,
) -> Dataset:
    """The fixed part of each sample, kept as asked.

    Args:
        samples: The samples.
        view: The view.
        targets: Targets of the view's tasks.
        cache: ``none``, ``disk`` or ``memory``.
        folder: Folder of the disk cache.
        progress: Where a bar is shown while the memory cache fills.
        blank: Accept images that are all black.
        fine: Side of a second, finer image of the view; None for none.

    Raises:
        MedmtlError: The memory cache met a sample that cannot be read.
    """
    transform = fixed_transforms(view, targets, blank=blank, fine=fine)
    if cache == "disk" and folder is not None:
        recipe = _recipe(view, targets, fine)
        items = [{"sample": sample, "key": content_key(sample, recipe)} for sample in samples]
        return DiskCache(items, transform, folder)
    items = [{"sample": sample} for sample in samples]
    if cache != "memory":
        return Dataset(items, transform)
    try:
        return MemoryCache(items, transform, progress)
    except RuntimeError as error:
        raise mendable(error) from None


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


def _recipe(view: ViewConfig, targets: Sequence[AnyTarget], fine: int | None) -> str:
    fixed = view.model_dump(include={"size", "crop", "contrast"}) | ({} if fine is None else {"fine": fine})
    return json.dumps([VERSION, fixed, [repr(target) for target in targets]], sort_keys=True)


def content_key(sample: Sample, recipe: str) -> str:
    """Changes with the bytes of any file of the sample, its labels, and the fixed transforms: never stale."""
    files = [sample.image, *([sample.fov] if sample.fov else [])]
    for _, reference in sorted(sample.masks.items()):
        files += _mask_files(reference)
    masks = sorted((name, str(mask)) for name, mask in sample.masks.items())
    labels = json.dumps([sorted(sample.labels.items()), masks, sample.fov is not None])
    digest = hashlib.sha256(f"{recipe}\n{labels}".encode())
    for path in files:
        digest.update(_fingerprint(path).encode())
    return digest.hexdigest()


def _fingerprint(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:  # said with its row when the sample is read
        return "unreadable"


def _mask_files(reference: MaskReference) -> list[Path]:
    if reference.path is None:
        return []
    return expert_files(reference.path) if "*" in reference.path.name else [reference.path]
