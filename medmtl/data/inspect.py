"""The doctor of a manifest: opens every file that it names and says what is there and what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medmtl.data.blank import refuse_black
from medmtl.data.inspection import NO_SPLIT, UNLABELED, Inspection, SelfTest
from medmtl.data.manifest import Manifest, MaskReference, Problem, Sample
from medmtl.data.masks import file_values, read_mask
from medmtl.data.pixels import Pixels, to_unit_rgb
from medmtl.data.reading import expected_format, read_image_info, read_pixels
from medmtl.errors import ConfigError, ImageError, suggestion
from medmtl.files import sha256_file

__all__ = ["Inspection", "SelfTest", "cache_bytes", "inspect_manifest"]

Shape = tuple[int, int]


def cache_bytes(samples: int, size: int, *, layers: int = 0) -> int:
    """Returns the memory (bytes) of a cache in memory.

    Args:
        samples: Number of samples.
        size: Side of the square network input (pixels).
        layers: Mask layers of the tasks for each sample.

    Returns:
        Bytes: one a pixel for each of three channels, for the field of view, and for each layer.
    """
    return samples * size * size * (3 + 1 + layers)


def inspect_manifest(
    path: str | Path,
    *,
    expected: Mapping[str, Collection[int]] | None = None,
    known: Mapping[str, Collection[int]] | None = None,
    size: int = 512,
    self_test: Callable[[Inspection], Iterable[SelfTest]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Inspects a manifest and every file that it names.

    Args:
        path: The manifest.
        expected: Values that a mask column (``NAME`` or ``NAME.CLASS``) may hold once its references are resolved;
            others are a problem.
        known: Values that the files of a mask column may hold before that (``#any`` resolves to 0 and 1 whatever is
            in the file); others are a problem.
        size: Side of the network input for the estimate of the cache (pixels).
        self_test: Compares the findings with the published counts of the data set.
        progress: Called with the samples done and their number.

    Raises:
        ManifestError: The manifest itself cannot be read.
        ConfigError: ``known`` names a column that the manifest does not have.
    """
    manifest = Manifest.read(path, strict=False)
    walk = _Walk(manifest, expected or {}, known or {})
    for number, sample in enumerate(manifest.samples, start=1):
        walk.visit(sample)
        if progress is not None:
            progress(number, len(manifest.samples))
    found = walk.finish()
    found.cache_bytes = cache_bytes(len(manifest.samples), size, layers=len(walk.masks))
    found.self_tests = list(self_test(found)) if self_test is not None else []
    return found


class _Walk:
    """Gathers findings sample by sample."""

    def __init__(
        self, manifest: Manifest, expected: Mapping[str, Collection[int]], known: Mapping[str, Collection[int]]
    ) -> None:
        self.manifest = manifest
        self.expected, self.known = _by_column(expected), _by_column(known)
        self.found = Inspection(str(manifest.path), manifest.content_hash, len(manifest.samples))
        self.found.problems += manifest.problems
        self.formats: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.depths: Counter[str] = Counter()
        self.counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self.contents: dict[str, list[Sample]] = defaultdict(list)
        self.values: dict[str, Counter[int]] = defaultdict(Counter)
        self.masks = [column for column in manifest.columns if column.kind == "mask"]
        self.labels = [column for column in manifest.columns if column.kind in {"label", "labels"}]
        keys = [column.key for column in self.masks]
        for key in self.known:
            if key not in keys:
                remedy = suggestion(key, keys) if keys else "it has no mask column"
                what = "the manifest has no such mask column"
                raise ConfigError(what, where=manifest.path, found=f"'{key}'", remedy=remedy)

    def visit(self, sample: Sample) -> None:
        shape = self._image(sample)
        for column in self.labels:
            members = self.manifest.members("labels", column.name) if column.kind == "labels" else ()
            for key in [f"{column.name}.{member}" for member in members] or [column.key]:
                self._count(f"{column.kind}:{key}", sample.labels.get(key, UNLABELED), sample)
        for column in self.masks:
            reference = sample.masks.get(column.key)
            state = UNLABELED if reference is None else self._mask(sample, column.key, reference, shape)
            self._count(column.header, state, sample)
        if sample.fov is not None:
            self._fov(sample, sample.fov, shape)

    def finish(self) -> Inspection:
        found, samples = self.found, self.manifest.samples
        found.patients = len({sample.person for sample in samples})
        found.splits = dict(Counter(sample.split or NO_SPLIT for sample in samples))
        found.formats, found.sizes, found.depths = dict(self.formats), dict(self.sizes), dict(self.depths)
        found.counts = {
            column: {name: dict(splits) for name, splits in classes.items()} for column, classes in self.counts.items()
        }
        found.mask_values = {key: dict(values) for key, values in self.values.items()}
        found.problems += self._duplicates()
        found.problems.sort(key=lambda problem: problem.row or 0)
        return found

    def _count(self, column: str, name: str, sample: Sample) -> None:
        self.counts[column][name][sample.split or NO_SPLIT] += 1

    def _problem(self, sample: Sample, what: str, found: object, remedy: str | None) -> None:
        self.found.problems.append(Problem(what, sample.row, None if found is None else str(found), remedy))

    def _note(self, sample: Sample, what: str, found: object) -> None:
        self.found.notes.append(Problem(what, sample.row, str(found)))

    def _broken(self, sample: Sample, error: ImageError) -> None:
        found = error.where if error.found is None else f"{error.where}: {error.found}"
        self._problem(sample, error.what, found, error.remedy)

    def _image(self, sample: Sample) -> Shape | None:
        """Counts the header, decodes, and returns the shape, or ``None`` where there is no image."""
        try:
            info = read_image_info(sample.image)
            pixels = read_pixels(sample.image)
            self.contents[sha256_file(sample.image)].append(sample)
        except ImageError as error:
            self._broken(sample, error)
            return None
        self.formats[info.format] += 1
        self.sizes[f"{info.width}x{info.height}"] += 1
        self.depths[f"{info.channels} channels of {info.bit_depth} bits"] += 1
        self._content(sample, pixels)
        if expected_format(sample.image) not in {info.format, None}:
            self._note(
                sample, f"a {info.format} file with another suffix", f"{sample.image.name}, read as {info.format}"
            )
        return info.height, info.width

    def _content(self, sample: Sample, pixels: Pixels) -> None:
        try:
            refuse_black(to_unit_rgb(pixels), sample.image)
        except ImageError as error:
            self._broken(sample, error)
        else:
            if pixels.values.min() == pixels.values.max():
                remedy = "export it again, or remove the row"
                self._problem(sample, "the image has one value everywhere", sample.image, remedy)

    def _read(self, key: str, reference: MaskReference, shape: Shape) -> NDArray[np.uint8]:
        try:
            return read_mask(reference, shape)
        except ImageError:
            if "." not in key or reference.fragment is not None:
                raise
            return read_mask(reference, shape, binary=True)  # one class: any color means it

    def _mask(self, sample: Sample, key: str, reference: MaskReference, shape: Shape | None) -> str:
        """Returns what a mask is: present, empty, absent or unreadable."""
        if reference.absent:
            return "absent"
        needs_shape = reference.path is not None and reference.path.suffix.lower() == ".xml"
        if shape is None and needs_shape:
            return "unreadable"
        try:
            mask = self._read(key, reference, shape or (0, 0))
        except ImageError as error:
            self._broken(sample, error)
            return "unreadable"
        self._size(sample, f"mask '{key}'", mask, shape, reference.path)
        values = np.bincount(mask.ravel(), minlength=256)
        self._values(sample, key, {int(value): int(values[value]) for value in np.flatnonzero(values)}, reference)
        if key in self.known:
            self._unknown(sample, key, (file_values(reference) or set()) - self.known[key], self.known[key], reference)
        return "present" if mask.any() else "empty"

    def _values(self, sample: Sample, key: str, values: dict[int, int], reference: MaskReference) -> None:
        self.values[key].update(values)
        if key in self.expected:
            self._unknown(sample, key, set(values) - self.expected[key], self.expected[key], reference)
        path = reference.path
        if set(values) == {0} and path is not None and path.suffix.lower() != ".xml":
            self._note(sample, f"mask '{key}' is empty", path.name)
        if path is not None and expected_format(path) == "JPEG":
            self._note(sample, f"mask '{key}' is a JPEG file, whose values are blurred", path.name)

    def _unknown(self, sample: Sample, key: str, unknown: set[int], known: set[int], reference: MaskReference) -> None:
        if unknown:
            found = f"{', '.join(map(str, sorted(unknown)[:8]))} in {reference}"
            remedy = f"known are {', '.join(map(str, sorted(known)))}"
            self._problem(sample, f"mask '{key}' has unknown values", found, remedy)

    def _fov(self, sample: Sample, path: Path, shape: Shape | None) -> None:
        try:
            mask = read_mask(MaskReference(path), shape, binary=True)
        except ImageError as error:
            self._broken(sample, error)
            return
        self._size(sample, "the field of view", mask, shape, path)
        if not mask.any():
            self._problem(sample, "the field of view is empty", path, "leave the cell empty: it is found by itself")

    def _size(self, sample: Sample, name: str, mask: NDArray[np.uint8], shape: Shape | None, path: Path | None) -> None:
        if shape is not None and mask.shape != shape:
            found = f"{path}: {mask.shape[1]}x{mask.shape[0]} instead of {shape[1]}x{shape[0]}"
            self._problem(sample, f"{name} has another size than its image", found, "give the mask drawn on this image")

    def _duplicates(self) -> list[Problem]:
        problems = []
        for group in self.contents.values():
            if len(group) > 1:
                lines = ", ".join(str(sample.row) for sample in group)
                apart = len({sample.split for sample in group}) > 1
                what = "the same image content twice" + (", in different splits" if apart else "")
                found = f"'{group[0].image.name}' on lines {lines}"
                problems.append(Problem(what, group[1].row, found, "keep one of the rows"))
        return problems


def _by_column(values: Mapping[str, Collection[int]]) -> dict[str, set[int]]:
    return {key.removeprefix("mask:"): set(numbers) for key, numbers in values.items()}
